package clickhouse

import (
	"errors"
	"os"
	"testing"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// The server notes that it knows a block before it commits the block's rows. Killed in between, it knows what it does not have: a repeat must bring the
// rows back all the same, current ones, raw ones and dead letters, even if that happens to the repeat as well.
func TestServerKilledBetweenNoteAndRows(t *testing.T) {
	server := embeddedtest.StartClickHouse(t)
	b := newBenchAt(t, server.Addr())
	c := newChangeTopic(b, "aw.sql.shop.item")
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", nil}), c.change(schemas.OpUpdate, 10, 2, nil, nil)))
	if err := b.exec(t.Context(), "ALTER TABLE "+quoteName(b.conf.Current)+"._rows_sql_shop_item MODIFY SETTING "+dedupWindow); err != nil { // as these tables once had
		t.Fatal(err)
	}
	batch := c.batch(c.change(schemas.OpUpdate, 20, 2, nil, &image{1, "two", nil}), c.change(schemas.OpUpdate, 20, 3, nil, nil))
	c.write(batch)
	numbers := func() string {
		t.Helper()
		return b.one("SELECT toString(tuple((SELECT groupArray(_offset) FROM (SELECT _offset FROM %s.sql_shop_item ORDER BY 1)), (SELECT groupArray(_offset) FROM (SELECT _offset FROM %s ORDER BY 1))))",
			quoteName(b.conf.Raw), b.dead.fullName())
	}
	for range 2 {
		lost := b.query(1, "SELECT argMax(path, max_block_number) FROM system.parts WHERE active AND table IN ('sql_shop_item', '_rows_sql_shop_item', 'deadletters') GROUP BY database, table")
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		for _, part := range lost {
			if err := os.RemoveAll(part[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.expect("1=one:NULL")
		if got := numbers(); len(lost) != 3 || got != "([0],[1])" {
			t.Fatalf("raw rows and dead letters are %s after the loss of %v", got, lost)
		}
		batch.Again = true
		for err := errors.New("not tried"); err != nil; { // connections to the killed server fail, each once
			if batch.Held, err = b.Held(t.Context(), batch.Partition, batch.Range); err == nil {
				_, err = b.Write(t.Context(), batch)
			}
			if err != nil && consumers.Classify(err) != consumers.Retry {
				t.Fatal(err)
			}
		}
		c.expect("1=two:NULL")
		if got := numbers(); got != "([0,2],[1,3])" {
			t.Errorf("raw rows and dead letters are %s", got)
		}
	}
}

// The table of the current rows is not made anew, empty, when it was taken away: the topic waits, and goes on when a replay has built it.
func TestMissingCurrentRowsAreNotBegunAnew(t *testing.T) {
	b := newBench(t)
	c := newChangeTopic(b, "aw.sql.shop.item")
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", nil}), c.change(schemas.OpRead, 10, 1, nil, &image{2, "two", nil})))
	if err := b.exec(t.Context(), "DROP TABLE "+quoteName(b.conf.Current)+"._rows_sql_shop_item SYNC"); err != nil {
		t.Fatal(err)
	}
	batch := c.batch(c.change(schemas.OpUpdate, 20, 2, nil, &image{1, "ONE", nil}))
	restarted, err := Open(t.Context(), b.conf, b.registry)
	if err != nil {
		t.Fatal(err)
	}
	defer restarted.Close()
	for name, sink := range map[string]*Sink{"the process that wrote": b.Sink, "one that starts": restarted} {
		for range 2 {
			_, err := sink.Write(t.Context(), batch)
			if f, known := faults.Known(err); !known || f.Name != faults.ClickHouseTableMissing {
				t.Errorf("%s gets %v", name, err)
			}
		}
	}
	if got := b.one("SELECT toString(count()) FROM %s.sql_shop_item", quoteName(b.conf.Raw)); got != "2" {
		t.Errorf("%s raw rows", got)
	}
}
