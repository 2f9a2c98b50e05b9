package files

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

const reviewSchema = `{"type":"record","name":"extract.files.Review","fields":[
	{"name":"id","type":"long"},
	{"name":"title","type":["null","string"],"default":null},
	{"name":"rating","type":["null",{"type":"bytes","logicalType":"decimal","precision":3,"scale":1}],"default":null},
	{"name":"posted","type":["null",{"type":"int","logicalType":"date"}],"default":null}]}`

// folder is a watched folder with its configuration file beside it.
type folder struct {
	t      testing.TB
	base   string
	config Config
}

func newFolder(t testing.TB) *folder {
	t.Helper()
	f := &folder{t: t, base: t.TempDir()}
	f.config = Config{
		Folder: "inbox", Settle: 10 * time.Millisecond, ScanEvery: 20 * time.Millisecond, Follow: new(false),
		Datasets: []Dataset{
			{Name: "reviews", Match: []string{"reviews*.csv", "train.csv", "test.csv", "**/reviews/*.csv"}, Schema: "review.avsc"},
			{Name: "photos", Match: []string{"*.png", "*.jpg", "*.jpeg"}, Format: "images", Image: Image{Name: "{product}_{view}.*"}},
		},
	}
	if err := os.WriteFile(filepath.Join(f.base, "review.avsc"), []byte(reviewSchema), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(f.base, "inbox"), 0o755); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *folder) path(name string) string { return filepath.Join(f.base, "inbox", name) }

// drop writes a file under another name and renames it, as a careful writer does.
func (f *folder) drop(name string, content []byte) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
		f.t.Fatal(err)
	}
	half := f.path(filepath.Join(filepath.Dir(name), ".half"))
	if err := os.WriteFile(half, content, 0o644); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(half, f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) source() *Source {
	f.t.Helper()
	s, err := New(f.config, f.base, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *folder) exists(name string) bool {
	_, err := os.Lstat(f.path(name))
	return err == nil
}

// memory is a target that keeps what a source sends, and the positions, as Kafka would.
type memory struct {
	t         testing.TB
	limit     int
	rows      []string // dataset, then the row as goavro reads it
	letters   []producers.DeadLetter
	positions map[string]string
	values    map[string]*goavro.Codec
	counts    map[string]producers.RowCount
	parts     map[int32]bool
	schemas   map[string]*schemas.Schema
	digests   map[string]*schemas.Digest
}

func newMemory(t testing.TB) *memory {
	return &memory{t: t, limit: 16 << 20, positions: map[string]string{}, values: map[string]*goavro.Codec{}, counts: map[string]producers.RowCount{}, parts: map[int32]bool{},
		schemas: map[string]*schemas.Schema{}, digests: map[string]*schemas.Digest{}}
}

func (m *memory) Dataset(_ context.Context, dataset string, key, value *schemas.Schema) (producers.Dataset, error) {
	codec, err := goavro.NewCodec(value.String())
	if err != nil {
		return producers.Dataset{}, err
	}
	m.values[dataset], m.schemas[dataset] = codec, value
	if m.digests[dataset] == nil {
		m.digests[dataset] = &schemas.Digest{}
	}
	return producers.Dataset{Topic: dataset, ValueID: 7}, nil
}

func (m *memory) DeadLetter(d producers.DeadLetter) *kgo.Record {
	return &kgo.Record{Topic: "!", Context: context.WithValue(context.Background(), letterKey{}, d)}
}

type letterKey struct{}

func (m *memory) MaxRecordBytes() int { return m.limit }

// take stores a batch as a committed transaction.
func (m *memory) take(b producers.Batch) {
	m.t.Helper()
	for _, r := range b.Records {
		if r.Topic == "!" {
			m.letters = append(m.letters, r.Context.Value(letterKey{}).(producers.DeadLetter))
			continue
		}
		m.parts[r.Partition] = true
		id, payload, err := schemas.ParseFrame(r.Value)
		if err != nil || id != 7 {
			m.t.Fatalf("frame: id %d, %v", id, err)
		}
		row, rest, err := m.values[r.Topic].NativeFromBinary(payload)
		if err != nil || len(rest) > 0 {
			m.t.Fatalf("goavro cannot read a row of %s: %v, %d bytes left", r.Topic, err, len(rest))
		}
		decoder, err := schemas.NewDecoder(m.schemas[r.Topic], m.schemas[r.Topic])
		if err != nil {
			m.t.Fatal(err)
		}
		columns := schemas.NewColumns(m.schemas[r.Topic])
		if err := decoder.Decode(payload, columns); err != nil {
			m.t.Fatal(err)
		}
		m.digests[r.Topic].Add(columns.AppendCanonical(nil, 0))
		m.rows = append(m.rows, r.Topic+" "+rowText(row.(map[string]any)))
	}
	for _, p := range b.Positions {
		if m.positions[p.Part] = p.Text; p.Text == "" {
			delete(m.positions, p.Part)
		}
	}
	for _, c := range b.Rows {
		n := m.counts[c.Dataset]
		n.Produced, n.Rejected = n.Produced+c.Produced, n.Rejected+c.Rejected
		m.counts[c.Dataset] = n
	}
}

// decodeNative reads a payload with goavro.
func decodeNative(s *schemas.Schema, payload []byte) (map[string]any, error) {
	codec, err := goavro.NewCodec(s.String())
	if err != nil {
		return nil, err
	}
	row, rest, err := codec.NativeFromBinary(payload)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("goavro cannot read a row: %w, %d bytes left", err, len(rest))
	}
	return row.(map[string]any), nil
}

