package lakesample

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

func read[T any](t *testing.T, b []byte) []T {
	t.Helper()
	r := parquet.NewGenericReader[T](bytes.NewReader(b))
	defer r.Close()
	rows := make([]T, r.NumRows())
	if n, err := r.Read(rows); n != len(rows) || err != nil && err != io.EOF {
		t.Fatalf("read %d of %d rows: %v", n, len(rows), err)
	}
	return rows
}

func TestEvalComesBack(t *testing.T) {
	var want []Eval
	for i := range 1200 { // several row groups
		want = append(want, Eval{Image{bytes.Repeat([]byte{byte(i)}, i), "p.jpg"}, "B-1", "bike", "A \"bike\"", int32(i)})
	}
	var b bytes.Buffer
	if err := WriteEval(&b, slices.Values(want)); err != nil {
		t.Fatal(err)
	}
	got := read[Eval](t, b.Bytes())
	for i := range want {
		if !bytes.Equal(got[i].Image.Bytes, want[i].Image.Bytes) || got[i].Title != want[i].Title || got[i].Position != want[i].Position {
			t.Fatalf("row %d is %v", i, got[i])
		}
	}
}

// TestSalesComeBack reads through the schema what was written column by column, empty lists and maps included.
func TestSalesComeBack(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC)
	var rows []Sale
	var want []saleColumns
	for i := range 700 { // more than two batches
		s := Sale{OrderID: int64(i), ProductNumber: "B-1", Quantity: 2, Cents: 64999 + int64(i), OrderedAt: at, Channel: "outlet"}
		w := saleColumns{OrderID: int64(i), ProductNumber: "B-1", Quantity: 2, UnitPrice: 64999 + int64(i), OrderedAt: at.UnixMicro(), Channel: "outlet", Tags: []string{}, Attributes: map[string]string{}}
		for j := range i % 3 {
			tag := string(rune('a' + j))
			s.Tags, w.Tags = append(s.Tags, tag), append(w.Tags, tag)
			s.Attributes = append(s.Attributes, Attribute{"k" + tag, tag})
			w.Attributes["k"+tag] = tag
		}
		rows, want = append(rows, s), append(want, w)
	}
	var b bytes.Buffer
	if err := WriteSales(&b, slices.Values(rows)); err != nil {
		t.Fatal(err)
	}
	got := read[saleColumns](t, b.Bytes())
	if len(got) != len(want) {
		t.Fatalf("%d rows, not %d", len(got), len(want))
	}
	for i := range want {
		if len(got[i].Tags) == 0 && len(got[i].Attributes) == 0 {
			got[i].Tags, got[i].Attributes = []string{}, map[string]string{} // empty and missing are one to the reader
		}
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("row %d is %v, not %v", i, got[i], want[i])
		}
	}
}

func BenchmarkWriteSales(b *testing.B) {
	const rows = 100_000
	s := Sale{ProductNumber: "B-1", Quantity: 2, Cents: 64999, OrderedAt: time.Unix(1.7e9, 0), Channel: "outlet", Tags: []string{"gift", "bulk"}, Attributes: []Attribute{{"warehouse", "Lille"}}}
	for b.Loop() {
		err := WriteSales(io.Discard, func(yield func(Sale) bool) {
			for i := range rows {
				s.OrderID = int64(i)
				if !yield(s) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
