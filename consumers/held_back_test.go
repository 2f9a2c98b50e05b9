package consumers

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// A partition behind an open transaction is held back, from the transaction's first record to the partition's end, and no longer once that has ended.
func TestOpenTransactionHoldsBack(t *testing.T) {
	brokers := embeddedtest.Kafka(t)
	kafka := []kgo.Opt{kgo.SeedBrokers(brokers...)}
	prefix := embeddedtest.Prefix(t, brokers)
	topic := prefix + ".files.held"
	open := func(id string) *kgo.Client {
		t.Helper()
		cl, err := kgo.NewClient(append(kafka, kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	produce := func(cl *kgo.Client, partition int32, n int) {
		t.Helper()
		for range n {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := func(cl *kgo.Client) {
		t.Helper()
		if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(cl *kgo.Client) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	find := func(older time.Duration) []HeldBack {
		t.Helper()
		all, err := FindHeldBack(t.Context(), HeldBackOptions{Kafka: kafka, Prefix: prefix, Older: older, Outcome: true})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}

	first, second := open(prefix+".first"), open(prefix+".second")
	if _, err := kadm.NewClient(first).CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	begin(first)
	produce(first, 0, 3)
	produce(first, 1, 2)
	end(first)
	if all := find(time.Nanosecond); len(all) != 0 {
		t.Errorf("held back with no transaction open: %+v", all)
	}
	begin(first)
	produce(first, 1, 2)
	begin(second)
	produce(second, 1, 4)
	end(second)
	if all := find(time.Hour); len(all) != 0 {
		t.Errorf("a young transaction holds back: %+v", all)
	}
	time.Sleep(10 * time.Millisecond) // brokers tell the time in milliseconds
	all := find(time.Millisecond)
	if len(all) != 1 {
		t.Fatalf("held back: %+v", all)
	}
	h := all[0]
	if h.Topic != topic || h.Partition != 1 || h.From != 3 || h.To != 10 || h.ID != prefix+".first" || !h.Owner || h.Outcome != "" {
		t.Errorf("held back: %+v", h)
	}
	if text := h.String(); !strings.Contains(text, topic+"/1 from offset 3 to 9") || !strings.Contains(text, prefix+".first is open") {
		t.Errorf("it says %q", text)
	}
	if err := EndHeldBack(t.Context(), kafka, all); err != nil || all[0].Ended {
		t.Errorf("the transaction of a producer at work was ended: %v, %+v", err, all[0])
	}
	end(first)
	if all := find(time.Nanosecond); len(all) != 0 {
		t.Errorf("held back after the transaction's end: %+v", all)
	}
}
