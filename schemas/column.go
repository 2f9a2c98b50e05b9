package schemas

import (
	"fmt"
	"math/big"
)

// Form says in which slices of a Column the values are.
type Form uint8

// The forms. Every type has exactly one:
//
//	FormNull    null                                                          nothing but a count
//	FormBool    boolean                                                       Bool
//	FormInt32   int, date, time-millis                                        Int32
//	FormInt64   long, the other times and timestamps, decimals up to 18 digits (unscaled)  Int64
//	FormFloat32 float                                                         Float32
//	FormFloat64 double                                                        Float64
//	FormBytes   string, bytes, decimals above 18 digits (unscaled, two's complement, big endian, without bytes that only repeat the sign)  Data and Offsets
//	FormFixed   fixed, duration, uuid (its 16 bytes, whether it travels as fixed or as text)  Data, Size bytes a row
//	FormEnum    enum                                                          Index: the place in Type.Symbols
//	FormList    array                                                         Offsets and Children[0]
//	FormMap     map                                                           Offsets, Children[0] the keys, Children[1] the values
//	FormRecord  record                                                        Children, one a field
//	FormUnion   union of several types besides null                           Index: the branch, Places: the row in Children[branch]
const (
	FormNull Form = iota
	FormBool
	FormInt32
	FormInt64
	FormFloat32
	FormFloat64
	FormBytes
	FormFixed
	FormEnum
	FormList
	FormMap
	FormRecord
	FormUnion
)

// maxSmallDigits is the precision up to which decimals are int64.
const maxSmallDigits = 18

func formOf(t *Type) Form {
	switch t.Logical {
	case Decimal:
		if t.Precision <= maxSmallDigits {
			return FormInt64
		}
		return FormBytes
	case UUID:
		return FormFixed
	}
	return [...]Form{Null: FormNull, Boolean: FormBool, Int: FormInt32, Long: FormInt64, Float: FormFloat32, Double: FormFloat64, Bytes: FormBytes,
		String: FormBytes, Fixed: FormFixed, Enum: FormEnum, Array: FormList, Map: FormMap, Record: FormRecord, Union: FormUnion}[t.Kind]
}

// Column holds the values of one field, row after row, in typed slices. Row i of every slice belongs together: a null has a zero value in its place (no
// bytes, no items, children that are null or zero in turn), so that rows keep their index. Only the branches of a union are packed, and Places says where.
//
// The slices may be read and, by whoever builds rows, appended to; the Append methods keep them in step.
type Column struct {
	Name     string // of the field; empty for a root, items, keys, values and branches
	Type     *Type  // of the values; without its null where Optional
	Optional bool   // the field's type is a union of null and Type
	Form     Form
	Size     int // bytes a row of FormFixed

	Valid   []bool // false where null; only when Optional
	Bool    []bool
	Int32   []int32
	Int64   []int64
	Float32 []float32
	Float64 []float64
	Data    []byte
	Offsets []int // one more than rows: row i is from Offsets[i] to Offsets[i+1], of Data or of the children's rows
	Index   []int32
	Places  []int
	// Children are described with the forms.
	Children []*Column

	branch int // of Type in the union, when Optional
	count  int // rows of FormNull, FormRecord and FormFixed
	leaves []leaf
}

func newColumn(name string, t *Type) *Column {
	c := &Column{Name: name, Type: t}
	if value, branch, ok := t.Optional(); ok {
		c.Type, c.branch, c.Optional = value, branch, true
	}
	c.Form = formOf(c.Type)
	switch c.Form {
	case FormFixed:
		c.Size = c.Type.Size
		if c.Type.Logical == UUID {
			c.Size = 16
		}
	case FormBytes:
		c.Offsets = []int{0}
	case FormList:
		c.Offsets = []int{0}
		c.Children = []*Column{newColumn("", c.Type.Items)}
	case FormMap:
		c.Offsets = []int{0}
		c.Children = []*Column{newColumn("", Primitive(String)), newColumn("", c.Type.Items)}
	case FormRecord:
		for _, f := range c.Type.Fields {
			c.Children = append(c.Children, newColumn(f.Name, f.Type))
		}
		c.leaves = leavesOf(c)
	case FormUnion:
		for _, b := range c.Type.Branches {
			c.Children = append(c.Children, newColumn("", b))
		}
	}
	return c
}

