package files

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
)

const articleSchema = `{"type":"record","name":"extract.files.Article","fields":[
	{"name":"class","type":"int"},{"name":"title","type":["null","string"],"default":null},{"name":"text","type":["null","string"],"default":null}]}`

// articles is a table as the reviews of a shop are: every field in quotes, about 330 bytes a row.
func articles(rows int) []byte {
	var b bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&b, "\"%d\",\"Great bicycle number %d\",\"%s\"\n", i%2+1, i,
			"I bought this for my daughter and she rides it to school every day, whatever the weather is. The brakes are strong, the ride is smooth, and after two winters nothing has rusted. The only thing I would change is the saddle, which is a little hard on long tours, but that is a matter of taste and of miles.")
	}
	return b.Bytes()
}

func articleSource(b *testing.B, content []byte) *Source {
	f := newFolder(b)
	f.config.Datasets = []Dataset{{Name: "articles", Match: []string{"*.csv"}, Schema: "article.avsc",
		CSV: CSV{Header: new(false), Columns: []string{"class", "title", "text"}}}}
	f.config.Processed = "leave"
	if err := os.WriteFile(filepath.Join(f.base, "article.avsc"), []byte(articleSchema), 0o644); err != nil {
		b.Fatal(err)
	}
	f.drop("articles.csv", content)
	return f.source()
}

// BenchmarkCSVToAvro is the source without Kafka (with its pass for the hash), the conversion alone, and encoding/csv with goavro on the same rows.
func BenchmarkCSVToAvro(b *testing.B) {
	const rows = 50_000
	content := articles(rows)
	b.Run("source", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			b.StopTimer()
			s := articleSource(b, content)
			if err := s.Open(b.Context(), heldTarget{16 << 20}, nil); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			n := 0
			for {
				batch, err := s.Next(b.Context())
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				n += len(batch.Records)
			}
			b.StopTimer()
			if n != rows {
				b.Fatalf("%d rows of %d", n, rows)
			}
			s.Close(b.Context())
			b.StartTimer()
		}
		b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("convert", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		s := articleSource(b, nil)
		defer s.Close(b.Context())
		d := s.datasets[0]
		m, err := d.plan.mapColumns(d.CSV.Columns)
		if err != nil {
			b.Fatal(err)
		}
		o := newOrigin("articles.csv", leaf{}, 0)
		var value []byte
		for b.Loop() {
			r := newCSVReader(bytes.NewReader(content), d.dialect(16<<20), 0, 1)
			for row := int64(1); ; row++ {
				rec, err := r.next()
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				if value, err = d.plan.appendRow(value[:0], &m, rec); err != nil {
					b.Fatal(err)
				}
				value = o.append(value, row)
			}
		}
		b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("encoding-csv+goavro", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		codec, err := goavro.NewCodec(articleSchema)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			r := csv.NewReader(bytes.NewReader(content))
			r.ReuseRecord = true
			var value []byte
			for {
				rec, err := r.Read()
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				class, err := strconv.Atoi(rec[0])
				if err != nil {
					b.Fatal(err)
				}
				value, err = codec.BinaryFromNative(value[:0], map[string]any{"class": class, "title": goavro.Union("string", rec[1]), "text": goavro.Union("string", rec[2])})
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

// BenchmarkCSVReader is taking apart alone.
func BenchmarkCSVReader(b *testing.B) {
	content := articles(50_000)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		r := newCSVReader(bytes.NewReader(content), commaDialect, 0, 1)
		for {
			if _, err := r.next(); err == io.EOF {
				break
			}
		}
	}
}

// BenchmarkThroughKafka is all of it: the file, the transactions, a broker that keeps its log on disk.
func BenchmarkThroughKafka(b *testing.B) {
	const rows = 400_000
	content := articles(rows)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	reg := sourcetest.NewRegistry()
	b.SetBytes(int64(len(content)))
	n := 0
	for b.Loop() {
		b.StopTimer()
		s := articleSource(b, content)
		n++
		b.StartTimer()
		err := producers.Run(b.Context(), producers.Options{
			Kafka: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}, Registry: reg, Prefix: fmt.Sprintf("bench%d", n), Source: "files",
			New: func(context.Context) (producers.Source, error) { return s, nil }, Log: slog.New(slog.DiscardHandler),
			Topics: producers.TopicConfig{ReplicationFactor: 1},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkDetection is the time from a file's rename into a folder that holds 20,000 others until its rows are ready.
func BenchmarkDetection(b *testing.B) {
	f := newFolder(b)
	f.config.Follow, f.config.Processed, f.config.Settle, f.config.ScanEvery = new(true), "leave", 0, 0
	for i := range 20_000 {
		f.drop(fmt.Sprintf("d%d/reviews%d.csv", i%100, i), fmt.Appendf(nil, "%s%d,,,\n", header, i))
	}
	s := f.source()
	defer s.Close(context.Background())
	if err := s.Open(b.Context(), heldTarget{16 << 20}, nil); err != nil {
		b.Fatal(err)
	}
	next := func() int {
		batch, err := s.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Commit(b.Context(), batch.Positions); err != nil {
			b.Fatal(err)
		}
		return len(batch.Records)
	}
	for n := 0; n < 20_000; {
		n += next()
	}
	i := 20_000
	for b.Loop() {
		i++
		f.drop(fmt.Sprintf("d%d/reviews%d.csv", i%100, i), fmt.Appendf(nil, "%s%d,,,\n", header, i))
		for next() == 0 {
		}
	}
}
