package lake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// exhaust reads all that can be read of a file, however damaged, and returns the rows that were read.
func exhaust(t *testing.T, file []byte) (rows int64) {
	t.Helper()
	f, err := readFooter(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		if !isBadFile(err) {
			t.Fatalf("footer: %v", err)
		}
		return 0
	}
	p, _, err := planOf("k", &DatasetConfig{Name: "d"}, f, nil)
	if err != nil {
		return 0
	}
	var c codecs
	defer c.close()
	var buf []byte
	for g := range min(len(f.meta.RowGroups), 3) {
		r := newRowReader(f, p, g, bytes.NewReader(file), newOrigin("k", g, someTime), &c)
		err := r.seek(0)
		for row := int64(0); row < min(f.meta.RowGroups[g].NumRows, 10_000); row++ {
			if err == nil {
				buf, err = r.append(buf[:0])
			}
			var page *pageError
			switch {
			case errors.As(err, &page):
				if strings.Contains(err.Error(), "cannot be decoded") {
					t.Fatalf("recovered: %v", err)
				}
				row = max(row, row+page.rows-1)
				err = r.seek(row + 1)
			case err != nil && !isValueError(err):
				t.Fatalf("row %d: %v", row, err)
			default:
				rows++
				err = nil
			}
			if rows > 10_000 {
				return rows
			}
		}
	}
	return rows
}

func isValueError(err error) bool {
	var v *valueError
	return errors.As(err, &v)
}

func seeds(t testing.TB) [][]byte {
	return [][]byte{
		parquetOf(t, saleRows(1, 50), parquet.PageBufferSize(100)),
		parquetOf(t, someNested(12), parquet.PageBufferSize(100), parquet.DataPageVersion(2)),
		parquetOf(t, someNested(12), parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(1)),
		parquetOf(t, someScalars(5), parquet.Compression(&parquet.Snappy), parquet.DataPageVersion(1)),
		parquetOf(t, []encoded{{DeltaText: "ab"}, {DeltaText: "abc", DeltaLong: 5}}),
	}
}

// mutate changes bytes of the file as the script says: pairs of a position and a new byte.
func mutate(file, script []byte) []byte {
	out := bytes.Clone(file)
	for ; len(script) >= 3; script = script[3:] {
		out[int(binary.LittleEndian.Uint16(script))%len(out)] = script[2]
	}
	return out
}

func FuzzDamagedFile(f *testing.F) {
	files := seeds(f)
	for i := range files {
		f.Add(byte(i), []byte{1, 2, 3})
		f.Add(byte(i), []byte{200, 2, 0xff, 100, 1, 0xff})
	}
	f.Fuzz(func(t *testing.T, which byte, script []byte) {
		file := mutate(files[int(which)%len(files)], script)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		exhaust(t, file)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
			t.Fatalf("%d bytes allocated for a file of %d", used, len(file))
		}
	})
}

func FuzzFooter(f *testing.F) {
	for _, file := range seeds(f) {
		length := int(binary.LittleEndian.Uint32(file[len(file)-8:]))
		f.Add(file[len(file)-8-length : len(file)-8])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		footer, err := parseFooter(text, 1<<20)
		if err != nil && !isBadFile(err) {
			t.Fatalf("%v", err)
		}
		if err == nil {
			_, _, _ = planOf("k", &DatasetConfig{Name: "d"}, footer, nil)
		}
	})
}

// Every byte of a file, one after the other, is damaged in three ways.
func TestEveryByteDamaged(t *testing.T) {
	for _, file := range seeds(t) {
		step := 1
		if testing.Short() || len(file) > 3000 {
			step = 7
		}
		for at := 0; at < len(file); at += step {
			for _, b := range []byte{0, 0xff, file[at] ^ 1} {
				damaged := bytes.Clone(file)
				damaged[at] = b
				exhaust(t, damaged)
			}
		}
	}
}

// A few bytes that ask for gigabytes are refused before anything is allocated.
func TestBombs(t *testing.T) {
	list := func(field, kind byte, n uint64, tail int) []byte {
		b := binary.AppendUvarint([]byte{field<<4 | 9, 0xf0 | kind}, n)
		return append(b, make([]byte, tail)...)
	}
	frame := func(footer []byte) []byte {
		b := append([]byte("PAR1"), footer...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
		return append(b, "PAR1"...)
	}
	bombs := map[string][]byte{
		"a list longer than the file":      frame(list(2, 12, 1<<40, 100)),
		"a list of empty structures":       frame(list(2, 12, 4<<20, 4<<20)),
		"a string longer than the file":    frame(append([]byte{0x68}, binary.AppendUvarint(nil, 1<<40)...)),
		"a footer longer than the file":    append(append([]byte("PAR1"), 0xff, 0xff, 0xff, 0x7f), "PAR1"...),
		"structures in structures":         frame(bytes.Repeat([]byte{0x1c}, 100_000)),
		"lists in lists":                   frame(append([]byte{0x19}, bytes.Repeat([]byte{0x19}, 100_000)...)),
		"nothing but the frame":            frame(nil),
		"a number of more than 64 bits":    frame(append([]byte{0x15}, bytes.Repeat([]byte{0xff}, 20)...)),
		"an integer where a list belongs":  frame([]byte{0x25, 2, 0}),
		"a type that Thrift does not have": frame([]byte{0x1e, 2, 0}),
	}
	for name, file := range bombs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readFooter(bytes.NewReader(file), int64(len(file)))
		runtime.ReadMemStats(&after)
		if !isBadFile(err) {
			t.Errorf("%s: %v", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, used, len(file))
		}
	}
}
