package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

// evolve changes a type in ways that a source does over time: fields come and go, null is allowed, types get wider.
func (r random) evolve(t *Type, name string) *Type {
	out := *t
	switch t.Kind {
	case Array, Map:
		out.Items = r.evolve(t.Items, name+"i")
	case Union:
		out.Branches = nil
		for _, b := range t.Branches {
			out.Branches = append(out.Branches, r.evolve(b, name))
		}
		return &out
	case Record:
		out.Fields = nil
		for i, f := range t.Fields {
			if r.IntN(6) == 0 {
				continue
			}
			f.Type, f.Default = r.evolve(f.Type, fmt.Sprintf("%se%d", name, i)), ""
			out.Fields = append(out.Fields, f)
		}
		if r.IntN(2) == 0 {
			out.Fields = append(out.Fields, NullableField("new"+fmt.Sprint(r.IntN(2)), r.leafType()))
		}
	case Enum:
		if out.Symbols = append([]string{}, t.Symbols...); r.IntN(2) == 0 {
			out.Symbols = append(out.Symbols, "Z"+fmt.Sprint(r.IntN(2)))
		}
	case Int:
		if t.Logical == NoLogical {
			out.Kind = []Kind{Int, Long, Double, Float}[r.IntN(4)]
		}
	case Float:
		out.Kind = []Kind{Float, Double}[r.IntN(2)]
	case String:
		if t.Logical == NoLogical && r.IntN(4) == 0 {
			out.Kind = Bytes
		}
	case Bytes:
		if t.Logical == Decimal {
			out.Precision += r.IntN(12)
		}
	}
	if out.Kind != Null && r.IntN(4) == 0 {
		return Nullable(&out)
	}
	return &out
}

func (r random) leafType() *Type {
	return []*Type{Primitive(Int), Primitive(String), DecimalOf(9, 2), LogicalOf(TimestampMicros), ArrayOf(Primitive(Long))}[r.IntN(5)]
}

// FuzzMerge merges a schema with an evolved one. Rows of both, read with the merged schema, must have the canonical bytes that they have at home.
func FuzzMerge(f *testing.F) {
	for i := range uint64(50) {
		f.Add(i, i+1)
	}
	f.Fuzz(func(t *testing.T, seed, evolution uint64) {
		a := newRandom(seed).schema(3, "t.R")
		if a.Kind != Record {
			a = RecordOf("t.Root", Field{Name: "f", Type: a})
		}
		table, err := New(a)
		if err != nil {
			return
		}
		r := newRandom(evolution)
		b := r.evolve(a, "t.N")
		if values, _ := values(b); len(values) == 1 {
			b = values[0]
		}
		writer, err := New(b)
		if err != nil {
			return
		}
		merged, err := Merge(table, writer)
		if err != nil {
			return
		}
		for _, s := range []*Schema{table, writer} {
			if _, err := Compatible(s, merged); err != nil {
				t.Fatalf("%s and %s merged are %s, which does not follow %s: %v", table, writer, merged, s, err)
			}
			if again, err := Merge(merged, s); err != nil || again.String() != merged.String() {
				t.Fatalf("%s and %s merged are %s; with %s once more %s, %v", table, writer, merged, s, again, err)
			}
			checkSameCanonical(t, s, merged, r)
		}
	})
}

func checkSameCanonical(t *testing.T, writer, reader *Schema, r random) {
	t.Helper()
	codec, err := goavro.NewCodec(writer.String())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		payload, err := codec.BinaryFromNative(nil, r.value(writer.Root))
		if err != nil {
			t.Fatal(err)
		}
		home := decodeAll(t, writer, writer, payload)
		d, err := NewDecoder(writer, reader)
		if err != nil {
			t.Fatal(err)
		}
		there := NewColumns(reader)
		if err := d.Decode(payload, there); err != nil {
			t.Fatalf("a row of %s, %s, read as %s: %v", writer, show(native(home.Root, 0)), reader, err)
		}
		if got, want := there.AppendCanonical(nil, 0), home.AppendCanonical(nil, 0); !bytes.Equal(got, want) {
			t.Fatalf("a row of %s has the canonical bytes\n%q, read as %s\n%q", writer, want, reader, got)
		}
	}
}

