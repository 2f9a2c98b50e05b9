package lake

import (
	"errors"
	"fmt"
	"io"

	"adventureworks.example/extract/schemas"
)

// rowReader assembles the rows of one row group from its columns, as the Dremel paper describes (Melnik et al., 2010). One goroutine owns it.
type rowReader struct {
	plan    *plan
	footer  *footer
	group   int
	in      io.ReaderAt
	origin  origin
	base    int64 // row number in the object, from 1, of the group's first row
	codecs  *codecs
	columns []chunk // of plan.leaves

	row     int64 // of the group, of the next row
	invalid *valueError
}

var errMissing = errors.New("a value is missing that the schema requires")

// Bytes that the windows of all columns have together.
const (
	windowBudget = 16 << 20
	minWindow    = 32 << 10
	maxWindow    = 1 << 20
)

func newRowReader(f *footer, p *plan, group int, in io.ReaderAt, o origin, c *codecs) *rowReader {
	r := &rowReader{plan: p, footer: f, group: group, in: in, origin: o, codecs: c, base: 1, columns: make([]chunk, len(p.leaves))}
	for i := range group {
		r.base += f.meta.RowGroups[i].NumRows
	}
	for i, s := range p.leaves {
		meta := &f.meta.RowGroups[group].Columns[s.field.leaf].MetaData
		r.columns[i] = chunk{field: s.field, meta: meta, values: s.leaf, codecs: c}
	}
	return r
}

// seek makes row, counted from 0 in the group, the next.
func (r *rowReader) seek(row int64) (err error) {
	defer recoverInto(&err)
	size := min(max(windowBudget/len(r.columns), minWindow), maxWindow)
	for i := range r.columns {
		c := &r.columns[i]
		c.open(r.in, size)
		if err := c.skipRows(row); err != nil {
			return err
		}
	}
	r.row = row
	return nil
}

// append appends the next row's Avro to dst. A *valueError means that the row was read, that what was appended is its Avro with the value
// in question as it is or null, and that reading goes on behind it. A *pageError means that seek must find the next row. Other errors are
// the reader's.
func (r *rowReader) append(dst []byte) (out []byte, err error) {
	mark := len(dst)
	defer func() {
		if p := recover(); p != nil {
			out, err = dst[:mark], &pageError{reason: fmt.Errorf("the row cannot be decoded: %v", p)}
		}
	}()
	r.invalid = nil
	for _, s := range r.plan.fields {
		if dst, err = r.value(dst, s); err != nil {
			return dst[:mark], err
		}
	}
	for i := range r.columns {
		if c := &r.columns[i]; c.field.maxRep > 0 && c.pos < c.n && c.reps[c.pos] != 0 {
			return dst[:mark], &pageError{column: c.field.path, reason: errors.New("a row has more values than its neighbours")}
		}
	}
	r.row++
	if r.invalid != nil {
		return dst, r.invalid
	}
	return dst, nil
}

func recoverInto(err *error) {
	if p := recover(); p != nil {
		*err = &pageError{reason: fmt.Errorf("the pages cannot be decoded: %v", p)}
	}
}

func (r *rowReader) value(dst []byte, s *step) ([]byte, error) {
	switch s.kind {
	case stepLeaf:
		c := &r.columns[s.first]
		if c.pos == c.n {
			if err := c.load(); err != nil {
				return dst, err
			}
		}
		def := s.def
		if c.field.maxDef > 0 {
			def = c.defs[c.pos]
		}
		c.pos++
		if def < s.def && !s.nullable {
			return dst, &pageError{column: c.field.path, reason: errMissing}
		}
		if def < s.def {
			return append(dst, 0), nil
		}
		dst, err := c.appendValue(dst)
		if err != nil && r.invalid == nil {
			r.invalid = &valueError{c.field.path, err}
		}
		return dst, nil
	case stepConstant:
		return append(dst, s.constant...), nil
	case stepOrigin:
		return r.origin.append(dst, r.base+r.row), nil
	}
	return r.composite(dst, s)
}

// composite makes the value of a step with columns below it.
func (r *rowReader) composite(dst []byte, s *step) ([]byte, error) {
	c := &r.columns[s.first]
	if c.pos == c.n {
		if err := c.load(); err != nil {
			return dst, err
		}
	}
	def := uint8(0)
	if c.field.maxDef > 0 {
		def = c.defs[c.pos]
	}
	if s.nullable {
		if def < s.def {
			return append(dst, 0), r.absent(s)
		}
		dst = append(dst, 2)
	} else if def < s.def {
		return dst, &pageError{column: c.field.path, reason: errMissing}
	}
	if s.kind == stepRecord {
		var err error
		for _, child := range s.children {
			if dst, err = r.value(dst, child); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	if def < s.itemDef {
		return append(dst, 0), r.absent(s)
	}
	return r.elements(dst, s)
}

// elements makes an array or a map as one block. The number of its elements is known only behind them, so a byte is kept for it.
func (r *rowReader) elements(dst []byte, s *step) ([]byte, error) {
	head := len(dst)
	dst = append(dst, 0)
	c := &r.columns[s.first]
	var err error
	count := 0
	for {
		for _, child := range s.children {
			if dst, err = r.value(dst, child); err != nil {
				return dst, err
			}
		}
		count++
		more, err := c.repeats(s.rep)
		if err != nil {
			return dst, err
		}
		if !more {
			break
		}
	}
	if count < 64 {
		dst[head] = byte(count) << 1
	} else {
		dst = insertCount(dst, head, count)
	}
	return append(dst, 0), nil
}

func insertCount(dst []byte, at, count int) []byte {
	var head [10]byte
	block := schemas.AppendBlock(head[:0], count)
	dst = append(dst, head[:len(block)-1]...) // room; the bytes are overwritten
	copy(dst[at+len(block):], dst[at+1:len(dst)-len(block)+1])
	copy(dst[at:], block)
	return dst
}

// absent passes over the one level that every column below s has for a value that is not there.
func (r *rowReader) absent(s *step) error {
	for i := s.first; i < s.last; i++ {
		c := &r.columns[i]
		if c.pos == c.n {
			if err := c.load(); err != nil {
				return err
			}
		}
		if c.defs[c.pos] == c.field.maxDef {
			return &pageError{column: c.field.path, reason: errors.New("a value is there whose parent is not")}
		}
		c.pos++
	}
	return nil
}
