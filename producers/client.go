package producers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

// maxBuffered bounds the bytes that wait in memory for Kafka.
const maxBuffered = 64 << 20

// clientOptions are those of a transactional producer: what the caller may change, the caller's, and what must be as it is.
func clientOptions(o Options, transactionalID string) []kgo.Opt {
	opts := append([]kgo.Opt{
		// After a lost connection or a moved leader kgo asks for the cluster's state again, but by default not for 5 s.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()),
	}, o.Kafka...)
	return append(opts,
		kgo.TransactionalID(transactionalID),
		kgo.TransactionTimeout(o.Limits.TransactionTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(int32(o.Limits.MaxRecordBytes)),
		kgo.MaxBufferedBytes(max(maxBuffered, 2*o.Limits.MaxRecordBytes)),
		kgo.MaxBufferedRecords(1<<20),
		kgo.RecordPartitioner(partitioner(o)),
	)
}

// partitioner sends a record with a key to murmur2 of the key, as Java's does, one without to Partition modulo the partitions, and a
// position to the partition of its source.
func partitioner(o Options) kgo.Partitioner {
	progress, source := ProgressTopic(o.Prefix), []byte(o.Source)
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		if topic == progress {
			return func(_ *kgo.Record, n int) int { return int(partitionOf(source, n)) }
		}
		byKey := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Key != nil {
				return byKey.Partition(r, n)
			}
			return int(uint32(r.Partition) % uint32(n))
		}
	})
}

// partitionOf is the partition of a key, as Java's producer chooses it.
func partitionOf(key []byte, partitions int) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions))
}

// initTimeout bounds each step at the start that needs Kafka to answer.
const initTimeout = 30 * time.Second

// takeID takes the transactional id: whoever had it is fenced, and what it left open is aborted.
func takeID(ctx context.Context, cl *kgo.Client, transactionalID string) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("take transactional id %s: %w", transactionalID, err)
	}
	return nil
}

// prepare makes the system's own topics and schemas ready.
func (t *target) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	progress, letters := ProgressTopic(t.o.Prefix), DeadLetterTopic(t.o.Prefix)
	if err := t.ensureTopic(ctx, progress, progressPartitions, map[string]string{"cleanup.policy": "compact"}); err != nil {
		return err
	}
	if err := t.ensureTopic(ctx, letters, t.o.Topics.Partitions, t.dataConfig()); err != nil {
		return err
	}
	for _, s := range []struct {
		subject string
		schema  *schemas.Schema
		id      *int
	}{
		{progress + "-key", schemas.ProgressKey, &t.progress.key},
		{progress + "-value", schemas.Progress, &t.progress.value},
		{letters + "-value", schemas.DeadLetter, &t.letters},
	} {
		id, err := t.o.Registry.Register(ctx, s.subject, s.schema)
		if err != nil {
			return fmt.Errorf("register schema of %s: %w", s.subject, err)
		}
		*s.id = id
	}
	return nil
}

// errUnsigned means that the owner's record is not there though its commit was confirmed.
var errUnsigned = errors.New("the owner's record is not in the progress topic though its commit was confirmed")

// resume says who runs the source now and reads its positions behind that word. The record is committed after the fencing, so whatever this
// source ever committed lies before it; and read_committed shows it only once every other transaction before it has ended.
//
// A commit that follows the first record of a topic very fast may be an abort: kgo hands the records of a topic it has just learned of to its
// senders before it lists the topic's partitions, and EndTransaction, which finds no partition listed that was written to, then aborts and returns nil.
// So what was read must hold the signature. Another process is not the reason where it does not, for that one signs behind it; signing once
// more helps, since the topic is listed by then. It is in every transaction that follows, too.
func (t *target) resume(ctx context.Context, cl *kgo.Client, owner string) (p progress, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Limits.ProgressWait)
	defer cancel()
	for range 2 {
		at, err := t.sign(ctx, cl, owner)
		if err != nil {
			return progress{}, err
		}
		if p, err = t.readProgress(ctx, at); err != nil || p.owner == owner {
			return p, err
		}
	}
	return p, fmt.Errorf("sign %s: %w", ProgressTopic(t.o.Prefix), errUnsigned)
}

// sign writes the owner into the progress topic, in a transaction of its own, and returns the record with its place.
func (t *target) sign(ctx context.Context, cl *kgo.Client, owner string) (*kgo.Record, error) {
	rec := progressRecord(t.o.Prefix, t.o.Source, t.progress, Position{Part: ownerPart, Text: owner}, time.Now())
	if err := cl.BeginTransaction(); err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	if err := produceOne(ctx, cl, rec); err != nil {
		return nil, errors.Join(fmt.Errorf("write owner to %s: %w", rec.Topic, err), abort(ctx, cl, t.o.Limits.Grace))
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return nil, fmt.Errorf("commit owner to %s: %w", rec.Topic, err)
	}
	return rec, nil
}

// readProgress reads what is committed up to a record, that one included.
func (t *target) readProgress(ctx context.Context, last *kgo.Record) (progress, error) {
	r, err := newProgressReader(t.o.Kafka, t.o.Prefix, t.o.Source, t.o.Log)
	if err != nil {
		return progress{}, err
	}
	defer r.admin.Close()
	return r.read(ctx, last.Partition, last.Offset+1, kgo.ReadCommitted())
}

// produceOne waits for one record. Unlike ProduceSync it does not wait beyond ctx for a record whose fate is not known: closing the client
// ends that.
func produceOne(ctx context.Context, cl *kgo.Client, r *kgo.Record) error {
	done := make(chan error, 1)
	cl.Produce(ctx, r, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// abort ends the open transaction, as far as Kafka answers within the grace, or within a breath when work is over. What it does not end, the next taking of
// the transactional id does, or the transaction's timeout.
func abort(work context.Context, cl *kgo.Client, grace time.Duration) error {
	ctx, cancel := last(work, grace)
	defer cancel()
	if err := cl.AbortBufferedRecords(ctx); err != nil {
		return fmt.Errorf("abort records: %w", err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort transaction: %w", err)
	}
	return nil
}
