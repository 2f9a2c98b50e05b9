package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The decoders below never write more than they are told to expect, whatever the bytes say. The encodings are those of
// https://github.com/apache/parquet-format/blob/master/Encodings.md.

var errPageShort = errors.New("the page ends before its values do")

// appendHybrid decodes n values of width bits, run-length or bit-packed, and returns the largest of them.
func appendHybrid[T uint8 | uint32](dst []T, src []byte, width uint, n int) ([]T, T, error) {
	var largest T
	if width > uint(bits.Len64(uint64(^T(0)))) {
		return dst, 0, fmt.Errorf("values of %d bits", width)
	}
	size := int(width+7) / 8
	for n > 0 {
		head, k := binary.Uvarint(src)
		if k <= 0 {
			return dst, 0, errPageShort
		}
		src = src[k:]
		if head&1 == 0 {
			if len(src) < size {
				return dst, 0, errPageShort
			}
			var v uint64
			for i := range size {
				v |= uint64(src[i]) << (8 * i)
			}
			src = src[size:]
			run := int(min(head>>1, uint64(n)))
			largest = max(largest, T(v))
			for range run {
				dst = append(dst, T(v))
			}
			n -= run
			continue
		}
		count := int(min(head>>1, uint64(n)/8+1)) * 8
		length := int(min(head>>1, uint64(len(src)))) * int(width) // of the whole run
		run := min(count, n)
		if need := (run*int(width) + 7) / 8; need > len(src) {
			return dst, 0, errPageShort
		}
		var m T
		dst, m = appendPacked(dst, src, width, run)
		largest = max(largest, m)
		src = src[min(length, len(src)):]
		n -= run
	}
	return dst, largest, nil
}

// appendPacked unpacks n values of width bits, the lowest bits first. src holds them all.
func appendPacked[T uint8 | uint32](dst []T, src []byte, width uint, n int) ([]T, T) {
	var largest T
	var word uint64
	var have uint
	mask := uint64(1)<<width - 1
	at := 0
	for range n {
		for have < width {
			if at+4 <= len(src) && have <= 32 {
				word |= uint64(binary.LittleEndian.Uint32(src[at:])) << have
				at += 4
				have += 32
				continue
			}
			word |= uint64(src[at]) << have
			at++
			have += 8
		}
		v := T(word & mask)
		word >>= width
		have -= width
		largest = max(largest, v)
		dst = append(dst, v)
	}
	return dst, largest
}

// deltaReader decodes DELTA_BINARY_PACKED: blocks of miniblocks of bit-packed differences.
type deltaReader struct {
	src       []byte
	blockSize int
	minis     int
	left      int // values that are still to come
	value     int64
	first     bool
	minDelta  int64
	widths    []byte
	mini      int // index of the next miniblock
	pending   int // differences left in the current miniblock
	width     uint
	word      []byte // of the current miniblock
	bit       int
}

// newDeltaReader reads the head. expect is the number of values that the page must have, or less than zero when it is not known.
func newDeltaReader(src []byte, expect int) (*deltaReader, error) {
	d := &deltaReader{src: src, first: true}
	var head [3]uint64
	for i := range head {
		v, n := binary.Uvarint(d.src)
		if n <= 0 {
			return nil, errPageShort
		}
		head[i], d.src = v, d.src[n:]
	}
	if head[0] == 0 || head[0] > 1<<20 || head[0]%128 != 0 || head[1] == 0 || head[1] > head[0]/32 || head[0]/head[1]%32 != 0 {
		return nil, fmt.Errorf("delta blocks of %d values in %d parts", head[0], head[1])
	}
	if head[2] > uint64(expect) {
		return nil, fmt.Errorf("%d delta values where %d belong", head[2], expect)
	}
	d.blockSize, d.minis, d.left = int(head[0]), int(head[1]), int(head[2])
	v, n := binary.Varint(d.src)
	if n <= 0 {
		return nil, errPageShort
	}
	d.value, d.src = v, d.src[n:]
	d.mini = d.minis
	return d, nil
}

