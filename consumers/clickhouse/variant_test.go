package clickhouse

import (
	"strings"
	"testing"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// printed is the text of a query's rows.
type printed struct{ lines []string }

func (p *printed) Columns(names, types []string) error { return nil }
func (p *printed) Row(values []*string) error {
	var line []string
	for _, v := range values {
		line = append(line, orNull(v))
	}
	p.lines = append(p.lines, strings.Join(line, "|"))
	return nil
}

// A union can be queried by type, read by people, and widened by a new schema.
func TestUnionsAreVariants(t *testing.T) {
	b := newBench(t)
	topic := "aw.files.union"
	first := schemas.MustParse(`{"type":"record","name":"U","fields":[{"name":"v","type":["null","int","string"],"default":null}]}`)
	second := schemas.MustParse(`{"type":"record","name":"U","fields":[{"name":"v","type":["null","int","string","boolean"],"default":null}]}`)
	id := b.id(topic+"-value", first)
	b.write(b.batch(b.records(topic, id, schemas.AppendLong(schemas.AppendBranch(nil, 1), 7), schemas.AppendString(schemas.AppendBranch(nil, 2), "text"), schemas.AppendBranch(nil, 0))...))
	b.write(b.batch(b.records(topic, b.id(topic+"-value", second), schemas.AppendBoolean(schemas.AppendBranch(nil, 3), true))...))
	if got := b.one("SELECT toString(groupArray((variantType(v), v.Int32, v.String, v.Bool))) FROM (SELECT * FROM %s.files_union ORDER BY _offset)", quoteName(b.conf.Raw)); got !=
		"[('Int32',7,NULL,NULL),('String',NULL,'text',NULL),('None',NULL,NULL,NULL),('Bool',NULL,NULL,true)]" {
		t.Errorf("rows are %s", got)
	}
	var p printed
	if err := b.Query(t.Context(), "SELECT v FROM "+quoteName(b.conf.Raw)+".files_union ORDER BY _offset", &p); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.lines, " "); got != "7 text NULL true" {
		t.Errorf("people read %s", got)
	}
	if st := b.stored(topic); st.Rows != 4 || st.Digest == (schemas.Digest{}) {
		t.Errorf("stored %+v, want 4 rows", st)
	}
}

// A schema that turns a type of a union into a wider one is more than ClickHouse can change a Variant into: the topic stops and says so.
func TestUnionThatCannotBeWidenedStops(t *testing.T) {
	b := newBench(t)
	topic := "aw.files.union"
	first := schemas.MustParse(`{"type":"record","name":"U","fields":[{"name":"v","type":["null","int","string"],"default":null}]}`)
	second := schemas.MustParse(`{"type":"record","name":"U","fields":[{"name":"v","type":["null","double","string"],"default":null}]}`)
	b.write(b.batch(b.records(topic, b.id(topic+"-value", first), schemas.AppendLong(schemas.AppendBranch(nil, 1), 7))...))
	_, err := b.Write(t.Context(), b.batch(b.records(topic, b.id(topic+"-value", second), schemas.AppendDouble(schemas.AppendBranch(nil, 1), 1.5))...))
	if consumers.Classify(err) != consumers.Stop || !strings.Contains(err.Error(), "replay") {
		t.Errorf("error is %v (%s)", err, consumers.Classify(err))
	}
}

// A union may be a column of a table that changes, too.
func TestUnionsInCurrentRows(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item", schemas.Field{Name: "u", Default: "null",
		Type: &schemas.Type{Kind: schemas.Union, Branches: []*schemas.Type{schemas.Primitive(schemas.Null), schemas.Primitive(schemas.Long), schemas.Primitive(schemas.String)}}})
	c.write(c.batch(c.change(schemas.OpCreate, 20, 2, nil, &image{1, "one", nil}), c.change(schemas.OpUpdate, 20, 3, nil, &image{1, "", []int64{5}}, "a", "u")))
	c.expect("1=one:[5]")
	made := c.change(schemas.OpDelete, 30, 2, &image{id: 1}, nil)
	c.write(c.batch(made, c.tombstone(made)))
	c.expect("")
}
