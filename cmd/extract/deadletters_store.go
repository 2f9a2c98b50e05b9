package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/producers"
)

// store stores a record that the sink rejected, at its own offset. What is stored is what the topic holds; where the topic no longer has
// it, the letter's bytes, which are the same.
func (c *letterCloser) store(ctx context.Context, x letter) error {
	if c.corrected != nil {
		return rejected("the record is in topic %s as it is, and stays so: correct the row at its source, and discard this letter", x.Topic)
	}
	if c.topics == nil {
		t, err := newTopicReader(c.kafka)
		if err != nil {
			return err
		}
		c.topics = t
	}
	id, err := c.topics.id(ctx, x.Topic)
	if err != nil {
		return err
	}
	rec, err := c.topics.record(ctx, x.Topic, x.Partition, x.Offset)
	switch {
	case err != nil:
		return err
	case rec == nil && x.Size == 0:
		return rejected("topic %s no longer holds offset %d of partition %d", x.Topic, x.Offset, x.Partition)
	case rec == nil:
		rec = &kgo.Record{Topic: x.Topic, Partition: x.Partition, Offset: x.Offset, Timestamp: x.Timestamp, Key: x.Key, Value: x.Raw}
	case !bytes.Equal(rec.Value, x.Raw) || !bytes.Equal(rec.Key, x.Key):
		return rejected("topic %s holds another record at offset %d of partition %d: it was made again", x.Topic, x.Offset, x.Partition)
	}
	first, err := consumers.NothingStored(ctx, c.topics.adm, consumers.DefaultGroup(c.c.Prefix), x.Topic)
	if err != nil {
		return err
	}
	err = c.sink.Retry(ctx, consumers.Partition{Topic: x.Topic, TopicID: id, Partition: x.Partition}, rec, first)
	if err != nil && consumers.Classify(err) == consumers.Reject {
		return &producers.Error{Class: producers.Reject, Err: err}
	}
	return err
}

// topicReader reads single records.
type topicReader struct {
	cl  *kgo.Client
	adm *kadm.Client
	ids map[string][16]byte
}

func newTopicReader(kafka []kgo.Opt) (*topicReader, error) {
	cl, err := kgo.NewClient(append(kafka[:len(kafka):len(kafka)], kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(250*time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	if err != nil {
		return nil, fmt.Errorf("connect to kafka: %w", err)
	}
	return &topicReader{cl: cl, adm: kadm.NewClient(cl), ids: map[string][16]byte{}}, nil
}

func (r *topicReader) close() { r.cl.Close() }

// id is a topic's id.
func (r *topicReader) id(ctx context.Context, topic string) ([16]byte, error) {
	if id, ok := r.ids[topic]; ok {
		return id, nil
	}
	topics, err := r.adm.ListTopics(ctx, topic)
	if err != nil {
		return [16]byte{}, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	t := topics[topic]
	if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
		return [16]byte{}, rejected("topic %s is not there any more", topic)
	}
	if t.Err != nil {
		return [16]byte{}, fmt.Errorf("look up topic %s: %w", topic, t.Err)
	}
	r.ids[topic] = t.ID
	return t.ID, nil
}

// record is the record at an offset, nil when the topic no longer has it.
func (r *topicReader) record(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error) {
	starts, err := r.adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	ends, err := r.adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	start, ok := starts.Lookup(topic, partition)
	end, there := ends.Lookup(topic, partition)
	if err := errors.Join(start.Err, end.Err); err != nil {
		return nil, fmt.Errorf("list offsets of %s/%d: %w", topic, partition, err)
	}
	if !ok || !there || offset < start.Offset || offset >= end.Offset {
		return nil, nil
	}
	r.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}})
	defer r.cl.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	for {
		fetches := r.cl.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("read %s/%d at offset %d: %w", topic, partition, offset, e.Err)
		}
		for _, rec := range fetches.Records() {
			if rec.Topic != topic || rec.Partition != partition {
				continue
			}
			if rec.Offset == offset && !rec.Attrs.IsControl() {
				return rec, nil
			}
			if rec.Offset >= offset {
				return nil, nil
			}
		}
	}
}
