package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
)

// replayOptions are those of a replay of one topic of the flow.
func (f *flow) replayOptions(topic string) ReplayOptions {
	return ReplayOptions{Kafka: []kgo.Opt{kgo.SeedBrokers(f.brokers...)}, Topic: topic, Group: f.conf.Prefix + ".clickhouse",
		Limits: consumers.Limits{BatchRows: 500}, Lease: 60 * time.Second}
}

func (f *flow) replay(topic string, change func(*ReplayOptions)) *Replayed {
	f.t.Helper()
	o := f.replayOptions(topic)
	if change != nil {
		change(&o)
	}
	r, err := f.Replay(f.t.Context(), o)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// tables are the names of the tables beside the one in use.
func (f *flow) tables(topic string) string {
	f.t.Helper()
	all, err := f.Generations(f.t.Context(), topic)
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, g := range all {
		names = append(names, g.Table)
	}
	return strings.Join(names, " ")
}

// A table is built anew while records go on arriving, and takes the place of the old one with every row once.
func TestReplayWhileRecordsArrive(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("replay", 3)
	f.run(nil)
	f.produce(topic, 0, 5000)
	f.arrive(topic, 5000)
	table := quoteName(f.conf.Raw) + ".files_replay"
	before := f.one("SELECT toString((count(), sum(cityHash64(_partition, _offset, text, n, _timestamp)))) FROM %s WHERE n < 5000", table)
	next := 5000
	r := f.replay(topic, func(o *ReplayOptions) {
		o.before = func(string) error { f.produce(topic, next, 100); next += 100; return nil }
	})
	f.produce(topic, next, 100)
	next += 100
	f.arrive(topic, next)
	if got := f.one("SELECT toString((count(), sum(cityHash64(_partition, _offset, text, n, _timestamp)))) FROM %s WHERE n < 5000", table); got != before {
		t.Errorf("the rows are %s, before they were %s", got, before)
	}
	if r.Generation != 2 || r.Restored+r.Twice+r.Different != 0 || r.Same < 5000 || f.tables(topic) != "files_replay~1" {
		t.Errorf("replayed %+v; kept are %s", r, f.tables(topic))
	}
	if dropped, err := f.DropOld(t.Context(), topic); err != nil || len(dropped) != 1 || f.tables(topic) != "" {
		t.Errorf("dropped %v: %v; left are %s", dropped, err, f.tables(topic))
	}
	t.Logf("%+v", r)
}

// An insert of the older generation that comes late is refused by the new one, whatever it knows of tokens.
func TestReplayRefusesZombies(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("late", 1)
	f.produce(topic, 0, 100)
	stop := f.run(nil)
	f.arrive(topic, 100)
	stop()
	b := f.read(topic, consumers.Range{Start: 0, End: 10})
	zombie, err := Open(t.Context(), f.conf, f.registry)
	if err != nil {
		t.Fatal(err)
	}
	defer zombie.Close()
	if _, err := zombie.Write(t.Context(), b); err != nil { // another cut of the range than the consumer's, so another token
		t.Fatal(err)
	}
	if got := f.counts(topic)[0]; got != 110 {
		t.Fatalf("%d rows: the zombie's state should have been made by a write", got)
	}
	if r := f.replay(topic, nil); r.Twice != 10 || r.Rows != 100 {
		t.Errorf("replayed %+v, want 10 offsets that were there twice, and 100 rows", r)
	}
	_, err = zombie.Write(t.Context(), b)
	if consumers.Classify(err) != consumers.Retry || !strings.Contains(fmt.Sprint(err), "built anew") {
		t.Errorf("the zombie's insert ended with %v", err)
	}
	if got := f.counts(topic); got != [3]int64{100, 100, 100} {
		t.Errorf("rows, numbers and offsets are %v", got)
	}
	b.Again = true
	if b.Held, err = zombie.Held(t.Context(), b.Partition, b.Range); err != nil || len(b.Held) != 10 {
		t.Fatalf("held are %v: %v", b.Held, err)
	}
	if _, err = zombie.Write(t.Context(), b); err != nil { // it has read the table's description again
		t.Error(err)
	}
	if got := f.counts(topic); got != [3]int64{100, 100, 100} {
		t.Errorf("rows, numbers and offsets are %v", got)
	}
}

// read reads a range of partition 0.
func (f *flow) read(topic string, r consumers.Range) (b consumers.Batch) {
	f.t.Helper()
	kafka := []kgo.Opt{kgo.SeedBrokers(f.brokers...)}
	e, err := consumers.Survey(f.t.Context(), kafka, topic, "none", consumers.Mark{}, consumers.Mark{})
	if err != nil {
		f.t.Fatal(err)
	}
	err = consumers.Reread{Kafka: kafka, Topic: topic, TopicID: e.TopicID, Ranges: map[int32]consumers.Range{0: r},
		Write: func(_ context.Context, all consumers.Batch) error { b = all; return nil }}.Run(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}
