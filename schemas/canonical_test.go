package schemas

import (
	"bytes"
	"math"
	"math/big"
	"testing"
)

// TestCanonicalForms fixes the bytes: digests that are stored somewhere stay true.
func TestCanonicalForms(t *testing.T) {
	one := func(typ *Type, fill func(c *Column)) string {
		cols := NewColumns(newSchema(t, RecordOf("R", field("x", typ, ""))))
		fill(cols.Field("x"))
		if err := cols.SetLen(1); err != nil {
			t.Fatal(err)
		}
		return string(cols.AppendCanonical(nil, 0))
	}
	i32 := func(v int32) func(*Column) { return func(c *Column) { c.AppendInt32(v) } }
	i64 := func(v int64) func(*Column) { return func(c *Column) { c.AppendInt64(v) } }
	f64 := func(v float64) func(*Column) { return func(c *Column) { c.AppendFloat64(v) } }
	f32 := func(v float32) func(*Column) { return func(c *Column) { c.AppendFloat32(v) } }
	text := func(v string) func(*Column) { return func(c *Column) { c.AppendString(v) } }
	unscaled := func(v string) func(*Column) {
		n, _ := new(big.Int).SetString(v, 10)
		return func(c *Column) { c.AppendUnscaled(n) }
	}
	inner := RecordOf("In", field("b", Primitive(Int), ""), NullableField("a", Primitive(String)))
	for _, c := range []struct {
		name string
		got  string
		want string
	}{
		{"bool", one(Primitive(Boolean), func(c *Column) { c.AppendBool(true) }), "b\x01"},
		{"int", one(Primitive(Int), i32(-12)), "n\x03-12"}, {"long", one(Primitive(Long), i64(-12)), "n\x03-12"}, {"nullable", one(Nullable(Primitive(Long)), i64(-12)), "n\x03-12"},
		{"double, whole", one(Primitive(Double), f64(-12)), "n\x03-12"}, {"float, whole", one(Primitive(Float), f32(-12)), "n\x03-12"},
		{"double", one(Primitive(Double), f64(0.5)), "f\x3f\xe0\x00\x00\x00\x00\x00\x00"}, {"float", one(Primitive(Float), f32(0.5)), "f\x3f\xe0\x00\x00\x00\x00\x00\x00"},
		{"zero", one(Primitive(Double), f64(0)), "n\x010"}, {"minus zero", one(Primitive(Float), f32(float32(math.Copysign(0, -1)))), "f\x80\x00\x00\x00\x00\x00\x00\x00"},
		{"2^53", one(Primitive(Double), f64(1<<53)), "n\x109007199254740992"}, {"past 2^53", one(Primitive(Double), f64(1<<54)), "f\x43\x50\x00\x00\x00\x00\x00\x00"},
		{"NaN", one(Primitive(Double), f64(math.Float64frombits(0xfff8000000000123))), "f\x7f\xf8\x00\x00\x00\x00\x00\x01"}, {"float NaN", one(Primitive(Float), f32(math.Float32frombits(0xffc00001))), "f\x7f\xf8\x00\x00\x00\x00\x00\x01"},
		{"infinity", one(Primitive(Double), f64(math.Inf(-1))), "f\xff\xf0\x00\x00\x00\x00\x00\x00"},
		{"string", one(Primitive(String), text("é")), "s\x02é"}, {"bytes", one(Primitive(Bytes), text("é")), "s\x02é"}, {"empty", one(Nullable(Primitive(String)), text("")), "s\x00"},
		{"fixed", one(&Type{Kind: Fixed, Name: "F", Size: 2}, text("ab")), "s\x02ab"}, {"uuid", one(LogicalOf(UUID), text("abcdefghijklmnop")), "s\x10abcdefghijklmnop"},
		{"enum", one(&Type{Kind: Enum, Name: "E", Symbols: []string{"A", "BC"}}, func(c *Column) { _ = c.AppendSymbol("BC") }), "s\x02BC"},
		{"decimal", one(DecimalOf(9, 2), i64(-1250)), "n\x05-12.5"}, {"decimal, small", one(DecimalOf(9, 4), i64(5)), "n\x060.0005"}, {"decimal, zero", one(DecimalOf(9, 4), i64(0)), "n\x010"},
		{"decimal, whole", one(DecimalOf(9, 2), i64(-1200)), "n\x03-12"}, {"decimal, all fraction", one(DecimalOf(2, 2), i64(-50)), "n\x04-0.5"}, {"decimal, hundred", one(DecimalOf(9, 0), i64(100)), "n\x03100"},
		{"large decimal", one(DecimalOf(40, 2), unscaled("-1250")), "n\x05-12.5"}, {"large decimal, long", one(DecimalOf(40, 2), unscaled("123456789012345678901")), "n\x161234567890123456789.01"},
		{"date", one(LogicalOf(Date), i32(-3)), "n\x02-3"}, {"time-millis", one(LogicalOf(TimeMillis), i32(7)), "n\x047000"}, {"time-micros", one(LogicalOf(TimeMicros), i64(7000)), "n\x047000"},
		{"timestamp-millis", one(LogicalOf(TimestampMillis), i64(-7)), "n\x05-7000"}, {"timestamp-millis, zero", one(LogicalOf(TimestampMillis), i64(0)), "n\x010"}, {"timestamp-micros", one(LogicalOf(TimestampMicros), i64(-7000)), "n\x05-7000"},
		{"timestamp-nanos", one(LogicalOf(TimestampNanos), i64(-7000001)), "n\x09-7000.001"}, {"local-timestamp-nanos", one(LogicalOf(LocalTimestampNanos), i64(7000000)), "n\x047000"},
		{"list", one(ArrayOf(Nullable(Primitive(Int))), func(c *Column) { c.Children[0].AppendInt32(1); c.Children[0].AppendNull(); c.AppendItems() }), "a\x02n\x011z"},
		{"empty list", one(Nullable(ArrayOf(Primitive(Int))), func(c *Column) { c.AppendItems() }), "a\x00"},
		{"map", one(MapOf(Primitive(Int)), func(c *Column) {
			for i, k := range []string{"b", "a", ""} {
				c.Children[0].AppendString(k)
				c.Children[1].AppendInt32(int32(i))
			}
			c.AppendItems()
		}), "m\x03\x00n\x012\x01an\x011\x01bn\x010"},
		{"record in a list", one(ArrayOf(inner), func(c *Column) {
			for _, s := range []string{"s", ""} {
				c.Children[0].AppendRecord()
				c.Children[0].Child("b").AppendInt32(5)
				if s == "" {
					c.Children[0].Child("a").AppendNull()
				} else {
					c.Children[0].Child("a").AppendString(s)
				}
			}
			c.AppendItems()
		}), "a\x02r\x01as\x01s\x01bn\x015\x00r\x01bn\x015\x00"},
		{"union", one(&Type{Kind: Union, Branches: []*Type{Primitive(String), Primitive(Long)}}, func(c *Column) { c.AppendBranch(1); c.Children[1].AppendInt64(5) }), "n\x015"},
	} {
		if want := "\x01x" + c.want; c.got != want {
			t.Errorf("%s: %q, want %q", c.name, c.got, want)
		}
	}
	for name, got := range map[string]string{
		"null":            one(Nullable(Primitive(Int)), (*Column).AppendNull),
		"null record":     one(Nullable(inner), (*Column).AppendNull),
		"null in a union": one(&Type{Kind: Union, Branches: []*Type{Primitive(String), {Kind: Null}, Primitive(Long)}}, (*Column).AppendNull),
	} {
		if got != "" {
			t.Errorf("%s: %q, want nothing", name, got)
		}
	}
	record := func(c *Column) {
		c.AppendRecord()
		c.Child("b").AppendInt32(5)
		c.Child("a").AppendString("s")
	}
	want := "\x03x.as\x01s\x03x.bn\x015"
	if got := one(inner, record); got != want {
		t.Errorf("record: %q, want %q", got, want)
	}
	if got := one(&Type{Kind: Union, Branches: []*Type{Primitive(String), inner}}, func(c *Column) { c.AppendBranch(1); record(c.Children[1]) }); got != want {
		t.Errorf("record in a union: %q, want %q", got, want)
	}
}

