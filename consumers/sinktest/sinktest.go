// Package sinktest is the conformance suite of consumers.Sink: a sink passes when consumers.Run, whatever happens to its calls, stores every record of
// every partition once. What happens is not picked by hand: every kind of request to Kafka and every packet to and from the sink's server
// fails in turn, before it happened and after, and then the process is restarted or another one joins it.
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// Harness is what the suite needs of a sink.
type Harness struct {
	// Server is host:port of the sink's server. The suite puts a proxy before it.
	Server string
	// Open opens a sink of the topics with a prefix that talks to its server at addr.
	Open func(t *testing.T, addr, prefix string) (sink consumers.Sink, close func())
	// Value makes the value of the n-th record of the topic, and the text by which Rows knows it again.
	Value func(t *testing.T, topic string, n int) (value []byte, text string)
	// Rows reads every row the sink holds of the topic, dead letters included, those that are there twice twice.
	Rows func(t *testing.T, topic string) []Row
	// Source is that of the topics. Every case has a prefix of its own.
	Source string
	// Every takes one case in so many; 0 and 1 take all of them.
	Every int
}

// Row is one row that the sink holds.
type Row struct {
	Partition int32
	Offset    int64
	Text      string
}

const (
	partitions   = 2
	transactions = 4
	perTx        = 25 // records of a transaction and partition
	deadline     = 60 * time.Second
)

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for n, c := range cases(h.Every) {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			runCase(t, h.world(t), c, n)
		})
	}
}

// world is the Kafka of one case: kfake's, or the one that KAFKA_BROKERS names.
type world struct {
	Harness
	brokers []string
	prefix  string
}

func (h Harness) world(t *testing.T) world {
	t.Helper()
	brokers := embeddedtest.Kafka(t)
	return world{h, brokers, embeddedtest.Prefix(t, brokers)}
}

// topicOf is a topic with records in transactions, and the rows they must become.
func (h world) topicOf(t *testing.T, n int) (topic string, want []Row) {
	t.Helper()
	topic = fmt.Sprintf("%s.%s.case%d", h.prefix, h.Source, n)
	cl, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	number := 0
	for tx := range transactions {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		commit := kgo.TransactionEndTry(tx != 1) // one is aborted: none of its records may be stored
		for range perTx * partitions {
			value, text := h.Value(t, topic, number)
			rec := &kgo.Record{Topic: topic, Partition: int32(number % partitions), Value: value}
			if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if commit {
				want = append(want, Row{rec.Partition, rec.Offset, text})
			}
			number++
		}
		if err := cl.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	return topic, want
}

// process is one consumer process: Run with a sink, a proxy and a Kafka client of its own.
type process struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan error
	kafka  *kafkaFaults
	proxy  *proxy
	close  func()
}

// start starts a process. Its batches are of the size it is given: two processes never cut the same batches by chance.
func (h world) start(t *testing.T, instance string, rows int, f fault) *process {
	t.Helper()
	p := &process{t: t, done: make(chan error, 1), kafka: newKafkaFaults(f), proxy: newProxy(t, h.Server, f)}
	sink, closeSink := h.Open(t, p.proxy.addr(), h.prefix)
	p.close = closeSink
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	o := consumers.Options{
		Kafka: []kgo.Opt{kgo.SeedBrokers(h.brokers...), kgo.Dialer(p.kafka.dial), kgo.RetryTimeout(10 * time.Second)}, Prefix: h.prefix, Sources: []string{h.Source},
		Instance: instance, Sink: sink, Log: slog.New(slog.DiscardHandler),
		Limits: consumers.Limits{BatchRows: rows, Grace: 5 * time.Second, PauseMin: 50 * time.Millisecond, Pace: time.Millisecond},
	}
	go func() { p.done <- consumers.Run(ctx, o) }()
	return p
}

// kill cuts the process off from everything at once, as death does. What is left of it cannot reach anybody any more.
func (p *process) kill() {
	p.kafka.sever()
	p.proxy.sever()
}

// stop ends the process.
func (p *process) stop() {
	p.cancel()
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Errorf("run: %v", err)
		}
	case <-time.After(deadline):
		p.t.Error("run does not end")
	}
	p.proxy.sever()
	p.close()
}

func runCase(t *testing.T, h world, c testCase, n int) {
	topic, want := h.topicOf(t, n)
	first := h.start(t, "first", 10, c.fault)
	enough := len(want)
	if c.fault.nth == 0 {
		enough /= 3 // nothing fails: what follows comes in the middle
	}
	hit := waitFor(deadline, func() bool { return first.kafka.struck() || first.proxy.struck() || len(h.Rows(t, topic)) >= enough })
	if !hit {
		t.Fatal("neither the fault nor the rows came")
	}
	all := []*process{first}
	switch c.then {
	case restart:
		first.kill()
		all = append(all, h.start(t, "first", 7, fault{}))
	case rebalance:
		all = append(all, h.start(t, "second", 7, fault{}))
	}
	arrived := waitFor(deadline, func() bool { return len(h.Rows(t, topic)) >= len(want) })
	first.proxy.deliver()
	for i := len(all) - 1; i >= 0; i-- {
		if c.then == restart && i == 0 {
			all[i].cancel() // it is dead already; whatever it says
			<-all[i].done
			all[i].close()
			continue
		}
		all[i].stop()
	}
	compare(t, h.Rows(t, topic), want)
	if !arrived {
		t.Error("the rows did not arrive in time")
	}
}

func compare(t *testing.T, got, want []Row) {
	t.Helper()
	for _, rows := range [][]Row{got, want} {
		sort.Slice(rows, func(i, j int) bool {
			return rows[i].Partition < rows[j].Partition || rows[i].Partition == rows[j].Partition && rows[i].Offset < rows[j].Offset
		})
	}
	counts := map[Row]int{}
	for _, r := range want {
		counts[r]++
	}
	for _, r := range got {
		counts[r]--
	}
	var errs []error
	for r, n := range counts {
		if n > 0 {
			errs = append(errs, fmt.Errorf("partition %d offset %d (%s) is missing", r.Partition, r.Offset, r.Text))
		} else if n < 0 {
			errs = append(errs, fmt.Errorf("partition %d offset %d (%s) is there %d times too often", r.Partition, r.Offset, r.Text, -n))
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("%d rows, want %d:\n%v", len(got), len(want), err)
	}
}

// waitFor asks until it is so, or the time is over.
func waitFor(timeout time.Duration, so func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(timeout)
	for {
		if so() {
			return true
		}
		select {
		case <-tick.C:
		case <-end:
			return so()
		}
	}
}
