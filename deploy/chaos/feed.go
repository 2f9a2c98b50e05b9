package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"adventureworks.example/extract/deploy/adventureworks"
	"adventureworks.example/extract/deploy/embedded"
)

// feedTables are tables of the trial's own, beside the sample's: item takes COPY transactions and random changes, volatile is emptied by TRUNCATE, probe is
// written all the time, so that there is always something on its way in every partition.
const feedTables = `CREATE SCHEMA chaos;
CREATE TABLE chaos.item (id bigint PRIMARY KEY, text text NOT NULL, amount numeric(12,2), at timestamptz NOT NULL DEFAULT clock_timestamp(), tags text[], large text);
ALTER TABLE chaos.item ALTER large SET STORAGE EXTERNAL;
CREATE INDEX ON chaos.item (abs(id));
CREATE TABLE chaos.volatile (id bigint PRIMARY KEY, text text);
CREATE TABLE chaos.probe (id int PRIMARY KEY, at timestamptz NOT NULL);`

// feed goes on changing every source until it is stopped.
type feed struct {
	c      *cluster
	cancel context.CancelFunc
	done   chan error // of each goroutine
	left   int

	mu       sync.Mutex // guards what follows
	fed      map[string]int64
	labelled int64 // rows in the archives
}

// startFeed starts the changes, each kind in a goroutine of its own.
func startFeed(ctx context.Context, c *cluster) (*feed, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{c: c, cancel: cancel, fed: map[string]int64{}, done: make(chan error, 4)}
	for _, run := range []func(context.Context) error{f.sample, f.items, f.probes, f.folders} {
		f.left++
		go func() { f.done <- run(ctx) }()
	}
	return f, nil
}

// stop ends the changes: what was begun is finished. It may be called again.
func (f *feed) stop() error {
	f.cancel()
	var errs []error
	for ; f.left > 0; f.left-- {
		errs = append(errs, <-f.done)
	}
	return errors.Join(errs...)
}

func (f *feed) count(kind string, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fed[kind] += n
}

func (f *feed) counts() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fed
}

// withDB calls run with a connection again and again until ctx ends: when Postgres is killed it gets another one. What was committed without our
// knowing is the database's to say.
func (f *feed) withDB(ctx context.Context, run func(context.Context, *embedded.DB) error) error {
	for ctx.Err() == nil {
		db, err := embedded.OpenDB(ctx, f.c.postgres.URL(database))
		if err == nil {
			err = run(ctx, db)
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			_ = db.Close(closing) // a killed server's connection
			cancel()
		}
		if err != nil && ctx.Err() == nil {
			f.count("connections lost", 1)
			rest(ctx, 100*time.Millisecond)
		}
	}
	return nil
}

// samplePerSecond is how many changes of the sample are made a second: orders, prices, reviews, photos, stock, files of reviews, images, lake objects.
const samplePerSecond = 50

func (f *feed) sample(ctx context.Context) error {
	seed := f.c.o.Seed
	return f.withDB(ctx, func(ctx context.Context, db *embedded.DB) error {
		seed++
		return adventureworks.Change(ctx, adventureworks.ChangeOptions{Seed: seed, PerSecond: samplePerSecond, Dir: f.c.path("files"), LakeDir: f.c.path("lake"), DB: db,
			Report: func(kind string) { f.count(kind, 1) }})
	})
}

// stepTime bounds one change, which goes on after the feed is stopped: a statement that is cancelled would cost the connection.
const stepTime = time.Minute

// items changes the trial's own tables by transactions of every shape.
func (f *feed) items(ctx context.Context) error {
	t := &itemFeed{f: f, d: rand.New(rand.NewPCG(f.c.o.Seed, 2))}
	return f.withDB(ctx, func(ctx context.Context, db *embedded.DB) error {
		for ctx.Err() == nil {
			step, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTime)
			err := t.step(step, db)
			cancel()
			if err != nil {
				return err
			}
			rest(ctx, time.Duration(50+t.d.IntN(400))*time.Millisecond)
		}
		return nil
	})
}

// itemFeed makes the changes of the trial's own tables.
type itemFeed struct {
	f    *feed
	d    *rand.Rand
	next int64 // id
}

