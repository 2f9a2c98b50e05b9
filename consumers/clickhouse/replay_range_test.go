package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// alter changes the table of a topic behind the program's back.
func (f *flow) alter(topic, sql string) {
	f.t.Helper()
	g, err := f.generations(f.t.Context(), topic)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.exec(f.t.Context(), strings.ReplaceAll(sql, "%s", quoteName(f.conf.Raw)+"."+quoteName(g.name))); err != nil {
		f.t.Fatal(err)
	}
}

// filled is a topic of one partition whose rows are stored and whose consumer is stopped.
func (f *flow) filled(name string, n int) (topic string) {
	f.t.Helper()
	topic = f.topic(name, 1)
	stop := f.run(nil)
	f.produce(topic, 0, n)
	f.arrive(topic, n)
	f.wait(func() bool { st := f.status.Topics(); return len(st) > 0 && st[0].Lag == 0 }, "no lag")
	stop()
	return topic
}

func offset(n int64) consumers.Mark { return consumers.Mark{Set: true, Offset: n} }

// What lies between --from and --to is read again, and the rest is copied.
func TestReplayOfARange(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.filled("range", 1000)
	f.alter(topic, "ALTER TABLE %s DELETE WHERE _offset IN (350, 351, 900) SETTINGS mutations_sync = 2")
	r := f.replay(topic, func(o *ReplayOptions) { o.From, o.To = offset(300), offset(400) })
	if r.Read != 100 || r.Carried != 899 || r.Restored != 2 || r.Rows != 999 {
		t.Errorf("replayed %+v, want 100 read, 899 carried and 2 restored", r)
	}
	if at := f.one("SELECT toString(groupArray(_offset)) FROM (SELECT arrayJoin(range(1000)) AS _offset) WHERE _offset NOT IN (SELECT _offset FROM %s.files_range)", quoteName(f.conf.Raw)); at != "[900]" {
		t.Errorf("missing are %s", at)
	}
	r = f.replay(topic, func(o *ReplayOptions) { o.From = consumers.Mark{Set: true, Time: time.Now().Add(-time.Hour)} })
	if r.Read != 1000 || r.Restored != 1 {
		t.Errorf("replayed from a time before everything: %+v", r)
	}
	r = f.replay(topic, func(o *ReplayOptions) { o.From = consumers.Mark{Set: true, Time: time.Now().Add(time.Hour)} })
	if r.Read != 0 || r.Carried != 1000 || r.Rows != 1000 || r.Generation != 4 {
		t.Errorf("replayed from a time after everything: %+v", r)
	}
	f.produce(topic, 1000, 10)
	f.run(nil)
	f.arrive(topic, 1010)
}

// Rows with another content than before are not exchanged, unless that is accepted.
func TestReplayFindsOtherContent(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.filled("other", 100)
	f.alter(topic, "ALTER TABLE %s UPDATE text = 'forged' WHERE _offset = 42 SETTINGS mutations_sync = 2")
	_, err := f.Replay(t.Context(), f.replayOptions(topic))
	if !errors.Is(err, errDiffers) || !strings.Contains(err.Error(), "1 rows have another content (different: partition 0 offset 42)") {
		t.Errorf("error is %v", err)
	}
	if got := f.one("SELECT text FROM %s.files_other WHERE _offset = 42", quoteName(f.conf.Raw)); got != "forged" {
		t.Errorf("the table in use has %q", got)
	}
	f.produce(topic, 100, 1)
	stop := f.run(nil) // no fence is left
	f.arrive(topic, 101)
	stop()
	r := f.replay(topic, func(o *ReplayOptions) { o.AcceptDifferent = true })
	if !r.Resumed || r.Different != 1 {
		t.Errorf("replayed %+v, want the first one resumed", r)
	}
	if got := f.one("SELECT text FROM %s.files_other WHERE _offset = 42", quoteName(f.conf.Raw)); got != "row" {
		t.Errorf("the table in use has %q", got)
	}
}

