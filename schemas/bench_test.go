package schemas

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
)

// benchSchema has the eight fields of a typical row; a payload is about 188 bytes.
func benchSchema(tb testing.TB) *Schema {
	tb.Helper()
	s, err := New(RecordOf("bench.Row",
		Field{Name: "id", Type: Primitive(Long)},
		Field{Name: "name", Type: Primitive(String)},
		NullableField("quantity", Primitive(Int)),
		NullableField("price", DecimalOf(18, 4)),
		Field{Name: "rating", Type: Primitive(Double)},
		NullableField("active", Primitive(Boolean)),
		Field{Name: "modified", Type: LogicalOf(TimestampMicros)},
		NullableField("comment", Primitive(String)),
	))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

var benchComment = "A light frame with a comfortable saddle; the brakes squeal a little in the rain, but the gears shift smoothly. Would buy again, and so would my neighbour."

// benchText is the same row as text, field by field.
func benchText() [][]byte {
	var row [][]byte
	for _, s := range []string{"1234567", "Mountain-200 Silver", "42", "2319.9900", "4.5", "true", "2026-11-24 08:51:30.123456+00", benchComment} {
		row = append(row, []byte(s))
	}
	return row
}

func benchNative() map[string]any {
	return map[string]any{
		"id": int64(1234567), "name": "Mountain-200 Silver", "quantity": goavro.Union("int", 42), "price": goavro.Union("bytes.decimal", big.NewRat(23199900, 10000)),
		"rating": 4.5, "active": goavro.Union("boolean", true), "modified": time.Date(2026, 11, 24, 8, 51, 30, 123456000, time.UTC), "comment": goavro.Union("string", benchComment),
	}
}

func benchPayload(tb testing.TB, s *Schema) []byte {
	tb.Helper()
	codec, err := goavro.NewCodec(s.String())
	if err != nil {
		tb.Fatal(err)
	}
	payload, err := codec.BinaryFromNative(nil, benchNative())
	if err != nil {
		tb.Fatal(err)
	}
	return payload
}

func compileRow(tb testing.TB, s *Schema) []TextFunc {
	tb.Helper()
	var row []TextFunc
	for _, f := range s.Root.Fields {
		fn, err := CompileText(f.Type)
		if err != nil {
			tb.Fatal(err)
		}
		row = append(row, fn)
	}
	return row
}

func appendTextRow(tb testing.TB, dst []byte, row []TextFunc, text [][]byte) []byte {
	for i, f := range row {
		var err error
		if dst, err = f(dst, text[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return dst
}

// TestBenchRow makes sure that the benchmarks compare the same work.
func TestBenchRow(t *testing.T) {
	s := benchSchema(t)
	payload := benchPayload(t, s)
	if got := appendTextRow(t, nil, compileRow(t, s), benchText()); !bytes.Equal(got, payload) {
		t.Errorf("text row\n%x, goavro\n%x", got, payload)
	}
	cols := decodeAll(t, s, s, payload)
	if got, err := NewEncoder(s).Append(nil, cols, 0); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("encoded %x, %v, goavro %x", got, err, payload)
	}
}

func rowsPerSecond(b *testing.B) float64 {
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "rows/s")
	return rate
}

// BenchmarkDecode reads a row into columns, beside goavro into maps.
func BenchmarkDecode(b *testing.B) {
	s := benchSchema(b)
	payload := benchPayload(b, s)
	var ours, theirs float64
	b.Run("columns", func(b *testing.B) {
		d, err := NewDecoder(s, s)
		if err != nil {
			b.Fatal(err)
		}
		cols := NewColumns(s)
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			if cols.Len() == 4096 {
				cols.Reset()
			}
			if err := d.Decode(payload, cols); err != nil {
				b.Fatal(err)
			}
		}
		ours = rowsPerSecond(b)
	})
	b.Run("goavro", func(b *testing.B) {
		codec, err := goavro.NewCodec(s.String())
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := codec.NativeFromBinary(payload); err != nil {
				b.Fatal(err)
			}
		}
		theirs = rowsPerSecond(b)
		b.ReportMetric(ours/theirs, "times-slower")
	})
}

// BenchmarkEncode writes a row from columns and from text, beside goavro from a map.
func BenchmarkEncode(b *testing.B) {
	s := benchSchema(b)
	payload := benchPayload(b, s)
	var ours float64
	b.Run("columns", func(b *testing.B) {
		e, cols := NewEncoder(s), decodeAll(b, s, s, payload)
		buf := make([]byte, 0, 256)
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Append(buf, cols, 0); err != nil {
				b.Fatal(err)
			}
		}
		ours = rowsPerSecond(b)
	})
	b.Run("text", func(b *testing.B) {
		row, text, buf := compileRow(b, s), benchText(), make([]byte, 0, 256)
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			appendTextRow(b, buf, row, text)
		}
		rowsPerSecond(b)
	})
	b.Run("goavro", func(b *testing.B) {
		codec, err := goavro.NewCodec(s.String())
		if err != nil {
			b.Fatal(err)
		}
		native, buf := benchNative(), make([]byte, 0, 256)
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.BinaryFromNative(buf, native); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(ours/rowsPerSecond(b), "times-slower")
	})
}

// BenchmarkCanonical sums a row up for a digest.
func BenchmarkCanonical(b *testing.B) {
	s := benchSchema(b)
	cols := decodeAll(b, s, s, benchPayload(b, s))
	var digest Digest
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		digest.Add(cols.AppendCanonical(buf, 0))
	}
	rowsPerSecond(b)
	_ = fmt.Sprint(digest)
}
