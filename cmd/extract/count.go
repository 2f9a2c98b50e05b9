package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// countRecords counts the committed data records of each topic by reading them: offsets alone would count the markers of
// transactions too. It reads up to the last stable offset of the moment it starts.
func countRecords(ctx context.Context, opts []kgo.Opt, topics []string) (map[string]int64, error) {
	counts := make(map[string]int64, len(topics))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to kafka: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list the topics' first offsets: %w", err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list the topics' last offsets: %w", err)
	}
	todo := map[string]map[int32]kgo.Offset{}
	left := map[string]map[int32]int64{} // the offset to reach
	parts := 0
	for _, topic := range topics {
		for partition, end := range ends[topic] {
			start := starts[topic][partition]
			if end.Err != nil || start.Err != nil {
				continue // a topic that is not there holds nothing
			}
			if start.Offset >= end.Offset {
				continue
			}
			if todo[topic] == nil {
				todo[topic], left[topic] = map[int32]kgo.Offset{}, map[int32]int64{}
			}
			todo[topic][partition] = kgo.NewOffset().At(start.Offset)
			left[topic][partition] = end.Offset
			parts++
		}
	}
	if parts == 0 {
		return counts, nil
	}
	return counts, readTo(ctx, opts, todo, left, parts, counts)
}

// readTo reads every partition of todo up to its offset in left and adds the records to counts. Control records are kept in the stream, for a
// partition may end with one, and left out of the counts.
func readTo(ctx context.Context, opts []kgo.Opt, todo map[string]map[int32]kgo.Offset, left map[string]map[int32]int64, parts int, counts map[string]int64) error {
	reader, err := kgo.NewClient(append(slices.Clone(opts), kgo.ConsumePartitions(todo), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(8<<20), kgo.MaxConcurrentFetches(2))...)
	if err != nil {
		return fmt.Errorf("connect to kafka: %w", err)
	}
	defer reader.Close()
	for parts > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("read the topics: %w", err)
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			failed = fmt.Errorf("read topic %s partition %d: %w", topic, partition, err)
		})
		if failed != nil {
			return failed
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := left[r.Topic][r.Partition]
			if !open {
				return
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				counts[r.Topic]++
			}
			if r.Offset >= end-1 {
				delete(left[r.Topic], r.Partition)
				parts--
			}
		})
	}
	return nil
}
