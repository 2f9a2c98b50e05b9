package clickhouse

import (
	"encoding/binary"
	"math"

	"github.com/ClickHouse/ch-go/proto"

	"adventureworks.example/extract/schemas"
)

// rows chooses rows of a column: those of index, or, where that is nil, the ones from lo up to hi.
type rows struct {
	lo, hi int
	index  []int
}

func (r rows) len() int {
	if r.index != nil {
		return len(r.index)
	}
	return r.hi - r.lo
}

func (r rows) at(i int) int {
	if r.index != nil {
		return r.index[i]
	}
	return r.lo + i
}

// pick is the chosen values, without a copy where they lie in a row.
func pick[T any](values []T, r rows) []T {
	if r.index == nil {
		return values[r.lo:r.hi]
	}
	out := make([]T, len(r.index))
	for i, row := range r.index {
		out[i] = values[row]
	}
	return out
}

// input is one column on its way to the server, in ClickHouse's native format.
type input struct {
	col  column
	cols *schemas.Columns
	rows rows
}

var _ proto.ColInput = input{}

// Type is ClickHouse's type of the column.
func (in input) Type() proto.ColumnType { return proto.ColumnType(in.col.wire) }

// Rows is how many values the column has.
func (in input) Rows() int { return in.rows.len() }

// WriteColumn hands the values to a connection, as EncodeColumn writes them.
func (in input) WriteColumn(w *proto.Writer) { w.ChainBuffer(in.EncodeColumn) }

// EncodeColumn appends the values in ClickHouse's native format.
func (in input) EncodeColumn(b *proto.Buffer) {
	c, around := find(in.cols, in.col.path)
	switch {
	case in.col.presence:
		b.Buf = appendPresence(b.Buf, c, around, in.rows)
		return
	case in.col.nullable:
		b.Buf = appendNulls(b.Buf, c, around, in.rows)
	}
	b.Buf = appendValues(b.Buf, c, in.rows)
}

// appendPresence appends a byte a row: 1 where the field and everything around it is there.
func appendPresence(dst []byte, c *schemas.Column, around []*schemas.Column, r rows) []byte {
	at := len(dst)
	dst = appendNulls(dst, c, around, r)
	for i := at; i < len(dst); i++ {
		dst[i] ^= 1
	}
	return dst
}

// appendNulls appends ClickHouse's null map: a byte a row, 1 for null.
func appendNulls(dst []byte, c *schemas.Column, around []*schemas.Column, r rows) []byte {
	at, n := len(dst), r.len()
	dst = append(dst, make([]byte, n)...)
	if c.Optional {
		around = append(around[:len(around):len(around)], c)
	}
	for _, a := range around {
		for i, valid := range pick(a.Valid, r) {
			if !valid {
				dst[at+i] = 1
			}
		}
	}
	return dst
}

