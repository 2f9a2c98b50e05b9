package consumers

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

func TestParseMark(t *testing.T) {
	for text, want := range map[string]Mark{
		"": {}, "latest": {}, "earliest": {Set: true}, "42": {Set: true, Offset: 42},
		"2026-11-24":           {Set: true, Time: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)},
		"2026-11-24 08:30":     {Set: true, Time: time.Date(2026, 11, 24, 8, 30, 0, 0, time.UTC)},
		"2026-11-24T08:30:05Z": {Set: true, Time: time.Date(2026, 11, 24, 8, 30, 5, 0, time.UTC)},
	} {
		got, err := ParseMark(text)
		if err != nil || got.Set != want.Set || got.Offset != want.Offset || !got.Time.Equal(want.Time) {
			t.Errorf("%q is %+v: %v, want %+v", text, got, err, want)
		}
		if again, err := ParseMark(got.String()); err != nil || again.String() != got.String() {
			t.Errorf("%q reads back as %q: %v", got, again, err)
		}
	}
	for _, text := range []string{"-1", "yesterday", "24.11.2026"} {
		if m, err := ParseMark(text); err == nil {
			t.Errorf("%q is %+v", text, m)
		}
	}
}

// A range is read whole, in order and without what was aborted, also where it ends with an aborted transaction; and a batch that fails ends it.
func TestReread(t *testing.T) {
	brokers := embeddedtest.Kafka(t)
	kafka := []kgo.Opt{kgo.SeedBrokers(brokers...)}
	topic := embeddedtest.Prefix(t, brokers) + ".files.reread"
	cl, err := kgo.NewClient(append(kafka, kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: int32(i % 2), Value: []byte{value(commit)}}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Survey(t.Context(), kafka, topic, "none", Mark{}, Mark{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Range{0, 44}); e.Ranges[0] != want || e.Ranges[1] != want { // ten records and a mark, four times
		t.Fatalf("the topic has %v, want %v in both", e.Ranges, want)
	}
	var mu sync.Mutex
	next, records := map[int32]int64{}, 0
	r := Reread{Kafka: kafka, Topic: topic, TopicID: e.TopicID, Ranges: e.Ranges, Limits: Limits{BatchRows: 3},
		Write: func(_ context.Context, b Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if b.Start != next[b.Partition.Partition] || len(b.Records) > 3 {
				t.Errorf("batch %v of %d records, want it from %d on", b.Range, len(b.Records), next[b.Partition.Partition])
			}
			next[b.Partition.Partition] = b.End
			for _, rec := range b.Records {
				if records++; rec.Value[0] != 1 || rec.Offset < b.Start || rec.Offset >= b.End {
					t.Errorf("record %d of batch %v was aborted, or is outside", rec.Offset, b.Range)
				}
			}
			return nil
		},
		Done: func(partition int32, offset int64, _ int) { mu.Lock(); next[partition] = offset; mu.Unlock() },
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if records != 40 || next[0] != 44 || next[1] != 44 {
		t.Errorf("%d records up to %v, want 40 up to 44", records, next)
	}
	failure := errors.New("full")
	r.Write = func(context.Context, Batch) error { return failure }
	if err := r.Run(t.Context()); !errors.Is(err, failure) {
		t.Errorf("error is %v", err)
	}
	r.Topic += "x"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err == nil {
		t.Error("a cancelled run ended without an error")
	}
	if _, err := Survey(t.Context(), kafka, topic+"x", "none", Mark{}, Mark{}); err == nil || !strings.Contains(err.Error(), topic+"x") {
		t.Errorf("a topic that is not there: %v", err)
	}
}

// value is 1 in records of a transaction that is committed.
func value(c kgo.TransactionEndTry) byte {
	if c == kgo.TryCommit {
		return 1
	}
	return 0
}
