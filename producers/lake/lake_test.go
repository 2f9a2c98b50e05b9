package lake

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

const patience = 30 * time.Second

// sale is what the integration tests' objects hold.
type sale struct {
	ID    int64  `parquet:"id"`
	Title string `parquet:"title"`
}

// lakeFolder is a lake on disk.
type lakeFolder struct {
	t    testing.TB
	root string
	next int64
}

func newLake(t testing.TB) *lakeFolder { return &lakeFolder{t: t, root: t.TempDir()} }

// put makes a file visible at once, as a writer of a lake does, with a time long past so that it is at rest.
func (l *lakeFolder) put(key string, content []byte) {
	l.t.Helper()
	path := filepath.Join(l.root, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	l.next++
	if err := os.WriteFile(path+".tmp", content, 0o644); err != nil {
		l.t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, int(l.next)*1000, time.UTC)
	if err := os.Chtimes(path+".tmp", at, at); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		l.t.Fatal(err)
	}
}

// sales writes an object of n rows with ids from first on, in row groups of each rows.
func (l *lakeFolder) sales(key string, first, n, each int) {
	l.put(key, parquetOf(l.t, saleRows(first, n), parquet.MaxRowsPerRowGroup(int64(each)), parquet.PageBufferSize(64)))
}

func saleRows(first, n int) []sale {
	rows := make([]sale, n)
	for i := range rows {
		rows[i] = sale{int64(first + i), fmt.Sprintf("sale %d", first+i)}
	}
	return rows
}

func (l *lakeFolder) conf(datasets ...DatasetConfig) Config {
	if len(datasets) == 0 {
		datasets = []DatasetConfig{{Name: "sales", Path: "sales"}}
	}
	return Config{Folder: l.root, ScanEvery: 20 * time.Millisecond, Settle: time.Hour, Follow: new(bool), Datasets: datasets, ItemRows: 3, Readers: 2}
}

// world is a Kafka to run lakes against.
type world struct {
	t       testing.TB
	brokers []string
	prefix  string
	reg     *sourcetest.Registry
}

func newWorld(t testing.TB) *world {
	t.Helper()
	brokers := embeddedtest.Kafka(t)
	return &world{t, brokers, embeddedtest.Prefix(t, brokers), sourcetest.NewRegistry()}
}

func (w *world) options() producers.Options {
	return producers.Options{
		Kafka:    []kgo.Opt{kgo.SeedBrokers(w.brokers...), kgo.MetadataMinAge(10 * time.Millisecond)},
		Registry: w.reg, Prefix: w.prefix, Source: "lake", Topics: producers.TopicConfig{Partitions: 3, ReplicationFactor: 1},
		Log:     slog.New(slog.NewTextHandler(w.t.(*testing.T).Output(), nil)),
		Backoff: producers.Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond, Pause: 5 * time.Millisecond},
	}
}

// run runs a lake to its end.
func (w *world) run(conf Config) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := Run(ctx, conf, w.options(), "here-0"); err != nil {
		w.t.Fatalf("run: %v", err)
	}
	if ctx.Err() != nil {
		w.t.Fatal("the lake did not end")
	}
}

