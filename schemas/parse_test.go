package schemas

import (
	"fmt"
	"strings"
	"testing"
)

// TestParseWrites parses a text and writes it in the one form that every schema has.
func TestParseWrites(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"primitive", ` "long" `, `"long"`},
		{"primitive as an object", `{"type":"long"}`, `"long"`},
		{"nested objects", `{"type":{"type":"long","logicalType":"timestamp-micros"}}`, `{"type":"long","logicalType":"timestamp-micros"}`},
		{"attributes without meaning are dropped", `{"type":"record","name":"R","connect.name":"x","aliases":["Old"],"fields":[{"name":"a","type":"int","order":"ignore","aliases":["b"]}]}`,
			`{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`},
		{"namespace of the record goes into its fields", `{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}},{"name":"again","type":"E"},{"name":"full","type":"n.E"}]}`,
			`{"type":"record","name":"n.R","fields":[{"name":"e","type":{"type":"enum","name":"n.E","symbols":["A"]}},{"name":"again","type":"n.E"},{"name":"full","type":"n.E"}]}`},
		{"a full name wins over the namespace", `{"type":"fixed","name":"x.F","namespace":"n","size":2}`, `{"type":"fixed","name":"x.F","size":2}`},
		{"a field's own namespace", `{"type":"record","name":"n.R","fields":[{"name":"e","type":{"type":"fixed","name":"F","namespace":"m","size":1}},{"name":"again","type":"m.F"}]}`,
			`{"type":"record","name":"n.R","fields":[{"name":"e","type":{"type":"fixed","name":"m.F","size":1}},{"name":"again","type":"m.F"}]}`},
		{"logical type beside the field's name", `{"type":"record","name":"R","fields":[{"name":"at","type":"long","logicalType":"timestamp-micros"}]}`,
			`{"type":"record","name":"R","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}]}`},
		{"unknown logical type", `{"type":"long","logicalType":"lightyears"}`, `"long"`},
		{"logical type on the wrong type", `{"type":"string","logicalType":"date"}`, `"string"`},
		{"date on a long", `{"type":"long","logicalType":"date"}`, `"long"`},
		{"decimal without precision", `{"type":"bytes","logicalType":"decimal"}`, `"bytes"`},
		{"decimal, scale above precision", `{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}`, `"bytes"`},
		{"decimal without scale", `{"type":"bytes","logicalType":"decimal","precision":2}`, `{"type":"bytes","logicalType":"decimal","precision":2,"scale":0}`},
		{"two decimals without scale", `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":2}},{"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":2}}]}`,
			`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":2,"scale":0}},{"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":2,"scale":0}}]}`},
		{"decimal of a fixed that cannot hold it", `{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":3}`, `{"type":"fixed","name":"F","size":1}`},
		{"duration of the wrong size", `{"type":"fixed","name":"F","size":11,"logicalType":"duration"}`, `{"type":"fixed","name":"F","size":11}`},
		{"uuid of a fixed", `{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`, `{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`},
		{"defaults and docs", `{"type":"record","name":"R","doc":"d","fields":[{"name":"a","type":["null","string"],"default":null},{"name":"b","doc":"e","type":{"type":"array","items":"int"},"default":[ 1, 2 ]}]}`,
			`{"type":"record","name":"R","doc":"d","fields":[{"name":"a","type":["null","string"],"default":null},{"name":"b","type":{"type":"array","items":"int"},"doc":"e","default":[1,2]}]}`},
		{"enum's default", `{"type":"enum","name":"E","symbols":["A","B"],"default":"B"}`, `{"type":"enum","name":"E","symbols":["A","B"],"default":"B"}`},
	} {
		s, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s.String() != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, s, c.want)
		}
		if again := parse(t, s.String()); again.String() != s.String() {
			t.Errorf("%s, parsed again:\n%s", c.name, again)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "missing",
		"7":                           "a type is a name, a list or an object",
		`"nothing"`:                   `unknown type "nothing"`,
		`{"type":"record"`:            "unexpected end",
		`{"type":"array"}`:            "missing",
		`{"name":"x"}`:                "missing",
		`[["int"],"string"]`:          "union",
		`["int","int"]`:               "unique",
		`{"type":"fixed","name":"F"}`: "size",
		`{"type":"record","name":"bad-name","fields":[]}`:                                                      "bad-name",
		`{"type":"record","name":"R","fields":[{"name":"a b","type":"int"}]}`:                                  "a b",
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`:          "a",
		`{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}`:                          "contains itself",
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}`:                      "default",
		`{"type":"enum","name":"E","symbols":["A","A"]}`:                                                       "A",
		`{"type":"enum","name":"E","symbols":["A"],"default":"B"}`:                                             "B",
		`{"type":"array","items":["null",["int","string"]]}`:                                                   "union",
		`{"type":"record","name":"R","fields":[{"name":"f","type":{"type":"map","values":[["null"],"int"]}}]}`: "union",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something about %q", text, err, want)
		}
	}
}

