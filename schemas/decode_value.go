package schemas

import (
	"fmt"
	"math"
)

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
