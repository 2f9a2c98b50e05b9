package clickhouse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// changeTopic makes changes of a table (id, a, b) for tests.
type changeTopic struct {
	*bench
	topic   string
	value   int
	key     int
	columns *schemas.Columns
	enc     *schemas.Encoder
}

func newChangeTopic(b *bench, topic string, fields ...schemas.Field) *changeTopic {
	b.t.Helper()
	return newKeyedChangeTopic(b, topic, schemas.Int, fields...)
}

// newKeyedChangeTopic is newChangeTopic with a key of that kind.
func newKeyedChangeTopic(b *bench, topic string, id schemas.Kind, fields ...schemas.Field) *changeTopic {
	b.t.Helper()
	row := schemas.RecordOf("aw.item.Row", append([]schemas.Field{schemas.NullableField("id", schemas.Primitive(id)),
		schemas.NullableField("a", schemas.Primitive(schemas.String)), schemas.NullableField("b", schemas.ArrayOf(schemas.Nullable(schemas.Primitive(schemas.Long))))}, fields...)...)
	envelope, err := schemas.Envelope("aw.item.Envelope", row)
	if err != nil {
		b.t.Fatal(err)
	}
	key, err := schemas.New(schemas.RecordOf("aw.item.Key", schemas.Field{Name: "id", Type: schemas.Primitive(id)}))
	if err != nil {
		b.t.Fatal(err)
	}
	return &changeTopic{bench: b, topic: topic, value: b.id(topic+"-value", envelope), key: b.id(topic+"-key", key),
		columns: schemas.NewColumns(envelope), enc: schemas.NewEncoder(envelope)}
}

// image is a row of the table: nil for none, and "" in place of a for a null.
type image struct {
	id int32
	a  string
	b  []int64
}

