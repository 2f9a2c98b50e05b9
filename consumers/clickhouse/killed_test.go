package clickhouse

import (
	"errors"
	"os"
	"testing"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
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