func TestMerge(t *testing.T) {
	rec := func(fields ...Field) *Type { return RecordOf("R", fields...) }
	i, l, f, d, s, b := Primitive(Int), Primitive(Long), Primitive(Float), Primitive(Double), Primitive(String), Primitive(Bytes)
	enum := func(symbols ...string) *Type { return &Type{Kind: Enum, Name: "E", Symbols: symbols} }
	for _, c := range []struct{ table, writer, want *Type }{
		{i, l, l}, {l, i, l}, {i, d, d}, {f, d, d}, {i, f, d}, {f, i, d}, {s, b, b}, {b, s, b}, {i, i, i},
		{Nullable(i), l, Nullable(l)}, {i, Nullable(l), Nullable(l)}, {&Type{Kind: Union, Branches: []*Type{i, {Kind: Null}}}, i, Nullable(i)}, {Primitive(Null), i, Nullable(i)},
		{DecimalOf(9, 2), DecimalOf(19, 2), DecimalOf(19, 2)}, {DecimalOf(19, 2), &Type{Kind: Fixed, Name: "D", Size: 4, Logical: Decimal, Precision: 9, Scale: 2}, DecimalOf(19, 2)},
		{enum("A", "B"), enum("C", "A"), enum("A", "B", "C")},
		{ArrayOf(i), ArrayOf(Nullable(l)), ArrayOf(Nullable(l))}, {MapOf(f), MapOf(d), MapOf(d)},
		{&Type{Kind: Union, Branches: []*Type{i, s}}, &Type{Kind: Union, Branches: []*Type{Primitive(Boolean), l, {Kind: Null}}}, &Type{Kind: Union, Branches: []*Type{{Kind: Null}, l, s, Primitive(Boolean)}}},
		{rec(field("a", i, ""), field("b", s, `"x"`)), rec(field("c", d, "1.5"), field("a", l, "")), rec(field("a", l, ""), NullableField("b", s), NullableField("c", d))},
		{rec(field("a", i, "7")), rec(field("a", Nullable(l), "null")), rec(field("a", Nullable(l), "null"))},
		{rec(field("a", i, "7")), rec(field("a", l, "")), rec(field("a", l, "7"))},
		{rec(NullableField("in", rec2("In", field("x", i, "")))), rec(NullableField("in", rec2("In", field("y", i, "")))), rec(NullableField("in", rec2("In", NullableField("x", i), NullableField("y", i))))},
	} {
		got, err := Merge(newSchema(t, c.table), newSchema(t, c.writer))
		if err != nil {
			t.Errorf("%s with %s: %v", describe(c.table), describe(c.writer), err)
			continue
		}
		if want := newSchema(t, c.want).String(); got.String() != want {
			t.Errorf("%s with %s:\n%s, want\n%s", describe(c.table), describe(c.writer), got, want)
		}
	}
}

func rec2(name string, fields ...Field) *Type { return RecordOf(name, fields...) }

func TestMergeKeepsNamesApart(t *testing.T) {
	table := newSchema(t, RecordOf("R", NullableField("before", RecordOf("Row", field("x", Primitive(Int), ""))), field("o", RecordOf("Other", field("x", Primitive(Int), "")), "")))
	writer := newSchema(t, RecordOf("R", NullableField("before", RecordOf("Row", field("x", Primitive(Long), ""))), field("o", RecordOf("Other", field("x", Primitive(Int), "")), ""),
		NullableField("after", RecordOf("Row2", field("x", Primitive(Int), "")))))
	merged, err := Merge(table, writer)
	if err != nil {
		t.Fatal(err)
	}
	again := parse(t, merged.String())
	if after, _ := again.Root.Field("after"); after.Type.Branches[1].Fields[0].Type.Kind != Int {
		t.Errorf("after.x took another record's type: %s", merged)
	}
	// A new field whose type has the name of a type that is there and is another.
	other := newSchema(t, RecordOf("R", NullableField("extra", RecordOf("Row", field("z", Primitive(Boolean), "")))))
	merged, err = Merge(table, other)
	if err != nil {
		t.Fatal(err)
	}
	again = parse(t, merged.String())
	extra, _ := again.Root.Field("extra")
	if row := extra.Type.Branches[1]; row.Name != "Row_2" || row.Fields[0].Name != "z" {
		t.Errorf("extra is %s with %v", row.Name, row.Fields)
	}
}

