package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
)

// alarms keeps what a log says of audits.
type alarms struct {
	mu   sync.Mutex
	said []string // guarded by mu
}

func (a *alarms) Write(b []byte) (int, error) {
	for _, sign := range []string{"audit found a difference", "corrected the count", "were gone"} {
		if strings.Contains(string(b), sign) {
			a.mu.Lock()
			a.said = append(a.said, string(b))
			a.mu.Unlock()
		}
	}
	return len(b), nil
}

// While rows flow, consumers come, go and are cut off, and partitions move, no audit finds anything, from within or from outside: what is on its way is not
// missing, and what was read again was counted once.
func TestAuditNeverCriesWolf(t *testing.T) {
	f := newFlow(newBench(t))
	topics := []string{f.topic("wolf", 4), f.topic("sheep", 2)}
	said := &alarms{}
	start := func(name string, round int) (kill, stop func()) {
		var gate gate
		stop = f.run(func(o *consumers.Options) {
			o.Instance, o.Status, o.Log = name, nil, slog.New(slog.NewTextHandler(said, nil))
			o.Kafka = append(o.Kafka, kgo.Dialer(gate.dial), kgo.RetryTimeout(time.Second))
			o.Limits.BatchRows, o.Limits.SessionTimeout = 20+7*round, 6*time.Second
			o.Audit.Every = auditTick
		})
		return func() { gate.shut(true); stop() }, stop
	}
	looking, enough := context.WithCancel(t.Context())
	looked := make(chan error, 1)
	go func() { looked <- f.lookOn(looking) }()
	committed := map[string]int{}
	_, last := start("one", 0)
	for round := range 6 {
		kill, stop := start("two", round)
		for _, topic := range topics {
			committed[topic] += f.transact(topic, 1000*round, 300)
		}
		held := func() (n int64) {
			for _, topic := range topics {
				offsets, _ := f.held(topic)
				n += offsets
			}
			return n
		}
		before := held()
		f.wait(func() bool { n := held(); return n > before || n == int64(committed[topics[0]]+committed[topics[1]]) }, "rows of round %d", round)
		switch round % 3 {
		case 0:
			kill()
		case 1:
			last()
			_, last = start("one", round)
			stop()
		case 2:
			stop()
		}
	}
	for _, topic := range topics {
		f.wait(func() bool { n, rows := f.held(topic); return n == int64(committed[topic]) && rows == n }, "the records of %s", topic)
		f.wait(func() bool {
			all, err := f.look(t.Context(), topic)
			return err == nil && total(all).Expected == int64(committed[topic])
		}, "the commits of %s", topic)
	}
	enough()
	if err := <-looked; err != nil {
		t.Error(err)
	}
	last()
	said.mu.Lock()
	defer said.mu.Unlock()
	if len(said.said) > 0 {
		t.Errorf("%d alarms, the first: %s", len(said.said), said.said[0])
	}
}

func (f *flow) look(ctx context.Context, topics ...string) ([]consumers.Finding, error) {
	return consumers.Look(ctx, consumers.LookOptions{Kafka: []kgo.Opt{kgo.SeedBrokers(f.brokers...)}, Group: f.conf.Prefix + ".clickhouse", Topics: topics, Sink: f.Sink})
}

// lookOn looks from outside again and again until ctx ends, and returns what it finds.
func (f *flow) lookOn(ctx context.Context) error {
	tick := time.NewTicker(auditTick)
	defer tick.Stop()
	for looks := 1; ; looks++ {
		all, err := f.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !kerr.IsRetriable(err) { // the group's coordinator may have to be found first
			return err
		}
		for _, found := range all {
			if !found.Fine() {
				return fmt.Errorf("look %d from outside: %s: %#v", looks, found, found)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// A repair that is killed, wherever it is, is gone on with by the next consumer, which knows by the count that was committed that it was not done. Rows
// that come meanwhile are not kept waiting for ever, and nothing is there twice.
func TestKilledRepairGoesOn(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("killed", 1)
	committed := int64(f.transact(topic, 0, 600))
	held := func() int64 { n, _ := f.held(topic); return n }
	start := func(asked *consumers.Audits) (kill, stop func()) {
		var gate gate
		stop = f.run(func(o *consumers.Options) {
			o.Kafka = append(o.Kafka, kgo.Dialer(gate.dial), kgo.RetryTimeout(time.Second))
			o.Limits.BatchRows, o.Limits.Grace = 15, 50*time.Millisecond
			o.Audit = consumers.AuditOptions{Every: -1, Asked: asked}
		})
		return func() { gate.shut(true); stop() }, stop
	}
	asked := consumers.NewAudits()
	kill, _ := start(asked)
	expected := func(n int64) {
		t.Helper()
		f.wait(func() bool {
			all, err := f.look(t.Context(), topic)
			return err == nil && len(all) == 1 && all[0].Expected == n && all[0].Fine()
		}, "a commit of %d records", n)
	}
	expected(committed)
	for round, sql := range []string{
		"ALTER TABLE %s DELETE WHERE _offset < 500 SETTINGS mutations_sync = 2",
		"ALTER TABLE %s DELETE WHERE _offset % 100 < 60 SETTINGS mutations_sync = 2",
		"ALTER TABLE %s DELETE WHERE _offset >= 300 SETTINGS mutations_sync = 2",
	} {
		f.do(sql, topic)
		damaged := held()
		f.ask(asked, true, topic, 1)
		f.wait(func() bool { return held() > damaged }, "the beginning of repair %d", round)
		kill()
		n, rows := f.held(topic)
		if t.Logf("repair %d was killed with %d of %d records to go", round, committed-n, committed-damaged); n != rows {
			t.Errorf("repair %d, killed: %d offsets have %d rows", round, n, rows)
		}
		committed += int64(f.transact(topic, 1000*(round+1), 30))
		asked = consumers.NewAudits()
		kill, _ = start(asked)
		f.wait(func() bool { return held() == committed }, "the records after repair %d", round)
		if n, rows := f.held(topic); n != rows {
			t.Errorf("after repair %d %d offsets have %d rows", round, n, rows)
		}
		expected(committed)
	}
	kill()
}
