package files

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// walk reads every leaf of an archive and returns their entries with their contents.
func walk(t testing.TB, content []byte, limits Limits) (leavesFound []string, err error) {
	t.Helper()
	l, err := openLeaves(t.Context(), "file", bytes.NewReader(content), int64(len(content)), limits, nil)
	if err != nil {
		return nil, err
	}
	defer l.close()
	for {
		f, err := l.next()
		if err == io.EOF {
			return leavesFound, nil
		}
		if err != nil {
			return leavesFound, err
		}
		text, err := io.ReadAll(io.LimitReader(f.src, 100))
		if err == nil {
			_, err = io.Copy(io.Discard, f.src)
		}
		if err != nil {
			return leavesFound, broken(f.entry(), err)
		}
		leavesFound = append(leavesFound, f.entry()+"="+string(text))
	}
}

func defaultLimits() Limits { return Config{}.withDefaults().Limits }

func TestArchiveKinds(t *testing.T) {
	text := []byte("some text")
	var x, z bytes.Buffer
	xw, _ := xz.NewWriter(&x)
	xw.Write(text)
	xw.Close()
	zw, _ := zstd.NewWriter(&z)
	zw.Write(tarOf(entry{"in.txt", text}))
	zw.Close()
	bz, _ := hex.DecodeString("425a6839314159265359fb2ce7c20000029180400002028c402000310c01064f4723c44945dc914e14243ecb39f080") // of "some text", as Go only reads the format
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"plain":      {text, "=some text"},
		"zip":        {zipOf(entry{"a!b.txt", text}, entry{"dir/", nil}, entry{"../../up", text}), "a!b.txt=some text ../../up=some text"},
		"tar":        {tarOf(entry{"a", text}, entry{"/etc/passwd", text}), "a=some text /etc/passwd=some text"},
		"gz":         {gz(text), "file=some text"},
		"xz":         {x.Bytes(), "file=some text"},
		"bz2":        {bz, "file=some text"},
		"tar.zst":    {z.Bytes(), "in.txt=some text"},
		"tgz in zip": {zipOf(entry{"x.tgz", gz(tarOf(entry{"in", text}))}, entry{"y", text}), "x.tgz!in=some text y=some text"},
		"gz in tar":  {tarOf(entry{"x.csv.gz", gz(text)}), "x.csv.gz!x.csv=some text"},
		"zip in tgz": {gz(tarOf(entry{"x.zip", zipOf(entry{"in", text})})), "x.zip!in=some text"},
		"nothing":    {nil, "="},
	} {
		got, err := walk(t, c.content, defaultLimits())
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestArchivesAreRefused(t *testing.T) {
	small := defaultLimits()
	small.Entries, small.NestedBytes = 3, 200
	deep := []byte("x")
	for range 4 {
		deep = gz(deep)
	}
	whole := zipOf(entry{"a", []byte(strings.Repeat("text", 1000))})
	flipped := bytes.Clone(whole)
	flipped[60] ^= 0xff
	var many []entry
	for i := range 5 {
		many = append(many, entry{fmt.Sprint(i), nil})
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"depth":           {deep, "archive number 4 in one another, and 3 are allowed"},
		"entries of tar":  {tarOf(many...), "more than 3 entries"},
		"entries of zip":  {zipOf(many...), "more than 3 entries"},
		"big nested zip":  {tarOf(entry{"a.zip", zipOf(many[:3]...)}), "unpack the outer one"},
		"cut gzip":        {gz([]byte(strings.Repeat("text", 100)))[:25], "cut short"},
		"cut zip":         {whole[:len(whole)-30], "cut short"},
		"cut tar":         {tarOf(entry{"a", make([]byte, 5000)})[:3000], "cut short"},
		"flipped bit":     {flipped, "is broken"},
		"checksum of gz":  {append(gz([]byte("text"))[:20], 9, 9, 9, 9, 4, 0, 0, 0), "is broken"},
		"rubbish in gzip": {append([]byte{0x1f, 0x8b, 8, 0}, bytes.Repeat([]byte{7}, 50)...), "is broken"},
	} {
		got, err := walk(t, c.content, small)
		var r *refusal
		if !errors.As(err, &r) || !strings.Contains(r.reason, c.want) {
			t.Errorf("%s: %v with %d leaves read; want a refusal with %q", name, err, len(got), c.want)
		}
	}
}

func TestLinksInTarAreNotRead(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Name: "link", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}, {Name: "hard", Linkname: "link", Typeflag: tar.TypeLink},
		{Name: "pipe", Typeflag: tar.TypeFifo}, {Name: "device", Typeflag: tar.TypeChar}, {Name: "dir/", Typeflag: tar.TypeDir}, {Name: "empty", Typeflag: tar.TypeReg},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	got, err := walk(t, b.Bytes(), defaultLimits())
	if err != nil || strings.Join(got, " ") != "empty=" {
		t.Errorf("%q, %v", got, err)
	}
}