func TestMergeRefuses(t *testing.T) {
	for _, c := range []struct {
		table, writer *Type
		want          string
	}{
		{Primitive(Long), Primitive(Double), "the table's long and the writer's double"}, {Primitive(Long), Primitive(Float), "long"}, {Primitive(Int), Primitive(String), "int"},
		{Primitive(Long), LogicalOf(TimestampMicros), "timestamp-micros"}, {LogicalOf(TimeMillis), LogicalOf(TimeMicros), "time-micros"}, {DecimalOf(9, 2), DecimalOf(9, 3), "decimal(9,3)"},
		{LogicalOf(UUID), Primitive(String), "uuid"}, {&Type{Kind: Fixed, Name: "F", Size: 1}, &Type{Kind: Fixed, Name: "F", Size: 2}, "fixed(2)"}, {ArrayOf(Primitive(Int)), MapOf(Primitive(Int)), "map of int"},
	} {
		_, err := Merge(newSchema(t, RecordOf("R", field("deep", ArrayOf(RecordOf("In", field("x", c.table, ""))), ""))), newSchema(t, RecordOf("R", field("deep", ArrayOf(RecordOf("In", field("x", c.writer, ""))), ""))))
		var refusal *IncompatibleError
		if !errors.As(err, &refusal) || refusal.Reasons[0].Path != "deep[].x" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v", describe(c.table), describe(c.writer), err)
		}
	}
}

func TestCompatible(t *testing.T) {
	i, l, s := Primitive(Int), Primitive(Long), Primitive(String)
	enum := func(symbols ...string) *Type { return &Type{Kind: Enum, Name: "E", Symbols: symbols} }
	for _, c := range []struct {
		old, new *Type
		want     string // the changes, or the error
	}{
		{i, i, ""},
		{i, l, "widen x: int to long"},
		{l, i, "error x: long cannot become int"},
		{i, Primitive(Double), "widen x: int to double"},
		{i, Primitive(Float), "error x: int cannot become float: it would lose digits of large numbers"},
		{l, Primitive(Double), "error x: long cannot become double: it would lose digits of large numbers"},
		{s, Primitive(Bytes), "widen x: string to bytes"},
		{Primitive(Bytes), s, "error x: bytes cannot become string: not all bytes are text"},
		{i, Nullable(i), "allow null x: int to union of null, int"},
		{Nullable(i), i, "error x: rows already written may be null, and int does not allow null"},
		{Nullable(i), Nullable(l), "widen x: int to long"},
		{enum("A"), enum("B", "A"), "widen x: enum of 1 symbols to enum of 2 symbols"},
		{enum("A", "B"), enum("A"), "error x: rows already written may have the symbols B, which are gone"},
		{DecimalOf(9, 2), DecimalOf(10, 2), "widen x: bytes decimal(9,2) to bytes decimal(10,2)"},
		{DecimalOf(9, 2), DecimalOf(10, 3), "error x: bytes decimal(9,2) cannot become bytes decimal(10,3): the scale must stay"},
		{DecimalOf(9, 2), DecimalOf(8, 2), "error x: bytes decimal(9,2) cannot become bytes decimal(8,2): rows already written may have more digits"},
		{LogicalOf(TimeMillis), LogicalOf(TimeMicros), "error x: int time-millis cannot become long time-micros"},
		{LogicalOf(UUID), s, "error x: string uuid cannot become string"},
		{ArrayOf(i), ArrayOf(s), "error x[]: int cannot become string"},
		{MapOf(i), MapOf(l), "widen x{}: int to long"},
		{&Type{Kind: Union, Branches: []*Type{i, s}}, &Type{Kind: Union, Branches: []*Type{s, l, Primitive(Boolean)}}, "widen x: int to long, add x: boolean"},
		{&Type{Kind: Union, Branches: []*Type{i, s}}, i, "error x: rows already written may be string, which is none of the new types"},
		{RecordOf("In", field("a", i, ""), field("b", i, "")), RecordOf("In", field("b", l, ""), field("c", i, "0")), "widen x.b: int to long, add x.c: int, drop x.a: int"},
		{RecordOf("In"), RecordOf("In", field("c", i, "")), "error x.c: the field is new and has no default, so rows already written have no value for it: make it nullable with default null"},
		{RecordOf("In", field("a", s, ""), field("b", l, "")), RecordOf("In", field("a", i, ""), field("b", i, "")), "error x.a: string cannot become int; x.b: long cannot become int"},
	} {
		changes, err := Compatible(newSchema(t, RecordOf("R", field("x", c.old, ""))), newSchema(t, RecordOf("R", field("x", c.new, ""))))
		var got []string
		for _, change := range changes {
			got = append(got, change.String())
		}
		text := strings.Join(got, ", ")
		if err != nil {
			text = strings.Replace(err.Error(), "incompatible schema:", "error", 1)
		}
		if text != c.want {
			t.Errorf("%s to %s: %q, want %q", describe(c.old), describe(c.new), text, c.want)
		}
	}
}
