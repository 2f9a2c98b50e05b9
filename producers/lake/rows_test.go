package lake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/deprecated"

	"adventureworks.example/extract/schemas"
)

var someTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// parquetOf writes rows of a struct as a Parquet file.
func parquetOf[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatalf("write parquet: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("close parquet: %v", err)
	}
	return b.Bytes()
}

// read is all that a plan makes of a file: the rows as goavro decodes them, and what went wrong by row.
type read struct {
	schema *schemas.Schema
	rows   []map[string]any
	avro   [][]byte
	errs   map[int64]error
}

func readAll(t testing.TB, file []byte, d DatasetConfig, key string) read {
	t.Helper()
	d.Name = "d"
	f, err := readFooter(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("read footer: %v", err)
	}
	p, schema, err := planOf(key, &d, f, nil)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return readPlan(t, file, f, p, schema, key)
}

func readPlan(t testing.TB, file []byte, f *footer, p *plan, schema *schemas.Schema, key string) read {
	t.Helper()
	codec, err := goavro.NewCodec(schema.String())
	if err != nil {
		t.Fatalf("goavro: %v", err)
	}
	out := read{schema: schema, errs: map[int64]error{}}
	var c codecs
	defer c.close()
	total := int64(0)
	for g := range f.meta.RowGroups {
		r := newRowReader(f, p, g, bytes.NewReader(file), newOrigin(key, g, someTime), &c)
		err := r.seek(0)
		for row := int64(0); row < f.meta.RowGroups[g].NumRows; row++ {
			var avro []byte
			if err == nil {
				avro, err = r.append(nil)
			}
			if err != nil {
				out.errs[total+row] = err
			}
			out.avro = append(out.avro, avro)
			if _, invalid := err.(*valueError); err != nil && !invalid {
				break
			}
			err = nil
			native, rest, err := codec.NativeFromBinary(avro)
			if err != nil || len(rest) > 0 {
				t.Fatalf("row %d: goavro: %v, %d bytes left", total+row, err, len(rest))
			}
			m := native.(map[string]any)
			out.rows = append(out.rows, m)
		}
		total += f.meta.RowGroups[g].NumRows
	}
	return out
}

// plainValue takes goavro's unions away and makes values comparable.
func plainValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for k, inner := range v {
				if isBranch(k) {
					return plainValue(inner)
				}
			}
		}
		out := map[string]any{}
		for k, inner := range v {
			out[k] = plainValue(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainValue(v[i])
		}
		return out
	case *big.Rat:
		return v.RatString()
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return v.String()
	case []byte:
		return string(v)
	}
	return v
}

func isBranch(k string) bool {
	word, _, _ := strings.Cut(k, ".")
	return slices.Contains([]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "array", "map", "extract"}, word)
}

func (r read) field(row int, name string) any { return plainValue(r.rows[row][name]) }

type scalars struct {
	Bool     bool             `parquet:"bool"`
	I8       int8             `parquet:"i8"`
	I16      int16            `parquet:"i16"`
	I32      int32            `parquet:"i32"`
	I64      int64            `parquet:"i64"`
	U8       uint8            `parquet:"u8"`
	U16      uint16           `parquet:"u16"`
	U32      uint32           `parquet:"u32"`
	U64      uint64           `parquet:"u64"`
	F32      float32          `parquet:"f32"`
	F64      float64          `parquet:"f64"`
	Text     string           `parquet:"text"`
	Enum     string           `parquet:"enum,enum"`
	JSON     string           `parquet:"json,json"`
	Raw      []byte           `parquet:"raw"`
	Fixed    [3]byte          `parquet:"fixed"`
	ID       [16]byte         `parquet:"id,uuid"`
	D32      int32            `parquet:"d32,decimal(2:9)"`
	D64      int64            `parquet:"d64,decimal(4:18)"`
	DFix     [5]byte          `parquet:"dfix,decimal(2:11)"`
	Date     int32            `parquet:"date,date"`
	TimeMs   int32            `parquet:"timems,time(millisecond)"`
	TimeUs   int64            `parquet:"timeus,time(microsecond)"`
	TimeNs   int64            `parquet:"timens,time(nanosecond)"`
	StampMs  int64            `parquet:"stampms,timestamp(millisecond)"`
	StampUs  int64            `parquet:"stampus,timestamp(microsecond)"`
	StampNs  int64            `parquet:"stampns,timestamp(nanosecond)"`
	LocalUs  int64            `parquet:"localus,timestamp(microsecond:local)"`
	Legacy   deprecated.Int96 `parquet:"legacy"`
	Optional *int64           `parquet:"optional,optional"`
	OptText  *string          `parquet:"opttext,optional"`
}

