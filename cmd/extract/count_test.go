package main

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// TestCountRecords counts a partition that holds committed records, aborted ones between those of an open transaction, and no marker at its end.
func TestCountRecords(t *testing.T) {
	opts := []kgo.Opt{kgo.SeedBrokers(embeddedtest.KafkaCluster(t).ListenAddrs()...)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plain, aborted, open := countClient(t, opts), countClient(t, opts, kgo.TransactionalID("a")), countClient(t, opts, kgo.TransactionalID("b"))
	if _, err := kadm.NewClient(plain).CreateTopic(ctx, 1, 1, nil, "rows"); err != nil {
		t.Fatal(err)
	}
	write := func(cl *kgo.Client, n int) {
		t.Helper()
		for range n {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "rows", Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin := func(cl *kgo.Client) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	end := func(cl *kgo.Client, how kgo.TransactionEndTry) {
		t.Helper()
		if err := cl.EndTransaction(ctx, how); err != nil {
			t.Fatal(err)
		}
	}
	must := func(want int64) {
		t.Helper()
		counts, err := countRecords(ctx, opts, []string{"rows", "not_there"})
		if err != nil || counts["rows"] != want || counts["not_there"] != 0 {
			t.Errorf("counted %v, %v; want %d", counts, err, want)
		}
	}
	must(0)
	write(plain, 2)
	begin(aborted)
	write(aborted, 3)
	end(aborted, kgo.TryCommit)
	must(5)
	begin(aborted)
	write(aborted, 4)
	begin(open)
	write(open, 1)
	end(aborted, kgo.TryAbort)
	must(5)
	write(open, 6)
	must(5)
	end(open, kgo.TryCommit)
	must(12)
}

func countClient(t *testing.T, opts []kgo.Opt, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(more, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}
