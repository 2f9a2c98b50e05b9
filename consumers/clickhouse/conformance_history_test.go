package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

// tableHistory is that of a database table whose rows are made, changed with and without all their columns, and removed, one by one and all at once. The
// table gains columns and widens one. Some records are nonsense.
type tableHistory struct {
	t        *testing.T
	bench    *bench
	raw, now string // databases
	table    string
	key      int
	versions []*tableVersion
	made     int
	aborted  int
	live     map[int]map[string]string // the rows there are now, by id
}

// tableVersion is a schema of the table.
type tableVersion struct {
	from int // number of the first change that has it
	id   int // of the envelope
	cols *schemas.Columns
	enc  *schemas.Encoder
}

// rowChange is one change of a row. A column that is null is not in its map.
type rowChange struct {
	op            schemas.Op
	lsn, number   int64
	before, after map[string]string
	unchanged     []string
}

// changeText is the whole of a raw row, as rowChange.text makes it.
const changeText = "concatWithSeparator('|', op, toString(`source.commit_lsn`), toString(`source.number`)," +
	" toString(`_present.before`), ifNull(toString(`before.id`), 'NULL'), toString(`_present.after`), ifNull(toString(`after.id`), 'NULL')," +
	" ifNull(`after.a`, 'NULL'), ifNull(toString(`after.n`), 'NULL'), ifNull(`after.note`, 'NULL'), ifNull(toString(`after.x`), 'NULL')," +
	" arrayStringConcat(unchanged, ','))"

func (c rowChange) text() string {
	words := []string{string(c.op), strconv.FormatInt(c.lsn, 10), strconv.FormatInt(c.number, 10), strconv.FormatBool(c.before != nil), valueOf(c.before, "id"),
		strconv.FormatBool(c.after != nil)}
	for _, column := range []string{"id", "a", "n", "note", "x"} {
		words = append(words, valueOf(c.after, column))
	}
	return strings.Join(append(words, strings.Join(c.unchanged, ",")), "|")
}

func valueOf(row map[string]string, column string) string {
	if v, ok := row[column]; ok {
		return v
	}
	return "NULL"
}

// basesOf are the databases of the case that a topic or a prefix belongs to, and the topic's table. Every case has its own, so each is the first
// to find them missing.
func basesOf(b *bench, topic string) (raw, current, table string) {
	prefix, _, _ := strings.Cut(topic, ".")
	return b.conf.Raw + prefix, b.conf.Current + prefix, schemas.Table(prefix, topic)
}

