package schemas

import (
	"fmt"
	"math/big"
)

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