func int96(at time.Time) deprecated.Int96 {
	days := at.Unix() / 86400
	nanos := uint64(at.Sub(time.Unix(days*86400, 0)).Nanoseconds())
	return deprecated.Int96{uint32(nanos), uint32(nanos >> 32), uint32(days + julianEpoch)}
}

func someScalars(n int) []scalars {
	out := make([]scalars, n)
	for i := range out {
		k := int64(i)
		s := scalars{Bool: i%3 == 0, I8: int8(-i), I16: int16(i * -100), I32: int32(i) * -70000, I64: k << 40, U8: uint8(200 + i%50), U16: uint16(60000 + i%5000),
			U32: 4_000_000_000 + uint32(i), U64: math.MaxUint64 - uint64(i), F32: float32(i) / 3, F64: float64(i) / 7, Text: fmt.Sprintf("é%d", i%10), Enum: "RED",
			JSON: `{"a":1}`, Raw: []byte{0xff, byte(i)}, Fixed: [3]byte{1, 2, byte(i)}, ID: [16]byte{0xde, 0xad, 15: byte(i)}, D32: int32(i) - 5, D64: k * -10001,
			DFix: [5]byte{0xff, 0xff, 0xff, 0xff, byte(255 - i%100)}, Date: int32(-i), TimeMs: 1000 + int32(i), TimeUs: 1_000_001, TimeNs: k * 1000, StampMs: -k,
			StampUs: k * 1_000_003, StampNs: k * 999, LocalUs: k, Legacy: int96(time.Date(1999, 12, 31, 23, 59, 58, i*1000, time.UTC))}
		if i%2 == 1 {
			s.Optional = &k
			text := strings.Repeat("x", i%7)
			s.OptText = &text
		}
		out[i] = s
	}
	return out
}

