package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// countRecords counts the committed data records of each topic by reading them: offsets alone would count the markers of
// transactions too. It reads to the end that the topics have at the moment it starts.
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
	ends, err := adm.ListEndOffsets(ctx, topics...)
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

// readTo reads every partition of todo up to its offset in left and adds the committed records to counts. It reads what is not committed too, and goes by
// the markers itself: a reader of committed records never sees the end of a partition that ends with aborted ones.
func readTo(ctx context.Context, opts []kgo.Opt, todo map[string]map[int32]kgo.Offset, left map[string]map[int32]int64, parts int, counts map[string]int64) error {
	reader, err := kgo.NewClient(append(slices.Clone(opts), kgo.ConsumePartitions(todo), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(8<<20), kgo.MaxConcurrentFetches(2))...)
	if err != nil {
		return fmt.Errorf("connect to kafka: %w", err)
	}
	defer reader.Close()
	open := map[openTransaction]int64{}
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
			end, reading := left[r.Topic][r.Partition]
			if !reading {
				return
			}
			if r.Offset < end {
				countRecord(r, open, counts)
			}
			if r.Offset >= end-1 {
				delete(left[r.Topic], r.Partition)
				parts--
			}
		})
	}
	return nil
}

// openTransaction is a transaction in one partition whose marker has not been read yet.
type openTransaction struct {
	topic     string
	partition int32
	producer  int64
}

// countRecord counts a record, or keeps it in mind until its transaction's marker comes: version and type, which is 1 for a commit.
func countRecord(r *kgo.Record, open map[openTransaction]int64, counts map[string]int64) {
	tx := openTransaction{r.Topic, r.Partition, r.ProducerID}
	switch {
	case r.Attrs.IsControl():
		if len(r.Key) >= 4 && binary.BigEndian.Uint16(r.Key[2:]) == 1 {
			counts[r.Topic] += open[tx]
		}
		delete(open, tx)
	case r.Attrs.IsTransactional():
		open[tx]++
	default:
		counts[r.Topic]++
	}
}
