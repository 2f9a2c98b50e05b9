package sinktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

const (
	partitions   = 2
	transactions = 4
	perTx        = 20              // records of a transaction, over all partitions
	patience     = 4 * time.Minute // of a machine that does much else
	// session is how long the group waits for a frozen process. Apache Kafka takes none below six seconds.
	session = 6 * time.Second
	// timeout is the deadline of calls that hang: of a try to write, and of a request to Kafka beside what the request itself allows.
	timeout = 6 * time.Second
	// auditEvery is so short that an audit looks at everything that happens.
	auditEvery = 200 * time.Millisecond
)

// world is the Kafka of one case: kfake's, or the one that KAFKA_BROKERS names.
type world struct {
	Harness
	brokers  []string
	prefix   string
	topic    string
	history  History
	want     []Row
	producer *kgo.Client
	watched  *network // of the process whose calls the scene is about
	deaths   bool     // the group has to find out that a process is gone
}

func (h Harness) world(t *testing.T) *world {
	t.Helper()
	w := &world{Harness: h}
	if embeddedtest.KafkaShared() {
		w.brokers = embeddedtest.Kafka(t)
	} else {
		w.brokers = embeddedtest.KafkaCluster(t, kfake.GroupMinSessionTimeout(100*time.Millisecond)).ListenAddrs()
	}
	w.prefix = embeddedtest.Prefix(t, w.brokers)
	w.topic = fmt.Sprintf("%s.%s.history", w.prefix, h.Source)
	w.history = h.History(t, w.topic)
	var err error
	w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID(w.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	if _, err := kadm.NewClient(w.producer).CreateTopic(t.Context(), partitions, 1, nil, w.topic); err != nil {
		t.Fatal(err)
	}
	return w
}

// produce adds transactions to the topic and the rows that they must become to want. The second of several is aborted.
func (w *world) produce(t *testing.T, transactions int) {
	t.Helper()
	for tx := range transactions {
		aborted := tx == 1
		if err := w.producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		var recs []*kgo.Record
		var texts []string
		for range perTx {
			rec, text := w.history.Record(aborted)
			rec.Topic = w.topic
			recs, texts = append(recs, rec), append(texts, text)
		}
		if err := w.producer.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := w.producer.EndTransaction(t.Context(), kgo.TransactionEndTry(!aborted)); err != nil {
			t.Fatal(err)
		}
		for i, rec := range recs {
			if !aborted {
				w.want = append(w.want, Row{rec.Partition, rec.Offset, texts[i]})
			}
		}
	}
}

// process is one consumer process: Run with a sink and a network of its own.
type process struct {
	*network
	t      *testing.T
	name   string
	cancel context.CancelFunc
	audits *consumers.Audits
	done   chan error
	close  func()
}

// start starts a process. Its batches are of the size it is given: two processes never cut the same batches by chance.
func (w *world) start(t *testing.T, instance string, rows int, hangs bool, n *network) *process {
	t.Helper()
	p := &process{network: n, t: t, name: instance, audits: consumers.NewAudits(), done: make(chan error, 1)}
	sink, closeSink := w.Open(t, newProxy(t, w.Harness, n).addr(), w.prefix)
	p.close = closeSink
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	o := consumers.Options{
		Kafka: []kgo.Opt{kgo.SeedBrokers(w.brokers...), kgo.Dialer(n.dial), kgo.RetryTimeout(10 * time.Second)}, Prefix: w.prefix, Sources: []string{w.Source},
		Instance: instance, Sink: sink, Audit: consumers.AuditOptions{Every: auditEvery, Asked: p.audits}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Limits: consumers.Limits{BatchRows: rows, Grace: 5 * time.Second, PauseMin: 50 * time.Millisecond, Pace: time.Millisecond, SessionTimeout: session},
	}
	if w.deaths && !embeddedtest.KafkaShared() {
		o.Limits.SessionTimeout = session / 2
	}
	if hangs {
		o.Kafka = append(o.Kafka, kgo.RequestTimeoutOverhead(timeout))
		o.Limits.WriteTimeout = timeout
	}
	go func() { p.done <- consumers.Run(ctx, o) }()
	return p
}

// audited sees that an audit finds everything in the partitions that the process has. One that is under way may be the one whose question hangs.
func (p *process) audited() {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	problem := ""
	waitFor(patience, func() bool {
		all, err := p.audits.Ask(ctx, false)
		if problem = ""; err != nil {
			problem = err.Error()
		}
		for _, f := range all {
			if f.Verdict != consumers.Complete || f.Err != "" {
				problem = fmt.Sprintf("%+v", f)
			}
		}
		return problem == ""
	})
	if problem != "" {
		p.t.Errorf("%s: the audit found %s", p.name, problem)
	}
}

// stop ends the process as a person does who wants it to end well.
func (p *process) stop() {
	p.cancel()
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Errorf("%s: %v", p.name, err)
		}
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.name)
	}
	p.sever()
	p.close()
}

