package lake

import (
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"adventureworks.example/extract/schemas"
)

// op is how the values of one column become Avro: one operation for each pair of a Parquet type and the Avro type it travels as.
type op uint8

const (
	opNone          op = iota
	opBoolean          // BOOLEAN
	opInt              // INT32, signed, as int or long
	opUnsignedSmall    // INT32 of 8 or 16 unsigned bits, as int
	opUnsigned         // INT32 of 32 unsigned bits, as long
	opLong             // INT64, signed
	opUnsignedLong     // INT64 of 64 unsigned bits, as decimal(20, 0)
	opFloat            // FLOAT
	opDouble           // DOUBLE
	opFloatDouble      // FLOAT, widened to double
	opIntDouble        // INT32, widened to double
	opFloat16          // two bytes, as float
	opFloat16Double    // two bytes, as double
	opBytes            // BYTE_ARRAY as it is
	opString           // BYTE_ARRAY that must be UTF-8
	opFixed            // FIXED_LEN_BYTE_ARRAY, as bytes
	opDuration         // INTERVAL, the same twelve bytes in Avro
	opUUID             // sixteen bytes, as text
	opDecimalInt       // DECIMAL of INT32
	opDecimalLong      // DECIMAL of INT64
	opDecimalBytes     // DECIMAL of BYTE_ARRAY, big endian
	opDecimalFixed     // DECIMAL of FIXED_LEN_BYTE_ARRAY, big endian
	opMillisInt        // INT32 milliseconds of a day, as microseconds
	opMillis           // INT64 milliseconds, as microseconds
	opNanosMicros      // INT64 nanoseconds of a day, as microseconds: exact or rejected
	opInt96            // a legacy timestamp, as microseconds: exact or rejected
	opInt96Nanos       // a legacy timestamp, as nanoseconds: exact or rejected
)

// typing is the part of a dataset's configuration that decides about types.
type typing struct {
	name       string   // of the dataset's record, with its namespace
	columns    []string // dotted paths to keep; empty for all
	partitions []partitionField
	int96      op // opInt96 or opInt96Nanos
}

// partitionField is a Hive partition column and the type it was declared with.
type partitionField struct {
	name  string
	value *schemas.Type
}

// recordName is the full name of a dataset's records.
func recordName(dataset string) string {
	parts := strings.Split(dataset, ".")
	for i := range parts {
		parts[i] = schemas.Name(parts[i])
	}
	return "extract.lake." + strings.Join(parts, ".")
}

// avroSchema is the schema of a file's rows: the fields of its columns, those of its partitions and `_origin`. Every field is nullable,
// because another file of the same dataset may lack it or hold nulls where this one promises none.
func avroSchema(root *field, t typing) (*schemas.Schema, error) {
	record := schemas.RecordOf(t.name)
	for _, child := range root.children {
		typ, err := t.typeOf(child, t.name+"."+schemas.Name(child.name), false)
		if err != nil {
			return nil, err
		}
		if typ != nil {
			record.Fields = append(record.Fields, schemas.NullableField(schemas.Name(child.name), typ))
		}
	}
	if len(record.Fields) == 0 {
		return nil, fmt.Errorf("the file has none of the columns %s", strings.Join(t.columns, ", "))
	}
	for _, p := range t.partitions {
		if _, clash := record.Field(schemas.Name(p.name)); !clash { // a column of the file is the value as it was written
			record.Fields = append(record.Fields, schemas.NullableField(schemas.Name(p.name), p.value))
		}
	}
	if _, clash := record.Field(schemas.OriginField); clash {
		return nil, fmt.Errorf("the file has a column %s, which is the name of the field that says where a row comes from", schemas.OriginField)
	}
	record.Fields = append(record.Fields, schemas.Field{Name: schemas.OriginField, Type: schemas.Origin()})
	return schemas.New(record)
}

