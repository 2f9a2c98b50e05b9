package schemas

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func field(name string, t *Type, def string) Field { return Field{Name: name, Type: t, Default: def} }

// TestResolve reads what one schema wrote with another.
func TestResolve(t *testing.T) {
	i, l, f, d, s, b := Primitive(Int), Primitive(Long), Primitive(Float), Primitive(Double), Primitive(String), Primitive(Bytes)
	enum := func(def string, symbols ...string) *Type {
		return &Type{Kind: Enum, Name: "E", Symbols: symbols, Default: def}
	}
	union := func(types ...*Type) *Type { return &Type{Kind: Union, Branches: types} }
	null := Primitive(Null)
	two53 := AppendLong(nil, 1<<53)
	for _, c := range []struct {
		name           string
		writer, reader *Type
		payload        string
		want           string // show of the value
		fail           error
	}{
		{"int to long", i, l, long(-5), "int64 -5", nil},
		{"int to long, past 32 bits", i, l, long(1 << 40), "", errIntRange},
		{"int to double", i, d, long(-5), show(-5.0), nil},
		{"int to float", i, f, long(1 << 24), show(float32(1 << 24)), nil},
		{"int to float, inexact", i, f, long(1<<24 + 1), "", errInexact},
		{"long to double", l, d, string(two53), show(float64(1 << 53)), nil},
		{"long to double, inexact", l, d, long(1<<53 + 1), "", errInexact},
		{"long to double, the largest long", l, d, long(1<<63 - 1), "", errInexact},
		{"long to double, the smallest long", l, d, long(-1 << 63), show(-float64(1 << 63)), nil},
		{"long to float", l, f, long(3), show(float32(3)), nil},
		{"float to double", f, d, string(AppendFloat(nil, 0.1)), show(float64(float32(0.1))), nil},
		{"string to bytes", s, b, sized("é"), show([]byte("é")), nil},
		{"bytes to string", b, s, sized("é"), "string é", nil},
		{"bytes to string, not text", b, s, sized("\xff"), "", errUTF8},
		{"T to null or T", i, Nullable(l), long(7), show(map[string]any{"long": int64(7)}), nil},
		{"T or null to null or T", union(i, null), Nullable(i), "\x00\x0e", show(map[string]any{"int": int32(7)}), nil},
		{"T or null, null", union(i, null), Nullable(i), "\x02", show(nil), nil},
		{"null or T to T", Nullable(i), i, "\x02\x0e", "int32 7", nil},
		{"null or T to T, null", Nullable(i), i, "\x00", "", errNull},
		{"null to null or T", null, Nullable(i), "", show(nil), nil},
		{"several to one of them", union(s, i), l, "\x02\x0e", "int64 7", nil},
		{"several to one of them, another", union(s, i), l, "\x00\x00", "", errors.New("string cannot become long")},
		{"several with null to null or T", union(null, s, i), Nullable(l), "\x00", show(nil), nil},
		{"one to several, the same type first", i, union(l, i), long(7), show(map[string]any{"int": int32(7)}), nil},
		{"one to several, promoted", i, union(s, l), long(7), show(map[string]any{"long": int64(7)}), nil},
		{"several to several", union(i, s), union(null, s, l), "\x00\x0e", show(map[string]any{"long": int64(7)}), nil},
		{"null or T to several", Nullable(i), union(s, null, i), "\x00", show(nil), nil},
		{"enum, another order", enum("", "A", "B"), enum("", "B", "A"), long(0), "string A", nil},
		{"enum, unknown with default", enum("", "A", "C"), enum("B", "B", "A"), long(1), "string B", nil},
		{"enum, unknown without default", enum("", "A", "C"), enum("", "B", "A"), long(1), "", errors.New("no default")},
		{"decimal, more digits", DecimalOf(4, 2), DecimalOf(30, 2), "\x02\x78", "decimal 6/5", nil},
		{"decimal, fixed to bytes", &Type{Kind: Fixed, Name: "D", Size: 3, Logical: Decimal, Precision: 4, Scale: 2}, DecimalOf(4, 2), "\xff\xff\x88", "decimal -6/5", nil},
		{"decimal, no bytes", DecimalOf(4, 2), DecimalOf(30, 2), "\x00", "decimal 0", nil},
		{"decimal, past its precision", DecimalOf(4, 2), DecimalOf(4, 2), "\x06\x01\x86\x9f", "", errDigits},
		{"decimal, past its precision, large", DecimalOf(20, 0), DecimalOf(20, 0), "\x12\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "", errDigits},
		{"uuid to string", LogicalOf(UUID), s, sized("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "string a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", nil},
		{"uuid, not one", LogicalOf(UUID), LogicalOf(UUID), sized("a0eebc99"), "", errUUID},
		{"a field that is gone, one that is new, another order",
			RecordOf("R", field("a", i, ""), field("gone", ArrayOf(MapOf(union(null, s, RecordOf("In", field("x", d, ""))))), ""), field("c", s, "")),
			RecordOf("R2", field("c", s, ""), field("new", l, "42"), NullableField("b", s), field("a", l, "")),
			long(1) + "\x02\x02\x02k\x04" + "12345678" + "\x00\x00" + sized("see"),
			show(map[string]any{"a": int64(1), "b": nil, "c": "see", "new": int64(42)}), nil},
		{"items and values", ArrayOf(MapOf(i)), ArrayOf(MapOf(Nullable(l))), "\x01\x0a\x02\x02k\x0e\x00\x00", show([]any{map[string]any{"k": map[string]any{"long": int64(7)}}}), nil},
	} {
		d, err := NewDecoder(newSchema(t, c.writer), newSchema(t, c.reader))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cols := NewColumns(d.Reader())
		err = d.Decode([]byte(c.payload), cols)
		switch {
		case c.fail != nil:
			if err == nil || !errors.Is(err, c.fail) && !strings.Contains(err.Error(), c.fail.Error()) {
				t.Errorf("%s: error %v, want %v", c.name, err, c.fail)
			}
			if cols.Len() != 0 || cols.Root.Len() != 0 {
				t.Errorf("%s: the error left a row", c.name)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		default:
			if got := show(native(cols.Root, 0)); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			if err := cols.SetLen(1); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	record := func(fields ...Field) *Type { return RecordOf("R", fields...) }
	for _, c := range []struct {
		writer, reader *Type
		want           string
	}{
		{Primitive(Long), Primitive(Int), "long cannot become int"},
		{Primitive(Int), Primitive(String), "int cannot become string"},
		{Primitive(Boolean), Primitive(Int), "boolean cannot become int"},
		{Primitive(Long), LogicalOf(TimestampMicros), "long cannot become long timestamp-micros"},
		{LogicalOf(TimestampMillis), LogicalOf(TimestampMicros), "long timestamp-millis cannot become long timestamp-micros"},
		{LogicalOf(TimeMillis), LogicalOf(TimeMicros), "int time-millis cannot become long time-micros"},
		{DecimalOf(9, 2), DecimalOf(9, 3), "bytes decimal(9,2) cannot become bytes decimal(9,3)"},
		{DecimalOf(9, 2), DecimalOf(8, 2), "cannot become"},
		{&Type{Kind: Fixed, Name: "F", Size: 2}, &Type{Kind: Fixed, Name: "F", Size: 3}, "fixed(2) cannot become fixed(3)"},
		{record(), record(field("a", Primitive(Int), "")), "field a: the writer does not have it, and it has no default"},
		{record(field("a", Primitive(String), "")), record(field("a", ArrayOf(Primitive(String)), "")), "field a: string cannot become array of string"},
		{ArrayOf(Primitive(Long)), ArrayOf(Primitive(Int)), "items: long cannot become int"},
		{MapOf(Primitive(Long)), MapOf(Primitive(Int)), "values: long cannot become int"},
		{Primitive(Boolean), &Type{Kind: Union, Branches: []*Type{Primitive(Int), Primitive(String)}}, "boolean is none of the reader's union of int, string"},
	} {
		_, err := NewDecoder(newSchema(t, c.writer), newSchema(t, c.reader))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s: %v, want %q", describe(c.writer), describe(c.reader), err, c.want)
		}
	}
}

// TestDefaults reads a record without fields: every value is a default.
func TestDefaults(t *testing.T) {
	in := RecordOf("In", field("x", Primitive(Int), "5"), NullableField("y", Primitive(String)))
	for _, c := range []struct {
		typ       *Type
		def, want string
	}{
		{Primitive(Boolean), "true", "bool true"}, {Primitive(Int), "-7", "int32 -7"}, {Primitive(Long), "9223372036854775807", "int64 9223372036854775807"},
		{Primitive(Float), "1.5", show(float32(1.5))}, {Primitive(Double), "1e3", show(1000.0)}, {Primitive(String), `"é\n"`, "string é\n"},
		{Primitive(Bytes), `"\u00ff\u0000"`, show([]byte{255, 0})}, {&Type{Kind: Fixed, Name: "F", Size: 2}, `"ab"`, show([]byte("ab"))},
		{&Type{Kind: Enum, Name: "E", Symbols: []string{"A", "B"}}, `"B"`, "string B"}, {ArrayOf(Primitive(Int)), "[1,2]", show([]any{int32(1), int32(2)})},
		{MapOf(Primitive(Int)), `{"b":1,"a":2}`, show(map[string]any{"a": int32(2), "b": int32(1)})}, {in, `{"x":9,"y":null}`, show(map[string]any{"x": int32(9), "y": nil})},
		{Nullable(Primitive(Int)), "null", show(nil)}, {&Type{Kind: Union, Branches: []*Type{Primitive(Int), {Kind: Null}}}, "3", show(map[string]any{"int": int32(3)})},
		{LogicalOf(Date), "18000", ""}, {ArrayOf(Primitive(Int)), "[]", show([]any{})},
	} {
		reader, err := New(RecordOf("R", field("f", c.typ, c.def)))
		if err != nil {
			t.Errorf("%s default %s: %v", describe(c.typ), c.def, err)
			continue
		}
		cols := decodeAll(t, newSchema(t, RecordOf("R")), reader, nil, nil)
		if got := show(native(cols.Field("f"), 1)); c.want != "" && got != c.want {
			t.Errorf("%s default %s: %s, want %s", describe(c.typ), c.def, got, c.want)
		}
	}
}

func TestDefaultsThatDoNotFit(t *testing.T) {
	for def, typ := range map[string]*Type{
		"null": Primitive(Int), "1.5": Primitive(Int), "3000000000": Primitive(Int), `"x"`: Primitive(Boolean), `"Ā"`: Primitive(Bytes), `"abc"`: {Kind: Fixed, Name: "F", Size: 2},
		`"C"`: {Kind: Enum, Name: "E", Symbols: []string{"A"}}, "{}": ArrayOf(Primitive(Int)), "[]": MapOf(Primitive(Int)), "[null]": ArrayOf(Primitive(Int)), "7": Primitive(String), "": Primitive(Long),
		"{ }": RecordOf("R", field("x", Primitive(Int), "")), "true": Nullable(Primitive(Int)), `{"x":`: MapOf(Primitive(Int)),
	} {
		if got, err := appendDefault([]byte("head"), typ, []byte(def)); err == nil || string(got) != "head" {
			t.Errorf("%s default %s: %q, %v", describe(typ), def, got, err)
		}
	}
}

// TestDecodeErrorsNameThePlace looks at the words that end up beside a rejected row.
func TestDecodeErrorsNameThePlace(t *testing.T) {
	s := newSchema(t, RecordOf("R", NullableField("after", RecordOf("Row", field("tags", ArrayOf(RecordOf("Tag", field("name", Primitive(String), ""))), "")))))
	d, err := NewDecoder(s, s)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Decode([]byte("\x02\x02\x02\xff\x00"), NewColumns(s))
	if want := "decode avro: after: tags: name: at byte 3: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want it to start with %q", err, want)
	}
}

func TestDecodeRefusesForeignColumns(t *testing.T) {
	s, other := newSchema(t, RecordOf("R", field("a", Primitive(Int), ""))), newSchema(t, RecordOf("R", field("a", Primitive(Long), "")))
	d, err := NewDecoder(s, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Decode([]byte{2}, NewColumns(other)); !errors.Is(err, errOtherSchema) {
		t.Errorf("decode: %v", err)
	}
	if err := d.Decode([]byte{2}, NewColumns(newSchema(t, RecordOf("R", field("a", Primitive(Int), ""))))); err != nil {
		t.Errorf("the same schema made twice: %v", err)
	}
	if _, err := NewEncoder(s).Append(nil, NewColumns(other), 0); !errors.Is(err, errOtherSchema) {
		t.Errorf("encode: %v", err)
	}
}

// TestHostileLengthsAllocateNothing claims two billion items, and lengths past the end.
func TestHostileLengthsAllocateNothing(t *testing.T) {
	for _, c := range []struct {
		typ     *Type
		payload []byte
	}{
		{Primitive(String), AppendLong(nil, 1<<62)}, {Primitive(Bytes), AppendLong(nil, -1)}, {ArrayOf(Primitive(Int)), AppendLong(nil, 1<<31)},
		{ArrayOf(Primitive(Null)), AppendLong(nil, 1<<31)}, {ArrayOf(Primitive(Int)), AppendLong(nil, -1<<63)}, {MapOf(Primitive(Int)), AppendLong(AppendLong(nil, -1<<40), 1<<40)},
		{ArrayOf(RecordOf("E")), AppendLong(AppendLong(AppendLong(nil, 1000), 1000), 0)}, {DecimalOf(38, 2), AppendLong(nil, 1<<40)},
	} {
		s := newSchema(t, c.typ)
		d, err := NewDecoder(s, s)
		if err != nil {
			t.Fatal(err)
		}
		cols := NewColumns(s)
		if err := d.Decode(c.payload, cols); err == nil {
			t.Errorf("%s: %x was accepted", describe(c.typ), c.payload)
		}
		if n := cap(cols.Root.Data) + cap(cols.Root.Offsets); n > 64 {
			t.Errorf("%s: %x allocated %d", describe(c.typ), c.payload, n)
		}
	}
}

func TestVarints(t *testing.T) {
	s := newSchema(t, Primitive(Long))
	d, err := NewDecoder(s, s)
	if err != nil {
		t.Fatal(err)
	}
	nine := strings.Repeat("\xff", 9)
	for payload, want := range map[string]error{
		nine + "\x01": nil, nine + "\x02": errVarint, nine + "\x81\x00": errVarint, nine: errTruncated, "": errTruncated, "\x80\x80\x00": nil,
	} {
		cols := NewColumns(s)
		if err := d.Decode([]byte(payload), cols); !errors.Is(err, want) {
			t.Errorf("%x: %v, want %v", payload, err, want)
		} else if strings.HasSuffix(payload, "\x01") && cols.Root.Int64[0] != -1<<63 {
			t.Errorf("%x: %d", payload, cols.Root.Int64[0])
		}
	}
}

func TestBlocksWithSizes(t *testing.T) {
	s := newSchema(t, ArrayOf(Primitive(Int)))
	d, err := NewDecoder(s, s)
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]error{
		"\x03\x04\x02\x04\x02\x06\x00": nil, // two items in a block of two bytes, then one
		"\x03\x02\x02\x04\x00":         errBlockSize,
		"\x03\x08\x02\x04\x00":         errLength,
		"\x03\x06\x02\x04\x00":         errBlockSize,
	} {
		cols := NewColumns(s)
		if err := d.Decode([]byte(payload), cols); !errors.Is(err, want) {
			t.Errorf("%x: %v, want %v", payload, err, want)
		} else if want == nil && fmt.Sprint(cols.Root.Children[0].Int32) != "[1 2 3]" {
			t.Errorf("%x: %v", payload, cols.Root.Children[0].Int32)
		}
	}
}
