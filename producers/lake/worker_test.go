package lake

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// drawer is a Target that keeps what it is told. Dead letters go to a topic of their own with the place as the key.
type drawer struct {
	most    int
	letters []producers.DeadLetter
}

func (d *drawer) Dataset(_ context.Context, dataset string, _, _ *schemas.Schema) (producers.Dataset, error) {
	return producers.Dataset{Topic: dataset, ValueID: 7}, nil
}

func (d *drawer) DeadLetter(l producers.DeadLetter) *kgo.Record {
	l.Raw = bytes.Clone(l.Raw) // a Target copies it into the record
	d.letters = append(d.letters, l)
	return &kgo.Record{Topic: "letters", Value: l.Raw}
}

func (d *drawer) MaxRecordBytes() int { return d.most }

// work does one item of a lake whose dataset is sales and returns its rows' numbers in the object.
func work(t *testing.T, l *lakeFolder, d *drawer, it item) []int64 {
	t.Helper()
	conf, err := l.conf().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	err = listAll(t.Context(), folder{l.root}, &conf, func(o object, dc *DatasetConfig) error {
		if o.Key != it.Key {
			return nil
		}
		in, err := folder{l.root}.Open(t.Context(), o.Key, o.ETag)
		if err != nil {
			return err
		}
		defer in.Close()
		f, err := readFooter(in, o.Size)
		if err != nil {
			return err
		}
		_, schema, err := planOf(o.Key, dc, f, nil)
		if err != nil {
			return err
		}
		it.Dataset, it.ETag, it.Size, it.Modified, it.Schema = dc.Name, o.ETag, o.Size, o.Modified, schema.String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(conf, folder{l.root}, d, nil)
	defer func() {
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	schema, err := schemas.Parse(it.Schema)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := schemas.NewDecoder(schema, schema)
	if err != nil {
		t.Fatal(err)
	}
	var rows []int64
	err = w.Work(t.Context(), &kgo.Record{Value: it.append(nil, 1)}, func(b producers.Batch) error {
		size := 0
		for _, r := range b.Records {
			if size += len(r.Value); r.Topic == "letters" {
				continue
			}
			c := schemas.NewColumns(schema)
			id, payload, err := schemas.ParseFrame(r.Value)
			if err != nil || id != 7 {
				return fmt.Errorf("id %d: %w", id, err)
			}
			if err := decoder.Decode(payload, c); err != nil {
				return err
			}
			rows = append(rows, c.Field("_origin").Child("row").Int64[0])
		}
		if size > 2*batchBytes {
			t.Errorf("a batch of %d bytes", size)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// damagedSales is an object of n rows in one row group with one damaged page, and the rows of that page: from first up to end.
func damagedSales(t *testing.T, l *lakeFolder, key string, n int) (first, end int64) {
	t.Helper()
	file := parquetOf(t, saleRows(1, n), parquet.PageBufferSize(512), parquet.DataPageStatistics(false))
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	index, err := f.RowGroups()[0].ColumnChunks()[1].OffsetIndex()
	if err != nil {
		t.Fatal(err)
	}
	page := index.NumPages() / 2
	first, end = index.FirstRowIndex(page), index.FirstRowIndex(page+1)
	file[index.Offset(page)+index.CompressedPageSize(page)-1] ^= 1
	l.put(key, file)
	return first, end
}

// A damaged page costs exactly its own rows, whole or in part, wherever the item begins.
func TestDamagedPageExactly(t *testing.T) {
	l := newLake(t)
	first, end := damagedSales(t, l, "sales/a.parquet", 300)
	if first == 0 || end-first < 3 || end > 290 {
		t.Fatalf("the page has rows %d to %d", first, end)
	}
	for _, c := range [][2]int64{{0, 300}, {first, end}, {first + 1, 300}, {end - 1, end + 5}, {end, 300}, {0, first}, {first - 1, first + 2}} {
		d := &drawer{most: 1 << 20}
		rows := work(t, l, d, item{Key: "sales/a.parquet", First: c[0], Rows: c[1] - c[0]})
		at := 0
		for row := c[0]; row < c[1]; row++ {
			if row >= first && row < end {
				continue
			}
			if at >= len(rows) || rows[at] != row+1 {
				t.Fatalf("rows %d to %d: row %d is missing", c[0], c[1], row)
			}
			at++
		}
		lost := max(min(end, c[1])-max(first, c[0]), 0)
		if at != len(rows) || int64(len(d.letters)) != lost {
			t.Fatalf("rows %d to %d: %d rows and %d dead letters, want %d and %d", c[0], c[1], len(rows), len(d.letters), at, lost)
		}
		if lost > 0 {
			want := fmt.Sprintf("object sales/a.parquet, row group 0, row %d of the group", max(first, c[0])+1)
			if d.letters[0].Place != want || len(d.letters[0].Raw) == 0 || len(d.letters[0].SHA256) != 32 {
				t.Errorf("first dead letter %+v, want place %s and the page", d.letters[0], want)
			}
		}
	}
}

// A row that no record can hold is a dead letter; so is one with a bad value. The others go on.
func TestRowsThatCannotBeStored(t *testing.T) {
	l := newLake(t)
	rows := saleRows(1, 5)
	rows[1].Title = strings.Repeat("long ", 1000)
	rows[3].Title = "\xff"
	l.put("sales/a.parquet", parquetOf(t, rows))
	d := &drawer{most: 1000}
	got := work(t, l, d, item{Key: "sales/a.parquet", Rows: 5})
	if fmt.Sprint(got) != "[1 3 5]" || len(d.letters) != 2 {
		t.Fatalf("rows %v, %d dead letters", got, len(d.letters))
	}
	for i, want := range []string{"more than the 1000", "column title: the text is not valid UTF-8"} {
		if letter := d.letters[i]; !strings.Contains(letter.Reason, want) || letter.Size != int64(len(letter.Raw)) {
			t.Errorf("dead letter %d: %q with %d of %d bytes", i, letter.Reason, len(letter.Raw), letter.Size)
		}
	}
	if !bytes.Contains(d.letters[1].Raw, []byte{0xff}) {
		t.Error("the bad bytes are not in the dead letter")
	}
}

// An object that is written into while it is read is an error, so that the transaction is aborted.
func TestObjectChangesUnderTheReader(t *testing.T) {
	l := newLake(t)
	l.sales("sales/a.parquet", 1, 5, 100)
	in, err := folder{l.root}.Open(t.Context(), "sales/a.parquet", tagOf(t, l, "sales/a.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.Check(); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	at := time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(l.root, "sales/a.parquet"), at, at); err != nil {
		t.Fatal(err)
	}
	if err := in.Check(); err != errChanged {
		t.Errorf("touched: %v", err)
	}
}

func tagOf(t *testing.T, l *lakeFolder, key string) (tag string) {
	t.Helper()
	err := folder{l.root}.List(t.Context(), "", func(o object) error {
		if o.Key == key {
			tag = o.ETag
		}
		return nil
	})
	if err != nil || tag == "" {
		t.Fatalf("%s: tag %q, %v", key, tag, err)
	}
	return tag
}

func TestItemRoundTrip(t *testing.T) {
	want := item{"d", "k/é", "1-2", 3, time.UnixMicro(4), 5, 6, 7, `"null"`}
	got, err := parseItem(want.append(nil, 9))
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	framed := want.append(nil, 9)
	for n := range framed {
		if _, err := parseItem(framed[:n]); err == nil {
			t.Errorf("%d of %d bytes are an item", n, len(framed))
		}
	}
	want.Rows = -1
	if _, err := parseItem(want.append(nil, 9)); err == nil {
		t.Error("an item of fewer than no rows")
	}
}

type narrow struct {
	Int   int32   `parquet:"int"`
	Float float32 `parquet:"float"`
	Text  string  `parquet:"text"`
}

type wide struct {
	Int   float64 `parquet:"int"`
	Float float64 `parquet:"float"`
	Text  []byte  `parquet:"text"`
	More  int32   `parquet:"more"`
}

// Rows of a narrow file are written exactly in the wider schema of their dataset.
func TestWidening(t *testing.T) {
	d := &DatasetConfig{Name: "d"}
	read := func(file []byte) *footer {
		f, err := readFooter(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	_, first, err := planOf("k", d, read(parquetOf(t, []wide{{}})), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := parquetOf(t, []narrow{{-7, 0.5, "x"}})
	f := read(file)
	p, schema, err := planOf("k", d, f, first)
	if err != nil {
		t.Fatal(err)
	}
	r := readPlan(t, file, f, p, schema, "k")
	for name, want := range map[string]any{"int": -7.0, "float": 0.5, "text": "x", "more": nil} {
		if got := r.field(0, name); got != want {
			t.Errorf("%s = %#v, want %#v", name, got, want)
		}
	}
}