// Len is the number of rows.
func (c *Column) Len() int {
	switch c.Form {
	case FormBool:
		return len(c.Bool)
	case FormInt32:
		return len(c.Int32)
	case FormInt64:
		return len(c.Int64)
	case FormFloat32:
		return len(c.Float32)
	case FormFloat64:
		return len(c.Float64)
	case FormBytes, FormList, FormMap:
		return len(c.Offsets) - 1
	case FormFixed:
		if c.Size == 0 {
			return c.count
		}
		return len(c.Data) / c.Size
	case FormEnum, FormUnion:
		return len(c.Index)
	}
	return c.count
}

// IsNull tells whether row is null.
func (c *Column) IsNull(row int) bool {
	switch {
	case c.Optional:
		return !c.Valid[row]
	case c.Form == FormUnion:
		return c.Children[c.Index[row]].Form == FormNull
	}
	return c.Form == FormNull
}

// Bytes is row of FormBytes or FormFixed. It shares the column's memory.
func (c *Column) Bytes(row int) []byte {
	if c.Form == FormFixed {
		return c.Data[row*c.Size : (row+1)*c.Size]
	}
	return c.Data[c.Offsets[row]:c.Offsets[row+1]]
}

// Symbol is row of FormEnum.
func (c *Column) Symbol(row int) string { return c.Type.Symbols[c.Index[row]] }

// Unscaled is row of a decimal, without its scale.
func (c *Column) Unscaled(row int) *big.Int {
	if c.Form == FormInt64 {
		return big.NewInt(c.Int64[row])
	}
	return bigFromBytes(c.Bytes(row))
}

// Child is the child of a record by name, or nil.
func (c *Column) Child(name string) *Column {
	for _, child := range c.Children {
		if child.Name == name && c.Form == FormRecord {
			return child
		}
	}
	return nil
}

func (c *Column) present() {
	if c.Optional {
		c.Valid = append(c.Valid, true)
	}
}

// AppendNull adds a null. Where the type has none it adds the zero value, which is what stands in the fields of a null record.
func (c *Column) AppendNull() {
	if c.Optional {
		c.Valid = append(c.Valid, false)
	}
	switch c.Form {
	case FormNull:
		c.count++
	case FormBool:
		c.Bool = append(c.Bool, false)
	case FormInt32:
		c.Int32 = append(c.Int32, 0)
	case FormInt64:
		c.Int64 = append(c.Int64, 0)
	case FormFloat32:
		c.Float32 = append(c.Float32, 0)
	case FormFloat64:
		c.Float64 = append(c.Float64, 0)
	case FormBytes, FormList, FormMap:
		c.Offsets = append(c.Offsets, c.Offsets[len(c.Offsets)-1])
	case FormFixed:
		c.count++
		c.Data = append(c.Data, make([]byte, c.Size)...)
	case FormEnum:
		c.Index = append(c.Index, 0)
	case FormRecord:
		c.count++
		for _, child := range c.Children {
			child.AppendNull()
		}
	case FormUnion:
		branch := 0
		for i, child := range c.Children {
			if child.Form == FormNull {
				branch = i
			}
		}
		c.AppendBranch(branch)
		c.Children[branch].AppendNull()
	}
}

// AppendBool adds a value of FormBool.
func (c *Column) AppendBool(v bool) { c.present(); c.Bool = append(c.Bool, v) }

// AppendInt32 adds a value of FormInt32.
func (c *Column) AppendInt32(v int32) { c.present(); c.Int32 = append(c.Int32, v) }

// AppendInt64 adds a value of FormInt64.
func (c *Column) AppendInt64(v int64) { c.present(); c.Int64 = append(c.Int64, v) }

// AppendFloat32 adds a value of FormFloat32.
func (c *Column) AppendFloat32(v float32) { c.present(); c.Float32 = append(c.Float32, v) }

// AppendFloat64 adds a value of FormFloat64.
func (c *Column) AppendFloat64(v float64) { c.present(); c.Float64 = append(c.Float64, v) }

// AppendBytes adds a value of FormBytes or FormFixed, as they are described with the forms.
func (c *Column) AppendBytes(v []byte) {
	c.present()
	c.Data = append(c.Data, v...)
	c.endBytes()
}

// AppendString adds a value of FormBytes or FormFixed.
func (c *Column) AppendString(v string) {
	c.present()
	c.Data = append(c.Data, v...)
	c.endBytes()
}

func (c *Column) endBytes() {
	if c.Form == FormFixed {
		c.count++
		return
	}
	c.Offsets = append(c.Offsets, len(c.Data))
}