func checkScalars(t *testing.T, r read, rows []scalars) {
	t.Helper()
	if len(r.rows) != len(rows) || len(r.errs) > 0 {
		t.Fatalf("%d rows of %d, errors %v", len(r.rows), len(rows), r.errs)
	}
	for i, s := range rows {
		rat := func(unscaled *big.Int, scale int64) string {
			return new(big.Rat).SetFrac(unscaled, new(big.Int).Exp(big.NewInt(10), big.NewInt(scale), nil)).RatString()
		}
		stamp := func(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }
		want := map[string]any{"bool": s.Bool, "i8": int32(s.I8), "i16": int32(s.I16), "i32": s.I32, "i64": s.I64, "u8": int32(s.U8), "u16": int32(s.U16),
			"u32": int64(s.U32), "u64": rat(new(big.Int).SetUint64(s.U64), 0), "f32": s.F32, "f64": s.F64, "text": s.Text, "enum": s.Enum, "json": s.JSON,
			"raw": string(s.Raw), "fixed": string(s.Fixed[:]), "id": fmt.Sprintf("%x-%x-%x-%x-%x", s.ID[:4], s.ID[4:6], s.ID[6:8], s.ID[8:10], s.ID[10:]),
			"d32": rat(big.NewInt(int64(s.D32)), 2), "d64": rat(big.NewInt(s.D64), 4), "dfix": rat(big.NewInt(int64(s.DFix[4])-256), 2),
			"date": time.Unix(int64(s.Date)*86400, 0).UTC().Format(time.RFC3339Nano), "timems": (time.Duration(s.TimeMs) * time.Millisecond).String(),
			"timeus": (time.Duration(s.TimeUs) * time.Microsecond).String(), "timens": time.Duration(s.TimeNs).String(), "stampms": stamp(s.StampMs * 1000),
			"stampus": stamp(s.StampUs), "legacy": time.Date(1999, 12, 31, 23, 59, 58, i*1000, time.UTC).Format(time.RFC3339Nano)}
		for name, w := range want {
			if got := r.field(i, name); !reflect.DeepEqual(got, w) {
				t.Fatalf("row %d, %s = %#v, want %#v", i, name, got, w)
			}
		}
		for name, w := range map[string]int64{"stampns": s.StampNs, "localus": s.LocalUs} {
			if got := fmt.Sprint(r.field(i, name)); got != fmt.Sprint(w) && got != stamp(w) {
				t.Fatalf("row %d, %s = %v, want %d", i, name, got, w)
			}
		}
		if got := r.field(i, "optional"); (got == nil) != (s.Optional == nil) || got != nil && got != *s.Optional {
			t.Fatalf("row %d: optional %v, want %v", i, got, s.Optional)
		}
		if got := r.field(i, "opttext"); (got == nil) != (s.OptText == nil) || got != nil && got != *s.OptText {
			t.Fatalf("row %d: opttext %v, want %v", i, got, s.OptText)
		}
		o := r.field(i, "_origin").(map[string]any)
		if o["uri"] != "a/b.parquet" || o["row"] != int64(i+1) || o["modified"] != someTime.Format(time.RFC3339Nano) {
			t.Fatalf("row %d: origin %v", i, o)
		}
	}
}

// Every type, in every codec, page version and with pages so small that rows of one row lie on different pages.
func TestScalars(t *testing.T) {
	rows := someScalars(500)
	for name, codec := range map[string]compress.Codec{"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd,
		"brotli": &parquet.Brotli, "lz4": &parquet.Lz4Raw} {
		for version := 1; version <= 2; version++ {
			for _, page := range []int{256, 1 << 20} {
				t.Run(fmt.Sprintf("%s/v%d/%d", name, version, page), func(t *testing.T) {
					file := parquetOf(t, rows, parquet.Compression(codec), parquet.DataPageVersion(version), parquet.PageBufferSize(page), parquet.MaxRowsPerRowGroup(200))
					checkScalars(t, readAll(t, file, DatasetConfig{}, "a/b.parquet"), rows)
				})
			}
		}
	}
}

type encoded struct {
	PlainText   string  `parquet:"plaintext,plain"`
	DictText    string  `parquet:"dicttext,dict"`
	DeltaInt    int32   `parquet:"deltaint,delta"`
	DeltaLong   int64   `parquet:"deltalong,delta"`
	DeltaText   string  `parquet:"deltatext,delta"`
	SplitFloat  float32 `parquet:"splitfloat,split"`
	SplitDouble float64 `parquet:"splitdouble,split"`
	DictDouble  float64 `parquet:"dictdouble,dict"`
	OptDelta    int64   `parquet:"optdelta,optional,delta"`
	OptDict     *string `parquet:"optdict,optional,dict"`
}