// A table that was dropped is built anew, up to what was committed, and its consumer goes on by itself.
func TestReplayOfAMissingTable(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.filled("dropped", 500)
	f.alter(topic, "DROP TABLE %s SYNC")
	f.produce(topic, 500, 100)
	f.run(nil)
	f.wait(func() bool { st := f.status.Topics(); return len(st) > 0 && st[0].Err != "" }, "the consumer to say that the table is missing")
	r := f.replay(topic, nil)
	if r.Read != 500 || r.Rows != 500 {
		t.Errorf("replayed %+v, want the 500 rows that were committed", r)
	}
	f.arrive(topic, 600)
	o := f.replayOptions(topic)
	f.alter(topic, "DROP TABLE %s SYNC")
	o.From = offset(100)
	if _, err := f.Replay(t.Context(), o); err == nil || !strings.Contains(err.Error(), "replay the whole topic") {
		t.Errorf("a range of a missing table: %v", err)
	}
}

// Current rows that somebody took away are not begun anew, empty: the topic waits and says so, and goes on by itself when it has been replayed as a whole.
func TestReplayOfMissingCurrentRows(t *testing.T) {
	f := newFlow(newBench(t))
	c := newChanging(f, "item")
	f.run(func(o *consumers.Options) { o.Sources = []string{"sql"} })
	c.produceChanges(100)
	c.arriveChanges()
	if err := f.exec(t.Context(), "DROP TABLE "+quoteName(f.conf.Current)+"._rows_sql_item SYNC"); err != nil {
		t.Fatal(err)
	}
	c.produceChanges(50)
	said := ""
	f.wait(func() bool {
		if st := f.status.Topics(); len(st) > 0 {
			said = st[0].Err
		}
		return strings.Contains(said, "_rows_sql_item` is missing")
	}, "the consumer to say that the current rows are missing")
	o := f.replayOptions(c.topic)
	o.From = offset(50)
	if _, err := f.Replay(t.Context(), o); err == nil || !strings.Contains(err.Error(), "50 changes are not read again") {
		t.Errorf("a range, without current rows: %v", err)
	}
	if r := f.replay(c.topic, nil); r.Rows != 100 || f.tables(c.topic) != "sql_item~1" {
		t.Errorf("replayed %+v, want the 100 rows that were stored; beside are %s", r, f.tables(c.topic))
	}
	c.arriveChanges()
}

// ClickHouse does not widen a key's column in place. The topic waits and says so, and goes on by itself when it has been replayed.
func TestWiderKeyWaitsForAReplay(t *testing.T) {
	f := newFlow(newBench(t))
	narrow := newChanging(f, "item")
	f.run(func(o *consumers.Options) { o.Sources = []string{"sql"} })
	narrow.produceChanges(100)
	narrow.arriveChanges()
	wide := &changing{flow: f, changeTopic: newKeyedChangeTopic(f.bench, narrow.topic, schemas.Long), topic: narrow.topic, next: narrow.next}
	wide.produceChanges(50)
	said := ""
	f.wait(func() bool {
		if st := f.status.Topics(); len(st) > 0 {
			said = st[0].Err
		}
		return said != ""
	}, "the consumer to say that the key cannot be widened")
	if !strings.Contains(said, "ALTER of key column id") {
		t.Errorf("the consumer says %q", said)
	}
	r := f.replay(wide.topic, func(o *ReplayOptions) { o.Newest = f.registry.Newest })
	if r.Rows != 100 {
		t.Errorf("replayed %+v, want the 100 rows that were committed", r)
	}
	wide.arriveChanges()
	if typ := f.one("SELECT type FROM system.columns WHERE database = %s AND table = 'sql_item' AND name = 'id'", quoteText(f.conf.Current)); typ != "Int64" {
		t.Errorf("the key is %s", typ)
	}
}