// AppendUnscaled adds a decimal by its unscaled value.
func (c *Column) AppendUnscaled(v *big.Int) {
	if c.Form == FormInt64 {
		c.AppendInt64(v.Int64())
		return
	}
	c.present()
	c.Data = appendTwosComplement(c.Data, v, minimalSize(v))
	c.endBytes()
}

// AppendSymbol adds a value of FormEnum.
func (c *Column) AppendSymbol(symbol string) error {
	for i, s := range c.Type.Symbols {
		if s == symbol {
			c.present()
			c.Index = append(c.Index, int32(i))
			return nil
		}
	}
	return fmt.Errorf("%s is not one of the enum's %d symbols", excerpt([]byte(symbol)), len(c.Type.Symbols))
}

// AppendItems ends a row of FormList or FormMap: the rows that its children have got since the last one are its items.
func (c *Column) AppendItems() {
	c.present()
	c.Offsets = append(c.Offsets, c.Children[0].Len())
}

// AppendRecord adds a row of FormRecord that is not null. The caller adds one row to each child.
func (c *Column) AppendRecord() { c.present(); c.count++ }

// AppendBranch adds a row of FormUnion. The caller then adds one row to Children[branch].
func (c *Column) AppendBranch(branch int) {
	c.Index = append(c.Index, int32(branch))
	c.Places = append(c.Places, c.Children[branch].Len())
}

// AppendFrom adds one row of src, whose type must be the same.
func (c *Column) AppendFrom(src *Column, row int) {
	if c.Optional && !src.Valid[row] {
		c.AppendNull()
		return
	}
	switch c.Form {
	case FormNull:
		c.count++
	case FormBool:
		c.AppendBool(src.Bool[row])
	case FormInt32:
		c.AppendInt32(src.Int32[row])
	case FormInt64:
		c.AppendInt64(src.Int64[row])
	case FormFloat32:
		c.AppendFloat32(src.Float32[row])
	case FormFloat64:
		c.AppendFloat64(src.Float64[row])
	case FormBytes, FormFixed:
		c.AppendBytes(src.Bytes(row))
	case FormEnum:
		c.present()
		c.Index = append(c.Index, src.Index[row])
	case FormList, FormMap:
		for i := src.Offsets[row]; i < src.Offsets[row+1]; i++ {
			for k, child := range c.Children {
				child.AppendFrom(src.Children[k], i)
			}
		}
		c.AppendItems()
	case FormRecord:
		c.AppendRecord()
		for k, child := range c.Children {
			child.AppendFrom(src.Children[k], row)
		}
	case FormUnion:
		branch := int(src.Index[row])
		c.AppendBranch(branch)
		c.Children[branch].AppendFrom(src.Children[branch], src.Places[row])
	}
}

// truncate leaves the first rows, also where the last row is only there in part.
func (c *Column) truncate(rows int) {
	c.Valid = cut(c.Valid, rows)
	c.Bool = cut(c.Bool, rows)
	c.Int32 = cut(c.Int32, rows)
	c.Int64 = cut(c.Int64, rows)
	c.Float32 = cut(c.Float32, rows)
	c.Float64 = cut(c.Float64, rows)
	c.count = min(c.count, rows)
	switch c.Form {
	case FormFixed:
		c.Data = cut(c.Data, rows*c.Size)
	case FormBytes:
		c.Offsets = cut(c.Offsets, rows+1)
		c.Data = c.Data[:c.Offsets[rows]]
	case FormEnum:
		c.Index = cut(c.Index, rows)
	case FormList, FormMap:
		c.Offsets = cut(c.Offsets, rows+1)
		for _, child := range c.Children {
			child.truncate(c.Offsets[rows])
		}
	case FormRecord:
		for _, child := range c.Children {
			child.truncate(rows)
		}
	case FormUnion:
		for i := len(c.Places) - 1; i >= rows; i-- {
			c.Children[c.Index[i]].truncate(c.Places[i])
		}
		c.Index, c.Places = cut(c.Index, rows), cut(c.Places, rows)
	}
}

func cut[T any](s []T, n int) []T {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// bytes is about what the rows take in memory.
func (c *Column) bytes() int {
	n := len(c.Valid) + len(c.Bool) + 4*(len(c.Int32)+len(c.Float32)+len(c.Index)) + 8*(len(c.Int64)+len(c.Float64)+len(c.Offsets)+len(c.Places)) + len(c.Data)
	for _, child := range c.Children {
		n += child.bytes()
	}
	return n
}