// appendValues appends the values of the rows; a null has the zero value.
func appendValues(dst []byte, c *schemas.Column, r rows) []byte {
	switch c.Form {
	case schemas.FormBool:
		for _, v := range pick(c.Bool, r) {
			dst = schemas.AppendBoolean(dst, v)
		}
	case schemas.FormInt32:
		return appendInt32s(dst, pick(c.Int32, r), c.Type.Logical == schemas.TimeMillis)
	case schemas.FormInt64:
		return appendInt64s(dst, pick(c.Int64, r), c.Type.Logical == schemas.Decimal && c.Type.Precision <= 9)
	case schemas.FormFloat32:
		for _, v := range pick(c.Float32, r) {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	case schemas.FormFloat64:
		for _, v := range pick(c.Float64, r) {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	case schemas.FormBytes:
		if c.Type.Logical == schemas.Decimal {
			return appendWideDecimals(dst, c, r)
		}
		return appendStrings(dst, c, r)
	case schemas.FormFixed:
		return appendFixed(dst, c, r)
	case schemas.FormEnum:
		for _, v := range pick(c.Index, r) {
			dst = appendText(dst, c.Type.Symbols[v])
		}
	case schemas.FormList, schemas.FormMap:
		return appendItems(dst, c, r)
	case schemas.FormRecord:
		for _, child := range c.Children {
			dst = appendNested(dst, child, r)
		}
	case schemas.FormUnion:
		return appendVariant(dst, c, r)
	}
	return dst
}

// appendNested appends values inside of an array, map or tuple, with their nulls as nestedType says.
func appendNested(dst []byte, c *schemas.Column, r rows) []byte {
	switch {
	case c.Form == schemas.FormNull:
		return dst
	case !c.Optional:
	case c.Form == schemas.FormList, c.Form == schemas.FormMap, c.Form == schemas.FormRecord:
		dst = appendPresence(dst, c, nil, r)
	default:
		dst = appendNulls(dst, c, nil, r)
	}
	return appendValues(dst, c, r)
}

// appendItems appends an array or map: the end of each row's items among all of them, then all items.
func appendItems(dst []byte, c *schemas.Column, r rows) []byte {
	end := 0
	for i := range r.len() {
		row := r.at(i)
		end += c.Offsets[row+1] - c.Offsets[row]
		dst = binary.LittleEndian.AppendUint64(dst, uint64(end))
	}
	items := rows{}
	if r.index == nil {
		items.lo, items.hi = c.Offsets[r.lo], c.Offsets[r.hi]
	} else {
		items.index = make([]int, 0, end)
		for _, row := range r.index {
			for i := c.Offsets[row]; i < c.Offsets[row+1]; i++ {
				items.index = append(items.index, i)
			}
		}
	}
	for _, child := range c.Children {
		dst = appendNested(dst, child, items)
	}
	return dst
}

func appendInt32s(dst []byte, values []int32, wide bool) []byte {
	for _, v := range values {
		if wide { // Time64 is an Int64
			dst = binary.LittleEndian.AppendUint64(dst, uint64(int64(v)))
		} else {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		}
	}
	return dst
}

func appendInt64s(dst []byte, values []int64, narrow bool) []byte {
	for _, v := range values {
		if narrow { // a Decimal of up to nine digits is an Int32
			dst = binary.LittleEndian.AppendUint32(dst, uint32(int32(v)))
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendStrings(dst []byte, c *schemas.Column, r rows) []byte {
	for i := range r.len() {
		row := r.at(i)
		from, to := c.Offsets[row], c.Offsets[row+1]
		dst = binary.AppendUvarint(dst, uint64(to-from))
		dst = append(dst, c.Data[from:to]...)
	}
	return dst
}

func appendFixed(dst []byte, c *schemas.Column, r rows) []byte {
	if c.Type.Logical != schemas.UUID {
		if r.index == nil {
			return append(dst, c.Data[r.lo*c.Size:r.hi*c.Size]...)
		}
		for _, row := range r.index {
			dst = append(dst, c.Bytes(row)...)
		}
		return dst
	}
	for i := range r.len() { // a UUID is two UInt64, each little endian
		b := c.Bytes(r.at(i))
		dst = binary.LittleEndian.AppendUint64(dst, binary.BigEndian.Uint64(b[:8]))
		dst = binary.LittleEndian.AppendUint64(dst, binary.BigEndian.Uint64(b[8:]))
	}
	return dst
}

// decimalSize is the number of bytes of a Decimal in ClickHouse.
func decimalSize(precision int) int {
	switch {
	case precision <= 9:
		return 4
	case precision <= 18:
		return 8
	case precision <= 38:
		return 16
	}
	return 32
}

// appendWideDecimals turns two's complement, big endian and as short as can be, into little endian of a fixed size.
func appendWideDecimals(dst []byte, c *schemas.Column, r rows) []byte {
	n := decimalSize(c.Type.Precision)
	for i := range r.len() {
		b := c.Bytes(r.at(i))
		var sign byte
		if len(b) > 0 && b[0]&0x80 != 0 {
			sign = 0xff
		}
		for k := range n {
			if k < len(b) {
				dst = append(dst, b[len(b)-1-k])
			} else {
				dst = append(dst, sign)
			}
		}
	}
	return dst
}
