package schemas

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"sort"
	"strings"
	"time"

	"github.com/linkedin/goavro/v2"
)

// The tests compare with goavro, value for value and byte for byte. Where the two differ on purpose:
//
//   - goavro knows none of uuid, duration, timestamp-nanos and local-timestamp-*: it reads the type below, which has the same bytes;
//   - it writes maps in random order, and refuses a key that comes twice, which is kept here;
//   - it takes varints of any length and cuts what does not fit, takes ints past 32 bits, text that is not UTF-8, decimals past their
//     precision, text that is no UUID and blocks whose size is not that of their items; all of these are errors here;
//   - it cannot write zero as a decimal of type fixed.

// random makes values in goavro's own form.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 7))} }

func (r random) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (r random) text(n int) string {
	alphabet := []rune("abc é日\U0010ffff\x00\"\\")
	var b strings.Builder
	for range n {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// whole favours the values where encodings change their length.
func (r random) whole(bits int) int64 {
	switch r.IntN(4) {
	case 0:
		return [...]int64{0, 1, -1, 63, 64, -64, -65, math.MaxInt32, math.MinInt32}[r.IntN(9)]
	case 1:
		if bits == 64 {
			return [...]int64{math.MaxInt64, math.MinInt64, 1 << 53, 1<<53 + 1}[r.IntN(4)]
		}
	}
	v := int64(r.Uint64()) >> r.IntN(64)
	if bits == 32 {
		return int64(int32(v))
	}
	return v
}

func (r random) decimal(t *Type) *big.Rat {
	digits := 1 + r.IntN(t.Precision)
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	v := new(big.Int).SetBytes(r.bytes(40))
	if v.Mod(v, limit); r.IntN(4) == 0 {
		v.Sub(limit, big.NewInt(1))
	}
	if t.Kind == Fixed && v.Sign() == 0 {
		v.SetInt64(1)
	}
	if r.IntN(2) == 0 {
		v.Neg(v)
	}
	return new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Scale)), nil))
}

func (r random) value(t *Type) any {
	switch t.Logical {
	case Decimal:
		return r.decimal(t)
	case Date:
		return time.Unix(int64(int32(r.whole(32))/1000)*86400, 0).UTC()
	case TimeMillis:
		return time.Duration(r.whole(32)) * time.Millisecond
	case TimeMicros:
		return time.Duration(r.Int64N(86400e6+1)) * time.Microsecond
	case TimestampMillis:
		return time.UnixMilli(r.whole(64) >> 10).UTC()
	case TimestampMicros:
		return time.UnixMicro(r.whole(64) >> 2).UTC()
	case UUID:
		if t.Kind == String {
			return string(appendUUIDForm(nil, [16]byte(r.bytes(16))))
		}
	}
	switch t.Kind {
	case Boolean:
		return r.IntN(2) == 0
	case Int:
		return int32(r.whole(32))
	case Long:
		return r.whole(64)
	case Float:
		return math.Float32frombits(r.Uint32())
	case Double:
		return math.Float64frombits(r.Uint64())
	case Bytes:
		return r.bytes(r.IntN(80))
	case String:
		return r.text(r.IntN(80))
	case Fixed:
		return r.bytes(t.Size)
	case Enum:
		return t.Symbols[r.IntN(len(t.Symbols))]
	}
	return r.container(t)
}

func (r random) container(t *Type) any {
	switch t.Kind {
	case Array:
		items := []any{}
		for range r.IntN(4) {
			items = append(items, r.value(t.Items))
		}
		return items
	case Map:
		values := map[string]any{}
		for range r.IntN(4) {
			values[r.text(r.IntN(5))] = r.value(t.Items)
		}
		return values
	case Record:
		fields := map[string]any{}
		for _, f := range t.Fields {
			fields[f.Name] = r.value(f.Type)
		}
		return fields
	case Union:
		b := t.Branches[r.IntN(len(t.Branches))]
		if b.Kind == Null {
			return nil
		}
		return goavro.Union(goavroName(b), r.value(b))
	}
	return nil
}