func newHistory(t *testing.T, b *bench, topic string) *tableHistory {
	t.Helper()
	h := &tableHistory{t: t, bench: b, live: map[int]map[string]string{}}
	h.raw, h.now, h.table = basesOf(b, topic)
	nullable := func(name string, kind schemas.Kind) schemas.Field {
		return schemas.NullableField(name, schemas.Primitive(kind))
	}
	id, a := nullable("id", schemas.Int), nullable("a", schemas.String)
	h.version(0, id, a, nullable("n", schemas.Int))
	h.version(20, id, a, nullable("n", schemas.Long), nullable("note", schemas.String))
	h.version(40, id, a, nullable("n", schemas.Long), nullable("note", schemas.String), nullable("x", schemas.Double))
	key, err := schemas.New(schemas.RecordOf("history.Key", schemas.Field{Name: "id", Type: schemas.Primitive(schemas.Int)}))
	if err != nil {
		t.Fatal(err)
	}
	h.key = h.register("history-key", key)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, db := range []string{h.raw, h.now} {
			if err := b.exec(ctx, "DROP DATABASE IF EXISTS "+quoteName(db)); err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

func (h *tableHistory) version(from int, fields ...schemas.Field) {
	h.t.Helper()
	envelope, err := schemas.Envelope("history.Envelope", schemas.RecordOf("history.Row", fields...))
	if err != nil {
		h.t.Fatal(err)
	}
	h.versions = append(h.versions, &tableVersion{from, h.register("history-value", envelope), schemas.NewColumns(envelope), schemas.NewEncoder(envelope)})
}

func (h *tableHistory) register(subject string, s *schemas.Schema) int {
	h.t.Helper()
	id, err := h.bench.registry.Register(h.t.Context(), subject, s)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// Record makes the next change. One whose transaction is aborted would spoil the row if anybody took it in.
func (h *tableHistory) Record(aborted bool) (*kgo.Record, string) {
	if aborted {
		h.aborted++
		return h.record(rowChange{op: schemas.OpUpdate, lsn: 1 << 40, number: int64(2 + h.aborted), after: map[string]string{"id": strconv.Itoa(1 + h.aborted%7), "a": "aborted"}})
	}
	k := h.made
	h.made++
	c := rowChange{lsn: 100 + 10*int64(k/3), number: int64(2 + k%3)}
	switch {
	case k%31 == 13: // a value that ends too early
		rec, _ := h.record(rowChange{op: schemas.OpCreate, after: map[string]string{"id": strconv.Itoa(k)}})
		rec.Value = rec.Value[:len(rec.Value)-2]
		return rec, string(rec.Value)
	case k%41 == 17: // an update of nothing
		c.op, c.before = schemas.OpUpdate, map[string]string{"id": strconv.Itoa(k)}
		rec, _ := h.record(c)
		return rec, string(rec.Value)
	case k%37 == 29:
		c.op = schemas.OpTruncate
		clear(h.live)
		return h.record(c)
	}
	h.move(&c, k)
	return h.record(c)
}

// move makes a change of one row.
func (h *tableHistory) move(c *rowChange, k int) {
	id := 1 + k*5%7
	row := h.live[id]
	if row != nil && k%5 == 4 {
		c.op, c.before = schemas.OpDelete, map[string]string{"id": strconv.Itoa(id)}
		delete(h.live, id)
		return
	}
	after := map[string]string{"id": strconv.Itoa(id), "a": fmt.Sprint("a", k), "n": strconv.Itoa(k)}
	if k >= h.versions[1].from {
		after["n"], after["note"] = strconv.Itoa(1<<40+k), fmt.Sprint("note", k)
	}
	if k >= h.versions[2].from {
		after["x"] = strconv.Itoa(k) + ".5"
	}
	c.op, c.after = schemas.OpUpdate, after
	now := maps.Clone(after)
	switch {
	case row == nil && k < 6:
		c.op = schemas.OpRead
	case row == nil:
		c.op = schemas.OpCreate
	case k%3 > 0: // the server left out what it keeps elsewhere
		c.unchanged = []string{"a", "note"}[:1+k%2*min(1, k/h.versions[1].from)]
		for _, column := range c.unchanged {
			delete(after, column)
			delete(now, column)
			if v, ok := row[column]; ok {
				now[column] = v
			}
		}
	}
	h.live[id] = now
}

// record encodes a change. The rows of one id are in one partition, in their order.
func (h *tableHistory) record(c rowChange) (*kgo.Record, string) {
	h.t.Helper()
	v := h.versions[0]
	for _, later := range h.versions {
		if h.made > later.from {
			v = later
		}
	}
	v.cols.Reset()
	h.image(v.cols.Field("before"), c.before)
	h.image(v.cols.Field("after"), c.after)
	source := v.cols.Field("source")
	source.AppendRecord()
	for _, f := range source.Children {
		switch {
		case f.Name == "commit_lsn":
			f.AppendInt64(c.lsn)
		case f.Name == "number":
			f.AppendInt64(c.number)
		case f.Form == schemas.FormBytes:
			f.AppendString("x")
		case f.Optional:
			f.AppendNull()
		default:
			f.AppendInt64(0)
		}
	}
	v.cols.Field("op").AppendString(string(c.op))
	v.cols.Field("ts_ms").AppendNull()
	u := v.cols.Field("unchanged")
	for _, name := range c.unchanged {
		u.Children[0].AppendString(name)
	}
	u.AppendItems()
	if err := v.cols.SetLen(1); err != nil {
		h.t.Fatal(err)
	}
	value, err := v.enc.Append(schemas.AppendFrame(nil, v.id), v.cols, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	id := int64(0)
	for _, row := range []map[string]string{c.before, c.after} {
		if row != nil {
			id, _ = strconv.ParseInt(row["id"], 10, 32)
		}
	}
	return &kgo.Record{Partition: int32(id % 2), Value: value, Key: schemas.AppendLong(schemas.AppendFrame(nil, h.key), id)}, c.text()
}

func (h *tableHistory) image(col *schemas.Column, row map[string]string) {
	if row == nil {
		col.AppendNull()
		return
	}
	col.AppendRecord()
	for _, f := range col.Children {
		text, ok := row[f.Name]
		n, _ := strconv.ParseInt(text, 10, 64)
		switch {
		case !ok:
			f.AppendNull()
		case f.Form == schemas.FormInt32:
			f.AppendInt32(int32(n))
		case f.Form == schemas.FormInt64:
			f.AppendInt64(n)
		case f.Form == schemas.FormFloat64:
			x, _ := strconv.ParseFloat(text, 64)
			f.AppendFloat64(x)
		default:
			f.AppendString(text)
		}
	}
}

// Check compares the current rows with those that are alive.
func (h *tableHistory) Check(t *testing.T) {
	t.Helper()
	rows, err := h.bench.texts(t.Context(), fmt.Sprintf("SELECT concatWithSeparator('|', toString(id), ifNull(a, 'NULL'), ifNull(toString(n), 'NULL'), ifNull(note, 'NULL'),"+
		" ifNull(toString(x), 'NULL')) FROM %s.%s ORDER BY id", quoteName(h.now), quoteName(h.table)), 1)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, r := range rows {
		got = append(got, r[0])
	}
	for _, id := range slices.Sorted(maps.Keys(h.live)) {
		var words []string
		for _, column := range []string{"id", "a", "n", "note", "x"} {
			words = append(words, valueOf(h.live[id], column))
		}
		want = append(want, strings.Join(words, "|"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("current rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	unknown, err := h.bench.ints(t.Context(), fmt.Sprintf("SELECT toInt64(countIf(notEmpty(_unknown))) FROM %s.%s FINAL", quoteName(h.now), quoteName(rowsPrefix+h.table)))
	if err != nil || unknown[0] != 0 {
		t.Errorf("%v current rows have values that nobody has seen: %v", unknown, err)
	}
}
