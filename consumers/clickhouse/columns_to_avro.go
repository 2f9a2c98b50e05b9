package clickhouse

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// output is one column on its way back from the server into rows: the inverse of input.
type output struct {
	col  column
	cols *schemas.Columns
	rows int
	typ  proto.ColumnType // as the server writes it
}

var (
	_ proto.ColResult = (*output)(nil)
	_ proto.Inferable = (*output)(nil)
)

// Infer takes the server's word for the type where it differs in nothing but quotes. Another process may have widened the column since this one laid it out.
func (out *output) Infer(t proto.ColumnType) error {
	plain := strings.NewReplacer("`", "", "\\", "")
	if got, want := plain.Replace(t.String()), plain.Replace(out.col.wire); got != want {
		return faults.ClickHouseStale.Of(fmt.Errorf("column %s is %s, want %s", out.col.name, t, out.col.wire))
	}
	out.typ = t
	return nil
}

// Type is ClickHouse's type of the column.
func (out *output) Type() proto.ColumnType { return out.typ }

// Rows is how many values the column has.
func (out *output) Rows() int { return out.rows }

// Reset empties the column before the next block.
func (out *output) Reset() {} // the rows are reset as a whole

// DecodeColumn reads the values of a block.
func (out *output) DecodeColumn(r *proto.Reader, n int) error {
	out.rows = n
	c, _ := find(out.cols, out.col.path)
	if out.col.presence {
		present, err := r.ReadRaw(n)
		if err != nil {
			return err
		}
		appendValid(c, present, 1)
		return nil
	}
	if out.col.nullable {
		nulls, err := r.ReadRaw(n)
		if err != nil {
			return err
		}
		appendValid(c, nulls, 0)
	} else if c.Form != schemas.FormList && c.Form != schemas.FormMap { // a key, which has no nulls
		appendValid(c, make([]byte, n), 0)
	}
	return readValues(r, c, n)
}

// appendValid appends to Valid, where the column has it: valid is the byte of a row that is not null.
func appendValid(c *schemas.Column, marks []byte, valid byte) {
	if c.Optional {
		for _, m := range marks {
			c.Valid = append(c.Valid, m == valid)
		}
	}
}

// selectText is the expression that brings the column back in its wire type.
func (c column) selectText() string {
	if c.typ == c.wire {
		return quoteName(c.name)
	}
	return "CAST(" + quoteName(c.name) + ", " + quoteText(c.wire) + ") AS " + quoteName(c.name)
}

// endRecords completes the records and nulls of a set that was read back: they are no columns of the table.
func endRecords(c *schemas.Column, n int) {
	for c.Form == schemas.FormNull && c.Len() < n {
		c.AppendNull()
	}
	if c.Form != schemas.FormRecord {
		return
	}
	for _, child := range c.Children {
		endRecords(child, n)
	}
	valid := append([]bool(nil), c.Valid...)
	c.Valid = c.Valid[:0]
	for c.Len() < n {
		c.AppendRecord()
	}
	if c.Optional {
		c.Valid = valid
	}
}

