package clickhouse

import (
	"context"
	"fmt"
	"net"
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

// flow is a Kafka, and consumers that run from it into a sink.
type flow struct {
	*bench
	brokers  []string
	producer *kgo.Client
	status   consumers.Status
	id       int
}

func newFlow(b *bench) *flow {
	b.t.Helper()
	return newFlowOn(b, embeddedtest.Kafka(b.t))
}

func newFlowOn(b *bench, brokers []string) *flow {
	b.t.Helper()
	f := &flow{bench: b, brokers: brokers}
	b.conf.Prefix = embeddedtest.Prefix(b.t, f.brokers)
	var err error
	if f.producer, err = kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.ProducerBatchMaxBytes(17<<20), kgo.RecordPartitioner(kgo.RoundRobinPartitioner())); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(f.producer.Close)
	f.id = b.id("flow", numbered)
	return f
}

func (f *flow) topic(name string, partitions int32) string {
	f.t.Helper()
	topic := f.conf.Prefix + ".files." + name
	if _, err := kadm.NewClient(f.producer).CreateTopic(f.t.Context(), partitions, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("17000000")}, topic); err != nil {
		f.t.Fatal(err)
	}
	return topic
}

// produce produces n numbered records from the number on.
func (f *flow) produce(topic string, from, n int) {
	f.t.Helper()
	var recs []*kgo.Record
	for i := from; i < from+n; i++ {
		recs = append(recs, &kgo.Record{Topic: topic, Value: append(schemas.AppendFrame(nil, f.id), payload("row", int64(i))...)})
	}
	if err := f.producer.ProduceSync(f.t.Context(), recs...).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// run starts consumers; stop ends them, and fails the test when they end with an error.
func (f *flow) run(change func(*consumers.Options)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	o := consumers.Options{Kafka: []kgo.Opt{kgo.SeedBrokers(f.brokers...)}, Prefix: f.conf.Prefix, Sources: []string{"files"}, Sink: f.Sink, Status: &f.status, Instance: "one",
		Limits: consumers.Limits{PauseMin: 100 * time.Millisecond, PauseMax: 300 * time.Millisecond}}
	if change != nil {
		change(&o)
	}
	done := make(chan error, 1)
	go func() { done <- consumers.Run(ctx, o) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				f.t.Errorf("run: %v", err)
			}
		})
	}
	f.t.Cleanup(stop)
	return stop
}

// counts are the rows, the distinct numbers and the distinct offsets of a topic's table; zeros while it is not there.
func (f *flow) counts(topic string) (c [3]int64) {
	n, err := f.ints(f.t.Context(), fmt.Sprintf("SELECT arrayJoin([toInt64(count()), toInt64(uniqExact(n)), toInt64(uniqExact(_partition, _offset))]) FROM %s.%s",
		quoteName(f.conf.Raw), quoteName(schemas.Table(f.conf.Prefix, topic))))
	if err == nil {
		copy(c[:], n)
	}
	return c
}

// arrive waits until a topic has its rows, and sees that it has each once.
func (f *flow) arrive(topic string, n int) {
	f.t.Helper()
	want := [3]int64{int64(n), int64(n), int64(n)}
	f.wait(func() bool { return f.counts(topic)[0] >= int64(n) }, "%d rows of %s", n, topic)
	if got := f.counts(topic); got != want {
		f.t.Errorf("%s has rows, numbers and offsets %v, want %v; status %+v", topic, got, want, f.status.Topics())
	}
}

func (f *flow) wait(so func() bool, format string, args ...any) {
	f.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(60 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-end:
			f.t.Fatalf("waited in vain for "+format+fmt.Sprintf("; status %+v", f.status.Topics()), args...)
		}
	}
}

// A topic that cannot be stored stops alone and says why; repaired, it goes on by itself.
func TestOneBrokenTopicDoesNotStopTheOthers(t *testing.T) {
	f := newFlow(newBench(t))
	broken, fine := f.topic("broken", 2), f.topic("fine", 2)
	f.run(nil)
	f.produce(broken, 0, 10)
	f.arrive(broken, 10)
	table := quoteName(f.conf.Raw) + ".files_broken"
	if err := f.exec(t.Context(), "RENAME TABLE "+table+" TO "+table+"_away"); err != nil {
		t.Fatal(err)
	}
	f.produce(broken, 10, 10)
	f.wait(func() bool { return f.status.Topics()[0].Err != "" }, "an error of %s", broken)
	f.produce(fine, 0, 1000)
	f.arrive(fine, 1000)
	if err := f.exec(t.Context(), "RENAME TABLE "+table+"_away TO "+table); err != nil {
		t.Fatal(err)
	}
	f.arrive(broken, 20)
	f.wait(func() bool { return f.status.Topics()[0].Err == "" && f.status.Topics()[0].Lag == 0 }, "the error of %s to go away", broken)
}

func TestTopicThatAppearsLaterIsRead(t *testing.T) {
	f := newFlow(newBench(t))
	first := f.topic("first", 1)
	f.run(nil)
	f.produce(first, 0, 5)
	f.arrive(first, 5)
	later := f.topic("later", 3)
	f.produce(later, 0, 500)
	f.arrive(later, 500)
	f.produce(first, 5, 5)
	f.arrive(first, 10)
}

// The largest record a topic takes is stored like any other.
func TestLargeRecords(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("large", 1)
	f.run(nil)
	big := make([]byte, 16<<20-100)
	for i := range big {
		big[i] = 'a' + byte(i%26)
	}
	var recs []*kgo.Record
	for i := range 5 {
		recs = append(recs, &kgo.Record{Topic: topic, Value: append(schemas.AppendFrame(nil, f.id), payload(string(big), int64(i))...)})
	}
	if err := f.producer.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f.arrive(topic, 5)
	if got := f.one("SELECT toString(uniqExact((length(text), cityHash64(text)))) FROM %s.files_large", quoteName(f.conf.Raw)); got != "1" {
		t.Errorf("%s different texts, want one", got)
	}
}