// TestCheckSurvivesGoavro gives goavro a valid text that it panics on: Parse writes the scale out before goavro sees it.
func TestCheckSurvivesGoavro(t *testing.T) {
	decimal := `{"type":"bytes","logicalType":"decimal","precision":2}`
	err := check(`{"type":"record","name":"R","fields":[{"name":"a","type":` + decimal + `},{"name":"b","type":` + decimal + `}]}`)
	if err == nil || !strings.Contains(err.Error(), "goavro: ") {
		t.Errorf("got %v", err)
	}
}

// TestParseBoundsItsSize names a record twice in each of the next, thirty times over.
func TestParseBoundsItsSize(t *testing.T) {
	row := RecordOf("R0", field("x", Primitive(Int), ""))
	for i := range 30 {
		row = RecordOf(fmt.Sprintf("R%d", i+1), field("l", row, ""), field("r", row, ""))
	}
	if _, err := New(row); err == nil || !strings.Contains(err.Error(), "spreads out") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, typ := range oracleTypes() {
		f.Add(newSchema(f, typ).String())
	}
	f.Add(`{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":"E","logicalType":"date","default":3}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%s is %s, and again %v, %v", text, s, again, err)
		}
		d, err := NewDecoder(s, s)
		if err != nil {
			t.Fatalf("%s does not read itself: %v", s, err)
		}
		cols := NewColumns(s)
		if d.Decode([]byte("\x02\x04abcdefgh"), cols) == nil {
			if _, err := NewEncoder(s).Append(nil, cols, 0); err != nil {
				t.Fatal(err)
			}
			cols.AppendCanonical(nil, 0)
		}
		if changes, err := Compatible(s, s); err != nil || len(changes) > 0 {
			t.Fatalf("%s is not itself: %v, %v", s, changes, err)
		}
	})
}

func TestTopicNames(t *testing.T) {
	topic := Topic("aw", "sql", "production.product")
	if topic != "aw.sql.production.product" {
		t.Errorf("topic %s", topic)
	}
	if got := Table("aw", topic); got != "sql_production_product" {
		t.Errorf("table %s", got)
	}
	for topic, want := range map[string]bool{"aw.sql.production.product": true, "aw.progress": false, "aw.sql.": false, "aw..x": false, "other.sql.x": false, "aw": false} {
		source, dataset, ok := SplitTopic("aw", topic)
		if ok != want || ok && Topic("aw", source, dataset) != topic {
			t.Errorf("%s: %q %q %t", topic, source, dataset, ok)
		}
	}
	if key, value := Subjects(topic); key != topic+"-key" || value != topic+"-value" {
		t.Errorf("subjects %s %s", key, value)
	}
}

func TestFrame(t *testing.T) {
	framed := append(AppendFrame([]byte{}, 1<<31), "payload"...)
	id, payload, err := ParseFrame(framed)
	if err != nil || id != 1<<31 || string(payload) != "payload" {
		t.Errorf("%d %q %v", id, payload, err)
	}
	for n := range FrameSize {
		if _, _, err := ParseFrame(framed[:n]); err == nil {
			t.Errorf("%d bytes were accepted", n)
		}
	}
	if _, payload, err := ParseFrame(framed[:FrameSize]); err != nil || len(payload) != 0 {
		t.Errorf("an empty payload: %q %v", payload, err)
	}
	framed[0] = 1
	if _, _, err := ParseFrame(framed); err == nil {
		t.Error("another magic byte was accepted")
	}
}

// TestEnvelopeReadsDebezium reads a change that Debezium wrote: it has fields that ours has not, and none of ours.
func TestEnvelopeReadsDebezium(t *testing.T) {
	row := RecordOf("p.Value", NullableField("id", Primitive(Int)))
	ours, err := Envelope("p.Envelope", row)
	if err != nil {
		t.Fatal(err)
	}
	str, number := Primitive(String), Primitive(Long)
	source := RecordOf("io.debezium.connector.postgresql.Source", field("version", str, ""), field("connector", str, ""), field("name", str, ""), field("ts_ms", number, ""),
		field("ts_us", number, ""), field("snapshot", Nullable(str), `null`), field("db", str, ""), NullableField("sequence", str), field("schema", str, ""), field("table", str, ""), NullableField("txId", number), NullableField("lsn", number))
	theirs := newSchema(t, RecordOf("p.Envelope", NullableField("before", row), NullableField("after", row), field("source", source, ""), field("op", str, ""), NullableField("ts_ms", number),
		NullableField("transaction", RecordOf("event.block", field("id", str, "")))))
	payload := "\x00\x02\x02\x0e" + sized("3.6") + sized("postgresql") + sized("aw") + long(1) + long(2) + "\x02" + sized("false") + sized("db") + "\x02" + sized("[1]") + sized("s") + sized("t") + "\x00\x02\x06" + sized("c") + "\x00\x00"
	cols := decodeAll(t, theirs, ours, []byte(payload))
	after, src := cols.Field("after"), cols.Field("source")
	if after.IsNull(0) || after.Child("id").Int32[0] != 7 || string(cols.Field("op").Bytes(0)) != "c" || !cols.Field("before").IsNull(0) {
		t.Errorf("the change was not read")
	}
	if src.Child("lsn").Int64[0] != 3 || src.Child("commit_lsn").Int64[0] != 0 || cols.Field("unchanged").Offsets[1] != 0 {
		t.Errorf("the source was not read")
	}
}