// zeros is a stream of n zero bytes, packed.
func zerosPacked(t testing.TB, n int64, open func(io.Writer) io.WriteCloser) []byte {
	var b bytes.Buffer
	w := open(&b)
	if _, err := io.CopyN(w, zeroReader{}, n); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBombs(t *testing.T) {
	gzBomb := zerosPacked(t, 512<<20, func(w io.Writer) io.WriteCloser {
		z, err := gzip.NewWriterLevel(w, flate.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		return z
	})
	var zipBomb bytes.Buffer
	w := zip.NewWriter(&zipBomb)
	f, err := w.Create("zeros.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, zeroReader{}, 256<<20); err != nil {
		t.Fatal(err)
	}
	w.Close()
	// The same one, saying that it unpacks to 1000 bytes.
	liar := bytes.Clone(zipBomb.Bytes())
	i := bytes.LastIndex(liar, []byte("PK\x01\x02"))
	copy(liar[i+24:], []byte{0xe8, 3, 0, 0})
	for name, content := range map[string][]byte{"gzip": gzBomb, "zip": zipBomb.Bytes(), "zip with a false size": liar, "gzip in tar": tarOf(entry{"x.gz", gzBomb})} {
		started := time.Now()
		_, err := walk(t, content, defaultLimits())
		var r *refusal
		if !errors.As(err, &r) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
		t.Logf("%s of %d bytes refused after %v: %v", name, len(content), time.Since(started).Round(time.Millisecond), err)
	}
}

func TestBrokenArchiveSendsNothing(t *testing.T) {
	f := newFolder(t)
	good := []byte(header + "1,a,,\n")
	whole := gz(tarOf(entry{"reviews.csv", good}, entry{"reviews2.csv", bytes.Repeat(good, 1000)}))
	f.drop("cut.tgz", whole[:len(whole)-5])
	f.drop("misfit.zip", zipOf(entry{"reviews.csv", good}, entry{"reviews2.csv", []byte("who,knows\n1,2\n")}))
	f.drop("other.zip", zipOf(entry{"readme.txt", good}))
	m := newMemory(t)
	m.run(f.source())
	m.wantRows()
	m.wantLetters("cut.tgz: the file was not read to its end: the archive is cut short", "misfit.zip: the file was not read to its end: ")
	if !f.exists("failed/cut.tgz") || !f.exists("failed/cut.tgz.report.txt") || !f.exists("failed/misfit.zip") || !f.exists("other.zip") {
		t.Error("the archives are not where they belong")
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(zipOf(entry{"a", []byte("x")}))
	f.Add(gz(tarOf(entry{"a", []byte("x")})))
	f.Add(tarOf(entry{"a.zip", zipOf(entry{"a", []byte("x")})}))
	limits := defaultLimits()
	limits.TotalBytes = 1 << 20
	f.Fuzz(func(t *testing.T, content []byte) {
		_, err := walk(t, content, limits)
		var r *refusal
		if err != nil && !errors.As(err, &r) {
			t.Fatalf("%v is no refusal", err)
		}
	})
}
