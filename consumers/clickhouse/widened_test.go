package clickhouse

import (
	"testing"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// twoProcesses are a process that knows the table of a topic of changes with a column n of ints, and another that may widen it.
func twoProcesses(t *testing.T) (narrow, wide *changeTopic) {
	t.Helper()
	b := newBench(t)
	other, err := Open(t.Context(), b.conf, b.registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	topic := "aw.sql.shop.item"
	narrow = newChangeTopic(b, topic, schemas.NullableField("n", schemas.Primitive(schemas.Int)))
	wide = newChangeTopic(&bench{Sink: other, t: t, registry: b.registry, topicID: b.topicID, next: b.next}, topic,
		schemas.NullableField("n", schemas.Primitive(schemas.Long)), schemas.NullableField("more", schemas.Primitive(schemas.String)))
	narrow.write(narrow.batch(narrow.change(schemas.OpRead, 10, 1, nil, &image{1, "one", nil})))
	return narrow, wide
}

func (c *changeTopic) rawTable() *table {
	c.t.Helper()
	raw, err := c.table(c.topic)
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

// shape is the type of the column n of both tables, and whether the other column is there.
func (c *changeTopic) shape() string {
	c.t.Helper()
	return c.one("SELECT arrayStringConcat(arraySort(groupArray(concat(table, ' ', name, ' ', type))), ', ') FROM system.columns WHERE database IN (%s, %s) "+
		"AND table IN ('sql_shop_item', '_rows_sql_shop_item') AND name IN ('n', 'more', 'after') AND NOT (name = 'after' AND type NOT LIKE '%%n Nullable(Int64)%%')",
		quoteText(c.conf.Raw), quoteText(c.conf.Current))
}

// A process that knows a table as it was before another widened it finds out when it looks for the value of an unchanged column.
func TestWidenedWhileAnotherLooksUp(t *testing.T) {
	narrow, wide := twoProcesses(t)
	wide.write(wide.batch(wide.change(schemas.OpCreate, 20, 1, nil, &image{2, "two", nil})))
	late := narrow.batch(narrow.change(schemas.OpUpdate, 30, 1, nil, &image{1, "", []int64{1}}, "a"))
	if _, err := narrow.Write(t.Context(), late); consumers.Classify(err) != consumers.Retry {
		t.Errorf("the first try: %v (%s), want one to be tried again", err, consumers.Classify(err))
	}
	narrow.write(late)
	narrow.expect("1=one:[1] 2=two:NULL")
}

// A process that has read what a table says of itself before another widened it, and only now changes it, must look again: nothing becomes narrow.
func TestWidenedWhileAnotherWidens(t *testing.T) {
	narrow, wide := twoProcesses(t)
	raw := narrow.rawTable()
	before, l, value := *raw.meta, raw.state.layout, raw.state.layout.schema
	key, err := narrow.registry.ByID(t.Context(), narrow.key)
	if err != nil {
		t.Fatal(err)
	}
	wide.write(wide.batch(wide.change(schemas.OpCreate, 20, 1, nil, &image{2, "two", nil})))
	want := narrow.shape()

	raw.meta = &before
	if err := raw.evolve(t.Context(), l); consumers.Classify(err) != consumers.Retry {
		t.Errorf("raw table: %v (%s), want one to be tried again", err, consumers.Classify(err))
	}
	if _, err := narrow.openCurrent(t.Context(), raw, value, key); consumers.Classify(err) != consumers.Retry {
		t.Errorf("current table: %v (%s), want one to be tried again", err, consumers.Classify(err))
	}
	if got := narrow.shape(); got != want {
		t.Errorf("columns are %s, want %s", got, want)
	}
	raw.forget()
	narrow.write(narrow.batch(narrow.change(schemas.OpUpdate, 30, 1, nil, &image{1, "ONE", nil})))
	narrow.expect("1=ONE:NULL 2=two:NULL")
}

// The statement that widened a table has no effect when it arrives once more, after the next one.
func TestLateWidening(t *testing.T) {
	narrow, wide := twoProcesses(t)
	raw := narrow.rawTable()
	first := *raw.meta
	wide.write(wide.batch(wide.change(schemas.OpCreate, 20, 1, nil, &image{2, "two", nil})))
	third := newChangeTopic(wide.bench, wide.topic, schemas.NullableField("n", schemas.Primitive(schemas.Long)), schemas.NullableField("more", schemas.Primitive(schemas.String)),
		schemas.NullableField("most", schemas.Primitive(schemas.String)))
	third.write(third.batch(third.change(schemas.OpCreate, 30, 1, nil, &image{3, "three", nil})))
	want := narrow.shape()
	steps := []string{"ADD COLUMN IF NOT EXISTS `late` Int8", "MODIFY COLUMN `op` Nullable(String)"}
	if err := cannotChange(narrow.define(t.Context(), first.alter(raw.fullName(), steps))); consumers.Classify(err) != consumers.Retry {
		t.Errorf("the late statement: %v (%s), want one that is refused as stale", err, consumers.Classify(err))
	}
	if got := narrow.shape(); got != want {
		t.Errorf("columns are %s, want %s", got, want)
	}
	if n := narrow.one("SELECT toString(countIf(name = 'late')) FROM system.columns WHERE database = %s", quoteText(narrow.conf.Raw)); n != "0" {
		t.Error("the late statement added its column")
	}
}
