package schemas

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"strconv"
)

// The canonical bytes of a row say what its values are and not how they are typed, so that a row sums up to the same digest at its source and in a table
// that has since got wider types and more columns. They are made of the row's leaves that are not null, in the order of their dotted paths:
//
//	row     = { path value }           a path is its length as a varint and its bytes
//	boolean = 'b' 0|1
//	number  = 'n' length text          plain decimal digits: -12, 0.5; no leading or trailing zeros, no exponent, no +
//	float   = 'f' 8 bytes              the bits of a double, big endian, every NaN as 7ff8000000000001
//	string  = 's' length bytes         strings, bytes, fixed, the symbol of an enum, the 16 bytes of a uuid
//	list    = 'a' count { item }       an item is a value, or 'z' for null
//	map     = 'm' count { key item }   sorted by key; a key is its length and its bytes
//	record  = 'r' row 0                only within lists and maps: elsewhere a record is its leaves
//
// Numbers are ints, longs and decimals; dates as days since 1970; times and timestamps as microseconds, those in nanoseconds with up to three decimals; and floats
// and doubles that are whole numbers up to 2^53, except -0. A null is left out, so a column that is added later changes nothing, and a null record is the same as
// one whose leaves are all null.

// leaf is a column that is no record, with its path in dots, and the optional records above it.
type leaf struct {
	path   string
	column *Column
	above  []*Column
}

// leavesOf lists the leaves of a record, sorted by path; any other column is its own single leaf with an empty path.
func leavesOf(c *Column) []leaf {
	var leaves []leaf
	var walk func(c *Column, path string, above []*Column)
	walk = func(c *Column, path string, above []*Column) {
		if c.Form != FormRecord {
			leaves = append(leaves, leaf{path, c, above})
			return
		}
		if c.Optional {
			above = append(slices.Clip(above), c)
		}
		for _, child := range c.Children {
			name := child.Name
			if path != "" {
				name = path + "." + name
			}
			walk(child, name, above)
		}
	}
	walk(c, "", nil)
	sort.SliceStable(leaves, func(i, j int) bool { return leaves[i].path < leaves[j].path })
	return leaves
}

// AppendCanonical appends the canonical bytes of a row, for a Digest.
func (c *Columns) AppendCanonical(dst []byte, row int) []byte {
	return c.Root.AppendCanonical(dst, row)
}

// AppendCanonical appends the canonical bytes of one row of a record, as if it were a row of its own: those of a change's `after` are those of the table's row.
// A null record has none.
func (c *Column) AppendCanonical(dst []byte, row int) []byte {
	if c.Form != FormRecord {
		return appendLeaves(dst, "", leavesOf(c), row)
	}
	return appendLeaves(dst, "", c.leaves, row)
}

// appendLeaves appends the leaves that are not null, with prefix before their paths. A record that is a union's branch adds its own leaves in the union's
// place, as if it were no union. They are in order there, since a dot sorts before every character of a name.
func appendLeaves(dst []byte, prefix string, leaves []leaf, row int) []byte {
next:
	for i := range leaves {
		l := &leaves[i]
		if l.column.IsNull(row) {
			continue
		}
		for _, record := range l.above {
			if !record.Valid[row] {
				continue next
			}
		}
		if l.column.Form == FormUnion {
			if branch := l.column.Children[l.column.Index[row]]; branch.Form == FormRecord {
				dst = appendLeaves(dst, dotted(prefix+l.path), branch.leaves, l.column.Places[row])
				continue
			}
		}
		dst = binary.AppendUvarint(dst, uint64(len(prefix)+len(l.path)))
		dst = append(append(dst, prefix...), l.path...)
		dst = l.column.appendCanonicalValue(dst, row)
	}
	return dst
}

func dotted(path string) string {
	if path == "" {
		return ""
	}
	return path + "."
}

// appendItem appends an item of a list or map, which may be null.
func (c *Column) appendItem(dst []byte, row int) []byte {
	if c.IsNull(row) {
		return append(dst, 'z')
	}
	return c.appendCanonicalValue(dst, row)
}

