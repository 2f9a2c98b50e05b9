package producers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// twice is a Worker that makes two rows of each item, and fails between them when it meets one for the first time.
type twice struct {
	out  producers.Dataset
	name string
	met  *sync.Map
	did  chan<- string
}

func (w *twice) Work(_ context.Context, item *kgo.Record, emit func(producers.Batch) error) error {
	for i := range 2 {
		v := schemas.AppendBytes(schemas.AppendFrame(nil, w.out.ValueID), fmt.Appendf(nil, "%s.%d", item.Value, i))
		if err := emit(producers.Batch{Records: []*kgo.Record{{Topic: w.out.Topic, Value: v, Partition: int32(i)}}, Rows: []producers.RowCount{{Dataset: "out", Produced: 1}}}); err != nil {
			return err
		}
		if _, again := w.met.LoadOrStore(string(item.Value), true); !again {
			return errors.New("a shelf fell over")
		}
	}
	w.did <- w.name
	return nil
}

func (w *twice) Close(context.Context) error { return nil }

// Two readers share the items, each under a name of its own, without names, and under one name that is meant for one of them.
func TestReadersShareTheWork(t *testing.T) {
	for name, names := range map[string][2]string{"named": {"here-0", "here-1"}, "nameless": {}, "one name": {"here-0", "here-0"}} {
		t.Run(name, func(t *testing.T) { shareTheWork(t, names) })
	}
}

func shareTheWork(t *testing.T, names [2]string) {
	const items = 12
	r := newRig(t)
	r.o.Topics.Partitions = 4
	if _, err := r.admin.CreateTopic(t.Context(), 4, 1, map[string]*string{"max.message.bytes": ptr("16777216")}, r.topic("items.lake")); err != nil {
		t.Fatal(err)
	}
	var met sync.Map
	did := make(chan string, 4*items)
	run := func(name, instance string) (*producers.Status, <-chan error, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		so := producers.SharedOptions{Options: r.o, Group: r.topic("lake"), ItemsTopic: r.topic("items.lake"), SessionTimeout: 6 * time.Second,
			New: func(ctx context.Context, target producers.Target) (producers.Worker, error) {
				out, err := target.Dataset(ctx, "out", nil, valueSchema)
				return &twice{out: out, name: name, met: &met, did: did}, err
			}, Instance: instance}
		so.Source, so.Status = "lake", &producers.Status{}
		so.Log = slog.New(slog.NewTextHandler(t.Output(), nil)).With("reader", name)
		done := make(chan error, 1)
		ended := make(chan struct{})
		go func() { defer close(ended); done <- producers.RunShared(ctx, so) }()
		t.Cleanup(func() { cancel(); <-ended })
		return so.Status, done, cancel
	}
	first, firstDone, stopFirst := run("first", names[0])
	second, secondDone, stopSecond := run("second", names[1])
	// Items come one by one until both readers have done some: the group takes its time.
	by := map[string]int{}
	sent := 0
	for len(by) < 2 || sent < items {
		rec := &kgo.Record{Topic: r.topic("items.lake"), Key: fmt.Append(nil, sent), Value: fmt.Append(nil, "item", sent)}
		if err := r.cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
		sent++
		by[receive(t, did, "work")]++
	}
	var want, got []string
	for i := range sent {
		want = append(want, fmt.Sprintf("item%d.0", i), fmt.Sprintf("item%d.1", i))
	}
	total := func() int64 { return first.Snapshot().Transactions + second.Snapshot().Transactions }
	until(t, first, "every item committed", func(producers.Snapshot) bool { return total() >= int64(sent) })
	for _, rec := range r.sees(t, r.topic("lake.out"), len(want)) {
		got = append(got, string(rec.Value[schemas.FrameSize+1:]))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	stopFirst()
	stopSecond()
	for _, done := range []<-chan error{firstDone, secondDone} {
		if err := receive(t, done, "end"); err != nil {
			t.Error(err)
		}
	}
}

// A reader that is killed in the middle of an item and started again under its name goes on at once: it need not wait until the group misses the one
// that it was, nor until that one's transaction is given up.
func TestKilledReaderGoesOnUnderItsName(t *testing.T) {
	r := newRig(t)
	r.o.Source = "lake"
	items, out := r.topic("items.lake"), r.topic("lake.out")
	for topic, partitions := range map[string]int32{items: 1, out: 2} {
		if _, err := r.admin.CreateTopic(t.Context(), partitions, 1, map[string]*string{"max.message.bytes": ptr("16777216")}, topic); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if err := r.cl.ProduceSync(t.Context(), &kgo.Record{Topic: items, Value: fmt.Append(nil, "item", i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	session := 5 * time.Minute // far beyond the test's patience
	killed, err := kgo.NewGroupTransactSession(append(r.o.Kafka, kgo.TransactionalID(r.topic("lake.reader.here-0")), kgo.ConsumerGroup(r.topic("lake")), kgo.ConsumeTopics(items),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.InstanceID("here-0"), kgo.SessionTimeout(session), kgo.Balancers(kgo.CooperativeStickyBalancer()))...)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(killed.PollFetches(t.Context()).Records()); n == 0 {
		t.Fatal("no items")
	}
	if err := killed.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := killed.Client().ProduceSync(t.Context(), &kgo.Record{Topic: out, Value: []byte("half an item")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	killed.Client().CloseAllowingRebalance() // a member with a name does not leave, and nothing ends the transaction

	did, ended := make(chan string, 3), make(chan struct{})
	met := &sync.Map{}
	for i := range 3 {
		met.Store(fmt.Sprint("item", i), true)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		err := producers.RunShared(ctx, producers.SharedOptions{Options: r.o, Group: r.topic("lake"), ItemsTopic: items, SessionTimeout: session, Instance: "here-0",
			New: func(ctx context.Context, target producers.Target) (producers.Worker, error) {
				out, err := target.Dataset(ctx, "out", nil, valueSchema)
				return &twice{out: out, met: met, did: did}, err
			}})
		if err != nil {
			t.Error(err)
		}
	}()
	for range 3 {
		receive(t, did, "work")
	}
	var got []string
	for _, rec := range r.sees(t, out, 6) {
		got = append(got, string(rec.Value[schemas.FrameSize+1:]))
	}
	slices.Sort(got)
	if want := []string{"item0.0", "item0.1", "item1.0", "item1.1", "item2.0", "item2.1"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	cancel()
	<-ended
	group, err := r.admin.DescribeGroups(t.Context(), r.topic("lake"))
	if err != nil || len(group[r.topic("lake")].Members) != 0 {
		t.Errorf("the reader has ended, the group has the members %v: %v", group[r.topic("lake")].Members, err)
	}
}

func ptr[T any](v T) *T { return &v }
