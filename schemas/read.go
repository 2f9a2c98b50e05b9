package schemas

import (
	"bytes"
	"encoding/binary"
	"math"
)

// readBlock reads the head of a block: the number of items and, where the writer gave the block's size, its end (else -1). minimum is what an item takes
// at least; where that is nothing, room is the number of items that may come.
func readBlock(b []byte, p, minimum int, room int64) (count int64, end, next int, err error) {
	count, next = readLong(b, p)
	if next < 0 {
		return 0, 0, p, errOf(next)
	}
	end = -1
	if count < 0 {
		if count = -count; count < 0 {
			return 0, 0, p, errCount
		}
		size, after := readLong(b, next)
		if after < 0 {
			return 0, 0, p, errOf(after)
		}
		if uint64(size) > uint64(len(b)-after) {
			return 0, 0, p, errLength
		}
		next = after
		end = next + int(size)
	}
	if minimum > 0 {
		room = int64((len(b) - next) / minimum)
	}
	if count > room {
		return 0, 0, p, errCount
	}
	return count, end, next, nil
}

// readLong reads a zigzag varint at p. next is the place behind it, -1 where b ends too early and -2 where the number has more than 64 bits.
func readLong(b []byte, p int) (v int64, next int) {
	if p < len(b) && b[p] < 0x80 {
		return int64(b[p]>>1) ^ -int64(b[p]&1), p + 1
	}
	return readLongSlow(b, p)
}

//go:noinline
func readLongSlow(b []byte, p int) (int64, int) {
	var u uint64
	for shift := uint(0); shift < 70; shift += 7 {
		if p >= len(b) {
			return 0, -1
		}
		x := b[p]
		p++
		if x < 0x80 {
			if shift == 63 && x > 1 {
				return 0, -2
			}
			u |= uint64(x) << shift
			return int64(u>>1) ^ -int64(u&1), p
		}
		u |= uint64(x&0x7f) << shift
	}
	return 0, -2
}

func errOf(next int) error {
	if next == -2 {
		return errVarint
	}
	return errTruncated
}

// digitLimit tells whether unscaled values have at most so many digits.
type digitLimit struct {
	most            int64  // 10^digits - 1 where that is an int64, else 0
	highest, lowest []byte // ± (10^digits - 1) in the fewest two's complement bytes
}

// small reads an unscaled value of at most 18 digits.
func (d *digitLimit) small(unscaled []byte) (int64, bool) {
	if len(unscaled) > 8 {
		if unscaled = trimSign(unscaled); len(unscaled) > 8 {
			return 0, false
		}
	}
	v := int64(0)
	if len(unscaled) > 0 {
		v = int64(int8(unscaled[0]))
		for _, x := range unscaled[1:] {
			v = v<<8 | int64(x)
		}
	}
	return v, v <= d.most && v >= -d.most
}

// holds tells whether an unscaled value without repeated sign bytes is within the limit. Values of one sign and one length compare as their bytes do.
func (d *digitLimit) holds(unscaled []byte) bool {
	if len(unscaled) == 0 {
		return true
	}
	if unscaled[0]&0x80 == 0 {
		return len(unscaled) < len(d.highest) || len(unscaled) == len(d.highest) && bytes.Compare(unscaled, d.highest) <= 0
	}
	return len(unscaled) < len(d.lowest) || len(unscaled) == len(d.lowest) && bytes.Compare(unscaled, d.lowest) >= 0
}

func float64At(b []byte, p int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(b[p:]))
}

func float32At(b []byte, p int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(b[p:]))
}