// goavroName is what goavro calls a branch of a union.
func goavroName(t *Type) string {
	switch {
	case t.Name != "":
		return t.Name
	case t.Logical == Decimal || t.Logical == Date || t.Logical == TimeMillis || t.Logical == TimeMicros || t.Logical == TimestampMillis || t.Logical == TimestampMicros:
		return t.Kind.String() + "." + t.Logical.String()
	}
	return t.Kind.String()
}

// native is one row of a column in goavro's form.
func native(c *Column, row int) any {
	if !c.Optional {
		return nativeValue(c, row)
	}
	if c.IsNull(row) {
		return nil
	}
	return goavro.Union(goavroName(c.Type), nativeValue(c, row))
}

func nativeValue(c *Column, row int) any {
	switch c.Type.Logical {
	case Decimal:
		return new(big.Rat).SetFrac(c.Unscaled(row), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Type.Scale)), nil))
	case Date:
		return time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(c.Int32[row]))
	case TimeMillis:
		return time.Duration(c.Int32[row]) * time.Millisecond
	case TimeMicros:
		return time.Duration(c.Int64[row]) * time.Microsecond
	case TimestampMillis:
		return time.UnixMilli(c.Int64[row])
	case TimestampMicros:
		return time.UnixMicro(c.Int64[row])
	case UUID:
		if c.Type.Kind == String {
			return string(appendUUIDForm(nil, [16]byte(c.Bytes(row))))
		}
	}
	switch c.Form {
	case FormBool:
		return c.Bool[row]
	case FormInt32:
		return c.Int32[row]
	case FormInt64:
		return c.Int64[row]
	case FormFloat32:
		return c.Float32[row]
	case FormFloat64:
		return c.Float64[row]
	case FormBytes, FormFixed:
		if c.Type.Kind == String {
			return string(c.Bytes(row))
		}
		return c.Bytes(row)
	case FormEnum:
		return c.Symbol(row)
	}
	return nativeContainer(c, row)
}

func nativeContainer(c *Column, row int) any {
	switch c.Form {
	case FormList:
		items := []any{}
		for i := c.Offsets[row]; i < c.Offsets[row+1]; i++ {
			items = append(items, native(c.Children[0], i))
		}
		return items
	case FormMap:
		values := map[string]any{}
		for i := c.Offsets[row]; i < c.Offsets[row+1]; i++ {
			values[string(c.Children[0].Bytes(i))] = native(c.Children[1], i)
		}
		return values
	case FormRecord:
		fields := map[string]any{}
		for _, child := range c.Children {
			fields[child.Name] = native(child, row)
		}
		return fields
	case FormUnion:
		child := c.Children[c.Index[row]]
		if child.Form == FormNull {
			return nil
		}
		return goavro.Union(goavroName(child.Type), native(child, c.Places[row]))
	}
	return nil
}

// show writes a value in goavro's form in one way, so that equal values are equal texts.
func show(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for k, x := range v {
			parts = append(parts, fmt.Sprintf("%q:%s", k, show(x)))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, show(x))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case float32:
		return fmt.Sprintf("float %x", math.Float32bits(v))
	case float64:
		return fmt.Sprintf("double %x", math.Float64bits(v))
	case *big.Rat:
		return "decimal " + v.RatString()
	case time.Time:
		return fmt.Sprintf("time %d.%d", v.Unix(), v.Nanosecond())
	case []byte:
		return fmt.Sprintf("bytes %x", v)
	}
	return fmt.Sprintf("%T %v", v, v)
}

