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

func TestReadersShareTheWork(t *testing.T) {
	const items = 12
	r := newRig(t)
	r.o.Topics.Partitions = 4
	if _, err := r.admin.CreateTopic(t.Context(), 4, 1, map[string]*string{"max.message.bytes": ptr("16777216")}, r.topic("items.lake")); err != nil {
		t.Fatal(err)
	}
	var met sync.Map
	did := make(chan string, 4*items)
	run := func(name string) (*producers.Status, <-chan error, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		so := producers.SharedOptions{Options: r.o, Group: r.topic("lake"), ItemsTopic: r.topic("items.lake"), SessionTimeout: 6 * time.Second,
			New: func(ctx context.Context, target producers.Target) (producers.Worker, error) {
				out, err := target.Dataset(ctx, "out", nil, valueSchema)
				return &twice{out: out, name: name, met: &met, did: did}, err
			}}
		so.Source, so.Status = "lake", &producers.Status{}
		so.Log = slog.New(slog.NewTextHandler(t.Output(), nil)).With("reader", name)
		done := make(chan error, 1)
		ended := make(chan struct{})
		go func() { defer close(ended); done <- producers.RunShared(ctx, so) }()
		t.Cleanup(func() { cancel(); <-ended })
		return so.Status, done, cancel
	}
	first, firstDone, stopFirst := run("first")
	second, secondDone, stopSecond := run("second")
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

func ptr[T any](v T) *T { return &v }