// TestCanonicalOfAChange compares a table's row with the same row inside an envelope.
func TestCanonicalOfAChange(t *testing.T) {
	row := RecordOf("Row", NullableField("id", Primitive(Int)), NullableField("name", Primitive(String)))
	envelope, err := Envelope("E", row)
	if err != nil {
		t.Fatal(err)
	}
	inside, alone := NewColumns(envelope), NewColumns(newSchema(t, row))
	after := inside.Field("after")
	for _, c := range []*Column{after, alone.Root} {
		c.AppendRecord()
		c.Child("id").AppendInt32(7)
		c.Child("name").AppendString("x")
	}
	if err := alone.SetLen(1); err != nil {
		t.Fatal(err)
	}
	if got, want := after.AppendCanonical(nil, 0), alone.AppendCanonical(nil, 0); !bytes.Equal(got, want) || len(want) == 0 {
		t.Errorf("%q, want %q", got, want)
	}
	inside.Field("before").AppendNull()
	if got := inside.Field("before").AppendCanonical(nil, 0); len(got) != 0 {
		t.Errorf("a null record: %q", got)
	}
}

func TestDigest(t *testing.T) {
	rows := [][]byte{[]byte("a"), []byte("b"), []byte("b"), {}}
	var forward, backward, left, right Digest
	for i := range rows {
		forward.Add(rows[i])
		backward.Add(rows[len(rows)-1-i])
		if i%2 == 0 {
			left.Add(rows[i])
		} else {
			right.Add(rows[i])
		}
	}
	left.Sum(right)
	if forward != backward || forward != left {
		t.Errorf("order or grouping matters: %s %s %s", forward, backward, left)
	}
	var other Digest
	for _, row := range [][]byte{[]byte("a"), []byte("a"), []byte("b"), {}} {
		other.Add(row)
	}
	if other == forward {
		t.Error("other rows have the same digest")
	}
	var golden Digest
	if golden.Add([]byte("one row")); golden.String() != "9070abc9bc9505256ce8769ed408bfa8" {
		t.Errorf("the digest of one row became %s", golden)
	}
	carry := Digest{Lo: math.MaxUint64}
	carry.Sum(Digest{Lo: 1})
	if (carry != Digest{Hi: 1}) || carry.String() != "00000000000000010000000000000000" {
		t.Errorf("carry: %s", carry)
	}
}

