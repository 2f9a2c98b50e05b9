package files

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

var commaDialect = dialect{delimiter: []byte(","), quote: '"', maxRecord: 1 << 20}

type gotRecord struct {
	fields []string
	raw    string
	size   int64
	offset int64
	line   int64
	bad    bool
}

func readCSV(t testing.TB, src io.Reader, d dialect, offset, line int64) []gotRecord {
	t.Helper()
	r := newCSVReader(src, d, offset, line)
	var all []gotRecord
	for {
		rec, err := r.next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		g := gotRecord{raw: string(rec.raw), size: rec.size, offset: rec.offset, line: rec.line, bad: rec.err != nil}
		if rec.err == nil {
			for _, f := range rec.fields {
				g.fields = append(g.fields, string(f))
			}
		}
		all = append(all, g)
	}
}

func TestCSVRecords(t *testing.T) {
	semi := dialect{delimiter: []byte(";"), quote: '\'', maxRecord: 1 << 20}
	wide := dialect{delimiter: []byte("~|~"), quote: '"', maxRecord: 1 << 20}
	bare := dialect{delimiter: []byte("\t"), maxRecord: 1 << 20}
	single := commaDialect
	single.blankRow = true
	for _, c := range []struct {
		name, text string
		d          dialect
		want       []string // fields joined by |, or BAD
		lines      []int64
	}{
		{"plain", "a,b\nc,d\n", commaDialect, []string{"a|b", "c|d"}, []int64{1, 2}},
		{"no final newline", "a,b\nc,d", commaDialect, []string{"a|b", "c|d"}, []int64{1, 2}},
		{"CRLF", "a,b\r\nc,d\r\n", commaDialect, []string{"a|b", "c|d"}, []int64{1, 2}},
		{"empty fields", ",\n,,\n", commaDialect, []string{"|", "||"}, []int64{1, 2}},
		{"quotes", `"a","b ""x"" y"` + "\n", commaDialect, []string{`a|b "x" y`}, []int64{1}},
		{"raw newlines", "\"a\n\r\nb\",c\nd,e\n", commaDialect, []string{"a\n\r\nb|c", "d|e"}, []int64{1, 4}},
		{"newline in quotes then bare", "\"a\nb\",c\nd,e\n", commaDialect, []string{"a\nb|c", "d|e"}, []int64{1, 3}},
		{"delimiter in quotes", `"a,b",c`, commaDialect, []string{"a,b|c"}, []int64{1}},
		{"empty quotes", `"",""` + "\r\n", commaDialect, []string{"|"}, []int64{1}},
		{"only quotes", `""""`, commaDialect, []string{`"`}, []int64{1}},
		{"blank lines", "\na,b\n\r\n\nc,d\n\r", commaDialect, []string{"a|b", "c|d"}, []int64{2, 5}},
		{"blank line of one column", "a\n\nb\n", single, []string{"a", "", "b"}, []int64{1, 2, 3}},
		{"bare quote", "a\"b,c\nd,e\n", commaDialect, []string{"BAD", "d|e"}, []int64{1, 2}},
		{"after quote", "\"a\"b,c\nd,e\n", commaDialect, []string{"BAD", "d|e"}, []int64{1, 2}},
		{"open quote", "a,b\n\"c,d\ne,f\n", commaDialect, []string{"a|b", "BAD"}, []int64{1, 2}},
		{"other dialect", "'it''s';\"x\"\n", semi, []string{`it's|"x"`}, []int64{1}},
		{"long delimiter", "a~|~\"b~|~c\"~|~~|\n\"~\"~|~\n", wide, []string{"a|b~|~c|~|", "~|"}, []int64{1, 2}},
		{"no quote", "a\"\t\"b\n", bare, []string{`a"|"b`}, []int64{1}},
		{"nothing", "", commaDialect, nil, nil},
	} {
		for _, how := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{{"whole", func(r io.Reader) io.Reader { return r }}, {"byte by byte", iotest.OneByteReader}, {"data with error", iotest.DataErrReader}} {
			t.Run(c.name+"/"+how.name, func(t *testing.T) {
				got := readCSV(t, how.wrap(strings.NewReader(c.text)), c.d, 0, 1)
				var rows []string
				var lines []int64
				for _, g := range got {
					row := strings.Join(g.fields, "|")
					if g.bad {
						row = "BAD"
					}
					rows, lines = append(rows, row), append(lines, g.line)
					if c.text[g.offset:g.offset+int64(len(g.raw))] != g.raw {
						t.Errorf("offset %d does not lead to %q", g.offset, g.raw)
					}
				}
				if !slices.Equal(rows, c.want) || !slices.Equal(lines, c.lines) {
					t.Errorf("got %q at %v, want %q at %v", rows, lines, c.want, c.lines)
				}
			})
		}
	}
}

