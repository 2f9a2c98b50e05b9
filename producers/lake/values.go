package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"

	"adventureworks.example/extract/schemas"
)

// leafPlan is how one column's values become Avro.
type leafPlan struct {
	op       op
	nullable bool // the Avro type is [null, T]
}

// The reasons why a value that was read cannot be stored.
var (
	errNotUTF8     = errors.New("the text is not valid UTF-8")
	errNotExact    = errors.New("the time has digits below a microsecond")
	errOutOfRange  = errors.New("the time is out of range")
	errNoDecimal   = errors.New("the decimal has no bytes")
	errUnsignedInt = errors.New("the unsigned number does not fit its declared width")
)

// plainOf brings the values of a data page into the form of PLAIN and makes sure that they are all there.
func (c *chunk) plainOf(enc format.Encoding, data []byte, there int) ([]byte, error) {
	if there == 0 {
		return nil, nil
	}
	size := c.field.size()
	var err error
	switch {
	case c.field.physical == format.Boolean:
		c.scratch, err = appendBooleans(c.scratch[:0], enc, data, there)
		return c.scratch, err
	case enc == format.Plain && size > 0:
		if int64(len(data)) < int64(there)*int64(size) {
			return nil, errPageShort
		}
		return data, nil
	case enc == format.Plain:
		return data, checkByteArrays(data, there)
	case enc == format.DeltaBinaryPacked && (c.field.physical == format.Int32 || c.field.physical == format.Int64):
		c.scratch, err = appendDeltaInts(c.scratch[:0], data, there, size)
		return c.scratch, err
	case enc == format.DeltaLengthByteArray && size == 0:
		c.scratch, err = appendDeltaBytes(c.scratch[:0], data, there, false, 0, maxPageBytes)
		return c.scratch, err
	case enc == format.DeltaByteArray && (size == 0 || c.field.physical == format.FixedLenByteArray):
		c.scratch, err = appendDeltaBytes(c.scratch[:0], data, there, true, size, maxPageBytes)
		return c.scratch, err
	case enc == format.ByteStreamSplit && size > 0:
		c.scratch, err = appendSplit(c.scratch[:0], data, there, size)
		return c.scratch, err
	}
	return nil, fmt.Errorf("this encoding does not go with %s", c.field.physical)
}

// size is how many bytes each value has in the form of PLAIN, 0 where they differ.
func (f *field) size() int {
	switch f.physical {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.Int96:
		return 12
	case format.FixedLenByteArray:
		return f.length
	}
	return 0
}

// appendBooleans makes one byte of each boolean.
func appendBooleans(dst []byte, enc format.Encoding, data []byte, there int) ([]byte, error) {
	switch enc {
	case format.Plain:
		if (there+7)/8 > len(data) {
			return dst, errPageShort
		}
		for i := range there {
			dst = append(dst, data[i>>3]>>(i&7)&1)
		}
		return dst, nil
	case format.RLE:
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return dst, errPageShort
		}
		dst, _, err := appendHybrid(dst, data[4:4+binary.LittleEndian.Uint32(data)], 1, there)
		return dst, err
	}
	return dst, errors.New("this encoding does not go with BOOLEAN")
}

func checkByteArrays(data []byte, there int) error {
	for range there {
		if len(data) < 4 {
			return errPageShort
		}
		n := binary.LittleEndian.Uint32(data)
		if uint64(n) > uint64(len(data)-4) {
			return errPageShort
		}
		data = data[4+n:]
	}
	return nil
}

// appendValue appends the next value that is there. When it cannot be stored, what is appended keeps the row's shape and the error
// says why.
func (c *chunk) appendValue(dst []byte) ([]byte, error) {
	if c.plain != nil {
		return c.appendPlain(dst)
	}
	i := c.indexes[c.at]
	c.at++
	start := uint32(0)
	if i > 0 {
		start = c.dict.ends[i-1]
	}
	dst = append(dst, c.dict.avro[start:c.dict.ends[i]]...)
	if c.dict.invalid != nil {
		return dst, c.dict.invalid[i]
	}
	return dst, nil
}

// appendPlain appends the next value of c.plain.
func (c *chunk) appendPlain(dst []byte) ([]byte, error) {
	mark := len(dst)
	if c.values.nullable {
		dst = append(dst, 2)
	}
	switch c.values.op {
	case opBoolean:
		dst = append(dst, c.plain[0])
		c.plain = c.plain[1:]
		return dst, nil
	case opBytes, opString, opDecimalBytes:
		n := binary.LittleEndian.Uint32(c.plain)
		v := c.plain[4 : 4+n]
		c.plain = c.plain[4+n:]
		return c.appendVariable(dst, v)
	}
	size := c.field.size()
	v := c.plain[:size]
	c.plain = c.plain[size:]
	dst, err := appendFixedSize(dst, c.values.op, v)
	if err != nil {
		dst = append(dst[:mark], 0) // null, or a zero where none may be
	}
	return dst, err
}

