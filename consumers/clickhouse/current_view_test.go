package clickhouse

import (
	"testing"

	"adventureworks.example/extract/schemas"
)

// A view that lacks a column of the rows, or shows it in the type that it had, is made anew by the next process.
func TestViewThatWasLeftBehindIsMadeAnew(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	first := c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", []int64{1}})
	c.write(c.batch(first))
	view := quoteName(c.conf.Current) + ".sql_shop_item"
	rows := quoteName(c.conf.Current) + "." + quoteName(rowsPrefix+"sql_shop_item")
	for _, columns := range []string{"id, `_present.b`, b", "id, toFixedString('a', 1) AS a, `_present.b`, b"} {
		if err := c.exec(t.Context(), "CREATE OR REPLACE VIEW "+view+" AS SELECT "+columns+" FROM "+rows+" FINAL"); err != nil {
			t.Fatal(err)
		}
		next, err := Open(t.Context(), c.conf, c.registry)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		again := c.batch(first)
		again.Again, again.Held = true, []int64{0}
		if _, err := next.Write(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		c.expect("1=one:[1]")
	}
}