func TestCSVLongRecord(t *testing.T) {
	d := commaDialect
	d.maxRecord = 1000
	for _, long := range []string{
		strings.Repeat("x", 400<<10), `"` + strings.Repeat("y,\n\"\"", 200<<10) + `"`, strings.Repeat("z,", 300<<10) + `"` + strings.Repeat("\n", 300<<10) + `"`,
	} {
		got := readCSV(t, strings.NewReader("a,b\n"+long+"\nc,d\n"), d, 0, 1)
		if len(got) != 3 || !got[1].bad || got[2].bad || got[2].fields[0] != "c" {
			t.Fatalf("%d records around one of %d bytes", len(got), len(long))
		}
		if want := int64(4 + len(long) + 1); got[2].offset != want {
			t.Errorf("the next record is at %d, want %d", got[2].offset, want)
		}
		if want := int64(3 + strings.Count(long, "\n")); got[2].line != want {
			t.Errorf("the next record is on line %d, want %d", got[2].line, want)
		}
	}
}

func TestCSVSourceError(t *testing.T) {
	r := newCSVReader(io.MultiReader(strings.NewReader("a,b\nc"), iotest.ErrReader(io.ErrUnexpectedEOF)), commaDialect, 0, 1)
	if _, err := r.next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("half a record ended with %v, want the source's error", err)
	}
}

// FuzzCSV compares with encoding/csv where both follow RFC 4180, checks that no byte is lost, and that reading can start again at every record.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n\"c\nd\",\"e\"\"f\"\n", "\"a\"b\n", "a\"b\n", "\n\n,", "\"", "a,\r\n", "\"\"\r"} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, small bool) {
		d := commaDialect
		d.blankRow = true
		if small {
			d.maxRecord = 8
		}
		got := readCSV(t, iotest.OneByteReader(bytes.NewReader(text)), d, 0, 1)
		at := int64(0)
		for i, g := range got {
			if g.offset != at || g.line != int64(1+bytes.Count(text[:at], newline)) {
				t.Fatalf("record %d is at byte %d line %d of %q", i, g.offset, g.line, text)
			}
			if !bytes.HasPrefix(text[at:], []byte(g.raw)) || g.size != int64(len(g.raw)) && !g.bad {
				t.Fatalf("record %d is %q at %d of %q", i, g.raw, at, text)
			}
			at += g.size
		}
		if at != int64(len(text)) {
			t.Fatalf("the records end at byte %d of %q", at, text)
		}
		if len(got) > 0 {
			mid := got[len(got)/2]
			again := readCSV(t, bytes.NewReader(text[mid.offset:]), d, mid.offset, mid.line)
			if !slices.EqualFunc(again, got[len(got)/2:], func(a, b gotRecord) bool {
				return a.size == b.size && a.line == b.line && a.offset == b.offset && a.bad == b.bad && slices.Equal(a.fields, b.fields)
			}) {
				t.Fatalf("read again from %d: %v, want %v", mid.offset, again, got[len(got)/2:])
			}
		}
		if small || bytes.ContainsRune(text, '\r') {
			return
		}
		compareStandard(t, text, got)
	})
}

func compareStandard(t *testing.T, text []byte, got []gotRecord) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1
	want, err := r.ReadAll()
	bad := slices.ContainsFunc(got, func(g gotRecord) bool { return g.bad })
	if (err != nil) != bad {
		t.Fatalf("encoding/csv says %v, here bad is %v, for %q", err, bad, text)
	}
	if err != nil {
		return
	}
	got = slices.DeleteFunc(got, func(g gotRecord) bool { return g.raw == "\n" })
	if len(got) != len(want) {
		t.Fatalf("%d records, encoding/csv has %d, in %q", len(got), len(want), text)
	}
	for i := range want {
		if !slices.Equal(got[i].fields, want[i]) {
			t.Fatalf("record %d is %q, encoding/csv has %q", i, got[i].fields, want[i])
		}
	}
}