func (d *deltaReader) next() (int64, error) {
	if d.left == 0 {
		return 0, errPageShort
	}
	d.left--
	if d.first {
		d.first = false
		return d.value, nil
	}
	if d.pending == 0 {
		if err := d.miniblock(); err != nil {
			return 0, err
		}
	}
	d.pending--
	var delta uint64
	for got := uint(0); got < d.width; {
		b := uint(d.bit & 7)
		take := min(8-b, d.width-got)
		delta |= uint64(d.word[d.bit>>3]>>b&(1<<take-1)) << got
		got += take
		d.bit += int(take)
	}
	d.value += d.minDelta + int64(delta) // wraps as the format says
	return d.value, nil
}

func (d *deltaReader) miniblock() error {
	if d.mini == d.minis {
		v, n := binary.Varint(d.src)
		if n <= 0 || len(d.src)-n < d.minis {
			return errPageShort
		}
		d.minDelta, d.widths, d.src = v, d.src[n:n+d.minis], d.src[n+d.minis:]
		d.mini = 0
	}
	d.width = uint(d.widths[d.mini])
	d.mini++
	if d.width > 64 {
		return fmt.Errorf("differences of %d bits", d.width)
	}
	d.pending, d.bit = d.blockSize/d.minis, 0
	size := d.pending * int(d.width) / 8
	if size > len(d.src) {
		// The last miniblock may be cut after its last value.
		if need := (min(d.pending, d.left+1)*int(d.width) + 7) / 8; need > len(d.src) {
			return errPageShort
		}
		size = len(d.src)
	}
	d.word, d.src = d.src[:size], d.src[size:]
	return nil
}

// rest is what follows the last value. All must have been read.
func (d *deltaReader) rest() []byte {
	for d.mini < d.minis { // miniblocks without values have no data, only their width
		d.mini++
	}
	return d.src
}

func (d *deltaReader) all() ([]int64, error) {
	out := make([]int64, d.left)
	for i := range out {
		v, err := d.next()
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// appendDeltaInts decodes n integers into the form of PLAIN, of size bytes each.
func appendDeltaInts(dst, src []byte, n, size int) ([]byte, error) {
	d, err := newDeltaReader(src, n)
	if err != nil {
		return dst, err
	}
	for range n {
		v, err := d.next()
		if err != nil {
			return dst, err
		}
		if size == 4 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst, nil
}

// deltaLengths reads n lengths and returns them with the bytes that follow.
func deltaLengths(src []byte, n int) ([]int64, []byte, error) {
	d, err := newDeltaReader(src, n)
	if err != nil {
		return nil, nil, err
	}
	if d.left != n {
		return nil, nil, fmt.Errorf("%d lengths for %d values", d.left, n)
	}
	lengths, err := d.all()
	if err != nil {
		return nil, nil, err
	}
	return lengths, d.rest(), nil
}

// appendDeltaBytes decodes DELTA_LENGTH_BYTE_ARRAY and, with prefixes, DELTA_BYTE_ARRAY into the form of PLAIN. fixed is the length that
// every value must have, 0 for none; the result has at most limit bytes.
func appendDeltaBytes(dst, src []byte, n int, prefixes bool, fixed, limit int) ([]byte, error) {
	var shared []int64
	var err error
	if prefixes {
		if shared, src, err = deltaLengths(src, n); err != nil {
			return dst, err
		}
	}
	lengths, src, err := deltaLengths(src, n)
	if err != nil {
		return dst, err
	}
	last := 0 // where the last value starts in dst
	for i, length := range lengths {
		prefix := int64(0)
		if prefixes {
			prefix = shared[i]
		}
		if length < 0 || length > int64(len(src)) || prefix < 0 || prefix > int64(len(dst)-last) {
			return dst, errPageShort
		}
		total := prefix + length
		if fixed > 0 && total != int64(fixed) {
			return dst, fmt.Errorf("a value of %d bytes where %d belong", total, fixed)
		}
		if int64(len(dst))+total+4 > int64(limit) {
			return dst, fmt.Errorf("its values are larger than %d bytes together", limit)
		}
		if fixed == 0 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(total))
		}
		start := len(dst)
		dst = append(dst, dst[last:last+int(prefix)]...)
		dst = append(dst, src[:length]...)
		src = src[length:]
		last = start
	}
	return dst, nil
}

// appendSplit decodes BYTE_STREAM_SPLIT: n values of size bytes, of which first come all the first bytes.
func appendSplit(dst, src []byte, n, size int) ([]byte, error) {
	if len(src) < n*size {
		return dst, errPageShort
	}
	for i := range n {
		for b := range size {
			dst = append(dst, src[b*n+i])
		}
	}
	return dst, nil
}
