package lake

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/parquet-go/parquet-go"

	"adventureworks.example/extract/schemas"
)

// order is a row of the benchmarks: eight fields, as a table of sales has them.
type order struct {
	ID       int64   `parquet:"order_id"`
	Product  string  `parquet:"product_number,dict"`
	Quantity int32   `parquet:"quantity"`
	Price    int64   `parquet:"unit_price,decimal(4:18)"`
	At       int64   `parquet:"ordered_at,timestamp(microsecond)"`
	Channel  *string `parquet:"channel,optional,dict"`
	Discount float64 `parquet:"discount"`
	Note     string  `parquet:"note"`
}

func orders(n int) []order {
	r := rand.New(rand.NewPCG(1, 2))
	channels := []string{"web", "shop", "phone"}
	out := make([]order, n)
	for i := range out {
		out[i] = order{int64(i), fmt.Sprintf("BK-%04d", r.IntN(300)), int32(r.IntN(10)), r.Int64N(1e7), 1.7e15 + r.Int64N(1e14), nil, r.Float64(),
			fmt.Sprintf("note %d of a customer", r.IntN(1e6))}
		if i%4 > 0 {
			out[i].Channel = &channels[i%3]
		}
	}
	return out
}

func BenchmarkRows(b *testing.B) {
	const n = 200_000
	file := parquetOf(b, orders(n), parquet.Compression(&parquet.Snappy))
	f, err := readFooter(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	p, schema, err := planOf("k", &DatasetConfig{Name: "d"}, f, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("plan", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 1<<20)
		var c codecs
		defer c.close()
		for b.Loop() {
			r := newRowReader(f, p, 0, bytes.NewReader(file), newOrigin("k", 0, someTime), &c)
			if err := r.seek(0); err != nil {
				b.Fatal(err)
			}
			for range n {
				if len(buf) > 1<<19 {
					buf = buf[:0]
				}
				if buf, err = r.append(buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("maps", func(b *testing.B) { benchMaps(b, file, schema, n) })
}

// benchMaps goes the usual way: rows as maps, then goavro.
func benchMaps(b *testing.B, file []byte, schema *schemas.Schema, n int) {
	codec, err := goavro.NewCodec(schema.String())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		reader := parquet.NewGenericReader[order](bytes.NewReader(file))
		rows := make([]order, 1000)
		var buf []byte
		for at := int64(1); ; {
			k, err := reader.Read(rows)
			for _, o := range rows[:k] {
				var channel any
				if o.Channel != nil {
					channel = map[string]any{"string": *o.Channel}
				}
				m := map[string]any{"order_id": map[string]any{"long": o.ID}, "product_number": map[string]any{"string": o.Product},
					"quantity": map[string]any{"int": o.Quantity}, "unit_price": map[string]any{"bytes.decimal": bigRat(o.Price)},
					"ordered_at": map[string]any{"long.timestamp-micros": time.UnixMicro(o.At)}, "channel": channel,
					"discount": map[string]any{"double": o.Discount}, "note": map[string]any{"string": o.Note},
					"_origin": map[string]any{"uri": "k", "entry": map[string]any{"string": "row group 0"}, "row": at, "modified": someTime}}
				if buf, err = codec.BinaryFromNative(buf[:0], m); err != nil {
					b.Fatal(err)
				}
				at++
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func bigRat(unscaled int64) *big.Rat { return big.NewRat(unscaled, 10_000) }

type blob struct {
	ID   int64  `parquet:"id"`
	Data []byte `parquet:"data"`
}

// writeLarge writes one row group of about so many MiB that compression does not make smaller.
func writeLarge(t testing.TB, path string, mib int) (rows int64) {
	t.Helper()
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w := parquet.NewGenericWriter[blob](out, parquet.Compression(&parquet.Snappy), parquet.PageBufferSize(1<<20))
	r := rand.New(rand.NewPCG(3, 4))
	for range mib * 16 {
		data := make([]byte, 64<<10)
		for i := 0; i < len(data); i += 8 {
			copy(data[i:], fmt.Appendf(nil, "%08x", r.Uint32()))
		}
		if _, err := w.Write([]blob{{rows, data}}); err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// A row group far larger than the memory that reading it takes.
func TestMemoryOfALargeRowGroup(t *testing.T) {
	mib, most := 96, uint64(48<<20)
	if os.Getenv("LARGE") != "" {
		mib = 600
	}
	path := filepath.Join(t.TempDir(), "large.parquet")
	rows := writeLarge(t, path, mib)
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := readFooter(in, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.meta.RowGroups) != 1 {
		t.Fatalf("%d row groups", len(f.meta.RowGroups))
	}
	p, _, err := planOf("k", &DatasetConfig{Name: "d"}, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	var c codecs
	defer c.close()
	runtime.GC() // twice, so that what the writer has pooled is gone
	runtime.GC()
	var now runtime.MemStats
	r := newRowReader(f, p, 0, in, newOrigin("k", 0, someTime), &c)
	if err := r.seek(0); err != nil {
		t.Fatal(err)
	}
	var buf []byte
	peak := uint64(0)
	for row := range rows {
		if buf, err = r.append(buf[:0]); err != nil {
			t.Fatalf("row %d: %v", row, err)
		}
		if row%64 == 0 {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapInuse)
		}
	}
	t.Logf("%d MiB in one row group, %d MiB of heap", info.Size()>>20, peak>>20)
	if peak > most {
		t.Errorf("%d bytes of heap, more than %d", peak, most)
	}
}
