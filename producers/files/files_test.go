package files

import (
	"context"
	"os"
	"strings"
	"testing"

	"adventureworks.example/extract/producers"
)

const header = "id,title,rating,posted\n"

func TestTableToRows(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews 1.csv", []byte(header+"1,Nice bike,4.5,2026-01-31\n2,\"two\nlines, \"\"quoted\"\"\",,\n3,\"\",5,\n"))
	m := newMemory(t)
	m.run(f.source())
	m.wantRows(
		"reviews reviews 1.csv#1: 1|Nice bike|4.5|2026-01-31",
		"reviews reviews 1.csv#2: 2|two\nlines, \"quoted\"|<nil>|<nil>",
		"reviews reviews 1.csv#3: 3||5.0|<nil>")
	if f.exists("reviews 1.csv") || !f.exists("processed/reviews 1.csv") {
		t.Error("the file is not in processed/")
	}
}

func TestBadRowsGoToTheDeadLettersWhole(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews.csv", []byte("\xef\xbb\xbf"+header+"1,ok,1,\r\nx,not a number,1,\r\n2,short\r\n3,\"open\"x,1,\r\n4,\xff\xfe,1,\r\n5,ok,1.55,\r\n6,ok,1,2026-02-30\r\n7,ok,2,\r\n"))
	m := newMemory(t)
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|ok|1.0|<nil>", "reviews reviews.csv#8: 7|ok|2.0|<nil>")
	m.wantLetters(
		"reviews.csv row 2 line 3 byte 35 column 1: column 1 (id)", "row 3 line 4 byte 54: the row has 2 fields, not 4", "text follows a closing quote",
		"column 2 (title)", "column 3 (rating)", "column 4 (posted)")
	if raw := string(m.letters[0].Raw); raw != "x,not a number,1,\r\n" {
		t.Errorf("raw bytes of the first are %q", raw)
	}
	if c := m.counts["reviews"]; c.Produced != 2 || c.Rejected != 6 {
		t.Errorf("counted %+v", c)
	}
}

func TestTooManyBadRows(t *testing.T) {
	f := newFolder(t)
	f.config.MaxBadRows = new(int64(1))
	f.drop("reviews.csv", []byte(header+"1,ok,,\nx,,,\ny,,,\n2,never read,,\n"))
	m := newMemory(t)
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|ok|<nil>|<nil>")
	m.wantLetters("row 2", "row 3", "row 4 line 5 and what follows: the file was not read to its end: more than 1 rows are bad")
	if !strings.HasPrefix(string(m.letters[2].Raw), "2,never read") {
		t.Errorf("the last letter holds %q", m.letters[2].Raw)
	}
	report, err := os.ReadFile(f.path("failed/reviews.csv.report.txt"))
	if err != nil || !strings.Contains(string(report), "more than 1 rows are bad") || !f.exists("failed/reviews.csv") {
		t.Errorf("report %q, %v", report, err)
	}
	// Dropped again it goes on where it stopped.
	content, err := os.ReadFile(f.path("failed/reviews.csv"))
	if err != nil {
		t.Fatal(err)
	}
	f.drop("reviews again.csv", content)
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|ok|<nil>|<nil>", "reviews reviews again.csv#4: 2|never read|<nil>|<nil>")
}

func TestHeaderThatDoesNotFit(t *testing.T) {
	for text, reason := range map[string]string{
		"id,title,rating,posted,extra\n1,,,,\n": `the column "extra" has no field`,
		"title,rating\nx,1\n":                   "no column is named id",
		"id,ID\n1,1\n":                          "given by two columns",
		"\"id\n":                                "the header cannot be read",
	} {
		f := newFolder(t)
		f.drop("reviews.csv", []byte(text))
		m := newMemory(t)
		m.run(f.source())
		m.wantRows()
		m.wantLetters(reason)
		if !f.exists("failed/reviews.csv") {
			t.Errorf("%q is not in failed/", text)
		}
	}
}

func TestColumnsByPlaceAndByOtherNames(t *testing.T) {
	f := newFolder(t)
	d := &f.config.Datasets[0]
	d.CSV = CSV{Header: new(false), Columns: []string{"rating", "-", "id", "title"}, UnescapeNewlines: true, Nulls: []string{"NULL", ""}}
	f.drop("reviews.csv", []byte("\"3\",\"left out\",\"1\",\"two\\nlines\"\n4,x,2,NULL\n5,x,3,\"NULL\"\n"))
	m := newMemory(t)
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|two\nlines|3.0|<nil>", "reviews reviews.csv#2: 2|<nil>|4.0|<nil>", "reviews reviews.csv#3: 3|NULL|5.0|<nil>")

	f = newFolder(t)
	f.drop("reviews.csv", []byte("TITLE, Id ,Posted\nx,1,2026-01-01\n"))
	m = newMemory(t)
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|x|<nil>|2026-01-01")
}