// What only the dead letters hold stays there. A record that cannot be stored any more is a difference, and a dead letter once it is accepted.
func TestReplayAndDeadLetters(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("letters", 1)
	f.produce(topic, 0, 100)
	rec := f.read(topic, consumers.Range{Start: 0, End: 1}).Records[0]
	rec.Value, rec.Partition = rec.Value[:7], 0
	if err := f.producer.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	stop := f.run(nil)
	letters := func() string {
		return f.one("SELECT toString(arraySort(groupArray(_offset))) FROM %s WHERE _topic = %s", f.dead.fullName(), quoteText(topic))
	}
	f.wait(func() bool { return f.counts(topic)[0] == 100 && letters() == "[100]" }, "the dead letter")
	stop()
	if r := f.replay(topic, nil); r.Rows != 100 || r.Same != 100 || letters() != "[100]" {
		t.Errorf("replayed %+v; dead letters are %s", r, letters())
	}
	o := f.replayOptions(topic)
	o.before = func(step string) error {
		if step != "read" {
			return nil
		}
		all, err := f.Generations(t.Context(), topic)
		if err != nil {
			return err
		}
		return f.exec(t.Context(), "ALTER TABLE "+quoteName(f.conf.Raw)+"."+quoteName(all[len(all)-1].Table)+" ADD CONSTRAINT IF NOT EXISTS picky CHECK n != 7")
	}
	if _, err := f.Replay(t.Context(), o); !errors.Is(err, errDiffers) || !strings.Contains(err.Error(), "1 rows cannot be stored any more (partition 0 offset 7: refused by the server") {
		t.Errorf("error is %v", err)
	}
	if got := f.counts(topic)[0]; got != 100 || letters() != "[100]" {
		t.Errorf("%d rows, dead letters %s", got, letters())
	}
	o.AcceptDifferent = true
	if r, err := f.Replay(t.Context(), o); err != nil || r.Rows != 99 || letters() != "[7,100]" {
		t.Errorf("replayed %+v: %v; dead letters are %s", r, err, letters())
	}
}

// A fence whose replay is dead is lifted by the writer it refuses, once its time is over, and the replay cannot exchange any more.
func TestStaleFenceIsLifted(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.filled("stale", 50)
	stolen := f.replayOptions(topic)
	stolen.Lease = time.Second
	stolen.before = func(step string) error {
		if step != "swap" {
			return nil
		}
		f.produce(topic, 50, 10)
		stop := f.run(nil)
		defer stop()
		f.arrive(topic, 60) // which takes as long as the fence stands
		return nil
	}
	_, err := f.Replay(t.Context(), stolen)
	if err == nil {
		t.Error("a replay that slept exchanged the tables")
	}
	if got := f.tables(topic); !strings.Contains(got, asideMark) {
		t.Errorf("beside the table are %s", got)
	}
	if r := f.replay(topic, nil); !r.Resumed || r.Rows != 60 {
		t.Errorf("replayed %+v", r)
	}
	if got := f.counts(topic); got != [3]int64{60, 60, 60} {
		t.Errorf("rows, numbers and offsets are %v", got)
	}
}

// Of two replays of a topic the later one takes over, and the earlier one changes nothing any more.
func TestTwoReplaysOfATopic(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.filled("two", 200)
	o := f.replayOptions(topic)
	var second *Replayed
	o.before = func(step string) (err error) {
		if step == "fence" && second == nil {
			second, err = f.Replay(context.WithoutCancel(t.Context()), f.replayOptions(topic))
		}
		return err
	}
	_, err := f.Replay(t.Context(), o)
	if err == nil || second == nil || second.Generation != 2 || !second.Resumed {
		t.Errorf("the first replay ended with %v, the second with %+v", err, second)
	}
	f.produce(topic, 200, 10)
	f.run(nil)
	f.arrive(topic, 210)
	if got := fmt.Sprint(f.tables(topic)); got != "files_two~1" {
		t.Errorf("kept are %s", got)
	}
}

// An exchange that is late is given up and begun again, and reads only what has come meanwhile.
func TestReplayThatIsLateTriesAgain(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.filled("tries", 300)
	tries := 0
	r := f.replay(topic, func(o *ReplayOptions) {
		o.Lease = 10 * time.Second
		o.before = func(step string) error {
			if step == "compare the rest" {
				if tries++; tries == 1 {
					return errLate
				}
			}
			return nil
		}
	})
	if tries != 2 || r.Read != 300 || r.Rows != 300 || r.Same != 300 {
		t.Errorf("after %d tries replayed %+v", tries, r)
	}
}
