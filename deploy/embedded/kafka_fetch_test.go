package embedded_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// TestAbortedRecordsAreNeverShown reads transactions, half of them aborted, with every size of fetch that may end in the middle of one.
func TestAbortedRecordsAreNeverShown(t *testing.T) {
	brokers := embeddedtest.KafkaCluster(t).ListenAddrs()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID("aborts"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	const topics, rounds, batches, records = 3, 4, 3, 20
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprintf("topic%d", i))
	}
	if _, err := kadm.NewClient(cl).CreateTopics(ctx, 2, 1, nil, names...); err != nil {
		t.Fatal(err)
	}
	committed := 0
	for round := range rounds {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		commit := round%2 == 0
		for range batches { // each flush is a batch of its own
			for _, name := range names {
				for partition := range int32(2) {
					for range records {
						cl.Produce(ctx, &kgo.Record{Topic: name, Partition: partition, Key: fmt.Append(nil, commit), Value: make([]byte, 2000)}, nil)
						if commit {
							committed++
						}
					}
				}
			}
			if err := cl.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
			t.Fatal(err)
		}
	}
	for size := int32(10_000); size < 1_200_000; size += 35_000 {
		reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(names...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.FetchMaxBytes(size), kgo.FetchMaxPartitionBytes(size), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		seen, aborted := 0, 0
		for seen < committed {
			fetches := reader.PollFetches(ctx)
			if err := fetches.Err0(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				seen++
				if string(r.Key) != "true" {
					aborted++
				}
			})
		}
		reader.Close()
		if aborted > 0 {
			t.Fatalf("fetches of %d bytes show %d aborted records", size, aborted)
		}
	}
}