// typeOf is the Avro type of a value of f that is there; nil when the projection leaves nothing of it. inner tells that f's own
// repetition has been dealt with.
func (t typing) typeOf(f *field, name string, inner bool) (*schemas.Type, error) {
	if !t.keeps(f.path) {
		return nil, nil
	}
	if f.repeated && !inner {
		items, err := t.typeOf(f, name+".item", true)
		if items == nil || err != nil {
			return nil, err
		}
		return schemas.ArrayOf(items), nil
	}
	if f.leaf >= 0 {
		_, typ, err := t.leaf(f, name)
		return typ, err
	}
	if _, element, inner, ok := f.listElement(); ok {
		items, err := t.itemType(element, name+".item", inner)
		if items == nil || err != nil {
			return nil, err
		}
		return schemas.ArrayOf(items), nil
	}
	if _, key, value, ok := f.mapEntry(); ok {
		return t.mapType(key, value, name)
	}
	record := schemas.RecordOf(name)
	for _, child := range f.children {
		typ, err := t.typeOf(child, name+"."+schemas.Name(child.name), false)
		if err != nil {
			return nil, err
		}
		if typ != nil {
			record.Fields = append(record.Fields, schemas.NullableField(schemas.Name(child.name), typ))
		}
	}
	if len(record.Fields) == 0 {
		return nil, nil
	}
	return record, nil
}

func (t typing) itemType(f *field, name string, inner bool) (*schemas.Type, error) {
	typ, err := t.typeOf(f, name, inner)
	if typ != nil && f.optional && !inner {
		typ = schemas.Nullable(typ)
	}
	return typ, err
}

// mapType is an Avro map where the keys are text and an array of key-value records otherwise, since Avro's keys are strings.
func (t typing) mapType(key, value *field, name string) (*schemas.Type, error) {
	whole := typing{name: t.name, int96: t.int96} // a projection keeps or drops a map as a whole
	values, err := whole.itemType(value, name+".value", false)
	if err != nil {
		return nil, err
	}
	if isText(key) {
		return schemas.MapOf(values), nil
	}
	keys, err := whole.itemType(key, name+".key", false)
	if err != nil {
		return nil, err
	}
	return schemas.ArrayOf(schemas.RecordOf(name+".entry", schemas.Field{Name: "key", Type: keys}, schemas.Field{Name: "value", Type: values})), nil
}

func isText(f *field) bool {
	operation, _, err := typing{}.leaf(f, "key")
	return f.leaf >= 0 && !f.optional && err == nil && operation == opString
}

// keeps tells whether the projection holds the path, something above it or something below it.
func (t typing) keeps(path string) bool {
	if len(t.columns) == 0 {
		return true
	}
	for _, c := range t.columns {
		if c == path || strings.HasPrefix(path, c+".") || strings.HasPrefix(c, path+".") {
			return true
		}
	}
	return false
}

// leaf is how a column's values travel.
func (t typing) leaf(f *field, name string) (op, *schemas.Type, error) {
	if f.leaf < 0 {
		return opNone, nil, fmt.Errorf("%s is a group", f.path)
	}
	operation, typ := t.annotatedLeaf(f, name)
	if operation != opNone {
		return operation, typ, nil
	}
	switch f.physical {
	case format.Boolean:
		return opBoolean, schemas.Primitive(schemas.Boolean), nil
	case format.Int32:
		return opInt, schemas.Primitive(schemas.Int), nil
	case format.Int64:
		return opLong, schemas.Primitive(schemas.Long), nil
	case format.Int96:
		if t.int96 == opInt96Nanos {
			return opInt96Nanos, schemas.LogicalOf(schemas.TimestampNanos), nil
		}
		return opInt96, schemas.LogicalOf(schemas.TimestampMicros), nil
	case format.Float:
		return opFloat, schemas.Primitive(schemas.Float), nil
	case format.Double:
		return opDouble, schemas.Primitive(schemas.Double), nil
	case format.ByteArray:
		return opBytes, schemas.Primitive(schemas.Bytes), nil
	}
	return opFixed, schemas.Primitive(schemas.Bytes), nil
}

// annotatedLeaf knows the logical types. An annotation that does not fit the physical type is passed over, as the format asks.
func (t typing) annotatedLeaf(f *field, name string) (op, *schemas.Type) {
	switch l := logicalOf(f.element).(type) {
	case *format.StringType, *format.EnumType, *format.JsonType:
		if f.physical == format.ByteArray {
			return opString, schemas.Primitive(schemas.String)
		}
	case *format.IntType:
		return integerLeaf(f, l)
	case *format.DecimalType:
		return decimalLeaf(f, int(l.Precision), int(l.Scale))
	case *format.DateType:
		if f.physical == format.Int32 {
			return opInt, schemas.LogicalOf(schemas.Date)
		}
	case *format.TimeType:
		return timeLeaf(f, l)
	case *format.TimestampType:
		return timestampLeaf(f, l)
	case *format.UUIDType:
		if f.length == 16 {
			return opUUID, schemas.LogicalOf(schemas.UUID)
		}
	case *format.Float16Type:
		if f.length == 2 {
			return opFloat16, schemas.Primitive(schemas.Float)
		}
	}
	if c := f.element.ConvertedType; c.Valid && c.V == deprecated.Interval && f.length == 12 {
		return opDuration, &schemas.Type{Kind: schemas.Fixed, Logical: schemas.Duration, Name: name, Size: 12}
	}
	return opNone, nil
}