func TestEncodings(t *testing.T) {
	var rows []encoded
	for i := range 3000 {
		text := fmt.Sprintf("prefix-%d", i/3)
		r := encoded{text, fmt.Sprint(i % 300), int32(i*i) - 1_000_000_000, int64(i) * -1 << 33, text, float32(i) / 3, math.Inf(i%2*2 - 1), float64(i % 5), 0, nil}
		if i%3 > 0 {
			n := int64(i * 1_000_000_007)
			r.OptDelta, r.OptDict = n, &r.DictText
		}
		rows = append(rows, r)
	}
	for _, page := range []int{1000, 1 << 20} {
		file := parquetOf(t, rows, parquet.PageBufferSize(page))
		r := readAll(t, file, DatasetConfig{}, "k")
		if len(r.rows) != len(rows) {
			t.Fatalf("%d rows of %d, errors %v", len(r.rows), len(rows), r.errs)
		}
		for i, w := range rows {
			got := []any{r.field(i, "plaintext"), r.field(i, "dicttext"), r.field(i, "deltaint"), r.field(i, "deltalong"), r.field(i, "deltatext"),
				r.field(i, "splitfloat"), r.field(i, "splitdouble"), r.field(i, "dictdouble"), r.field(i, "optdelta"), r.field(i, "optdict")}
			want := []any{w.PlainText, w.DictText, w.DeltaInt, w.DeltaLong, w.DeltaText, w.SplitFloat, w.SplitDouble, w.DictDouble, nil, nil}
			if w.OptDict != nil {
				want[8], want[9] = w.OptDelta, *w.OptDict
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("row %d: %v, want %v", i, got, want)
			}
		}
	}
}

type line struct {
	SKU  string   `parquet:"sku"`
	Qty  *int32   `parquet:"qty,optional"`
	Tags []string `parquet:"tags,list"`
}

type picture struct {
	Bytes []byte  `parquet:"bytes,optional"`
	Path  *string `parquet:"path,optional"`
}

type nested struct {
	Image  *picture           `parquet:"image,optional"`
	Tags   []string           `parquet:"tags,list"`
	Plain  []int64            `parquet:"plain"`
	Lines  []line             `parquet:"lines,list"`
	Attrs  map[string]string  `parquet:"attrs"`
	Counts map[int32]float64  `parquet:"counts"`
	Deep   map[string][]*line `parquet:"deep"`
}

// nestedWant is the row as goavro should decode it, as JSON.
func nestedWant(n nested) map[string]any {
	lines := func(ls []line) []any {
		out := []any{}
		for _, l := range ls {
			tags := []any{}
			for _, s := range l.Tags {
				tags = append(tags, s)
			}
			var qty any
			if l.Qty != nil {
				qty = *l.Qty
			}
			out = append(out, map[string]any{"sku": l.SKU, "qty": qty, "tags": tags})
		}
		return out
	}
	w := map[string]any{"image": nil, "lines": lines(n.Lines)}
	if n.Image != nil {
		var p any
		if n.Image.Path != nil {
			p = *n.Image.Path
		}
		var b any
		if n.Image.Bytes != nil {
			b = string(n.Image.Bytes)
		}
		w["image"] = map[string]any{"bytes": b, "path": p}
	}
	tags, plain := []any{}, []any{}
	for _, s := range n.Tags {
		tags = append(tags, s)
	}
	for _, v := range n.Plain {
		plain = append(plain, v)
	}
	w["tags"], w["plain"] = tags, plain
	attrs := map[string]any{}
	for k, v := range n.Attrs {
		attrs[k] = v
	}
	w["attrs"] = attrs
	return w
}

func someNested(n int) []nested {
	var rows []nested
	for i := range n {
		r := nested{}
		if i%3 > 0 {
			path := fmt.Sprintf("p%d", i)
			r.Image = &picture{Bytes: bytes.Repeat([]byte{byte(i)}, i%5)}
			if i%5 == 0 {
				r.Image.Bytes = nil
			}
			if i%2 == 0 {
				r.Image.Path = &path
			}
		}
		for j := range i % 150 {
			r.Tags = append(r.Tags, fmt.Sprint(j))
			r.Plain = append(r.Plain, int64(j))
		}
		for j := range i % 4 {
			l := line{SKU: fmt.Sprint(i, j)}
			if j%2 == 0 {
				q := int32(j)
				l.Qty = &q
			}
			for k := range j {
				l.Tags = append(l.Tags, fmt.Sprint(k))
			}
			r.Lines = append(r.Lines, l)
		}
		r.Attrs = map[string]string{}
		for j := range i % 3 {
			r.Attrs[fmt.Sprint("k", j)] = fmt.Sprint(i)
		}
		r.Counts = map[int32]float64{int32(i): float64(i)}
		rows = append(rows, r)
	}
	return rows
}