// bury takes away what is left of a process that was cut off from everything; what it says does not matter.
func (p *process) bury() {
	p.sever()
	p.cancel()
	<-p.done
	p.close()
}

// run runs a case and tells whether its fault happened.
func (w *world) run(t *testing.T, c testCase) (struck bool) {
	w.deaths = c.recovery == zombie || c.strike.fault == late
	w.produce(t, transactions)
	all := w.prepare(t, c)
	first := all[len(all)-1]
	w.watched = first.network
	struck = w.await(t, first)
	hangs := c.strike.fault.hangs()
	switch c.recovery {
	case restart:
		first.sever()
		all = append(all, w.start(t, first.name, 4, hangs, newNetwork(false)))
	case zombie:
		first.freeze(true)
		all = append(all, w.start(t, "another", 4, hangs, newNetwork(false)))
	case rebalance:
		all = append(all, w.start(t, "another", 4, hangs, newNetwork(false)))
	}
	w.arrive(t, c.String())
	switch {
	case c.strike.fault == late: // nobody is left who would put right what a late request does
		for _, p := range all {
			p.bury()
		}
		first.deliver()
		// Everybody is started again, under their names: kfake never forgets a member that died while it waited to join.
		dead := all
		all = nil
		for _, d := range dead {
			if !slices.ContainsFunc(all, func(p *process) bool { return p.name == d.name }) {
				all = append(all, w.start(t, d.name, 5-len(all), false, newNetwork(false)))
			}
		}
	case c.recovery == zombie:
		before := first.count(kafkaCall(int16(kmsg.SyncGroup)))
		first.freeze(false)
		if !waitFor(patience, func() bool { return first.count(kafkaCall(int16(kmsg.SyncGroup))) > before }) {
			t.Error("the zombie does not come back to the group")
		}
	case c.recovery == restart:
		first.bury()
		all = all[len(all)-1:]
	}
	w.produce(t, 1)
	w.arrive(t, "the end")
	for _, p := range all {
		p.audited()
		p.stop()
	}
	compare(t, w.Rows(t, w.topic), w.want)
	w.history.Check(t)
	return struck
}

// prepare starts the processes of the scene. The last one is that which the strike is for.
func (w *world) prepare(t *testing.T, c testCase) []*process {
	var strikes []strike
	if c.strike.fault != "" {
		strikes = []strike{c.strike}
	}
	freezes, hangs := c.recovery == zombie, c.strike.fault.hangs()
	switch c.scene {
	case doubtful:
		return []*process{w.start(t, "first", 8, hangs, newNetwork(freezes, append([]strike{c.provoked}, strikes...)...))}
	case heir:
		dead := w.start(t, "first", 8, false, newNetwork(false, c.provoked))
		if !w.await(t, dead) {
			t.Error("no insert was cut")
		}
		dead.sever()
		t.Cleanup(dead.bury)
		return []*process{w.start(t, "first", 7, hangs, newNetwork(freezes, strikes...))}
	}
	return []*process{w.start(t, "first", 8, hangs, newNetwork(freezes, strikes...))}
}

// await waits for the fault, and tells whether it happened before all rows were there.
func (w *world) await(t *testing.T, p *process) bool {
	struck := func() bool {
		select {
		case <-p.struck:
			return true
		default:
			return false
		}
	}
	if !waitFor(patience, func() bool { return struck() || w.Count(t, w.topic) >= len(w.want) }) {
		t.Error("neither the fault nor the rows came")
	}
	p.disarm()
	return struck()
}

// arrive waits until the sink holds as many rows as it must.
func (w *world) arrive(t *testing.T, what string) {
	t.Helper()
	if !waitFor(patience, func() bool { return w.Count(t, w.topic) >= len(w.want) }) {
		t.Errorf("%s: the sink has %d rows, want %d", what, w.Count(t, w.topic), len(w.want))
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

// waitFor asks until it is so, or the time is over; ever less often, since asking costs the sink's server what the processes want of it.
func waitFor(timeout time.Duration, so func() bool) bool {
	wait := 10 * time.Millisecond
	end := time.After(timeout)
	for !so() {
		select {
		case <-time.After(wait):
		case <-end:
			return so()
		}
		wait = min(2*wait, 160*time.Millisecond)
	}
	return true
}
