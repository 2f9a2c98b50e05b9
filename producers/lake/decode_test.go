package lake

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/parquet-go/parquet-go/encoding/bytestreamsplit"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

func TestHybridAgainstTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for width := 1; width <= 8; width++ {
		for _, n := range []int{1, 7, 8, 9, 100, 1000} {
			levels := make([]uint8, n)
			for i := range levels {
				if levels[i] = uint8(r.IntN(1 << width)); i > 0 && r.IntN(3) > 0 {
					levels[i] = levels[i-1]
				}
			}
			src, err := (&rle.Encoding{BitWidth: width}).EncodeLevels(nil, levels)
			if err != nil {
				t.Fatal(err)
			}
			got, largest, err := appendHybrid([]uint8(nil), src, uint(width), n)
			if err != nil || !slices.Equal(got, levels) || largest != slices.Max(levels) {
				t.Fatalf("width %d, %d values: %v, largest %d, %v", width, n, got, largest, err)
			}
			if _, _, err := appendHybrid([]uint8(nil), src, uint(width), n+9); err == nil {
				t.Fatalf("width %d: more values than there are", width)
			}
		}
	}
}

func TestDeltaAgainstTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 127, 128, 129, 1000} {
		longs := make([]int64, n)
		for i := range longs {
			longs[i] = r.Int64() >> r.IntN(64)
		}
		longs[0] = math.MinInt64
		src, err := (&delta.BinaryPackedEncoding{}).EncodeInt64(nil, longs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendDeltaInts(nil, src, n, 8)
		if err != nil {
			t.Fatalf("%d values: %v", n, err)
		}
		for i, v := range longs {
			if int64(binary.LittleEndian.Uint64(got[8*i:])) != v {
				t.Fatalf("value %d of %d is wrong", i, n)
			}
		}
		if _, err := appendDeltaInts(nil, src[:len(src)/2], n, 8); err == nil && n > 2 {
			t.Errorf("half of %d values was read", n)
		}
	}
}

func TestSplitAgainstTheLibrary(t *testing.T) {
	want := []float64{1, -2.5, math.Inf(1), 0}
	src, err := (&bytestreamsplit.Encoding{}).EncodeDouble(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := appendSplit(nil, src, len(want), 8)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want {
		if math.Float64frombits(binary.LittleEndian.Uint64(got[8*i:])) != v {
			t.Errorf("value %d is wrong", i)
		}
	}
	if _, err := appendSplit(nil, src, len(want)+1, 8); err == nil {
		t.Error("more values than there are")
	}
}

// A short page cannot make long values out of shared prefixes without end.
func TestDeltaBytesAreBounded(t *testing.T) {
	var prefixes, lengths []int32
	for i := range 2000 {
		prefixes, lengths = append(prefixes, int32(i)), append(lengths, 1)
	}
	src, err := (&delta.BinaryPackedEncoding{}).EncodeInt32(nil, prefixes)
	if err == nil {
		src2, e := (&delta.BinaryPackedEncoding{}).EncodeInt32(nil, lengths)
		src, err = append(src, src2...), e
	}
	if err != nil {
		t.Fatal(err)
	}
	src = append(src, bytes.Repeat([]byte{'x'}, 2000)...)
	if out, err := appendDeltaBytes(nil, src, 2000, true, 0, 1<<30); err != nil || len(out) != 2000*2001/2+2000*4 {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	if _, err := appendDeltaBytes(nil, src, 2000, true, 0, 100_000); err == nil {
		t.Error("the limit was not kept")
	}
}

func TestFloat16(t *testing.T) {
	for h, want := range map[uint16]float32{0: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 1.0 / (1 << 24), 0x03ff: 1023.0 / (1 << 24), 0x0400: 1.0 / (1 << 14),
		0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)), 0x3555: 0.33325195} {
		if got := float16(h); got != want {
			t.Errorf("%#04x = %v, want %v", h, got, want)
		}
	}
	if got := float16(0x7e00); got == got {
		t.Errorf("NaN = %v", got)
	}
	if math.Signbit(float64(float16(0x8000))) == false {
		t.Error("-0 has lost its sign")
	}
}

func TestInt96(t *testing.T) {
	value := func(nanos int64, day int32) []byte {
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, uint64(nanos)), uint32(day))
	}
	for _, c := range []struct {
		nanos int64
		day   int32
		op    op
		want  int64
		err   error
	}{
		{0, julianEpoch, opInt96, 0, nil},
		{1000, julianEpoch - 1, opInt96, -86_400_000_000 + 1, nil},
		{1, julianEpoch, opInt96, 0, errNotExact},
		{1, julianEpoch, opInt96Nanos, 1, nil},
		{0, 1721426, opInt96, -62135596800_000_000, nil}, // year 1
		{0, 5373484, opInt96, 253402214400_000_000, nil}, // year 9999
		{0, 1721426, opInt96Nanos, 0, errOutOfRange},
		{math.MaxInt64, math.MaxInt32, opInt96Nanos, 0, errOutOfRange},
	} {
		if got, err := int96Time(value(c.nanos, c.day), c.op); got != c.want || err != c.err {
			t.Errorf("day %d, %d ns: %d, %v, want %d, %v", c.day, c.nanos, got, err, c.want, c.err)
		}
	}
}

// The weights by which the memory of a footer is foreseen are not below what the structures take.
func TestFooterWeights(t *testing.T) {
	for name, c := range map[string][2]int64{
		"schema element": {int64(unsafe.Sizeof(format.SchemaElement{})), elementBytes[0]},
		"row group":      {int64(unsafe.Sizeof(format.RowGroup{})), elementBytes[0]},
		"key and value":  {int64(unsafe.Sizeof(format.KeyValue{})), elementBytes[0]},
		"column chunk":   {int64(unsafe.Sizeof(format.ColumnChunk{})), elementBytes[1]},
		"encoding stats": {int64(unsafe.Sizeof(format.PageEncodingStats{})), elementBytes[2]},
	} {
		if c[0] > c[1] {
			t.Errorf("%s takes %d bytes, more than %d", name, c[0], c[1])
		}
	}
}