// oracleTypes is every type and logical type, alone and nested.
func oracleTypes() []*Type {
	scalars := []*Type{
		Primitive(Boolean), Primitive(Int), Primitive(Long), Primitive(Float), Primitive(Double), Primitive(Bytes), Primitive(String),
		DecimalOf(1, 0), DecimalOf(9, 2), DecimalOf(18, 18), DecimalOf(19, 4), DecimalOf(38, 10), DecimalOf(76, 0),
		{Kind: Fixed, Name: "t.D4", Size: 4, Logical: Decimal, Precision: 9, Scale: 2}, {Kind: Fixed, Name: "t.D12", Size: 12, Logical: Decimal, Precision: 10, Scale: 2},
		{Kind: Fixed, Name: "t.D16", Size: 16, Logical: Decimal, Precision: 38, Scale: 6},
		LogicalOf(Date), LogicalOf(TimeMillis), LogicalOf(TimeMicros), LogicalOf(TimestampMillis), LogicalOf(TimestampMicros), LogicalOf(TimestampNanos),
		LogicalOf(LocalTimestampMillis), LogicalOf(LocalTimestampMicros), LogicalOf(LocalTimestampNanos), LogicalOf(UUID),
		{Kind: Fixed, Name: "t.U", Size: 16, Logical: UUID}, {Kind: Fixed, Name: "t.Duration", Size: 12, Logical: Duration}, {Kind: Fixed, Name: "t.F", Size: 5},
		{Kind: Enum, Name: "t.E", Symbols: []string{"A", "B", "C"}},
	}
	var types []*Type
	for i, s := range scalars {
		types = append(types, s, Nullable(s), ArrayOf(s), MapOf(Nullable(s)), &Type{Kind: Union, Branches: []*Type{s, {Kind: Null}}})
		types = append(types, RecordOf(fmt.Sprintf("t.R%d", i), Field{Name: "a", Type: s}, NullableField("b", s), Field{Name: "c", Type: ArrayOf(Nullable(s))}))
	}
	inner := RecordOf("t.Inner", Field{Name: "x", Type: Primitive(Int)}, NullableField("y", Primitive(String)))
	return append(types, Primitive(Null), inner, Nullable(inner), ArrayOf(ArrayOf(Primitive(Int))), MapOf(ArrayOf(Nullable(inner))), ArrayOf(MapOf(inner)),
		RecordOf("t.Empty"), ArrayOf(RecordOf("t.Empty2")),
		&Type{Kind: Union, Branches: []*Type{Primitive(String), Primitive(Long), {Kind: Null}, inner, DecimalOf(9, 2)}},
		ArrayOf(&Type{Kind: Union, Branches: []*Type{Primitive(Boolean), ArrayOf(Primitive(Int)), MapOf(Primitive(Double))}}),
		RecordOf("t.Outer", NullableField("before", inner), NullableField("after", inner), Field{Name: "op", Type: Primitive(String)},
			Field{Name: "u", Type: &Type{Kind: Union, Branches: []*Type{{Kind: Null}, Primitive(Int), Primitive(String)}}}, Field{Name: "unchanged", Type: ArrayOf(Primitive(String)), Default: "[]"}),
	)
}

// schema makes a random type; names must be unique within a schema.
func (r random) schema(depth int, name string) *Type {
	if depth == 0 || r.IntN(3) == 0 {
		scalars := oracleTypes()
		for {
			t := scalars[r.IntN(len(scalars))]
			if t.Kind == Union || t.Kind >= Array || t.Kind == Null {
				continue
			}
			if t.Name != "" {
				named := *t
				named.Name = name
				t = &named
			}
			return t
		}
	}
	switch r.IntN(5) {
	case 0:
		return ArrayOf(r.schema(depth-1, name+"i"))
	case 1:
		return MapOf(r.schema(depth-1, name+"v"))
	case 2:
		if inner := r.schema(depth-1, name+"n"); inner.Kind != Union {
			return Nullable(inner)
		}
	case 3:
		u := &Type{Kind: Union}
		seen := map[string]bool{}
		for i := range 2 + r.IntN(3) {
			b := r.schema(depth-1, fmt.Sprintf("%sb%d", name, i))
			if b.Kind != Union && !seen[b.Kind.String()] {
				seen[b.Kind.String()] = true
				u.Branches = append(u.Branches, b)
			}
		}
		return u
	}
	t := RecordOf(name)
	for i := range r.IntN(6) {
		t.Fields = append(t.Fields, Field{Name: fmt.Sprintf("f%d", i), Type: r.schema(depth-1, fmt.Sprintf("%sf%d", name, i))})
	}
	return t
}
