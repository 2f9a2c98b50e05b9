package files

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
)

// repaired runs a folder with a file, and then repairs each dead letter by a change of its bytes.
func repaired(t *testing.T, f *folder, correct func([]byte) []byte) (m *memory, rows []string) {
	t.Helper()
	m = newMemory(t)
	m.run(f.source())
	before := len(m.rows)
	s := f.source()
	defer s.Close(t.Context())
	for _, d := range m.letters {
		d.Raw = correct(d.Raw)
		r, err := s.Repair(t.Context(), m, d)
		if err != nil {
			t.Fatalf("%s: %v", d.Place, err)
		}
		sum := *m.digests[d.Dataset]
		sum.Sum(r.Digest)
		m.take(producers.Batch{Records: r.Records})
		if sum != *m.digests[d.Dataset] {
			t.Errorf("%s: the digest is not that of the row", d.Place)
		}
	}
	return m, m.rows[before:]
}

func text16(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// A row that is brought in has the fields, the origin and the partition that it would have had if it had been good at once.
func TestRepairedRowsAreWhatTheyWouldHaveBeen(t *testing.T) {
	const bad, good = "oops", "2"
	body := header + "1,one,,\r\noops,\"déjà\nvu\",1.5,2026-01-02\r\n3,three,,"
	pack := func(s string) []byte { return zipOf(entry{"reviews.csv", []byte(s)}) }
	utf := func(s string) []byte { return []byte(s) }
	latin := func(s string) []byte {
		var b []byte
		for _, r := range s {
			b = append(b, byte(r))
		}
		return b
	}
	for name, c := range map[string]struct {
		file   string
		encode func(string) []byte
		text   string
		config func(*Dataset)
	}{
		"plain":           {"reviews.csv", utf, body, nil},
		"byte order mark": {"reviews.csv", func(s string) []byte { return append([]byte("\xef\xbb\xbf"), s...) }, body, nil},
		"utf-16":          {"reviews.csv", text16, body, nil},
		"latin-1":         {"reviews.csv", latin, body, func(d *Dataset) { d.CSV.Encoding = "latin-1" }},
		"in an archive":   {"reviews.zip", pack, body, nil},
		"other order":     {"reviews.csv", utf, "title,id\na,1\nb,oops\n", nil},
		"no header":       {"reviews.csv", utf, "1,a\noops,b\n", func(d *Dataset) { d.CSV.Header, d.CSV.Columns = new(false), []string{"id", "title"} }},
		"last row":        {"reviews.csv", utf, "id,title\noops,b", nil},
		"odd name":        {"reviews \xff\\ 1.csv", utf, body, nil},
	} {
		t.Run(name, func(t *testing.T) {
			setup := func(text string) *folder {
				f := newFolder(t)
				f.config.Datasets[0].Match = append(f.config.Datasets[0].Match, "reviews.zip")
				if c.config != nil {
					c.config(&f.config.Datasets[0])
				}
				f.drop(c.file, c.encode(text))
				return f
			}
			want := newMemory(t)
			want.run(setup(strings.Replace(c.text, bad, good, 1)).source())
			got, rows := repaired(t, setup(c.text), func(raw []byte) []byte {
				from, to := c.encode(bad), c.encode(good)
				if c.file == "reviews.zip" || name == "byte order mark" {
					from, to = []byte(bad), []byte(good)
				}
				if name == "utf-16" {
					from, to = from[2:], to[2:]
				}
				return bytes.Replace(raw, from, to, 1)
			})
			if len(got.letters) != 1 || len(rows) != 1 {
				t.Fatalf("%d letters and %d rows", len(got.letters), len(rows))
			}
			slices.Sort(got.rows)
			slices.Sort(want.rows)
			if !slices.Equal(got.rows, want.rows) {
				t.Errorf("rows are %q, want %q", got.rows, want.rows)
			}
			if len(got.parts) != 1 {
				t.Errorf("the row is in another partition than its file: %v", got.parts)
			}
		})
	}
}

// After the schema file was mended the bytes need no correction.
func TestRepairByAMendedSchema(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews.csv", []byte(header+"1,ok,1234.5,\n"))
	m := newMemory(t)
	m.run(f.source())
	s := f.source()
	defer s.Close(t.Context())
	if _, err := s.Repair(t.Context(), m, m.letters[0]); producers.Classify(err) != producers.Reject || !strings.Contains(err.Error(), "rating") {
		t.Errorf("repair of nothing: %v", err)
	}
	wider := strings.Replace(reviewSchema, `"precision":3,"scale":1`, `"precision":9,"scale":1`, 1)
	if err := os.WriteFile(filepath.Join(f.base, "review.avsc"), []byte(wider), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, rows := repaired(t, f, func(b []byte) []byte { return b }); len(rows) != 0 {
		t.Errorf("a new source of the file rejects or repairs %q", rows) // the file is in processed/ by now
	}
	mended := f.source()
	defer mended.Close(t.Context())
	r, err := mended.Repair(t.Context(), m, m.letters[0])
	if err != nil {
		t.Fatal(err)
	}
	m.take(producers.Batch{Records: r.Records})
	m.wantRows("reviews reviews.csv#1: 1|ok|1234.5|<nil>")
}

func TestRepairOfAnImage(t *testing.T) {
	f := newFolder(t)
	f.drop("bike_side.png", []byte("no image"))
	image := pngImage(3, 2)
	m, rows := repaired(t, f, func([]byte) []byte { return image })
	if len(m.letters) != 1 || len(rows) != 1 || !strings.Contains(rows[0], "bike") {
		t.Errorf("letters %+v, rows %.200q", m.letters, rows)
	}
}

// What is no single good row of the dataset stays out.
func TestRepairRefuses(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews.csv", []byte(header+"x,bad,,\n"))
	m := newMemory(t)
	m.run(f.source())
	s := f.source()
	defer s.Close(t.Context())
	letter := m.letters[0]
	for name, c := range map[string]struct {
		edit func(*producers.DeadLetter)
		want string
	}{
		"two rows":        {func(d *producers.DeadLetter) { d.Raw = []byte("1,a,,\n2,b,,\n") }, "more than one row"},
		"a second half":   {func(d *producers.DeadLetter) { d.Raw = []byte("1,a,,\n2") }, "more than one row"},
		"no row":          {func(d *producers.DeadLetter) { d.Raw = []byte("\n\n") }, "no row"},
		"an open quote":   {func(d *producers.DeadLetter) { d.Raw = []byte("1,\"a,,\n") }, "never closed"},
		"fewer fields":    {func(d *producers.DeadLetter) { d.Raw = []byte("1,a\n") }, "2 fields"},
		"other dataset":   {func(d *producers.DeadLetter) { d.Dataset = "gone" }, "no dataset gone"},
		"other format":    {func(d *producers.DeadLetter) { d.Dataset = "photos" }, "is now images"},
		"without context": {func(d *producers.DeadLetter) { d.Context = "" }, "drop the file again"},
		"broken context":  {func(d *producers.DeadLetter) { d.Context = "{" }, "context"},
		"unknown charset": {func(d *producers.DeadLetter) {
			d.Context = strings.Replace(d.Context, "utf-8", "ebcdic", 1)
		}, "ebcdic"},
		"column that is gone": {func(d *producers.DeadLetter) {
			d.Context = strings.Replace(d.Context, "title", "subtitle", 1)
		}, "subtitle"},
		"too large": {func(d *producers.DeadLetter) { d.Raw = []byte("1," + strings.Repeat("x", m.limit) + ",,\n") }, "its topic takes"},
	} {
		d := letter
		c.edit(&d)
		if r, err := s.Repair(t.Context(), m, d); producers.Classify(err) != producers.Reject || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d records, %v", name, len(r.Records), err)
		}
	}
}

// refusing is a target that has no topic.
type refusing struct{ *memory }

var _ producers.Target = refusing{}

// DeadLetter is not to be called: what cannot be repaired has its letter already.
func (r refusing) DeadLetter(producers.DeadLetter) *kgo.Record {
	r.t.Error("a repair made a dead letter")
	return &kgo.Record{Context: context.Background()}
}

func TestRepairMakesNoLetter(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews.csv", []byte(header+"x,bad,,\n"))
	m := newMemory(t)
	m.run(f.source())
	s := f.source()
	defer s.Close(t.Context())
	if _, err := s.Repair(t.Context(), refusing{m}, m.letters[0]); err == nil {
		t.Error("the bad row is repaired by nothing")
	}
}