func (c *changeTopic) change(op schemas.Op, lsn, number int64, before, after *image, unchanged ...string) *kgo.Record {
	c.t.Helper()
	c.columns.Reset()
	c.image(c.columns.Field("before"), before)
	c.image(c.columns.Field("after"), after)
	source := c.columns.Field("source")
	source.AppendRecord()
	for _, f := range source.Children {
		switch {
		case f.Name == "commit_lsn":
			f.AppendInt64(lsn)
		case f.Name == "number":
			f.AppendInt64(number)
		case f.Form == schemas.FormBytes:
			f.AppendString("x")
		case f.Optional:
			f.AppendNull()
		default:
			f.AppendInt64(0)
		}
	}
	c.columns.Field("op").AppendString(string(op))
	c.columns.Field("ts_ms").AppendNull()
	u := c.columns.Field("unchanged")
	for _, name := range unchanged {
		u.Children[0].AppendString(name)
	}
	u.AppendItems()
	if err := c.columns.SetLen(1); err != nil {
		c.t.Fatal(err)
	}
	payload, err := c.enc.Append(nil, c.columns, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	rec := c.records(c.topic, c.value, payload)[0]
	id := int32(0)
	if after != nil {
		id = after.id
	} else if before != nil {
		id = before.id
	}
	rec.Key = schemas.AppendLong(schemas.AppendFrame(nil, c.key), int64(id))
	return rec
}

func (c *changeTopic) image(col *schemas.Column, img *image) {
	if img == nil {
		col.AppendNull()
		return
	}
	col.AppendRecord()
	for _, f := range col.Children {
		switch {
		case f.Name == "id" && f.Form == schemas.FormInt64:
			f.AppendInt64(int64(img.id))
		case f.Name == "id":
			f.AppendInt32(img.id)
		case f.Name == "a" && img.a != "":
			f.AppendString(img.a)
		case f.Name == "b" && img.b != nil:
			for _, v := range img.b {
				f.Children[0].AppendInt64(v)
			}
			f.AppendItems()
		default:
			f.AppendNull()
		}
	}
}

// rows is what the view shows.
func (c *changeTopic) rows() string {
	c.t.Helper()
	var all []string
	for _, r := range c.query(1, "SELECT concat(toString(id), '=', ifNull(a, 'NULL'), ':', if(`_present.b`, toString(b), 'NULL')) FROM %s.%s ORDER BY id",
		quoteName(c.conf.Current), schemas.Table("aw", c.topic)) {
		all = append(all, r[0])
	}
	return strings.Join(all, " ")
}

func (c *changeTopic) expect(want string) {
	c.t.Helper()
	if got := c.rows(); got != want {
		c.t.Errorf("current rows are %s, want %s", got, want)
	}
}

func TestCurrentRowsFollowChanges(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	c.write(c.batch(
		c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", []int64{1, 2}}),
		c.change(schemas.OpRead, 10, 1, nil, &image{2, "two", nil}),
		c.change(schemas.OpCreate, 20, 2, nil, &image{3, "", []int64{}}),
		c.change(schemas.OpUpdate, 20, 3, nil, &image{1, "ONE", []int64{3}}),
	))
	c.expect("1=ONE:[3] 2=two:NULL 3=NULL:[]")
	c.write(c.batch(
		c.change(schemas.OpDelete, 30, 2, &image{id: 2}, nil),
		c.change(schemas.OpDelete, 30, 3, &image{id: 1}, nil),
		c.change(schemas.OpCreate, 30, 4, nil, &image{1, "again", nil}),
	))
	c.expect("1=again:NULL 3=NULL:[]")
	c.write(c.batch( // older changes that come again lose
		c.change(schemas.OpUpdate, 20, 3, nil, &image{1, "ONE", []int64{3}}),
		c.change(schemas.OpRead, 10, 1, nil, &image{2, "two", nil}),
	))
	c.expect("1=again:NULL 3=NULL:[]")
	if n := c.one("SELECT toString(count()) FROM %s.sql_shop_item", quoteName(c.conf.Raw)); n != "9" {
		t.Errorf("raw has %s rows, want 9", n)
	}
}

// An offset that the raw table holds is one of which everything is held, so raw rows are written last: with the raw table gone, the dead letters and
// the current rows are there already.
func TestRawRowsAreWrittenLast(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", nil})))
	raw := quoteName(c.conf.Raw) + ".sql_shop_item"
	if err := c.exec(t.Context(), "RENAME TABLE "+raw+" TO "+raw+"_away"); err != nil {
		t.Fatal(err)
	}
	batch := c.batch(c.change(schemas.OpUpdate, 20, 1, nil, &image{1, "two", nil}), c.change(schemas.OpUpdate, 20, 2, nil, nil))
	if _, err := c.Write(t.Context(), batch); consumers.Classify(err) != consumers.Pause {
		t.Errorf("error is %v", err)
	}
	c.expect("1=two:NULL")
	letters := func() string { return c.one("SELECT toString(count()) FROM %s", c.dead.fullName()) }
	if n := letters(); n != "1" {
		t.Errorf("%s dead letters before the raw rows, want 1", n)
	}
	if err := c.exec(t.Context(), "RENAME TABLE "+raw+"_away TO "+raw); err != nil {
		t.Fatal(err)
	}
	c.write(batch)
	if n := c.one("SELECT toString(count()) FROM %s", raw); n != "2" || letters() != "1" {
		t.Errorf("%s raw rows and %s dead letters, want 2 and 1", n, letters())
	}
}

func TestUnchangedColumnsKeepTheirValue(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "long", []int64{1}}), c.change(schemas.OpRead, 10, 1, nil, &image{2, "long2", nil})))
	update := []*kgo.Record{
		c.change(schemas.OpUpdate, 20, 2, nil, &image{1, "", []int64{2}}, "a"), // from the current row
		c.change(schemas.OpUpdate, 20, 3, nil, &image{1, "", []int64{3}}, "a"), // from the batch, which has it from the current row
		c.change(schemas.OpUpdate, 20, 4, nil, &image{2, "new", nil}),
		c.change(schemas.OpUpdate, 20, 5, nil, &image{2, "", []int64{4}}, "a"), // from the batch
		c.change(schemas.OpUpdate, 20, 6, nil, &image{2, "last", nil}, "b"),
	}
	c.write(c.batch(update...))
	c.expect("1=long:[3] 2=last:[4]")
	again := c.batch(update...)
	again.Again = true
	c.write(again) // the same once more, as after a crash before the raw rows were written
	c.expect("1=long:[3] 2=last:[4]")
	c.write(c.batch(c.change(schemas.OpUpdate, 15, 2, nil, &image{1, "", []int64{9}}, "a"))) // an older one
	c.expect("1=long:[3] 2=last:[4]")

	c.write(c.batch(c.change(schemas.OpUpdate, 40, 2, nil, &image{7, "", nil}, "a"))) // of a row nobody has seen
	c.expect("1=long:[3] 2=last:[4] 7=NULL:NULL")
	st, err := c.Stored(t.Context(), c.topic)
	if err != nil {
		t.Fatal(err)
	}
	if st[0].Unknown != 1 || !st[0].Changes || st[0].Current != 3 {
		t.Errorf("stored %+v, want 3 current rows, one of them with an unknown value", st[0])
	}
}

func TestTruncateHidesWhatCameBefore(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "x", nil}), c.change(schemas.OpCreate, 40, 2, nil, &image{2, "y", nil})))
	c.write(c.batch(c.change(schemas.OpTruncate, 30, 2, nil, nil)))
	c.expect("2=y:NULL") // the row of the other partition was ahead of the mark
	c.write(c.batch(c.change(schemas.OpUpdate, 20, 2, nil, &image{3, "late", nil})))
	c.expect("2=y:NULL") // and this one was behind it
}