func (c *Column) appendCanonicalValue(dst []byte, row int) []byte {
	switch c.Form {
	case FormBool:
		return AppendBoolean(append(dst, 'b'), c.Bool[row])
	case FormInt32:
		return appendNumber(dst, c.Type, int64(c.Int32[row]))
	case FormInt64:
		return appendNumber(dst, c.Type, c.Int64[row])
	case FormFloat32:
		return appendFloat(dst, float64(c.Float32[row]))
	case FormFloat64:
		return appendFloat(dst, c.Float64[row])
	case FormBytes:
		if c.Type.Logical == Decimal {
			at := len(dst)
			dst = append(dst, 'n')
			return lengthen(appendPlain(dst, c.Unscaled(row).Append(nil, 10), c.Type.Scale), at+1)
		}
		return appendRaw(append(dst, 's'), c.Bytes(row))
	case FormFixed:
		return appendRaw(append(dst, 's'), c.Bytes(row))
	case FormEnum:
		symbol := c.Symbol(row)
		return append(binary.AppendUvarint(append(dst, 's'), uint64(len(symbol))), symbol...)
	case FormList:
		return c.appendList(dst, row)
	case FormMap:
		return c.appendMap(dst, row)
	case FormRecord:
		return append(appendLeaves(append(dst, 'r'), "", c.leaves, row), 0)
	case FormUnion:
		return c.Children[c.Index[row]].appendCanonicalValue(dst, c.Places[row])
	}
	return dst
}

func (c *Column) appendList(dst []byte, row int) []byte {
	from, to := c.Offsets[row], c.Offsets[row+1]
	dst = binary.AppendUvarint(append(dst, 'a'), uint64(to-from))
	for i := from; i < to; i++ {
		dst = c.Children[0].appendItem(dst, i)
	}
	return dst
}

func (c *Column) appendMap(dst []byte, row int) []byte {
	from, to := c.Offsets[row], c.Offsets[row+1]
	dst = binary.AppendUvarint(append(dst, 'm'), uint64(to-from))
	order := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		order = append(order, i)
	}
	keys := c.Children[0]
	slices.SortStableFunc(order, func(i, j int) int { return bytes.Compare(keys.Bytes(i), keys.Bytes(j)) })
	for _, i := range order {
		dst = c.Children[1].appendItem(appendRaw(dst, keys.Bytes(i)), i)
	}
	return dst
}

func appendRaw(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendNumber(dst []byte, t *Type, v int64) []byte {
	dst = append(dst, 'n')
	at := len(dst)
	switch t.Logical {
	case Decimal:
		var digits [20]byte
		dst = appendPlain(dst, strconv.AppendInt(digits[:0], v, 10), t.Scale)
	case TimeMillis, TimestampMillis, LocalTimestampMillis:
		dst = strconv.AppendInt(dst, v, 10)
		if v != 0 {
			dst = append(dst, "000"...)
		}
	case TimestampNanos, LocalTimestampNanos:
		var digits [20]byte
		dst = appendPlain(dst, strconv.AppendInt(digits[:0], v, 10), 3)
	default:
		dst = strconv.AppendInt(dst, v, 10)
	}
	return lengthen(dst, at)
}

func appendFloat(dst []byte, v float64) []byte {
	const whole = 1 << 53
	if v == math.Trunc(v) && v >= -whole && v <= whole && (v != 0 || !math.Signbit(v)) {
		at := len(dst) + 1
		return lengthen(strconv.AppendInt(append(dst, 'n'), int64(v), 10), at)
	}
	if v != v {
		v = math.NaN()
	}
	return binary.BigEndian.AppendUint64(append(dst, 'f'), math.Float64bits(v))
}

// lengthen puts the length of what follows at before it.
func lengthen(dst []byte, at int) []byte {
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(dst)-at))
	dst = append(dst, length[:n]...)
	copy(dst[at+n:], dst[at:])
	copy(dst[at:], length[:n])
	return dst
}

// appendPlain appends an unscaled value as plain decimal digits without trailing zeros after the point.
func appendPlain(dst, unscaled []byte, scale int) []byte {
	if unscaled[0] == '-' {
		dst = append(dst, '-')
		unscaled = unscaled[1:]
	}
	whole, fraction := unscaled, []byte(nil)
	if n := len(unscaled) - scale; n > 0 {
		whole, fraction = unscaled[:n], unscaled[n:]
	} else {
		whole, fraction = nil, unscaled
	}
	fraction = bytes.TrimRight(fraction, "0")
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if len(fraction) == 0 {
		return dst
	}
	dst = append(dst, '.')
	for i := len(unscaled); i < scale; i++ {
		dst = append(dst, '0')
	}
	return append(dst, fraction...)
}
