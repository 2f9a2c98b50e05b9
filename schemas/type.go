package schemas

import "fmt"

// Kind is an Avro type, as the Avro 1.12 specification names them.
type Kind uint8

// The kinds of the Avro specification.
const (
	Null Kind = iota
	Boolean
	Int
	Long
	Float
	Double
	Bytes
	String
	Fixed
	Enum
	Array
	Map
	Record
	Union
)

var kindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum", "array", "map", "record", "union"}

// String is the Avro name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Logical is an Avro logical type; the zero value means none.
type Logical uint8

// The logical types this package knows. An annotation it does not know, or one on a type that it does not fit, is ignored, as
// the specification asks.
const (
	NoLogical Logical = iota
	Decimal
	Date
	TimeMillis
	TimeMicros
	TimestampMillis
	TimestampMicros
	TimestampNanos
	LocalTimestampMillis
	LocalTimestampMicros
	LocalTimestampNanos
	UUID
	Duration
)

var logicalNames = [...]string{"", "decimal", "date", "time-millis", "time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
	"local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos", "uuid", "duration"}

// String is the Avro name of the logical type, empty for none.
func (l Logical) String() string {
	if int(l) < len(logicalNames) {
		return logicalNames[l]
	}
	return fmt.Sprintf("logical(%d)", uint8(l))
}

// Type is one node of a schema. It is immutable once it is part of a Schema, and may be shared.
type Type struct {
	Kind    Kind
	Logical Logical

	Name      string // full name (with namespace) of a record, enum or fixed
	Doc       string // of a record, enum or fixed
	Precision int    // of a decimal, at least 1
	Scale     int    // of a decimal, 0 to Precision
	Size      int    // of a fixed, in bytes
	Symbols   []string
	Default   string // of an enum: the symbol read in place of an unknown one; empty for none
	Items     *Type  // of an array, or of a map's values
	Fields    []Field
	Branches  []*Type // of a union, in order
}

// Field is one field of a record.
type Field struct {
	Name    string
	Doc     string
	Type    *Type
	Default string // JSON text of the default; empty for none
}

// Primitive is the type of a kind that needs no more words: null to string.
func Primitive(k Kind) *Type { return &Type{Kind: k} }

// LogicalOf is the type that carries l in its usual form: date and time-millis are ints, the other times longs, uuid a string.
// Decimals are made by DecimalOf and durations by the specification's fixed(12).
func LogicalOf(l Logical) *Type {
	switch l {
	case Date, TimeMillis:
		return &Type{Kind: Int, Logical: l}
	case UUID:
		return &Type{Kind: String, Logical: l}
	default:
		return &Type{Kind: Long, Logical: l}
	}
}

// DecimalOf is bytes with the logical type decimal(precision, scale).
func DecimalOf(precision, scale int) *Type {
	return &Type{Kind: Bytes, Logical: Decimal, Precision: precision, Scale: scale}
}

// ArrayOf is an array of items.
func ArrayOf(items *Type) *Type { return &Type{Kind: Array, Items: items} }

// MapOf is a map from strings to values.
func MapOf(values *Type) *Type { return &Type{Kind: Map, Items: values} }

// RecordOf is a record with the full name.
func RecordOf(name string, fields ...Field) *Type {
	return &Type{Kind: Record, Name: name, Fields: fields}
}

// Nullable is the union [null, t]: branch 0 is null, branch 1 the value.
func Nullable(t *Type) *Type {
	return &Type{Kind: Union, Branches: []*Type{{Kind: Null}, t}}
}

// NullableField is a field of type [null, t] with default null, the form in which every optional column travels.
func NullableField(name string, t *Type) Field {
	return Field{Name: name, Type: Nullable(t), Default: "null"}
}

// Optional tells whether t is a union of null and exactly one other type; it returns the other type and the index of its branch.
func (t *Type) Optional() (value *Type, branch int, ok bool) {
	if t.Kind != Union || len(t.Branches) != 2 {
		return nil, 0, false
	}
	switch {
	case t.Branches[0].Kind == Null && t.Branches[1].Kind != Null:
		return t.Branches[1], 1, true
	case t.Branches[1].Kind == Null && t.Branches[0].Kind != Null:
		return t.Branches[0], 0, true
	}
	return nil, 0, false
}

// Field returns the field of a record by name.
func (t *Type) Field(name string) (Field, bool) {
	for _, f := range t.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}
