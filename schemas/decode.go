package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// The errors of bytes that are not what the schema says. They come wrapped, with the path of the field and the byte's place.
var (
	errTruncated   = errors.New("the bytes end in the middle of a value")
	errTrailing    = errors.New("bytes are left after the last value")
	errVarint      = errors.New("a number is longer than ten bytes or does not fit in 64 bits")
	errIntRange    = errors.New("an int does not fit in 32 bits")
	errBool        = errors.New("a boolean is neither 0 nor 1")
	errLength      = errors.New("a length is negative or goes past the end")
	errCount       = errors.New("a block's count is more than the bytes can hold")
	errBlockSize   = errors.New("a block's size is not that of its items")
	errBranch      = errors.New("a union has no such branch")
	errSymbol      = errors.New("an enum has no such symbol")
	errUTF8        = errors.New("a string is not valid UTF-8")
	errDigits      = errors.New("a decimal has more digits than its precision")
	errUUID        = errors.New("a uuid is not 36 characters of hexadecimal digits and hyphens")
	errNull        = errors.New("null, which the reader's schema does not allow here")
	errInexact     = errors.New("a whole number that a floating-point number cannot hold exactly")
	errOtherSchema = errors.New("the columns are of another schema than the reader's")
)

// maxEmptyItems bounds the items of one list that take no bytes at all (nulls, records without fields): a few bytes could claim any number of them.
const maxEmptyItems = 1 << 10

// Decoder turns Avro payloads written with one schema into rows of another. It is compiled once, immutable, and safe for concurrent use.
type Decoder struct {
	writer, reader *Schema
	steps          []step
}

// NewDecoder compiles the way from the writer's schema to the reader's, as the Avro specification resolves them: fields by name, a missing one takes
// its default, an unknown one is skipped, an unknown symbol becomes the enum's default, int may become long, float or double, long float or
// double, float double, string and bytes each other, T a union with T, a decimal one of more digits and the same scale.
//
// It is stricter than the specification in three ways, so that no value changes on the way. Logical types must be equal (milliseconds do not
// become microseconds by reading one as the other); a uuid may become its string. A whole number that a float or double cannot hold is an error of its row.
// A decimal with more digits than its precision and text that is no UUID under that logical type are errors of theirs.
func NewDecoder(writer, reader *Schema) (*Decoder, error) {
	s, err := resolve(writer.Root, reader.Root)
	if err != nil {
		return nil, fmt.Errorf("read avro: %w", err)
	}
	return &Decoder{writer: writer, reader: reader, steps: []step{s}}, nil
}

// Reader is the schema of the columns that Decode fills.
func (d *Decoder) Reader() *Schema { return d.reader }

// Decode appends exactly one row: payload is one value of the writer's schema, without the head of the wire format. On an error, which names the field
// and says what is wrong with the bytes, cols is as it was.
func (d *Decoder) Decode(payload []byte, cols *Columns) error {
	if cols.Schema != d.reader && cols.Schema.text != d.reader.text {
		return errOtherSchema
	}
	p, err := run(d.steps, cols.roots, payload, 0)
	if err == nil && p != len(payload) {
		err = fmt.Errorf("%w: %d of %d", errTrailing, len(payload)-p, len(payload))
	}
	if err != nil {
		cols.Truncate(cols.rows)
		return fmt.Errorf("decode avro: %w", err)
	}
	cols.rows++
	return nil
}

type op uint8

const (
	opNull op = iota
	opBool
	opInt32
	opInt64
	opIntAsInt64
	opIntAsFloat32
	opIntAsFloat64
	opLongAsFloat32
	opLongAsFloat64
	opFloat32
	opFloat64
	opFloatAsFloat64
	opBytes
	opString
	opFixed
	opUUIDText
	opDecimal64
	opDecimalBig
	opDecimalFixed64
	opDecimalFixedBig
	opEnum
	opList
	opMap
	opRecord
	opDefault
	opSkip
	opWriterUnion
	opIntoUnion
	opFail
)

