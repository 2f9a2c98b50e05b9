package clickhouse

import (
	"strings"
	"testing"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// Each schema that follows another widens the table; rows written with any of them keep their values, and old rows show what a missing field means.
func TestTableEvolvesWithItsSchema(t *testing.T) {
	b := newBench(t)
	topic := "aw.files.evolve"
	first := schemas.MustParse(`{"type":"record","name":"E","fields":[{"name":"a","type":"int"},{"name":"list","type":{"type":"array","items":"int"}}]}`)
	second := schemas.MustParse(`{"type":"record","name":"E","fields":[{"name":"a","type":"long"},{"name":"list","type":["null",{"type":"array","items":"int"}],"default":null},
		{"name":"new","type":["null","string"],"default":null},{"name":"more","type":["null",{"type":"map","values":"int"}],"default":null}]}`)
	one := schemas.AppendBlock(schemas.AppendLong(schemas.AppendBlock(schemas.AppendLong(nil, 7), 1), 5), 0)
	two := schemas.AppendBranch(schemas.AppendLong(nil, 1<<40), 0)
	two = schemas.AppendString(schemas.AppendBranch(two, 1), "n")
	two = schemas.AppendBlock(schemas.AppendBranch(two, 1), 0)
	id1, id2 := b.id(topic+"-value", first), b.id(topic+"-value", second)
	b.write(b.batch(b.records(topic, id1, one)...))
	b.write(b.batch(append(b.records(topic, id2, two), b.records(topic, id1, one)...)...))

	fresh, err := Open(t.Context(), b.conf, b.registry) // a process that has to read the table's schema from the table
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if _, err := fresh.Write(t.Context(), b.batch(b.records(topic, id1, one)...)); err != nil {
		t.Fatal(err)
	}
	got := b.one("SELECT toString(groupArray((a, if(`_present.list`, toString(list), 'NULL'), new, if(`_present.more`, toString(more), 'NULL')))) FROM (SELECT * FROM %s.files_evolve ORDER BY _offset)", quoteName(b.conf.Raw))
	if want := "[(7,'[5]',NULL,'NULL'),(1099511627776,'NULL','n','{}'),(7,'[5]',NULL,'NULL'),(7,'[5]',NULL,'NULL')]"; got != want {
		t.Errorf("rows are %s, want %s", got, want)
	}
}

// A schema that cannot be brought together with the table's stops its topic and says why.
func TestIncompatibleSchemaStopsItsTopic(t *testing.T) {
	b := newBench(t)
	topic := "aw.files.clash"
	text := schemas.MustParse(`{"type":"record","name":"C","fields":[{"name":"a","type":"string"}]}`)
	number := schemas.MustParse(`{"type":"record","name":"C","fields":[{"name":"a","type":"long"}]}`)
	b.write(b.batch(b.records(topic, b.id("one", text), schemas.AppendString(nil, "x"))...))
	_, err := b.Write(t.Context(), b.batch(b.records(topic, b.id("two", number), schemas.AppendLong(nil, 1))...))
	if consumers.Classify(err) != consumers.Stop || !strings.Contains(err.Error(), topic) || !strings.Contains(err.Error(), "a") {
		t.Errorf("error is %v (%s)", err, consumers.Classify(err))
	}
	b.write(b.batch(b.records("aw.files.other", b.id("one", text), schemas.AppendString(nil, "x"))...)) // the others go on
}

// Names that need quotes, or are words of SQL, are names like any other.
func TestNamesOfAllKinds(t *testing.T) {
	b := newBench(t)
	topic := "aw.files.select.with-dash.MixedCase.x_x20_y"
	s := schemas.MustParse(`{"type":"record","name":"N","fields":[{"name":"select","type":"int"},{"name":"From","type":"int"},{"name":"from","type":"int"},{"name":"_x20_","type":"int"},
		{"name":"index","type":"int"},{"name":"null","type":["null","int"],"default":null},{"name":"order","type":{"type":"record","name":"O","fields":[{"name":"by","type":"int"}]}}]}`)
	p := []byte{2, 4, 6, 8, 10, 0, 12}
	b.write(b.batch(b.records(topic, b.id("names", s), p)...))
	got := b.one("SELECT toString((`select`, From, `from`, _x20_, index, `null`, order.by)) FROM %s.`files_select_with-dash_MixedCase_x_x20_y`", quoteName(b.conf.Raw))
	if got != "(1,2,3,4,5,NULL,6)" {
		t.Errorf("row is %s", got)
	}
	st, err := b.Stored(t.Context(), topic)
	if err != nil || st[0].Rows != 1 {
		t.Errorf("stored %+v: %v", st, err)
	}
}

func TestFieldsThatClashWithColumnsStop(t *testing.T) {
	for _, text := range []string{
		`{"type":"record","name":"N","fields":[{"name":"_offset","type":"int"}]}`,
		`{"type":"record","name":"N","fields":[{"name":"_present","type":{"type":"record","name":"P","fields":[{"name":"tags","type":"int"}]}},
		  {"name":"tags","type":["null",{"type":"array","items":"int"}]}]}`,
		`{"type":"record","name":"N","fields":[{"name":"u","type":["null","bytes","string"]}]}`,
		`{"type":"record","name":"N","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":77,"scale":0}}]}`,
	} {
		if _, err := newLayout(schemas.MustParse(text)); err == nil || !strings.Contains(err.Error(), "field") {
			t.Errorf("layout of %s: %v", text, err)
		}
	}
}