func TestNested(t *testing.T) {
	rows := someNested(400)
	for version := 1; version <= 2; version++ {
		for _, page := range []int{300, 1 << 20} {
			file := parquetOf(t, rows, parquet.PageBufferSize(page), parquet.DataPageVersion(version))
			r := readAll(t, file, DatasetConfig{}, "k")
			if len(r.rows) != len(rows) {
				t.Fatalf("%d rows of %d, errors %v", len(r.rows), len(rows), r.errs)
			}
			for i, n := range rows {
				for name, want := range nestedWant(n) {
					if got := r.field(i, name); asJSON(got) != asJSON(want) {
						t.Fatalf("v%d, pages of %d, row %d, %s = %s, want %s", version, page, i, name, asJSON(got), asJSON(want))
					}
				}
				if got, want := asJSON(r.field(i, "counts")), fmt.Sprintf(`[{"key":%d,"value":%d}]`, i, i); got != want {
					t.Fatalf("row %d: counts %s, want %s", i, got, want)
				}
			}
		}
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// A reader may begin at any row: what follows is the same.
func TestSeek(t *testing.T) {
	file := parquetOf(t, someNested(300), parquet.PageBufferSize(500))
	whole := readAll(t, file, DatasetConfig{}, "k")
	f, err := readFooter(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := planOf("k", &DatasetConfig{Name: "d"}, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	var c codecs
	defer c.close()
	r := newRowReader(f, p, 0, bytes.NewReader(file), newOrigin("k", 0, someTime), &c)
	for _, at := range []int{0, 1, 7, 149, 150, 299} {
		if err := r.seek(int64(at)); err != nil {
			t.Fatalf("seek %d: %v", at, err)
		}
		for row := at; row < min(at+20, 300); row++ {
			avro, err := r.append(nil)
			if err != nil || !bytes.Equal(avro, whole.avro[row]) {
				t.Fatalf("seek to %d, row %d: %x, %v, want %x", at, row, avro, err, whole.avro[row])
			}
		}
	}
}

type wrongValues struct {
	Text   string           `parquet:"text"`
	Dict   string           `parquet:"dict,dict"`
	Legacy deprecated.Int96 `parquet:"legacy"`
	TimeNs int64            `parquet:"timens,time(nanosecond)"`
	Stamp  int64            `parquet:"stamp,timestamp(millisecond)"`
	Number int32            `parquet:"number"`
}

// A value that cannot be stored rejects its row and no other.
func TestInvalidValues(t *testing.T) {
	good := wrongValues{"a", "b", int96(someTime), 1000, 1, 1}
	rows := []wrongValues{good, good, good, good, good, good, good}
	rows[1].Text = "\xff\xfe"
	rows[2].Dict = "\xc3"
	rows[3].Legacy = int96(someTime.Add(1))
	rows[4].TimeNs = 1001
	rows[5].Stamp = math.MaxInt64 / 10
	for i := range rows {
		rows[i].Number = int32(i)
	}
	r := readAll(t, parquetOf(t, rows), DatasetConfig{}, "k")
	want := map[int64]error{1: errNotUTF8, 2: errNotUTF8, 3: errNotExact, 4: errNotExact, 5: errOutOfRange}
	if len(r.rows) != len(rows) || len(r.errs) != len(want) {
		t.Fatalf("%d rows, errors %v", len(r.rows), r.errs)
	}
	for row, reason := range want {
		if !errors.Is(r.errs[row], reason) {
			t.Errorf("row %d: %v, want %v", row, r.errs[row], reason)
		}
	}
	for i := range rows {
		if got := r.field(i, "number"); got != int32(i) {
			t.Errorf("row %d: number %v", i, got)
		}
	}
	if got := r.field(1, "text"); got != "\xff\xfe" {
		t.Errorf("the rejected text is %q, not as it was", got)
	}
}