// A TRUNCATE has no key. It counts as well when it is the first that a process meets of a topic, or the first of the topic at all.
func TestTruncateWithoutAnyKey(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	truncate := func(lsn int64) {
		t.Helper()
		rec := c.change(schemas.OpTruncate, lsn, 2, nil, nil)
		rec.Key = nil
		restarted, err := Open(t.Context(), c.conf, c.registry)
		if err != nil {
			t.Fatal(err)
		}
		defer restarted.Close()
		if _, err := restarted.Write(t.Context(), c.batch(rec)); err != nil {
			t.Fatal(err)
		}
	}
	truncate(30)
	if st := c.stored(c.topic); st.Rows != 1 || !st.Changes || st.Current != 0 || st.Digest != (schemas.Digest{}) {
		t.Errorf("stored is %+v, want one change and no row", st)
	}
	c.write(c.batch(c.change(schemas.OpRead, 20, 1, nil, &image{1, "behind", nil}), c.change(schemas.OpCreate, 40, 1, nil, &image{2, "y", nil})))
	c.expect("2=y:NULL")
	truncate(50)
	c.expect("")
}

func TestCurrentDigestIsThatOfTheRows(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", []int64{1}}), c.change(schemas.OpRead, 10, 1, nil, &image{2, "", nil}),
		c.change(schemas.OpUpdate, 20, 2, nil, &image{2, "two", []int64{}})))
	row := schemas.NewColumns(mustSchema(t, c.columns.Field("after").Type))
	for _, img := range []image{{1, "one", []int64{1}}, {2, "two", []int64{}}} {
		row.Field("id").AppendInt32(img.id)
		row.Field("a").AppendString(img.a)
		for _, v := range img.b {
			row.Field("b").Children[0].AppendInt64(v)
		}
		row.Field("b").AppendItems()
	}
	if err := row.SetLen(2); err != nil {
		t.Fatal(err)
	}
	st, err := c.Stored(t.Context(), c.topic)
	if err != nil {
		t.Fatal(err)
	}
	if st[0].Current != 2 || st[0].Digest != digestOf(row) || st[0].Rows != 3 {
		t.Errorf("stored %+v, want 2 current rows of digest %v", st[0], digestOf(row))
	}
}

func mustSchema(t *testing.T, typ *schemas.Type) *schemas.Schema {
	t.Helper()
	s, err := schemas.New(typ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCurrentRowsGainColumns(t *testing.T) {
	b := newBench(t)
	c := newChangeTopic(b, "aw.sql.shop.item")
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", nil})))
	wider := newChangeTopic(b, "aw.sql.shop.item", schemas.NullableField("extra", schemas.Primitive(schemas.Double)),
		schemas.NullableField("tags", schemas.ArrayOf(schemas.Primitive(schemas.String))))
	c.write(c.batch(wider.change(schemas.OpRead, 20, 1, nil, &image{2, "two", nil}), c.change(schemas.OpUpdate, 30, 2, nil, &image{1, "ONE", nil})))
	c.expect("1=ONE:NULL 2=two:NULL")
	if got := c.one("SELECT toString(groupArray((extra, tags, `_present.tags`))) FROM %s.sql_shop_item", quoteName(b.conf.Current)); got != "[(NULL,[],false),(NULL,[],false)]" {
		t.Errorf("the new columns are %s", got)
	}
}

// A change that cannot be made is a dead letter, and neither raw nor current.
func TestImpossibleChangesAreRejected(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	w := c.write(c.batch(c.change(schemas.OpCreate, 10, 1, nil, &image{1, "one", nil}), c.change(schemas.OpUpdate, 20, 2, &image{id: 1}, nil)))
	if w.Stored != 1 || w.Rejected != 1 {
		t.Errorf("written %+v, want 1 stored and 1 rejected", w)
	}
	c.expect("1=one:NULL")
	if got := c.one("SELECT concat(reason, '|', toString(_offset)) FROM %s", c.dead.fullName()); got != "a change with op u has no after|1" {
		t.Errorf("the dead letter says %s", got)
	}
}

func TestVersionsOrderByGenerationThenLSNThenNumber(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	var last version
	for i, v := range [][2]int64{{1, 2}, {1, 3}, {2, 2}, {1 << 31, 1}, {1 << 40, 0}, {1<<63 - 1, 7}} {
		rec := c.change(schemas.OpRead, v[0], v[1], nil, &image{id: 1})
		cols := schemas.NewColumns(c.columns.Schema)
		dec, err := schemas.NewDecoder(c.columns.Schema, c.columns.Schema)
		if err != nil {
			t.Fatal(err)
		}
		if err := dec.Decode(rec.Value[schemas.FrameSize:], cols); err != nil {
			t.Fatal(err)
		}
		now := changes{cols: cols, source: cols.Field("source")}.version(0)
		if i > 0 && !last.less(now) {
			t.Errorf("version of %v is not above the one before", v)
		}
		if want := fmt.Sprintf("%x", uint64(v[0])<<32|uint64(v[1])); fmt.Sprintf("%x", now.lo) != want {
			t.Errorf("lower half of %v is %x, want %s", v, now.lo, want)
		}
		last = now
	}
}