func TestSetLenFindsColumnsOutOfStep(t *testing.T) {
	s := newSchema(t, RecordOf("R", NullableField("a", Primitive(Int)), field("l", ArrayOf(Primitive(String)), ""),
		field("u", &Type{Kind: Union, Branches: []*Type{Primitive(Int), Primitive(String)}}, "")))
	good := func() *Columns {
		c := NewColumns(s)
		c.Field("a").AppendInt32(1)
		c.Field("l").Children[0].AppendString("x")
		c.Field("l").AppendItems()
		c.Field("u").AppendBranch(1)
		c.Field("u").Children[1].AppendString("y")
		return c
	}
	if err := good().SetLen(1); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *Columns){
		"a row too many":       func(c *Columns) { c.Field("a").AppendInt32(1) },
		"no null mark":         func(c *Columns) { c.Field("a").Valid = nil },
		"an item too many":     func(c *Columns) { c.Field("l").Children[0].AppendString("z") },
		"bytes past the end":   func(c *Columns) { k := c.Field("l").Children[0]; k.Data = append(k.Data, 'z') },
		"a branch without row": func(c *Columns) { c.Field("u").Children[1].truncate(0) },
		"a branch not there":   func(c *Columns) { c.Field("u").Index[0] = 7 },
		"a wrong place":        func(c *Columns) { c.Field("u").Places[0] = 1 },
	} {
		c := good()
		spoil(c)
		if err := c.SetLen(1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c := good()
	if err := c.SetLen(1); err != nil {
		t.Fatal(err)
	}
	if c.Bytes() == 0 {
		t.Error("a row takes no memory")
	}
	if c.Reset(); c.Len() != 0 || c.Bytes() > 8*3 { // three first offsets
		t.Errorf("after Reset: %d rows, %d bytes", c.Len(), c.Bytes())
	}
	if err := c.SetLen(0); err != nil {
		t.Error(err)
	}
}