// rowText is a row for people: place, then values.
func rowText(row map[string]any) string {
	o := row[schemas.OriginField].(map[string]any)
	place := fmt.Sprint(o["uri"])
	if e, ok := o["entry"].(map[string]any); ok {
		place += "!" + e["string"].(string)
	}
	value := func(name string) any {
		v, ok := row[name]
		if m, isMap := v.(map[string]any); isMap {
			for _, inner := range m {
				v = inner
			}
		}
		if r, isRat := v.(interface{ FloatString(int) string }); isRat {
			v = r.FloatString(1)
		}
		if t, isTime := v.(time.Time); isTime {
			v = t.Format(time.DateOnly)
		}
		if !ok {
			return "?"
		}
		return v
	}
	if _, isImage := row["media_type"]; isImage {
		return fmt.Sprintf("%s: %v %vx%v %v %v/%v %d bytes", place, value("media_type"), value("width"), value("height"), value("orientation"), value("product"), value("view"), len(row["bytes"].([]byte)))
	}
	return fmt.Sprintf("%s#%v: %v|%v|%v|%v", place, o["row"], value("id"), value("title"), value("rating"), value("posted"))
}

// run reads a source to its end, committing every batch.
func (m *memory) run(s *Source) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Open(ctx, m, m.positions); err != nil {
		m.t.Fatal(err)
	}
	for {
		b, err := s.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			m.t.Fatal(err)
		}
		m.take(b)
		if err := s.Commit(ctx, b.Positions); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := s.Close(ctx); err != nil {
		m.t.Fatal(err)
	}
}

func (m *memory) wantRows(want ...string) {
	m.t.Helper()
	if got := strings.Join(m.rows, "\n"); got != strings.Join(want, "\n") {
		m.t.Errorf("rows:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func (m *memory) wantLetters(reasons ...string) {
	m.t.Helper()
	ok := len(m.letters) == len(reasons)
	for i := range min(len(m.letters), len(reasons)) {
		ok = ok && strings.Contains(m.letters[i].Place+": "+m.letters[i].Reason, reasons[i])
	}
	if !ok {
		m.t.Errorf("dead letters %+v, want %q", m.letters, reasons)
	}
}

func pngImage(w, h int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func jpegImage(w, h int) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)), nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// entry is a file in an archive.
type entry struct {
	name    string
	content []byte
}

func zipOf(entries ...entry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.Create(e.name)
		if err == nil {
			_, err = f.Write(e.content)
		}
		if err != nil {
			panic(err)
		}
	}
	w.Close()
	return b.Bytes()
}

func tarOf(entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Typeflag: tar.TypeReg}); err != nil {
			panic(err)
		}
		w.Write(e.content)
	}
	w.Close()
	return b.Bytes()
}

func gz(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

func gifPalette() color.Palette { return color.Palette{color.Black, color.White} }

func pngChecksum(chunk []byte) uint32 { return crc32.ChecksumIEEE(chunk) }