// step reads one value of the writer and appends it to one column of the reader.
type step struct {
	op       op
	nullable bool  // the writer's type is a union of null and one other: a branch comes first
	mark     bool  // the column is optional: note that it is not null
	present  int64 // the branch of the value
	column   int32 // place of the column; -1 for none
	size     int   // of a fixed
	minimum  int   // bytes that an item of a list or map takes at least
	name     string
	steps    []step // of a record's fields, a list's item, a map's value, a union's branches
	branch   int    // of the reader's union
	symbols  []int32
	constant []byte // a default in Avro
	digits   *digitLimit
	skipped  *Type
	err      error
}

// run executes steps on the payload b from p on and returns where they end.
func run(steps []step, cols []*Column, b []byte, p int) (int, error) {
	for i := range steps {
		s := &steps[i]
		var c *Column
		if s.column >= 0 {
			c = cols[s.column]
		}
		if s.nullable {
			branch, next := readLong(b, p)
			switch {
			case next < 0:
				return p, s.fail(p, errOf(next))
			case uint64(branch) > 1:
				return p, s.fail(p, errBranch)
			case branch != s.present:
				if !c.Optional {
					return p, s.fail(p, errNull)
				}
				c.AppendNull()
				p = next
				continue
			}
			p = next
		}
		if s.mark {
			c.Valid = append(c.Valid, true)
		}
		var v int64
		var err error
		switch s.op {
		case opInt32:
			if v, p = readLong(b, p); p < 0 {
				return p, s.fail(len(b), errOf(p))
			}
			if v != int64(int32(v)) {
				return p, s.fail(p, errIntRange)
			}
			c.Int32 = append(c.Int32, int32(v))
		case opInt64:
			if v, p = readLong(b, p); p < 0 {
				return p, s.fail(len(b), errOf(p))
			}
			c.Int64 = append(c.Int64, v)
		case opString, opBytes:
			if v, p = readLong(b, p); p < 0 {
				return p, s.fail(len(b), errOf(p))
			}
			if uint64(v) > uint64(len(b)-p) {
				return p, s.fail(p, errLength)
			}
			text := b[p : p+int(v)]
			if s.op == opString && !utf8.Valid(text) {
				return p, s.fail(p, errUTF8)
			}
			p += int(v)
			c.Data = append(c.Data, text...)
			c.Offsets = append(c.Offsets, len(c.Data))
		case opFloat64:
			if len(b)-p < 8 {
				return p, s.fail(p, errTruncated)
			}
			c.Float64 = append(c.Float64, float64At(b, p))
			p += 8
		case opBool:
			if p >= len(b) {
				return p, s.fail(p, errTruncated)
			}
			if b[p] > 1 {
				return p, s.fail(p, errBool)
			}
			c.Bool = append(c.Bool, b[p] == 1)
			p++
		case opDecimal64:
			if v, p = readLong(b, p); p < 0 {
				return p, s.fail(len(b), errOf(p))
			}
			if uint64(v) > uint64(len(b)-p) {
				return p, s.fail(p, errLength)
			}
			small, ok := s.digits.small(b[p : p+int(v)])
			if !ok {
				return p, s.fail(p, errDigits)
			}
			p += int(v)
			c.Int64 = append(c.Int64, small)
		case opRecord:
			c.count++
			if p, err = run(s.steps, c.Children, b, p); err != nil {
				return p, s.at(err)
			}
		default:
			if p, err = s.other(c, cols, b, p); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// other executes the steps that are not among the most frequent ones.
func (s *step) other(c *Column, cols []*Column, b []byte, p int) (int, error) {
	var err error
	switch s.op {
	case opNull:
		c.AppendNull()
	case opIntAsInt64, opIntAsFloat32, opIntAsFloat64, opLongAsFloat32, opLongAsFloat64:
		return s.number(c, b, p)
	case opFloat32, opFloatAsFloat64:
		if len(b)-p < 4 {
			return p, s.fail(p, errTruncated)
		}
		if v := float32At(b, p); s.op == opFloat32 {
			c.Float32 = append(c.Float32, v)
		} else {
			c.Float64 = append(c.Float64, float64(v))
		}
		p += 4
	case opFixed:
		if len(b)-p < s.size {
			return p, s.fail(p, errTruncated)
		}
		c.count++
		c.Data = append(c.Data, b[p:p+s.size]...)
		p += s.size
	case opDecimalBig, opDecimalFixed64, opDecimalFixedBig:
		return s.decimal(c, b, p)
	case opUUIDText:
		return s.uuid(c, b, p)
	case opEnum:
		return s.enum(c, b, p)
	case opList, opMap:
		if p, err = s.blocks(c, b, p); err != nil {
			return p, s.at(err)
		}
		c.Offsets = append(c.Offsets, c.Children[0].Len())
	case opDefault:
		_, err = run(s.steps, cols, s.constant, 0)
		return p, err
	case opSkip:
		if p, err = skip(s.skipped, b, p); err != nil {
			return p, s.fail(p, err)
		}
	case opWriterUnion:
		v, next := readLong(b, p)
		if next < 0 {
			return p, s.fail(p, errOf(next))
		}
		if uint64(v) >= uint64(len(s.steps)) {
			return p, s.fail(p, errBranch)
		}
		return run(s.steps[v:v+1], cols, b, next)
	case opIntoUnion:
		c.AppendBranch(s.branch)
		return run(s.steps, c.Children, b, p)
	case opFail:
		return p, s.fail(p, s.err)
	}
	return p, nil
}

func (s *step) number(c *Column, b []byte, p int) (int, error) {
	v, next := readLong(b, p)
	if next < 0 {
		return p, s.fail(p, errOf(next))
	}
	if (s.op == opIntAsInt64 || s.op == opIntAsFloat32 || s.op == opIntAsFloat64) && v != int64(int32(v)) {
		return p, s.fail(p, errIntRange)
	}
	switch s.op {
	case opIntAsInt64:
		c.Int64 = append(c.Int64, v)
	case opIntAsFloat32, opLongAsFloat32:
		f := float32(v)
		if !exactly(float64(f), v) {
			return p, s.fail(p, errInexact)
		}
		c.Float32 = append(c.Float32, f)
	default:
		f := float64(v)
		if !exactly(f, v) {
			return p, s.fail(p, errInexact)
		}
		c.Float64 = append(c.Float64, f)
	}
	return next, nil
}

// exactly tells whether f is v. 2^63 itself is a float that int64 does not reach.
func exactly(f float64, v int64) bool { return f < math.MaxInt64 && int64(f) == v }

func (s *step) decimal(c *Column, b []byte, p int) (int, error) {
	size := s.size
	if s.op == opDecimalBig {
		v, next := readLong(b, p)
		if next < 0 {
			return p, s.fail(p, errOf(next))
		}
		if uint64(v) > uint64(len(b)-next) {
			return p, s.fail(p, errLength)
		}
		size, p = int(v), next
	}
	if len(b)-p < size {
		return p, s.fail(p, errTruncated)
	}
	unscaled := b[p : p+size]
	if c.Form == FormInt64 {
		v, ok := s.digits.small(unscaled)
		if !ok {
			return p, s.fail(p, errDigits)
		}
		c.Int64 = append(c.Int64, v)
		return p + size, nil
	}
	if unscaled = trimSign(unscaled); !s.digits.holds(unscaled) {
		return p, s.fail(p, errDigits)
	}
	if len(unscaled) == 0 {
		c.Data = append(c.Data, 0)
	}
	c.Data = append(c.Data, unscaled...)
	c.Offsets = append(c.Offsets, len(c.Data))
	return p + size, nil
}

func (s *step) uuid(c *Column, b []byte, p int) (int, error) {
	if len(b)-p < 37 || b[p] != 72 { // 36 as a zigzag varint
		return p, s.fail(p, errUUID)
	}
	id, err := parseUUID(b[p+1 : p+37])
	if err != nil {
		return p, s.fail(p, errUUID)
	}
	c.count++
	c.Data = append(c.Data, id[:]...)
	return p + 37, nil
}

func (s *step) enum(c *Column, b []byte, p int) (int, error) {
	v, next := readLong(b, p)
	if next < 0 {
		return p, s.fail(p, errOf(next))
	}
	if uint64(v) >= uint64(len(s.symbols)) {
		return p, s.fail(p, errSymbol)
	}
	symbol := s.symbols[v]
	if symbol < 0 {
		return p, s.fail(p, fmt.Errorf("symbol number %d of the writer's enum is not in the reader's, which has no default", v))
	}
	c.Index = append(c.Index, symbol)
	return next, nil
}

// blocks reads the blocks of a list or map up to the one without items.
func (s *step) blocks(c *Column, b []byte, p int) (int, error) {
	for room := int64(maxEmptyItems); ; {
		count, end, next, err := readBlock(b, p, s.minimum, room)
		if err != nil {
			return p, place(p, err)
		}
		room -= count
		if p = next; count == 0 {
			return p, nil
		}
		for range count {
			if p, err = run(s.steps, c.Children, b, p); err != nil {
				return p, err
			}
		}
		if end >= 0 && p != end {
			return p, place(p, errBlockSize)
		}
	}
}

// readBlock reads the head of a block: the number of items and, where the writer gave the block's size, its end (else -1). minimum is what an item takes
// at least; where that is nothing, room is the number of items that may come.
func readBlock(b []byte, p, minimum int, room int64) (count int64, end, next int, err error) {
	count, next = readLong(b, p)
	if next < 0 {
		return 0, 0, p, errOf(next)
	}
	end = -1
	if count < 0 {
		if count = -count; count < 0 {
			return 0, 0, p, errCount
		}
		size, after := readLong(b, next)
		if after < 0 {
			return 0, 0, p, errOf(after)
		}
		if uint64(size) > uint64(len(b)-after) {
			return 0, 0, p, errLength
		}
		next = after
		end = next + int(size)
	}
	if minimum > 0 {
		room = int64((len(b) - next) / minimum)
	}
	if count > room {
		return 0, 0, p, errCount
	}
	return count, end, next, nil
}

// readLong reads a zigzag varint at p. next is the place behind it, -1 where b ends too early and -2 where the number has more than 64 bits.
func readLong(b []byte, p int) (v int64, next int) {
	if p < len(b) && b[p] < 0x80 {
		return int64(b[p]>>1) ^ -int64(b[p]&1), p + 1
	}
	return readLongSlow(b, p)
}

//go:noinline
func readLongSlow(b []byte, p int) (int64, int) {
	var u uint64
	for shift := uint(0); shift < 70; shift += 7 {
		if p >= len(b) {
			return 0, -1
		}
		x := b[p]
		p++
		if x < 0x80 {
			if shift == 63 && x > 1 {
				return 0, -2
			}
			u |= uint64(x) << shift
			return int64(u>>1) ^ -int64(u&1), p
		}
		u |= uint64(x&0x7f) << shift
	}
	return 0, -2
}

func errOf(next int) error {
	if next == -2 {
		return errVarint
	}
	return errTruncated
}

// fail wraps err with the byte's place and the field's name.
func (s *step) fail(p int, err error) error { return s.at(place(p, err)) }

func place(p int, err error) error { return fmt.Errorf("at byte %d: %w", p, err) }

func (s *step) at(err error) error {
	if s.name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

// digitLimit tells whether unscaled values have at most so many digits.
type digitLimit struct {
	most            int64  // 10^digits - 1 where that is an int64, else 0
	highest, lowest []byte // ± (10^digits - 1) in the fewest two's complement bytes
}

// small reads an unscaled value of at most 18 digits.
func (d *digitLimit) small(unscaled []byte) (int64, bool) {
	if len(unscaled) > 8 {
		if unscaled = trimSign(unscaled); len(unscaled) > 8 {
			return 0, false
		}
	}
	v := int64(0)
	if len(unscaled) > 0 {
		v = int64(int8(unscaled[0]))
		for _, x := range unscaled[1:] {
			v = v<<8 | int64(x)
		}
	}
	return v, v <= d.most && v >= -d.most
}

// holds tells whether an unscaled value without repeated sign bytes is within the limit. Values of one sign and one length compare as their bytes do.
func (d *digitLimit) holds(unscaled []byte) bool {
	if len(unscaled) == 0 {
		return true
	}
	if unscaled[0]&0x80 == 0 {
		return len(unscaled) < len(d.highest) || len(unscaled) == len(d.highest) && bytes.Compare(unscaled, d.highest) <= 0
	}
	return len(unscaled) < len(d.lowest) || len(unscaled) == len(d.lowest) && bytes.Compare(unscaled, d.lowest) >= 0
}