func TestEncodings(t *testing.T) {
	utf16le := func(s string) []byte {
		b := []byte{0xff, 0xfe}
		return utf16LE.appendOriginal(b, []byte(s))
	}
	for name, c := range map[string]struct {
		content []byte
		title   string
	}{
		"UTF-8":        {[]byte(header + "1,Vélo €,,\n"), "Vélo €"},
		"UTF-8 BOM":    {[]byte("\xef\xbb\xbf" + header + "1,Vélo,,\n"), "Vélo"},
		"UTF-16":       {utf16le(header + "1,Vélo € 🚲,,\n"), "Vélo € 🚲"},
		"Windows-1252": {[]byte(header + "1,V\xe9lo \x80,,\n"), "Vélo €"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			f.drop("reviews.csv", c.content)
			m := newMemory(t)
			m.run(f.source())
			m.wantRows("reviews reviews.csv#1: 1|" + c.title + "|<nil>|<nil>")
		})
	}
	t.Run("what is not text in it", func(t *testing.T) {
		f := newFolder(t)
		f.config.Datasets[0].CSV.Encoding = "utf-16"
		bad := append(utf16le(header+"1,x,,\n2,"), 0x00, 0xd8) // half a surrogate pair
		bad = utf16LE.appendOriginal(bad, []byte(",,\n3,y,,\n"))
		f.drop("reviews.csv", bad)
		m := newMemory(t)
		m.run(f.source())
		m.wantRows("reviews reviews.csv#1: 1|x|<nil>|<nil>", "reviews reviews.csv#3: 3|y|<nil>|<nil>")
		if len(m.letters) != 1 || string(m.letters[0].Raw) != "2\x00,\x00\x00\xd8,\x00,\x00\n\x00" {
			t.Errorf("dead letters %+v", m.letters)
		}
	})
}

func TestImages(t *testing.T) {
	f := newFolder(t)
	f.drop("bike-1_front.png", pngImage(30, 20))
	f.drop("pictures/bike-1_side view.jpg", jpegImage(8, 9))
	f.drop("same.png", pngImage(30, 20))
	f.drop("lie.png", []byte("<html>not a picture</html>"))
	f.drop("cut.png", pngImage(30, 20)[:12])
	m := newMemory(t)
	m.run(f.source())
	got := strings.Join(m.rows, "\n")
	for _, want := range []string{"photos bike-1_front.png: image/png 30x20 <nil> bike-1/front", "photos pictures/bike-1_side view.jpg: image/jpeg 8x9 <nil> bike-1/side view", "photos same.png: image/png 30x20 <nil> <nil>/<nil>"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among:\n%s", want, got)
		}
	}
	if len(m.rows) != 3 || len(m.letters) != 2 || !f.exists("processed/lie.png") {
		t.Errorf("%d rows, %d dead letters", len(m.rows), len(m.letters))
	}
}

func TestArchives(t *testing.T) {
	train, test := []byte(header+"1,a,,\n2,b,,\n"), []byte(header+"3,c,,\n")
	inner := gz(tarOf(entry{"./data (1)/train.csv", train}, entry{"./data (1)/test.csv", test}, entry{"it's, a_photo.png", pngImage(2, 2)}))
	f := newFolder(t)
	f.drop("drop.zip", zipOf(entry{"train.csv", train}, entry{"../../test.csv", test}, entry{"__MACOSX/._train.csv", []byte("junk")}, entry{".DS_Store", []byte("junk")}, entry{"again.tgz", inner}, entry{"readme.md", []byte("hi")}))
	f.drop("reviews.csv.gz", gz([]byte(header+"4,d,,\n")))
	m := newMemory(t)
	m.run(f.source())
	m.wantRows(
		"reviews drop.zip!train.csv#1: 1|a|<nil>|<nil>", "reviews drop.zip!train.csv#2: 2|b|<nil>|<nil>", "reviews drop.zip!../../test.csv#1: 3|c|<nil>|<nil>",
		"photos drop.zip!again.tgz!it's, a_photo.png: image/png 2x2 <nil> it's, a/photo 75 bytes",
		"reviews reviews.csv.gz!reviews.csv#1: 4|d|<nil>|<nil>")
}

