package clickhouse

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
)

// spot is a record's place.
type spot struct {
	topic     string
	partition int32
	offset    int64
}

// stopwatch is a sink that notes when each record is queryable: a write returns when it is.
type stopwatch struct {
	consumers.Sink

	mu     sync.Mutex
	seen   map[spot]time.Time // guarded by mu
	writes int                // guarded by mu
	rows   int                // guarded by mu
	busy   time.Duration      // guarded by mu
}

func (s *stopwatch) Write(ctx context.Context, b consumers.Batch) (consumers.Written, error) {
	began := time.Now()
	w, err := s.Sink.Write(ctx, b)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := time.Now()
		for _, r := range b.Records {
			s.seen[spot{r.Topic, r.Partition, r.Offset}] = now
		}
		if len(b.Records) > 0 {
			s.writes++
			s.rows += len(b.Records)
			s.busy += now.Sub(began)
		}
	}
	return w, err
}

func (s *stopwatch) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

const (
	latencyTopics = 25 // fifteen of changes, ten of rows
	latencyRate   = 1000
	latencyTick   = 20 * time.Millisecond
	latencyFor    = 10 * time.Second
)

// BenchmarkLatency measures the time from the commit of a transaction in Kafka until its rows can be queried, with 1,000 rows a second over
// 25 topics of 4 partitions, in transactions of 20 rows. Say the machine's load with the result: it is nearly all of the tail.
func BenchmarkLatency(b *testing.B) {
	for range b.N {
		f := newFlow(newBench(b))
		watch := &stopwatch{Sink: f.Sink, seen: map[spot]time.Time{}}
		next := latencyRecords(f)
		producer, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.TransactionalID("latency"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		if err != nil {
			b.Fatal(err)
		}
		committed := map[spot]time.Time{}
		send := func(recs []*kgo.Record) {
			if err := producer.BeginTransaction(); err != nil {
				b.Fatal(err)
			}
			if err := producer.ProduceSync(b.Context(), recs...).FirstErr(); err != nil {
				b.Fatal(err)
			}
			if err := producer.EndTransaction(b.Context(), kgo.TryCommit); err != nil {
				b.Fatal(err)
			}
			for _, r := range recs {
				committed[spot{r.Topic, r.Partition, r.Offset}] = time.Now()
			}
		}
		stop := f.run(func(o *consumers.Options) {
			o.Sources, o.Sink = []string{"files", "sql"}, watch
		})
		send(next(8 * latencyTopics)) // makes the tables
		f.wait(func() bool { return watch.len() == len(committed) }, "the first rows")
		clear(committed)
		watch.writes, watch.rows, watch.busy = 0, 0, 0
		client, server := cpu(), cpuOf(f)
		tick := time.NewTicker(latencyTick)
		for began := time.Now(); time.Since(began) < latencyFor; <-tick.C {
			send(next(latencyRate * int(latencyTick) / int(time.Second)))
		}
		tick.Stop()
		f.wait(func() bool { return watch.len() == len(committed)+8*latencyTopics }, "all rows")
		client, server = cpu()-client, cpuOf(f)-server
		stop()
		producer.Close()
		var took []time.Duration
		for s, at := range committed {
			took = append(took, watch.seen[s].Sub(at))
		}
		slices.Sort(took)
		ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
		b.ReportMetric(ms(0.5), "p50-ms")
		b.ReportMetric(ms(0.99), "p99-ms")
		b.ReportMetric(float64(watch.writes)/latencyFor.Seconds(), "writes/s")
		b.ReportMetric(float64(watch.busy.Microseconds())/1000/float64(watch.writes), "ms/write")
		b.ReportMetric(float64(client.Milliseconds())/float64(watch.writes), "client-cpu-ms/write")
		b.ReportMetric(float64(server.Milliseconds())/float64(watch.writes), "server-cpu-ms/write")
		load, _ := os.ReadFile("/proc/loadavg")
		b.Logf("%d rows, load average %s", len(took), strings.TrimSpace(string(load)))
	}
}

// cpuOf is the processor time of the embedded server, 0 for another one.
func cpuOf(f *flow) time.Duration {
	server := embeddedtest.ClickHouse(f.t).Server
	if server == nil {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", server.PID()))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // from the third on, see proc(5)
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// latencyRecords makes the topics, and returns what makes the next records, one topic after the other.
func latencyRecords(f *flow) func(n int) []*kgo.Record {
	adm := kadm.NewClient(f.producer)
	var makers []func(i int) *kgo.Record
	for n := range latencyTopics {
		topic := fmt.Sprintf("%s.files.t%d", f.conf.Prefix, n)
		if n%5 < 3 {
			topic = fmt.Sprintf("%s.sql.shop.t%d", f.conf.Prefix, n)
		}
		if _, err := adm.CreateTopic(f.t.Context(), 4, 1, nil, topic); err != nil {
			f.t.Fatal(err)
		}
		if n%5 < 3 {
			c := newChangeTopic(f.bench, topic)
			makers = append(makers, func(i int) *kgo.Record {
				r := c.change(schemas.OpUpdate, int64(1000+i), 2, nil, &image{int32(i % 500), fmt.Sprint("value ", i), []int64{1, 2}})
				return &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}
			})
			continue
		}
		makers = append(makers, func(i int) *kgo.Record {
			return &kgo.Record{Topic: topic, Value: append(schemas.AppendFrame(nil, f.id), payload("row", int64(i))...)}
		})
	}
	made := 0
	return func(n int) (recs []*kgo.Record) {
		for range n {
			recs = append(recs, makers[made%len(makers)](made))
			made++
		}
		return recs
	}
}

// BenchmarkSmallWrite measures the processor time that a write of three rows costs, of plain rows (one insert) and of changes (two), the merges of its
// parts included. The server's is what decides how many writes a second a machine can bear.
func BenchmarkSmallWrite(b *testing.B) {
	const topics, rows = 15, 3
	for _, kind := range []string{"rows", "changes"} {
		b.Run(kind, func(b *testing.B) {
			s := newBench(b)
			next := make([]func(i int) *kgo.Record, topics)
			for n := range next {
				if kind == "rows" {
					id := s.id("flow", numbered)
					next[n] = func(i int) *kgo.Record {
						return s.records(fmt.Sprintf("aw.files.t%d", n), id, payload("row", int64(i)))[0]
					}
					continue
				}
				c := newChangeTopic(s, fmt.Sprintf("aw.sql.shop.t%d", n))
				next[n] = func(i int) *kgo.Record {
					return c.change(schemas.OpUpdate, int64(1000+i), 2, nil, &image{int32(i % 500), fmt.Sprint("value ", i), []int64{1, 2}})
				}
			}
			made := 0
			write := func() {
				var recs []*kgo.Record
				for range rows {
					recs = append(recs, next[made/rows%topics](made))
					made++
				}
				s.write(s.batch(recs...))
			}
			for range 2 * topics { // makes the tables
				write()
			}
			f := &flow{bench: s}
			client, server := cpu(), cpuOf(f)
			for b.Loop() {
				write()
			}
			b.ReportMetric(float64((cpu()-client).Microseconds())/1000/float64(b.N), "client-cpu-ms/write")
			b.ReportMetric(float64((cpuOf(f)-server).Microseconds())/1000/float64(b.N), "server-cpu-ms/write")
		})
	}
}
