package schemas

import (
	"fmt"
	"strconv"
)

// Encoder turns rows into Avro payloads: the inverse of a Decoder whose two schemas are the same. It is compiled once, immutable, and safe for
// concurrent use.
type Encoder struct {
	schema *Schema
	root   *writeStep
}

// NewEncoder compiles the encoding of rows of the schema.
func NewEncoder(s *Schema) *Encoder { return &Encoder{schema: s, root: newWriteStep(s.Root)} }

// Append appends one row's payload, without the head of the wire format. On an error, which only values that no decoder makes can cause (a number of a symbol or a
// branch that the schema does not have, a decimal too large for its fixed), dst comes back as it was.
func (e *Encoder) Append(dst []byte, cols *Columns, row int) ([]byte, error) {
	if cols.Schema != e.schema && cols.Schema.text != e.schema.text {
		return dst, fmt.Errorf("encode avro: %w", errOtherSchema)
	}
	out, err := e.root.append(dst, cols.Root, row)
	if err != nil {
		return dst, fmt.Errorf("encode avro: %w", err)
	}
	return out, nil
}

// writeStep writes one column. Its children go beside the column's.
type writeStep struct {
	kind          Kind
	form          Form
	nullable      bool
	decimal, uuid bool
	null, present byte // the branches as they are encoded
	size          int  // of a fixed, 0 for a decimal of bytes and a uuid of text
	steps         []*writeStep
}

func newWriteStep(t *Type) *writeStep {
	s := &writeStep{}
	if value, branch, ok := t.Optional(); ok {
		s.nullable, s.present, s.null = true, byte(branch<<1), byte(branch<<1)^2
		t = value
	}
	s.kind, s.form, s.size = t.Kind, formOf(t), t.Size
	s.decimal, s.uuid = t.Logical == Decimal, t.Logical == UUID
	switch t.Kind {
	case Array:
		s.steps = []*writeStep{newWriteStep(t.Items)}
	case Map:
		s.steps = []*writeStep{newWriteStep(&stringType), newWriteStep(t.Items)}
	case Record:
		for _, f := range t.Fields {
			s.steps = append(s.steps, newWriteStep(f.Type))
		}
	case Union:
		for _, b := range t.Branches {
			s.steps = append(s.steps, newWriteStep(b))
		}
	}
	return s
}

func (s *writeStep) append(dst []byte, c *Column, row int) ([]byte, error) {
	if s.nullable {
		if !c.Valid[row] {
			return append(dst, s.null), nil
		}
		dst = append(dst, s.present)
	}
	switch s.form {
	case FormBool:
		return AppendBoolean(dst, c.Bool[row]), nil
	case FormInt32:
		return AppendLong(dst, int64(c.Int32[row])), nil
	case FormInt64:
		if s.decimal {
			return s.appendDecimal64(dst, c.Int64[row])
		}
		return AppendLong(dst, c.Int64[row]), nil
	case FormFloat32:
		return AppendFloat(dst, c.Float32[row]), nil
	case FormFloat64:
		return AppendDouble(dst, c.Float64[row]), nil
	case FormBytes:
		if s.decimal && s.kind == Fixed {
			return AppendDecimalFixed(dst, c.Bytes(row), s.size)
		}
		return AppendBytes(dst, c.Bytes(row)), nil
	case FormFixed:
		if s.uuid && s.kind == String {
			return AppendUUID(dst, [16]byte(c.Bytes(row))), nil
		}
		return append(dst, c.Bytes(row)...), nil
	case FormEnum:
		if i := c.Index[row]; i < 0 || int(i) >= len(c.Type.Symbols) {
			return dst, fmt.Errorf("%s: %w", c.label(), errSymbol)
		}
		return AppendLong(dst, int64(c.Index[row])), nil
	case FormList, FormMap:
		return s.appendItems(dst, c, row)
	case FormRecord:
		for i, child := range s.steps {
			var err error
			if dst, err = child.append(dst, c.Children[i], row); err != nil {
				return dst, fmt.Errorf("%s: %w", c.Children[i].label(), err)
			}
		}
	case FormUnion:
		i := c.Index[row]
		if i < 0 || int(i) >= len(s.steps) {
			return dst, fmt.Errorf("%s: %w", c.label(), errBranch)
		}
		return s.steps[i].append(AppendBranch(dst, int(i)), c.Children[i], c.Places[row])
	}
	return dst, nil
}

func (s *writeStep) appendItems(dst []byte, c *Column, row int) ([]byte, error) {
	from, to := c.Offsets[row], c.Offsets[row+1]
	if to > from {
		dst = AppendBlock(dst, to-from)
	}
	for i := from; i < to; i++ {
		for k, child := range s.steps {
			var err error
			if dst, err = child.append(dst, c.Children[k], i); err != nil {
				return dst, err
			}
		}
	}
	return AppendBlock(dst, 0), nil
}

func (s *writeStep) appendDecimal64(dst []byte, v int64) ([]byte, error) {
	if s.kind == Bytes {
		return AppendDecimalInt64(dst, v), nil
	}
	if s.size > 0 && s.size < 8 && v>>(8*s.size-1) != 0 && v>>(8*s.size-1) != -1 {
		return dst, fmt.Errorf("a decimal does not fit in fixed(%s): %d", strconv.Itoa(s.size), v)
	}
	for i := s.size - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i))) // past the eighth byte only the sign is left
	}
	return dst, nil
}
