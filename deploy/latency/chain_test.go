package latency

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"adventureworks.example/extract/consumers"
)

const (
	rate    = 1000 // rows a second
	txRows  = 10   // rows of a transaction
	warmUp  = 4 * time.Second
	measure = 12 * time.Second
)

// BenchmarkChain commits 1,000 rows a second in Postgres, in transactions of ten rows of two tables, and measures for each row when it is produced,
// fetched, announced and queryable. The tables have the default number of partitions. Run it with -benchtime 1x.
func BenchmarkChain(b *testing.B) {
	for _, tables := range []int{10, 25} {
		b.Run(fmt.Sprintf("tables=%d", tables), func(b *testing.B) {
			for range b.N {
				benchmarkChain(b, tables)
			}
		})
	}
}

func benchmarkChain(b *testing.B, tables int) {
	c := newChain(b, tables)
	record := &Record{}
	var sink *Sink
	stop := c.start(record, func(s consumers.Sink) consumers.Sink {
		sink = &Sink{Sink: s, Record: record}
		return sink
	})
	defer stop()
	all := c.flow(record, warmUp)
	c.wait("the first rows are stored", func() bool { return record.Reached(Queryable) == all })
	record.Reset()
	writes, spent := sink.Writes(), c.spent()
	began := time.Now()
	n := c.flow(record, measure)
	took := time.Since(began)
	c.wait("all rows are stored", func() bool { return record.Reached(Queryable) == n })
	spent = c.spent().minus(spent)
	writes = sink.Writes() - writes
	c.complete()
	b.Logf("%.0f rows a second over %d tables, %.0f writes a second, load average %s; processor time in ms for a thousand rows: %s\n%s", float64(n)/took.Seconds(),
		tables, float64(writes)/took.Seconds(), loadAverage(), spent.per(float64(n)/1000), record.Table())
	produced, queryable := record.Between(Committed, Produced), record.Between(Committed, Queryable)
	b.ReportMetric(0, "ns/op") // it is the duration of the measurement
	for name, d := range map[string]time.Duration{
		"kafka-p50-ms": Quantile(produced, 0.5), "kafka-p99-ms": Quantile(produced, 0.99),
		"queryable-p50-ms": Quantile(queryable, 0.5), "queryable-p99-ms": Quantile(queryable, 0.99),
	} {
		b.ReportMetric(float64(d.Microseconds())/1000, name)
	}
}

// TestEveryRowReachesEveryStage runs the chain for some transactions.
func TestEveryRowReachesEveryStage(t *testing.T) {
	c := newChain(t, 2)
	record := &Record{}
	stop := c.start(record, func(s consumers.Sink) consumers.Sink { return &Sink{Sink: s, Record: record} })
	defer stop()
	n := c.flow(record, 200*time.Millisecond)
	c.wait("all rows are stored", func() bool { return record.Reached(Queryable) == n })
	for s := Committed; s < stages; s++ {
		if got := record.Reached(s); got != n {
			t.Errorf("%d of %d rows were seen %s", got, n, s)
		}
	}
	for s := Intended; s < stages; s++ { // of the others, the producer may learn of its commit after the consumer has the rows
		if step := record.Between(s-1, s); len(step) > 0 && step[0] < 0 {
			t.Errorf("a row was %s %v before it was %s", s, -step[0], s-1)
		}
	}
	c.complete()
}

// start runs both halves in this process.
func (c *chain) start(record *Record, watch func(consumers.Sink) consumers.Sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var halves sync.WaitGroup
	for name, run := range map[string]func() error{
		"producer": func() error { return c.produce(ctx, record) },
		"consumer": func() error { return c.consume(ctx, watch, Fetches{record}) },
	} {
		halves.Go(func() {
			if err := run(); err != nil {
				c.t.Errorf("%s: %v", name, err)
			}
		})
	}
	return func() { cancel(); halves.Wait() }
}

// flow writes rows for a while at the rate and returns how many.
func (c *chain) flow(record *Record, long time.Duration) (n int) {
	tick := time.NewTicker(time.Second * txRows / rate)
	defer tick.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); <-tick.C {
		rows, err := c.write(c.t.Context(), txRows)
		if err != nil {
			c.t.Fatal(err)
		}
		record.Mark(Committed, time.Now(), rows...)
		n += len(rows)
	}
	return n
}

func loadAverage() string {
	load, _ := os.ReadFile("/proc/loadavg") // none outside of Linux
	return strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " ")
}
