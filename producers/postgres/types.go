package postgres

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"

	"adventureworks.example/extract/schemas"
)

// The OIDs of the built-in types that have an Avro type of their own. They never change (pg_type.dat).
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidOID         = 26
	oidFloat4      = 700
	oidFloat8      = 701
	oidMoney       = 790
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidNumeric     = 1700
	oidUUID        = 2950
)

// maxPrecision is the most digits of a numeric(p,s) that becomes a decimal: what ClickHouse's Decimal256 holds. Wider ones travel as text.
const maxPrecision = 76

// Values that a date or timestamp has beside real ones. Postgres's `infinity` and `-infinity` become the largest and smallest integer of the
// Avro type. No date reaches them; a timestamp that does (Postgres goes on to the year 294276, a long of microseconds ends in 294247) cannot be stored.
const (
	DateInfinity              = math.MaxInt32
	DateNegativeInfinity      = math.MinInt32
	TimestampInfinity         = math.MaxInt64
	TimestampNegativeInfinity = math.MinInt64
)

// pgType is a Postgres type as a column names it, with domains resolved to what they are made of.
type pgType struct {
	oid    uint32
	typmod int32 // -1 for none
}

// avroType is the Avro type of a Postgres type and the conversion of its text. Whatever has no Avro type of its own is text in Postgres's own form: arrays,
// enums, composites, ranges, intervals, network addresses, JSON, XML and every type of an extension.
func avroType(t pgType, money bool) (*schemas.Type, schemas.TextFunc) {
	switch t.oid {
	case oidBytea:
		return schemas.Primitive(schemas.Bytes), appendHexBytes
	case oidDate:
		return schemas.LogicalOf(schemas.Date), appendDate
	case oidTimestamp:
		return schemas.LogicalOf(schemas.LocalTimestampMicros), appendTimestamp
	case oidTimestamptz:
		return schemas.LogicalOf(schemas.TimestampMicros), appendTimestamptz
	case oidMoney:
		if money {
			return schemas.DecimalOf(19, 2), appendMoney
		}
	}
	typ := plainType(t)
	if f, err := schemas.CompileText(typ); err == nil {
		return typ, f
	}
	return schemas.Primitive(schemas.String), appendText // not reached: every plain type has a text form
}

// plainType is the Avro type of the types whose text schemas.CompileText reads as Postgres writes it.
func plainType(t pgType) *schemas.Type {
	switch t.oid {
	case oidBool:
		return schemas.Primitive(schemas.Boolean)
	case oidInt2, oidInt4:
		return schemas.Primitive(schemas.Int)
	case oidInt8, oidOID:
		return schemas.Primitive(schemas.Long)
	case oidFloat4:
		return schemas.Primitive(schemas.Float)
	case oidFloat8:
		return schemas.Primitive(schemas.Double)
	case oidTime:
		return schemas.LogicalOf(schemas.TimeMicros)
	case oidUUID:
		return schemas.LogicalOf(schemas.UUID)
	case oidNumeric:
		if precision, scale, ok := numericModifier(t.typmod); ok && precision <= maxPrecision && scale >= 0 && scale <= precision {
			return schemas.DecimalOf(precision, scale)
		}
	}
	return schemas.Primitive(schemas.String)
}

// numericModifier unpacks the precision and scale of a numeric's type modifier (numeric.c); ok is false for a bare numeric.
func numericModifier(typmod int32) (precision, scale int, ok bool) {
	if typmod < 4 {
		return 0, 0, false
	}
	m := typmod - 4
	return int(m>>16) & 0xffff, int((m&0x7ff)^1024) - 1024, true
}

func appendText(dst, text []byte) ([]byte, error) { return schemas.AppendBytes(dst, text), nil }

// appendHexBytes reads bytea in hex form, \x0123.
func appendHexBytes(dst, text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' || len(text)%2 != 0 {
		return dst, fmt.Errorf("bytea is not in hex form")
	}
	out := schemas.AppendLong(dst, int64(len(text)/2-1))
	out, err := hex.AppendDecode(out, text[2:])
	if err != nil {
		return dst, fmt.Errorf("bytea is not in hex form: %w", err)
	}
	return out, nil
}

func infinite(text []byte) (negative, ok bool) {
	switch string(text) {
	case "infinity":
		return false, true
	case "-infinity":
		return true, true
	}
	return false, false
}

func appendDate(dst, text []byte) ([]byte, error) {
	if negative, ok := infinite(text); ok {
		if negative {
			return schemas.AppendLong(dst, DateNegativeInfinity), nil
		}
		return schemas.AppendLong(dst, DateInfinity), nil
	}
	days, err := schemas.ParseDate(text)
	if err != nil {
		return dst, err
	}
	return schemas.AppendLong(dst, int64(days)), nil
}

func appendTimestamp(dst, text []byte) ([]byte, error)   { return appendMicros(dst, text, false) }
func appendTimestamptz(dst, text []byte) ([]byte, error) { return appendMicros(dst, text, true) }

func appendMicros(dst, text []byte, zone bool) ([]byte, error) {
	if negative, ok := infinite(text); ok {
		if negative {
			return schemas.AppendLong(dst, TimestampNegativeInfinity), nil
		}
		return schemas.AppendLong(dst, TimestampInfinity), nil
	}
	micros, zoned, err := schemas.ParseTimestampMicros(text)
	switch {
	case err != nil:
		return dst, err
	case zoned != zone:
		return dst, fmt.Errorf("timestamp %q has an offset where none belongs, or none where one does", text)
	case micros == TimestampInfinity || micros == TimestampNegativeInfinity:
		return dst, fmt.Errorf("timestamp %s is the one that stands for infinity; send the column as_text", text)
	}
	return schemas.AppendLong(dst, micros), nil
}

// appendMoney reads money as lc_monetary C writes it: -$1,234.11.
func appendMoney(dst, text []byte) ([]byte, error) {
	var b [40]byte
	plain := b[:0]
	for _, c := range text {
		if c != '$' && c != ',' {
			plain = append(plain, c)
		}
	}
	if bytes.HasPrefix(plain, []byte("(")) {
		return dst, fmt.Errorf("money %q is not in the form of lc_monetary C", text)
	}
	return schemas.AppendDecimalText(dst, plain, 19, 2)
}