// records returns the committed records of a topic.
func (w *world) records(topic string) []*kgo.Record {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	records, err := sourcetest.ReadTopics(ctx, w.options().Kafka, w.prefix+"."+topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return records
}

// read returns the committed records of a topic, decoded by goavro.
func (w *world) read(topic string) []map[string]any {
	w.t.Helper()
	var out []map[string]any
	for _, r := range w.records(topic) {
		out = append(out, w.decode(r.Value))
	}
	return out
}

func (w *world) decode(value []byte) map[string]any {
	w.t.Helper()
	id, payload, err := schemas.ParseFrame(value)
	if err != nil {
		w.t.Fatal(err)
	}
	codec, err := goavro.NewCodec(w.reg.Schema(id).String())
	if err != nil {
		w.t.Fatal(err)
	}
	native, _, err := codec.NativeFromBinary(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	return plainValue(native).(map[string]any)
}

// once fails unless exactly the ids from first to last are there, each once.
func once(t *testing.T, rows []map[string]any, first, last int) {
	t.Helper()
	seen := map[int64]int{}
	for _, r := range rows {
		seen[r["id"].(int64)]++
	}
	for id := first; id <= last; id++ {
		if seen[int64(id)] != 1 {
			t.Errorf("row %d is there %d times", id, seen[int64(id)])
		}
		delete(seen, int64(id))
	}
	if len(seen) > 0 {
		t.Errorf("rows that belong to nothing: %v", seen)
	}
}

func TestRun(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	l.sales("sales/year=2025/b.parquet", 1, 20, 8)
	l.sales("sales/year=2026/a.parquet", 21, 5, 8)
	l.put("sales/_SUCCESS", nil)
	l.put("sales/_temporary/0/x.parquet", []byte("half"))
	l.put("sales/.hidden.parquet", []byte("half"))
	l.put("sales/notes.txt", []byte("not Parquet"))
	l.put("other/z.parquet", []byte("of no dataset"))
	w.run(l.conf())
	rows := w.read("lake.sales")
	once(t, rows, 1, 25)
	for _, r := range rows {
		want := "2025"
		if r["id"].(int64) > 20 {
			want = "2026"
		}
		if r["year"] != want {
			t.Errorf("row %v: year %v, want %s", r["id"], r["year"], want)
		}
	}
	// A name that sorts before what was read, with an older time, is found all the same; what was read does not come again.
	l.sales("sales/year=2024/a.parquet", 26, 4, 8)
	w.run(l.conf())
	once(t, w.read("lake.sales"), 1, 29)
	if letters := w.read("deadletters"); len(letters) > 0 {
		t.Errorf("dead letters: %v", letters)
	}
}

func TestTruncatedObject(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	whole := parquetOf(t, saleRows(1, 5))
	l.put("sales/a.parquet", whole[:len(whole)-7])
	l.sales("sales/b.parquet", 6, 5, 8)
	w.run(l.conf())
	once(t, w.read("lake.sales"), 6, 10)
	letters := w.read("deadletters")
	if len(letters) != 1 || !strings.Contains(letters[0]["reason"].(string), "truncated Parquet file") || letters[0]["raw"] != string(whole[:len(whole)-7]) ||
		letters[0]["place"] != "object sales/a.parquet" {
		t.Fatalf("dead letters: %v", letters)
	}
	w.run(l.conf())
	if letters := w.read("deadletters"); len(letters) != 1 {
		t.Errorf("the second run rejected it again: %d dead letters", len(letters))
	}
	l.put("sales/a.parquet", whole)
	w.run(l.conf())
	once(t, w.read("lake.sales"), 1, 10)
}

// An object without its end is not rejected while somebody writes it.
func TestObjectBeingWritten(t *testing.T) {
	l := newLake(t)
	conf, err := l.conf().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlanner(conf, folder{l.root}, nil)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p.now = func() time.Time { return now }
	o := object{Key: "sales/a.parquet", ETag: "1", Size: 5, Modified: now}
	if p.settled(o) {
		t.Error("it was written this moment")
	}
	now = now.Add(conf.Settle - 1)
	o.ETag = "2" // it has grown
	o.Modified = now
	if p.settled(o) {
		t.Error("it has just grown")
	}
	now = now.Add(conf.Settle)
	if !p.settled(o) {
		t.Error("it has been at rest long enough")
	}
	o = object{Key: "b", ETag: "1", Modified: now.Add(24 * time.Hour)} // its clock is ahead
	if p.settled(o) {
		t.Error("it has been seen for the first time")
	}
	now = now.Add(conf.Settle)
	if !p.settled(o) {
		t.Error("it has been seen as it is long enough")
	}
}

// An object that was overwritten between planning and reading: what is gone is in the dead letters, what is there is produced.
func TestOverwrittenObject(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	conf := l.conf()
	l.sales("sales/a.parquet", 1, 5, 100)
	l.sales("sales/gone.parquet", 100, 2, 100)
	if err := RunPlanner(t.Context(), conf, w.options()); err != nil {
		t.Fatal(err)
	}
	l.sales("sales/a.parquet", 11, 7, 100)
	if err := os.Remove(filepath.Join(l.root, "sales/gone.parquet")); err != nil {
		t.Fatal(err)
	}
	w.run(conf)
	once(t, w.read("lake.sales"), 11, 17)
	letters := w.read("deadletters")
	if len(letters) != 7 {
		t.Errorf("%d dead letters for seven rows that are gone", len(letters))
	}
	for _, d := range letters {
		if !strings.Contains(d["reason"].(string), "overwritten or removed") {
			t.Errorf("reason %v", d["reason"])
		}
	}
}

// A damaged page rejects its rows, with their places, and no others.
func TestDamagedPage(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	file := parquetOf(t, saleRows(1, 200), parquet.PageBufferSize(256), parquet.DataPageStatistics(false))
	at := bytes.Index(file, []byte("sale 100"))
	if at < 0 {
		t.Fatal("the rows are not as they are in the file")
	}
	file[at] ^= 0x20
	l.put("sales/a.parquet", file)
	conf := l.conf()
	conf.ItemRows = 1000
	w.run(conf)
	rows, letters := w.read("lake.sales"), w.read("deadletters")
	if len(rows)+len(letters) != 200 || len(letters) == 0 || len(letters) > 100 {
		t.Fatalf("%d rows and %d dead letters of 200", len(rows), len(letters))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[fmt.Sprintf("object sales/a.parquet, row group 0, row %d of the group", r["id"])] = true
	}
	raw := 0
	for _, d := range letters {
		if seen[d["place"].(string)] {
			t.Errorf("%s is a dead letter and a row", d["place"])
		}
		seen[d["place"].(string)] = true
		if !strings.Contains(d["reason"].(string), "column title: the page's checksum does not match") {
			t.Errorf("reason %v", d["reason"])
		}
		raw += len(d["raw"].(string))
	}
	if len(seen) != 200 || raw == 0 {
		t.Errorf("%d places of 200, %d raw bytes", len(seen), raw)
	}
}

type oldSale struct {
	ID int32 `parquet:"id"`
}

type newSale struct {
	ID    int64   `parquet:"id"`
	Price float64 `parquet:"price,optional"`
}

type textSale struct {
	ID string `parquet:"id"`
}

// Files of one dataset may differ: fields come and go and widen; what does not go together is rejected.
func TestSchemasOfOneDataset(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	l.put("sales/1.parquet", parquetOf(t, []newSale{{1, 2.5}}))
	l.put("sales/2.parquet", parquetOf(t, []oldSale{{2}}))
	l.put("sales/3.parquet", parquetOf(t, []textSale{{"three"}}))
	l.sales("sales/4.parquet", 4, 1, 10)
	w.run(l.conf())
	once(t, append(w.read("lake.sales"), map[string]any{"id": int64(3)}), 1, 4)
	letters := w.read("deadletters")
	if len(letters) != 1 || letters[0]["place"] != "object sales/3.parquet" {
		t.Fatalf("dead letters: %v", letters)
	}
}

func TestProjectionAndPruning(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	for i, key := range []string{"s/year=2024/month=1/a.parquet", "s/year=2025/month=01/a.parquet", "s/year=2025/month=2/a.parquet", "s/a.parquet"} {
		l.sales(key, i+1, 1, 10)
	}
	w.run(l.conf(DatasetConfig{Name: "sales", Path: "s/**/*.parquet", Columns: []string{"id"}, Where: map[string][]string{"year": {"2025"}, "month": {"1"}},
		Partitions: map[string]string{"year": "int", "month": "int"}}))
	rows := w.read("lake.sales")
	once(t, rows, 2, 2)
	if _, there := rows[0]["title"]; there || rows[0]["year"] != int32(2025) || rows[0]["month"] != int32(1) {
		t.Errorf("row %v", rows[0])
	}
}

// Held agrees with what is in Kafka.
func TestHeld(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	l.sales("sales/a.parquet", 1, 20, 8)
	l.put("sales/b.parquet", []byte("not Parquet at all"))
	l.put("sales/c.parquet", parquetOf(t, []oldSale{{21}}))
	conf := l.conf()
	w.run(conf)
	positions, err := producers.ReadPositions(t.Context(), w.options().Kafka, w.prefix, "lake")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Remember(positions); err != nil {
		t.Fatal(err)
	}
	var held []producers.Held
	if err := p.Held(t.Context(), func(h producers.Held) { held = append(held, h) }); err != nil {
		t.Fatal(err)
	}
	if len(held) != 1 || held[0].Rows != 22 || held[0].Rejected != 1 {
		t.Fatalf("held %+v", held)
	}
	if got := w.digest("lake.sales"); got != held[0].Digest {
		t.Errorf("digest of the lake %s, of the topic %s", held[0].Digest, got)
	}
}

func (w *world) digest(topic string) (d schemas.Digest) {
	w.t.Helper()
	for _, r := range w.records(topic) {
		id, payload, err := schemas.ParseFrame(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		s := w.reg.Schema(id)
		decoder, err := schemas.NewDecoder(s, s)
		if err != nil {
			w.t.Fatal(err)
		}
		c := schemas.NewColumns(s)
		if err := decoder.Decode(payload, c); err != nil {
			w.t.Fatal(err)
		}
		d.Add(c.AppendCanonical(nil, 0))
	}
	return d
}

// Two processes share the work, and a reader that dies in the middle leaves its item to the others.
func TestReadersShare(t *testing.T) {
	l, w := newLake(t), newWorld(t)
	for i := range 10 {
		l.sales(fmt.Sprintf("sales/%d.parquet", i), i*10+1, 10, 4)
	}
	conf := l.conf()
	if err := RunPlanner(t.Context(), conf, w.options()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex
	did := map[int]int{}
	var wg sync.WaitGroup
	for reader := range 2 {
		so := readerOptions(conf, w.options())
		so.SessionTimeout = 300 * time.Millisecond
		inner := so.New
		so.New = func(ctx context.Context, target producers.Target) (producers.Worker, error) {
			worker, err := inner(ctx, target)
			return &counting{worker, func() (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				did[reader]++
				return did[reader]%7 == 0, nil
			}}, err
		}
		wg.Go(func() {
			if err := producers.RunShared(ctx, so); err != nil {
				t.Errorf("reader %d: %v", reader, err)
			}
		})
	}
	if err := waitDrained(ctx, w.options()); err != nil {
		t.Fatal(err)
	}
	cancel()
	wg.Wait()
	once(t, w.read("lake.sales"), 1, 100)
	mu.Lock()
	defer mu.Unlock()
	if did[0] == 0 || did[1] == 0 {
		t.Errorf("items by reader: %v", did)
	}
}

// counting breaks some items after their rows were emitted.
type counting struct {
	producers.Worker
	next func() (fail bool, err error)
}

func (c *counting) Work(ctx context.Context, item *kgo.Record, emit func(producers.Batch) error) error {
	if err := c.Worker.Work(ctx, item, emit); err != nil {
		return err
	}
	if fail, _ := c.next(); fail {
		return fmt.Errorf("this reader breaks here")
	}
	return nil
}
