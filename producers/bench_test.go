package producers_test

import (
	"context"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

const (
	benchRows  = 400_000
	benchBytes = 200
	benchBatch = 5_000
)

// rows is a source of benchRows rows in batches of a megabyte, each with a position.
type rows struct {
	topic producers.Dataset
	value []byte
	sent  int
}

func (s *rows) Open(ctx context.Context, t producers.Target, _ map[string]string) (err error) {
	s.topic, err = t.Dataset(ctx, "rows", nil, valueSchema)
	s.value = benchValues()
	return err
}

// benchValues is what the rows are cut from: numbers as text, which compress about as rows do.
func benchValues() []byte {
	var b []byte
	for i := 1; len(b) < benchBatch+2*benchBytes; i++ {
		b = append(b, strconv.Itoa(i*i*7919)...)
		b = append(b, ',')
	}
	return b
}

func (s *rows) Next(context.Context) (producers.Batch, error) {
	if s.sent == benchRows {
		return producers.Batch{}, io.EOF
	}
	b := producers.Batch{Records: benchRecords(s.topic.Topic, s.value), Rows: []producers.RowCount{{Dataset: "rows", Produced: benchBatch}}}
	s.sent += benchBatch
	b.Positions = []producers.Position{{Part: "p", Text: strconv.Itoa(s.sent)}}
	return b, nil
}

func benchRecords(topic string, value []byte) []*kgo.Record {
	all := make([]kgo.Record, benchBatch)
	out := make([]*kgo.Record, benchBatch)
	for i := range all {
		v := value[i : i+schemas.FrameSize+2+benchBytes] // every row is another one
		all[i] = kgo.Record{Topic: topic, Value: v, Partition: int32(i / 1250)}
		out[i] = &all[i]
	}
	return out
}

func (s *rows) Commit(context.Context, []producers.Position) error { return nil }
func (s *rows) Close(context.Context) error                        { return nil }

func benchOptions(b *testing.B, opts ...kfake.Opt) producers.Options {
	b.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(4, "plain"),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "16777216"})}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cluster.Close)
	return producers.Options{Kafka: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}, Registry: sourcetest.NewRegistry(), Prefix: "aw", Source: "bench",
		Topics: producers.TopicConfig{ReplicationFactor: 1, Partitions: 4}}
}

// BenchmarkRun writes rows through Run, in transactions, and beside it the same records with nothing but kgo.
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		plain := plainProduce(b, benchOptions(b))
		o := benchOptions(b)
		o.Status = &producers.Status{}
		o.New = func(context.Context) (producers.Source, error) { return &rows{}, nil }
		start := time.Now()
		if err := producers.Run(b.Context(), o); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		b.ReportMetric(benchRows/took.Seconds(), "rows/s")
		b.ReportMetric(benchRows/plain.Seconds(), "plain_rows/s")
		b.ReportMetric(plain.Seconds()/took.Seconds(), "of_plain")
		b.ReportMetric(float64(o.Status.Snapshot().Transactions), "transactions")
	}
}

// plainProduce writes the same records without transactions, idempotent as kgo is by default.
func plainProduce(b *testing.B, o producers.Options) time.Duration {
	b.Helper()
	cl, err := kgo.NewClient(append(o.Kafka, kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.SnappyCompression()), kgo.ProducerBatchMaxBytes(16<<20),
		kgo.MaxBufferedBytes(64<<20), kgo.MaxBufferedRecords(1<<20),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, n int) int { return int(r.Partition) % n }
		})))...)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	value := benchValues()
	start := time.Now()
	refused := make(chan error, benchRows)
	for sent := 0; sent < benchRows; sent += benchBatch {
		for _, r := range benchRecords("plain", value) {
			cl.Produce(b.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					refused <- err
				}
			})
		}
	}
	if err := cl.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if len(refused) > 0 {
		b.Fatal(<-refused)
	}
	return time.Since(start)
}

// BenchmarkAtRest sends ten records at a time to a broker that has nothing else to do, and measures until the source is told that they are
// durable.
func BenchmarkAtRest(b *testing.B) {
	o := benchOptions(b, kfake.DataDir(b.TempDir()), kfake.SyncWrites())
	s := &script{in: make(chan producers.Batch), opened: make(chan map[string]string, 1), committed: make(chan []producers.Position, 1)}
	o.New = func(context.Context) (producers.Source, error) { return s, nil }
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- producers.Run(ctx, o) }()
	<-s.opened
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		s.in <- s.batch(10, benchBytes, strconv.Itoa(len(took)+1))
		<-s.committed
		took = append(took, time.Since(start))
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50_us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99_us")
}