// Stopped and started again and again while rows come, the consumers lose none and store none twice.
func TestRestartsWhileLoading(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("restarts", 4)
	n := 20_000
	for round := range 10 {
		f.produce(topic, round*n/10, n/10)
		before := f.counts(topic)[0]
		stop := f.run(func(o *consumers.Options) { o.Limits.BatchRows = 100 + 37*round })
		f.wait(func() bool { return f.counts(topic)[0] > before }, "any row of round %d", round)
		stop()
	}
	f.run(nil)
	f.arrive(topic, n)
}

// A server that is killed while rows come and started again gets them all, each once.
func TestServerKilledWhileLoading(t *testing.T) {
	server := embeddedtest.StartClickHouse(t)
	f := newFlow(newBenchAt(t, server.Addr()))
	topic := f.topic("killed", 2)
	f.run(func(o *consumers.Options) { o.Limits.BatchRows = 200 })
	f.produce(topic, 0, 20_000)
	f.wait(func() bool { return f.counts(topic)[0] > 1000 }, "the first rows")
	for range 2 {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := f.counts(topic)[0]
		f.produce(topic, 20_000, 0)
		f.wait(func() bool { n := f.counts(topic)[0]; return n > before || n == 20_000 }, "rows after the restart")
	}
	f.arrive(topic, 20_000)
	if st := f.status.Topics(); len(st) != 1 || st[0].Rejected != 0 {
		t.Errorf("status is %+v", st)
	}
}

// A process that was cut off from Kafka, lost its partitions and wakes up again cannot commit and does no harm.
func TestZombieWakes(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("zombie", 2)
	var gate gate
	f.run(func(o *consumers.Options) {
		o.Instance = ""
		o.Kafka = append(o.Kafka, kgo.Dialer(gate.dial), kgo.RetryTimeout(2*time.Second))
		o.Limits.SessionTimeout = 6 * time.Second
	})
	f.produce(topic, 0, 1000)
	f.arrive(topic, 1000)
	gate.shut(true)
	f.produce(topic, 1000, 1000)
	f.run(func(o *consumers.Options) { o.Instance, o.Status = "", nil; o.Limits.SessionTimeout = 6 * time.Second })
	f.arrive(topic, 2000)
	gate.shut(false)
	f.produce(topic, 2000, 1000)
	f.arrive(topic, 3000)
}

// gate is a dialer whose connections, old and new, do not get through while it is shut.
type gate struct {
	mu    sync.Mutex
	dark  bool
	conns []net.Conn
}

func (g *gate) shut(dark bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dark = dark
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

func (g *gate) dial(ctx context.Context, network, host string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dark {
		return nil, fmt.Errorf("dial %s: the gate is shut", host)
	}
	c, err := new(net.Dialer).DialContext(ctx, network, host)
	if err == nil {
		g.conns = append(g.conns, c)
	}
	return c, err
}

// Rows that the server lost after they were committed, as it may when the power fails, are written again at the next start.
func TestAuditRestoresALostTail(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("tail", 1)
	f.produce(topic, 0, 1000)
	stop := f.run(func(o *consumers.Options) { o.Limits.BatchRows = 100 })
	f.arrive(topic, 1000)
	f.wait(func() bool { st := f.status.Topics(); return len(st) == 1 && st[0].Lag == 0 }, "no lag")
	stop()
	if err := f.exec(t.Context(), "ALTER TABLE "+quoteName(f.conf.Raw)+".files_tail DELETE WHERE _offset >= 750 SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	f.produce(topic, 1000, 10)
	f.run(nil)
	f.arrive(topic, 1010)
}

// announced is a sink that looks, at each write, for the intent that the coordinator holds.
type announced struct {
	consumers.Sink
	adm   *kadm.Client
	group string
	mu    sync.Mutex
	wrong []string // guarded by mu
	seen  int      // guarded by mu
}

func (a *announced) Write(ctx context.Context, b consumers.Batch) (consumers.Written, error) {
	held, err := a.adm.FetchOffsets(ctx, a.group)
	at, _ := held.Lookup(b.Topic, b.Partition.Partition)
	a.mu.Lock()
	a.seen++
	if want := fmt.Sprintf(" pending=%d-%d", b.Start, b.End); err != nil || at.At != b.Start || !strings.Contains(at.Metadata+" ", want+" ") {
		a.wrong = append(a.wrong, fmt.Sprintf("%s from %d to %d, while %d %q is committed (%v)", b.Partition, b.Start, b.End, at.At, at.Metadata, err))
	}
	a.mu.Unlock()
	return a.Sink.Write(ctx, b)
}

// No write begins before the coordinator holds its range, and the range is not committed as done before the write has ended.
func TestIntentIsHeldDuringTheWrite(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("intent", 3)
	a := &announced{Sink: f.Sink, adm: kadm.NewClient(f.producer), group: f.conf.Prefix + ".clickhouse"}
	f.run(func(o *consumers.Options) { o.Sink, o.Limits.BatchRows = a, 50 })
	for i := range 5 {
		f.produce(topic, 600*i, 600)
		f.arrive(topic, 600*(i+1))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen < 5 || len(a.wrong) > 0 {
		t.Errorf("%d writes, of which %d were not announced: %s", a.seen, len(a.wrong), strings.Join(a.wrong, "; "))
	}
}