func TestSameContentIsSentOnce(t *testing.T) {
	content := []byte(header + "1,a,,\n")
	f := newFolder(t)
	f.drop("reviews.csv", content)
	m := newMemory(t)
	m.run(f.source())
	f.drop("reviews copy.csv", content)
	f.drop("reviews.csv", content) // and once more under its own name
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|a|<nil>|<nil>")
	if !f.exists("duplicates/reviews copy.csv") || !f.exists("duplicates/reviews.csv") {
		t.Error("the copies are not in duplicates/")
	}
	f.config.Dedupe = "none"
	f.drop("reviews.csv", content)
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|a|<nil>|<nil>", "reviews reviews.csv#1: 1|a|<nil>|<nil>")
	if !f.exists("processed/~2/reviews.csv") {
		t.Error("the second file of a name has no place of its own")
	}
}

func TestResumeAfterEveryBatch(t *testing.T) {
	content := []byte(header + "1,a,,\n2,\"b\nb\",,\nbad\n3,c,,\n4,d,,\n")
	utf16 := utf16LE.appendOriginal([]byte{0xff, 0xfe}, content[:len(content)-6])
	build := func(t *testing.T) *folder {
		f := newFolder(t)
		f.drop("a/reviews.csv", append(content, "5,plain,,\n"...))
		f.drop("b/reviews.csv", utf16)
		f.drop("c.zip", zipOf(entry{"reviews.csv", content}, entry{"x_y.png", pngImage(1, 1)}, entry{"in.tar", tarOf(entry{"reviews1.csv", content}, entry{"reviews2.csv", []byte(header + "9,z,,\n")})}))
		return f
	}
	whole := newMemory(t)
	whole.run(build(t).source())
	for committed := range 2 { // 1: the process dies between the transaction and the move
		f, m := build(t), newMemory(t)
		for batches := 0; ; batches++ {
			s := f.source()
			s.batchRecords = 1
			if err := s.Open(t.Context(), m, m.positions); err != nil {
				t.Fatal(err)
			}
			b, err := s.Next(t.Context())
			if err == nil && committed == 0 {
				m.take(b)
				err = s.Commit(t.Context(), b.Positions)
			} else if err == nil {
				m.take(b)
			}
			s.Close(t.Context())
			if err != nil {
				break
			}
		}
		if strings.Join(m.rows, "\n") != strings.Join(whole.rows, "\n") || len(m.letters) != len(whole.letters) {
			t.Errorf("with a restart after every batch:\n%s\nwant:\n%s", strings.Join(m.rows, "\n"), strings.Join(whole.rows, "\n"))
		}
		if f.exists("c.zip") || f.exists("a/reviews.csv") || !f.exists("processed/c.zip") {
			t.Error("the files did not move")
		}
	}
}

func TestHeldIsWhatWasSent(t *testing.T) {
	for _, how := range []string{"move", "leave", "leave, without its positions"} {
		t.Run(how, func(t *testing.T) {
			f := newFolder(t)
			f.config.Processed, _, _ = strings.Cut(how, ",")
			f.config.MaxBadRows = new(int64(1))
			content := []byte(header + "1,a,,\n2,b,,\nx,,,\n")
			f.drop("reviews.csv", content)
			f.drop("reviews2.csv", content)
			f.drop("~1/reviews.csv", []byte(header+"7,tilde,,\n"))
			f.drop("many bad/reviews.csv", []byte(header+"1,a,,\nx,,,\ny,,,\nz,,,\n"))
			f.drop("drop.zip", zipOf(entry{"reviews.csv", content}, entry{"a_b.png", pngImage(3, 3)}))
			f.drop("broken.zip", zipOf(entry{"reviews.csv", content})[:100])
			s, m := f.source(), newMemory(t)
			m.run(s)
			s = f.source()
			defer s.Close(t.Context())
			if !strings.Contains(how, "without") {
				if err := s.Remember(m.positions); err != nil {
					t.Fatal(err)
				}
			}
			held := map[string]producers.Held{}
			if err := s.Held(context.Background(), func(h producers.Held) { held[h.Dataset] = h }); err != nil {
				t.Fatal(err)
			}
			for dataset, c := range m.counts {
				if h := held[dataset]; h.Rows != c.Produced+c.Rejected || h.Rejected != c.Rejected {
					t.Errorf("%q holds %+v, sent were %+v", dataset, h, c)
				}
			}
			for dataset, digest := range m.digests {
				if held[dataset].Digest != *digest {
					t.Errorf("%q has the digest %v, what was sent %v", dataset, held[dataset].Digest, digest)
				}
			}
		})
	}
}
