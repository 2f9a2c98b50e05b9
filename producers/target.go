package producers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

var _ Target = (*target)(nil)

// target is the Target of one attempt to run a source.
type target struct {
	o        Options
	admin    *kadm.Client // over the producer's own client, which closes it
	progress progressIDs
	letters  int // schema id of the dead letters
	waits    waits

	mu     sync.Mutex
	topics map[string]*topicState // by topic
	tables map[string]string      // topic by ClickHouse table
}

// topicState is a topic that is ready. mu makes its first use wait for one creation only.
type topicState struct {
	dataset    string
	mu         sync.Mutex
	created    bool
	key, value *schemas.Schema
	ready      Dataset
}

func newTarget(o Options, cl *kgo.Client) *target {
	t := &target{o: o, admin: kadm.NewClient(cl), topics: map[string]*topicState{}, tables: map[string]string{}}
	t.admin.SetTimeoutMillis(int32(o.Limits.CallTimeout.Milliseconds()))
	t.tables[schemas.Table(o.Prefix, DeadLetterTopic(o.Prefix))] = DeadLetterTopic(o.Prefix)
	return t
}

// Dataset makes a dataset's topic and schemas ready.
func (t *target) Dataset(ctx context.Context, dataset string, key, value *schemas.Schema) (Dataset, error) {
	topic := t.o.TopicOf(t.o.Prefix, t.o.Source, dataset)
	s, err := t.state(topic, dataset)
	if err != nil {
		return Dataset{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.created {
		if err := t.ensureTopic(ctx, topic, t.o.Topics.Partitions, t.dataConfig()); err != nil {
			return Dataset{}, err
		}
		s.created, s.ready.Topic = true, topic
	}
	if key != nil && !same(s.key, key) {
		if s.ready.KeyID, err = t.o.Registry.Register(ctx, topic+"-key", key); err != nil {
			return Dataset{}, fmt.Errorf("register key schema of %s: %w", topic, err)
		}
		s.key = key
	}
	if !same(s.value, value) {
		if s.ready.ValueID, err = t.o.Registry.Register(ctx, topic+"-value", value); err != nil {
			return Dataset{}, fmt.Errorf("register value schema of %s: %w", topic, err)
		}
		s.value = value
	}
	ready := s.ready
	if key == nil {
		ready.KeyID = 0
	}
	return ready, nil
}

func same(a, b *schemas.Schema) bool {
	return a == b || a != nil && b != nil && a.String() == b.String()
}

// state is the topic's state, made at its first use. Two topics of one ClickHouse table are refused.
func (t *target) state(topic, dataset string) (*topicState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.topics[topic]; s != nil {
		return s, nil
	}
	table := schemas.Table(t.o.Prefix, topic)
	if other, taken := t.tables[table]; taken {
		return nil, faults.KafkaTopicsCollide.Of(fmt.Errorf("topics %s and %s would share the table %s", other, topic, table))
	}
	t.tables[table] = topic
	s := &topicState{dataset: dataset}
	t.topics[topic] = s
	return s, nil
}

// dataset is the dataset of a topic; empty when it is not one.
func (t *target) dataset(topic string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.topics[topic]; s != nil {
		return s.dataset
	}
	return ""
}

// DeadLetter forms the record that keeps a row.
func (t *target) DeadLetter(d DeadLetter) *kgo.Record {
	if d.At.IsZero() {
		d.At = time.Now()
	}
	return &kgo.Record{
		Topic:     DeadLetterTopic(t.o.Prefix),
		Value:     deadLetterValue(t.letters, t.o.Source, d, t.MaxRecordBytes()),
		Partition: partitionOf([]byte(t.o.Source+"."+d.Dataset), 1<<16),
	}
}

// MaxRecordBytes is what a record's key, value and headers may have together.
func (t *target) MaxRecordBytes() int { return t.o.Limits.MaxRecordBytes - recordOverhead }