func integerLeaf(f *field, l *format.IntType) (op, *schemas.Type) {
	switch {
	case f.physical == format.Int64 && l.BitWidth == 64 && !l.IsSigned:
		return opUnsignedLong, schemas.DecimalOf(20, 0)
	case f.physical == format.Int32 && l.BitWidth == 32 && !l.IsSigned:
		return opUnsigned, schemas.Primitive(schemas.Long)
	case f.physical == format.Int32 && !l.IsSigned:
		return opUnsignedSmall, schemas.Primitive(schemas.Int)
	}
	return opNone, nil // signed: as the physical type
}

func decimalLeaf(f *field, precision, scale int) (op, *schemas.Type) {
	if precision < 1 || scale < 0 || scale > precision {
		return opNone, nil
	}
	typ := schemas.DecimalOf(precision, scale)
	switch f.physical {
	case format.Int32:
		return opDecimalInt, typ
	case format.Int64:
		return opDecimalLong, typ
	case format.ByteArray:
		return opDecimalBytes, typ
	case format.FixedLenByteArray:
		return opDecimalFixed, typ
	}
	return opNone, nil
}

func timeLeaf(f *field, l *format.TimeType) (op, *schemas.Type) {
	typ := schemas.LogicalOf(schemas.TimeMicros)
	switch unit := l.Unit.Value.(type) {
	case *format.MilliSeconds:
		if f.physical == format.Int32 {
			return opMillisInt, typ
		}
	case *format.MicroSeconds:
		if f.physical == format.Int64 {
			return opLong, typ
		}
	case *format.NanoSeconds:
		if f.physical == format.Int64 {
			return opNanosMicros, typ
		}
	default:
		_ = unit // a unit of a later version: as the physical type
	}
	return opNone, nil
}

func timestampLeaf(f *field, l *format.TimestampType) (op, *schemas.Type) {
	if f.physical != format.Int64 {
		return opNone, nil
	}
	micros, nanos := schemas.TimestampMicros, schemas.TimestampNanos
	if !l.IsAdjustedToUTC {
		micros, nanos = schemas.LocalTimestampMicros, schemas.LocalTimestampNanos
	}
	switch l.Unit.Value.(type) {
	case *format.MilliSeconds:
		return opMillis, schemas.LogicalOf(micros)
	case *format.MicroSeconds:
		return opLong, schemas.LogicalOf(micros)
	case *format.NanoSeconds:
		return opLong, schemas.LogicalOf(nanos)
	}
	return opNone, nil
}

// logicalOf is a schema element's logical type, also where an older writer has given the converted type alone.
func logicalOf(e *format.SchemaElement) format.LogicalTypeValue {
	if e.LogicalType.Value != nil || !e.ConvertedType.Valid {
		return e.LogicalType.Value
	}
	utc := func(u format.TimeUnitValue) format.TimeUnit { return format.TimeUnit{Value: u} }
	switch c := e.ConvertedType.V; c {
	case deprecated.UTF8:
		return &format.StringType{}
	case deprecated.Enum:
		return &format.EnumType{}
	case deprecated.Json:
		return &format.JsonType{}
	case deprecated.Decimal:
		return &format.DecimalType{Scale: e.Scale.V, Precision: e.Precision.V}
	case deprecated.Date:
		return &format.DateType{}
	case deprecated.TimeMillis:
		return &format.TimeType{IsAdjustedToUTC: true, Unit: utc(&format.MilliSeconds{})}
	case deprecated.TimeMicros:
		return &format.TimeType{IsAdjustedToUTC: true, Unit: utc(&format.MicroSeconds{})}
	case deprecated.TimestampMillis:
		return &format.TimestampType{IsAdjustedToUTC: true, Unit: utc(&format.MilliSeconds{})}
	case deprecated.TimestampMicros:
		return &format.TimestampType{IsAdjustedToUTC: true, Unit: utc(&format.MicroSeconds{})}
	case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
		return &format.IntType{BitWidth: 8 << (c - deprecated.Uint8)}
	}
	return nil
}