// readValues appends n values without touching Valid.
func readValues(r *proto.Reader, c *schemas.Column, n int) error {
	switch c.Form {
	case schemas.FormBool:
		return readFixed(r, n, 1, func(b []byte) { c.Bool = append(c.Bool, b[0] != 0) })
	case schemas.FormInt32:
		size := 4
		if c.Type.Logical == schemas.TimeMillis {
			size = 8
		}
		return readFixed(r, n, size, func(b []byte) { c.Int32 = append(c.Int32, int32(binary.LittleEndian.Uint32(b))) })
	case schemas.FormInt64:
		if c.Type.Logical == schemas.Decimal && c.Type.Precision <= 9 {
			return readFixed(r, n, 4, func(b []byte) { c.Int64 = append(c.Int64, int64(int32(binary.LittleEndian.Uint32(b)))) })
		}
		return readFixed(r, n, 8, func(b []byte) { c.Int64 = append(c.Int64, int64(binary.LittleEndian.Uint64(b))) })
	case schemas.FormFloat32:
		return readFixed(r, n, 4, func(b []byte) { c.Float32 = append(c.Float32, math.Float32frombits(binary.LittleEndian.Uint32(b))) })
	case schemas.FormFloat64:
		return readFixed(r, n, 8, func(b []byte) { c.Float64 = append(c.Float64, math.Float64frombits(binary.LittleEndian.Uint64(b))) })
	case schemas.FormBytes:
		if c.Type.Logical == schemas.Decimal {
			return readFixed(r, n, decimalSize(c.Type.Precision), func(b []byte) { appendShortest(c, b) })
		}
		return readStrings(r, c, n)
	case schemas.FormFixed:
		return readFixed(r, n, c.Size, func(b []byte) { appendFixedBack(c, b) })
	case schemas.FormEnum:
		return readSymbols(r, c, n)
	case schemas.FormList, schemas.FormMap:
		return readItems(r, c, n)
	case schemas.FormRecord:
		for _, child := range c.Children {
			if err := readNested(r, child, n); err != nil {
				return err
			}
		}
		endRecords(c, c.Len()+n)
		return nil
	case schemas.FormUnion:
		return readVariant(r, c, n)
	case schemas.FormNull:
		for range n {
			c.AppendNull()
		}
		return nil
	}
	return fmt.Errorf("read a column back: form %d has no column", c.Form)
}

func readNested(r *proto.Reader, c *schemas.Column, n int) error {
	if c.Optional && c.Form != schemas.FormNull {
		marks, err := r.ReadRaw(n)
		if err != nil {
			return err
		}
		valid := byte(0)
		if c.Form == schemas.FormList || c.Form == schemas.FormMap || c.Form == schemas.FormRecord {
			valid = 1
		}
		appendValid(c, marks, valid)
	}
	return readValues(r, c, n)
}

func readFixed(r *proto.Reader, n, size int, value func([]byte)) error {
	b, err := r.ReadRaw(n * size)
	if err != nil {
		return err
	}
	for i := range n {
		value(b[i*size : (i+1)*size])
	}
	return nil
}

func readStrings(r *proto.Reader, c *schemas.Column, n int) error {
	for range n {
		var err error
		if c.Data, err = r.StrAppend(c.Data); err != nil {
			return err
		}
		c.Offsets = append(c.Offsets, len(c.Data))
	}
	return nil
}

func readSymbols(r *proto.Reader, c *schemas.Column, n int) error {
	places := map[string]int32{}
	for i, s := range c.Type.Symbols {
		places[s] = int32(i)
	}
	for i := range n {
		text, err := r.StrBytes()
		if err != nil {
			return err
		}
		place, ok := places[string(text)]
		if !ok && (!c.Optional || c.Valid[len(c.Valid)-n+i]) {
			return fmt.Errorf("%q is no symbol of the enum %s", text, c.Type.Name)
		}
		c.Index = append(c.Index, place)
	}
	return nil
}

func readItems(r *proto.Reader, c *schemas.Column, n int) error {
	base := c.Offsets[len(c.Offsets)-1]
	items := 0
	err := readFixed(r, n, 8, func(b []byte) {
		items = int(binary.LittleEndian.Uint64(b))
		c.Offsets = append(c.Offsets, base+items)
	})
	if err != nil {
		return err
	}
	for _, child := range c.Children {
		if err := readNested(r, child, items); err != nil {
			return err
		}
	}
	return nil
}

func appendFixedBack(c *schemas.Column, b []byte) {
	if c.Type.Logical == schemas.UUID {
		c.Data = binary.BigEndian.AppendUint64(c.Data, binary.LittleEndian.Uint64(b[:8]))
		c.Data = binary.BigEndian.AppendUint64(c.Data, binary.LittleEndian.Uint64(b[8:]))
		return
	}
	c.Data = append(c.Data, b...)
}

// appendShortest appends little endian two's complement as big endian without the bytes that only repeat the sign.
func appendShortest(c *schemas.Column, b []byte) {
	n := len(b)
	for n > 1 && (b[n-1] == 0 && b[n-2]&0x80 == 0 || b[n-1] == 0xff && b[n-2]&0x80 != 0) {
		n--
	}
	for i := n - 1; i >= 0; i-- {
		c.Data = append(c.Data, b[i])
	}
	c.Offsets = append(c.Offsets, len(c.Data))
}
