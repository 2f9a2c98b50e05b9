package schemas

import "math/big"

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
