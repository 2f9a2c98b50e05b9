package schemas

import (
	"errors"
	"fmt"
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
// A decimal with more digits than its precision and text that is no UUID under that logical type are errors of theirs. Names of records, enums and fixeds are
// not compared, since a table has its own, and aliases are not used.
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

// run executes steps on the payload b from p on and returns where they end. It is the one loop that every value of every record passes, so the kinds that
// most values are of are read in it and not by a call each; the others are in other.
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

// fail wraps err with the byte's place and the field's name.
func (s *step) fail(p int, err error) error { return s.at(place(p, err)) }

func place(p int, err error) error { return fmt.Errorf("at byte %d: %w", p, err) }

func (s *step) at(err error) error {
	if s.name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", s.name, err)
}