// step makes the next change. A COPY has a hundred rows, or some thousands now and then.
func (t *itemFeed) step(ctx context.Context, db *embedded.DB) error {
	from := t.d.Int64N(t.next + 1)
	within := fmt.Sprintf("abs(id) BETWEEN %d AND %d", from, from+1+t.d.Int64N(200))
	wide := fmt.Sprintf("abs(id) BETWEEN %d AND %d", from, from+3000)
	switch t.d.IntN(20) {
	case 0, 1, 2, 3, 4:
		return t.copy(ctx, db, "COMMIT", 1+t.d.IntN(200))
	case 5:
		return t.copy(ctx, db, "COMMIT", 5000+t.d.IntN(15_000))
	case 6:
		return t.copy(ctx, db, "ROLLBACK", 1+t.d.IntN(5000))
	case 7, 8, 9:
		return t.exec(ctx, db, "updates", "UPDATE chaos.item SET amount = amount + 1, text = text || '+' WHERE "+within)
	case 10, 11:
		return t.exec(ctx, db, "key changes", "UPDATE chaos.item SET id = -id WHERE "+within)
	case 12, 13:
		return t.exec(ctx, db, "deletes", "DELETE FROM chaos.item WHERE "+within)
	case 14:
		return t.exec(ctx, db, "savepoints rolled back", "BEGIN; UPDATE chaos.item SET text = 'kept' WHERE "+within+
			"; SAVEPOINT s; UPDATE chaos.item SET amount = 0 WHERE "+within+"; DELETE FROM chaos.item WHERE "+wide+
			"; ROLLBACK TO s; UPDATE chaos.item SET amount = NULL WHERE "+within+"; COMMIT")
	case 15:
		return t.exec(ctx, db, "truncates", "TRUNCATE chaos.volatile")
	case 16, 17:
		t.next += 50
		return t.exec(ctx, db, "inserts", fmt.Sprintf("INSERT INTO chaos.volatile SELECT g, 'row ' || g FROM generate_series(%d, %d) g ON CONFLICT DO NOTHING", t.next-50, t.next))
	case 18:
		return t.exec(ctx, db, "large values", fmt.Sprintf("UPDATE chaos.item SET large = repeat(md5(id::text), %d) WHERE %s AND id %% 10 = 0", 100+t.d.IntN(200), within))
	}
	return t.exec(ctx, db, "deleted and inserted again",
		"BEGIN; CREATE TEMP TABLE again ON COMMIT DROP AS SELECT * FROM chaos.item WHERE "+within+"; DELETE FROM chaos.item WHERE "+within+
			"; INSERT INTO chaos.item SELECT * FROM again; COMMIT")
}

func (t *itemFeed) exec(ctx context.Context, db *embedded.DB, kind, sql string) error {
	if err := db.Exec(ctx, sql); err != nil {
		return err
	}
	t.f.count(kind, 1)
	return nil
}

// copy loads rows in a transaction that ends so.
func (t *itemFeed) copy(ctx context.Context, db *embedded.DB, end string, rows int) error {
	var text bytes.Buffer
	for range rows {
		t.next++
		fmt.Fprintf(&text, "%d\titem %d ünïcode\\tand a tab\t%d.%02d\t{a,\"b %d\"}\n", t.next, t.next, t.d.IntN(1_000_000), t.d.IntN(100), t.d.IntN(10))
	}
	if err := db.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := db.CopyFrom(ctx, "chaos.item", []string{"id", "text", "amount", "tags"}, &text); err != nil {
		return err
	}
	if err := db.Exec(ctx, end); err != nil {
		return err
	}
	if end == "COMMIT" {
		t.f.count("rows by COPY", int64(rows))
	}
	return nil
}

// probes writes the probe table several times a second.
func (f *feed) probes(ctx context.Context) error {
	return f.withDB(ctx, func(ctx context.Context, db *embedded.DB) error {
		for ctx.Err() == nil {
			step, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTime)
			err := db.Exec(step, "INSERT INTO chaos.probe SELECT g, clock_timestamp() FROM generate_series(1, 24) g ON CONFLICT (id) DO UPDATE SET at = excluded.at")
			cancel()
			if err != nil {
				return err
			}
			f.count("probes", 24)
			rest(ctx, 150*time.Millisecond)
		}
		return nil
	})
}
