package schemas

import (
	"encoding/binary"
	"math"
)

// The functions below append the Avro binary encoding of one value to dst and return the extended slice, as append does.
// They are what every producer's compiled row plan is made of. See the Avro 1.12 specification, "Binary Encoding".

// AppendBoolean appends one byte, 0 or 1.
func AppendBoolean(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendLong appends a zigzag varint. Avro's int and long share the encoding, so it serves both.
func AppendLong(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

// AppendFloat appends four bytes, little endian; every NaN keeps its bits.
func AppendFloat(dst []byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
}

// AppendDouble appends eight bytes, little endian; every NaN keeps its bits.
func AppendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// AppendBytes appends the length and the bytes.
func AppendBytes(dst, v []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(v))), v...)
}

// AppendString appends the length and the bytes of v, which must be UTF-8.
func AppendString(dst []byte, v string) []byte {
	return append(binary.AppendVarint(dst, int64(len(v))), v...)
}

// AppendBranch appends the index of a union's branch; its value follows. In [null, T], null is branch 0 and T branch 1.
func AppendBranch(dst []byte, branch int) []byte { return binary.AppendVarint(dst, int64(branch)) }

// AppendBlock appends the count that opens a block of an array or map; the items follow. End the array or map with a count of 0.
// An empty array is just AppendBlock(dst, 0).
func AppendBlock(dst []byte, count int) []byte { return binary.AppendVarint(dst, int64(count)) }
