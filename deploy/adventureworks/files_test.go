package adventureworks

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	_ "golang.org/x/image/webp"
)

// generateFiles makes the watched folder alone.
func generateFiles(t *testing.T, o Options) *generator {
	t.Helper()
	o.Dir = t.TempDir()
	g := newGenerator(o)
	if err := g.writeFiles(context.Background()); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestReviewTables(t *testing.T) {
	g := generateFiles(t, Options{Seed: 5, Rows: 20_000, BadRows: 3})
	names, err := filepath.Glob(filepath.Join(g.Dir, "reviews_*.csv"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	languagesSeen, lines, good, bad := map[string]int{}, 0, 0, 0
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := csv.NewReader(f)
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(rows[0], reviewHeader) {
			t.Fatalf("header is %v", rows[0])
		}
		for _, row := range rows[1:] {
			lines++
			if len(row) < len(reviewHeader) || row[4] == "five" {
				bad++
				continue
			}
			good++
			stars, err := strconv.Atoi(row[4])
			if err != nil || stars < 1 || stars > 5 {
				t.Errorf("rating %q", row[4])
			}
			if _, err := time.Parse(time.RFC3339, row[9]); err != nil {
				t.Error(err)
			}
			if row[5] == "" || row[6] == "" || !utf8.ValidString(row[6]) || strings.Contains(row[6], "%d") {
				t.Errorf("title %q, text %q", row[5], row[6])
			}
			languagesSeen[row[7]]++
		}
	}
	if bad != 3 || good != g.plan.csvReviews-3 {
		t.Errorf("%d good rows and %d bad ones of %d", good, bad, g.plan.csvReviews)
	}
	if len(languagesSeen) != len(languages) {
		t.Errorf("languages: %v", languagesSeen)
	}
}

// TestArchive reads the tables of the archive and those of the archive inside, which are the same.
func TestArchive(t *testing.T) {
	g := generateFiles(t, Options{Seed: 5, Rows: 20_000})
	z, err := zip.OpenReader(filepath.Join(g.Dir, archiveName))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	tables := map[string][]byte{}
	var inner []byte
	for _, entry := range z.File {
		r, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r) // checks the CRC at its end
		if err != nil {
			t.Fatal(err)
		}
		if entry.Name == innerArchive {
			inner = b
			continue
		}
		tables[filepath.Base(entry.Name)] = b
	}
	if len(tables) != 2 || inner == nil {
		t.Fatalf("%d tables", len(tables))
	}
	for name, want := range map[string]int{"train.csv": g.plan.train, "test.csv": g.plan.test} {
		rows, err := csv.NewReader(bytes.NewReader(tables[name])).ReadAll()
		if err != nil || len(rows) != want || len(rows[0]) != 3 || rows[0][0] != "1" && rows[0][0] != "2" {
			t.Fatalf("%s: %d rows, not %d; %v", name, len(rows), want, err)
		}
		for line := range strings.Lines(string(tables[name])) {
			if line[0] != '"' || !strings.HasSuffix(line, "\"\n") {
				t.Fatalf("%s has a field without quotes or a line break inside: %q", name, line)
			}
		}
	}
	zr, err := gzip.NewReader(bytes.NewReader(inner))
	if err != nil {
		t.Fatal(err)
	}
	tr, found := tar.NewReader(zr), 0
	for {
		head, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil || !bytes.Equal(b, tables[filepath.Base(head.Name)]) {
			t.Errorf("%s differs from its copy: %v", head.Name, err)
		}
		found++
	}
	if found != 2 {
		t.Errorf("%d tables in the inner archive", found)
	}
	if !strings.ContainsAny(archiveName, "'") || !strings.ContainsAny(archiveName, "(,") {
		t.Errorf("%s is too plain a name", archiveName)
	}
}

func TestImagesDecode(t *testing.T) {
	g := generateFiles(t, Options{Seed: 5})
	entries, err := os.ReadDir(filepath.Join(g.Dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != g.catalog.imageFiles() {
		t.Errorf("%d images, not %d", len(entries), g.catalog.imageFiles())
	}
	formats, contents, total := map[string]int{}, map[string]int{}, 0
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(g.Dir, "images", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		m, format, err := image.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", e.Name(), err)
		}
		if m.Bounds().Dx() != 320 || m.Bounds().Dy() != 240 {
			t.Errorf("%s is %v", e.Name(), m.Bounds())
		}
		if want := map[string]string{".jpg": "jpeg", ".png": "png", ".webp": "webp"}[filepath.Ext(e.Name())]; format != want {
			t.Errorf("%s is a %s", e.Name(), format)
		}
		formats[format]++
		contents[string(b)]++
		total += len(b)
	}
	if len(formats) != 3 || total/len(entries) > 20_000 {
		t.Errorf("formats %v, %d bytes on average", formats, total/len(entries))
	}
	placeholder, err := encodePicture(drawNoImage(320), "png")
	if err != nil {
		t.Fatal(err)
	}
	if n := contents[string(placeholder)]; n < 15 {
		t.Errorf("the placeholder is there %d times", n)
	}
	// Apart from the placeholder and the second names, every picture is of its own.
	if distinct := len(contents); distinct < len(g.catalog.products)*85/100 {
		t.Errorf("%d pictures of %d products", distinct, len(g.catalog.products))
	}
}

// TestWebPKeepsEveryPixel compares the lossless formats with what was drawn.
func TestWebPKeepsEveryPixel(t *testing.T) {
	drawn := drawProduct(&lines[0], 0, "Red", 0.5, 0, 320)
	for _, format := range []string{"webp", "png"} {
		b, err := encodePicture(drawn, format)
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := image.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for y := range 240 {
			for x := range 320 {
				r, g, b, a := drawn.At(x, y).RGBA()
				if r2, g2, b2, a2 := m.At(x, y).RGBA(); r != r2 || g != g2 || b != b2 || a != a2 {
					t.Fatalf("%s: pixel %d, %d differs", format, x, y)
				}
			}
		}
	}
}

func TestInterruptedFileLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.csv")
	if err := writeFile(path, func(w io.Writer) error { w.Write([]byte("half")); return io.ErrUnexpectedEOF }); err == nil {
		t.Fatal("no error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	if err := writeBytes(path, []byte("whole")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); string(b) != "whole" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