func (c *chunk) appendVariable(dst, v []byte) ([]byte, error) {
	if c.values.op == opDecimalBytes {
		if len(v) == 0 {
			return schemas.AppendBytes(dst, v), errNoDecimal
		}
		return schemas.AppendDecimalBytes(dst, v), nil
	}
	dst = schemas.AppendBytes(dst, v)
	if c.values.op == opString && !utf8.Valid(v) {
		return dst, errNotUTF8
	}
	return dst, nil
}

// appendFixedSize appends a value of the physical types whose values all have one size.
func appendFixedSize(dst []byte, o op, v []byte) ([]byte, error) {
	switch o {
	case opInt:
		return schemas.AppendLong(dst, int64(int32(binary.LittleEndian.Uint32(v)))), nil
	case opLong:
		return schemas.AppendLong(dst, int64(binary.LittleEndian.Uint64(v))), nil
	case opFloat, opDouble, opDuration:
		return append(dst, v...), nil
	case opUnsigned:
		return schemas.AppendLong(dst, int64(binary.LittleEndian.Uint32(v))), nil
	case opUnsignedSmall:
		if u := binary.LittleEndian.Uint32(v); u > math.MaxUint16 {
			return dst, errUnsignedInt
		}
		return schemas.AppendLong(dst, int64(binary.LittleEndian.Uint32(v))), nil
	case opIntDouble:
		return schemas.AppendDouble(dst, float64(int32(binary.LittleEndian.Uint32(v)))), nil
	case opFloatDouble:
		return schemas.AppendDouble(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(v)))), nil
	case opFloat16:
		return schemas.AppendFloat(dst, float16(binary.LittleEndian.Uint16(v))), nil
	case opFloat16Double:
		return schemas.AppendDouble(dst, float64(float16(binary.LittleEndian.Uint16(v)))), nil
	case opFixed:
		return schemas.AppendBytes(dst, v), nil
	case opUUID:
		return schemas.AppendUUID(dst, [16]byte(v)), nil
	case opDecimalInt:
		return schemas.AppendDecimalInt64(dst, int64(int32(binary.LittleEndian.Uint32(v)))), nil
	case opDecimalLong:
		return schemas.AppendDecimalInt64(dst, int64(binary.LittleEndian.Uint64(v))), nil
	case opUnsignedLong:
		var b [9]byte
		binary.BigEndian.PutUint64(b[1:], binary.LittleEndian.Uint64(v))
		return schemas.AppendDecimalBytes(dst, b[:]), nil
	case opDecimalFixed:
		return schemas.AppendDecimalBytes(dst, v), nil
	}
	return appendTime(dst, o, v)
}

func appendTime(dst []byte, o op, v []byte) ([]byte, error) {
	switch o {
	case opMillisInt:
		return schemas.AppendLong(dst, int64(int32(binary.LittleEndian.Uint32(v)))*1000), nil
	case opMillis:
		n := int64(binary.LittleEndian.Uint64(v))
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return dst, errOutOfRange
		}
		return schemas.AppendLong(dst, n*1000), nil
	case opNanosMicros:
		n := int64(binary.LittleEndian.Uint64(v))
		if n%1000 != 0 {
			return dst, errNotExact
		}
		return schemas.AppendLong(dst, n/1000), nil
	case opInt96, opInt96Nanos:
		n, err := int96Time(v, o)
		return schemas.AppendLong(dst, n), err
	}
	return dst, fmt.Errorf("operation %d is not one of a value of %d bytes", o, len(v))
}

const julianEpoch = 2440588 // the Julian day of 1970-01-01

// int96Time is a legacy timestamp in micro- or nanoseconds since 1970: eight bytes of nanoseconds in the day, then four of the Julian day.
func int96Time(v []byte, o op) (int64, error) {
	nanos := int64(binary.LittleEndian.Uint64(v))
	day := int64(int32(binary.LittleEndian.Uint32(v[8:]))) - julianEpoch
	perDay := int64(86_400_000_000_000)
	if o == opInt96 {
		if nanos%1000 != 0 {
			return 0, errNotExact
		}
		nanos, perDay = nanos/1000, perDay/1000
	}
	hi, lo := bits.Mul64(uint64(max(day, -day)), uint64(perDay))
	if hi != 0 || lo > math.MaxInt64/2 || nanos > math.MaxInt64/2 || nanos < math.MinInt64/2 {
		return 0, errOutOfRange
	}
	return day*perDay + nanos, nil
}

// float16 widens an IEEE 754 half, which is always exact. A NaN keeps its sign and payload.
func float16(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch {
	case exponent == 31:
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	case exponent > 0:
		return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
	case fraction == 0:
		return math.Float32frombits(sign)
	}
	shift := uint32(bits.LeadingZeros16(uint16(fraction)) - 5) // of a subnormal
	return math.Float32frombits(sign | (113-shift)<<23 | (fraction<<shift&1023)<<13)
}
