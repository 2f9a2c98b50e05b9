package producers

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas/faults"
)

// counts is what a transaction holds.
type counts struct {
	records, bytes int64
	rows           map[string]RowCount
}

// transaction gathers what one Kafka transaction carries. It belongs to one goroutine; only failed is shared, with kgo's.
type transaction struct {
	cl *kgo.Client
	t  *target

	counts
	began     time.Time
	positions []Position // the last of each part, in the order they were reached
	// endable: it may end now. cuttable: it may be cut now, if it is past its bounds.
	endable, cuttable bool
	failed            atomic.Pointer[error] // the first error of a record
	taken             int64                 // rejected rows, as taken from the budget
}

func newTransaction(cl *kgo.Client, t *target) *transaction {
	return &transaction{cl: cl, t: t, began: time.Now(), counts: counts{rows: map[string]RowCount{}}}
}

// add hands the records of a batch to Kafka. It blocks while too many bytes wait. A batch with more rejected rows than the budget has leaves the
// transaction as it was.
func (x *transaction) add(ctx context.Context, b Batch) error {
	if err := x.takeRejects(b); err != nil {
		return err
	}
	for _, r := range b.Rows {
		x.count(r)
	}
	if len(b.Records) > 0 {
		x.endable, x.cuttable = false, false // until all of them are there
	}
	limit := x.t.MaxRecordBytes()
	for i, r := range b.Records {
		n := recordBytes(r)
		if n > limit {
			var err error
			if r, err = x.reject(r, i); err != nil {
				return err
			}
			n = recordBytes(r)
		}
		x.records++
		x.bytes += int64(n)
		x.cl.Produce(ctx, r, x.promise)
	}
	for _, p := range b.Positions {
		if i := slices.IndexFunc(x.positions, func(q Position) bool { return q.Part == p.Part }); i >= 0 {
			x.positions = slices.Delete(x.positions, i, i+1)
		}
		x.positions = append(x.positions, p)
	}
	if len(b.Records) > 0 || len(b.Positions) > 0 {
		x.cuttable = len(b.Positions) > 0
		x.endable = x.cuttable && !b.Open
	}
	return x.err()
}

func (x *transaction) count(r RowCount) {
	sum := x.rows[r.Dataset]
	sum.Produced += r.Produced
	sum.Rejected += r.Rejected
	x.rows[r.Dataset] = sum
}

// takeRejects takes the rejected rows of a batch from the budget.
func (x *transaction) takeRejects(b Batch) error {
	n := int64(0)
	for _, r := range b.Rows {
		n += r.Rejected
	}
	if x.t.o.Rejects.Take(n) {
		x.taken += n
		return nil
	}
	var first []string
	topic := DeadLetterTopic(x.t.o.Prefix)
	for _, r := range b.Records {
		if r.Topic == topic && len(first) <= 3 {
			first = append(first, letterText(r.Value))
		}
	}
	return x.t.o.Rejects.Burst("source "+x.t.o.Source, first)
}

// giveRejects gives the budget back what was taken for a transaction that is aborted.
func (x *transaction) giveRejects() {
	x.t.o.Rejects.Give(x.taken)
	x.taken = 0
}

// reject makes a dead letter of a record that no topic takes.
func (x *transaction) reject(r *kgo.Record, i int) (*kgo.Record, error) {
	place := fmt.Sprintf("record %d of a batch for topic %s, key %.64x, in the transaction begun %s", i+1, r.Topic, r.Key, x.began.UTC().Format(time.RFC3339Nano))
	if !x.t.o.Rejects.Take(1) {
		return nil, x.t.o.Rejects.Burst("source "+x.t.o.Source, []string{fmt.Sprintf("a record of %d bytes for topic %s, key %.64x", recordBytes(r), r.Topic, r.Key)})
	}
	x.taken++
	x.count(RowCount{Dataset: x.t.dataset(r.Topic), Produced: -1, Rejected: 1})
	x.t.o.Log.Warn("record too large, rejected", "topic", r.Topic, "bytes", recordBytes(r))
	return x.t.tooLarge(r, place), nil
}

// addPositions hands the positions to Kafka, as the last records. A large transaction is flushed before, so that the progress topic
// is held for a moment only.
func (x *transaction) addPositions(ctx context.Context) error {
	if x.bytes > 1<<20 {
		if err := x.flush(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	for _, p := range x.positions {
		x.cl.Produce(ctx, progressRecord(x.t.o.Prefix, x.t.o.Source, x.t.progress, p, now), x.promise)
	}
	return x.flush(ctx)
}

// slowFlush is how long Kafka may take to take records until it is said.
const slowFlush = 10 * time.Second

// flush waits until Kafka has everything. It says so when that takes long.
func (x *transaction) flush(ctx context.Context) error {
	o, began := x.t.o, time.Now()
	slow := time.AfterFunc(slowFlush, func() {
		o.health.slow(faults.KafkaDown.Of(fmt.Errorf("kafka has not taken %d bytes for %v", x.cl.BufferedProduceBytes(), slowFlush)), began)
		o.Status.state(o.Source, Retrying)
	})
	err := x.cl.Flush(ctx)
	if !slow.Stop() && err == nil {
		o.Status.state(o.Source, Running)
		o.health.passed()
	}
	if err != nil {
		return faults.RecognizeKafka(fmt.Errorf("flush records: %w", err))
	}
	return x.err()
}

// promise is called by kgo for every record, in one goroutine.
func (x *transaction) promise(r *kgo.Record, err error) {
	if err != nil {
		err = faults.RecognizeKafka(fmt.Errorf("produce to %s/%d: %w", r.Topic, r.Partition, err))
		x.failed.CompareAndSwap(nil, &err)
	}
}

// err is the first error of a record.
func (x *transaction) err() error {
	if err := x.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// full tells whether the transaction is due to end: it may, and is large or old enough.
func (x *transaction) full() bool {
	l, age := x.t.o.Limits, time.Since(x.began)
	return x.endable && (x.bytes >= l.CloseBytes || age >= l.CloseTime) ||
		x.cuttable && (x.bytes >= l.MaxBytes || age >= l.MaxTime)
}

// patience is how long the transaction may still wait for more: until it is cut, or until the broker would abort it.
func (x *transaction) patience() time.Duration {
	l := x.t.o.Limits
	if x.cuttable {
		return l.MaxTime - time.Since(x.began)
	}
	return l.TransactionTimeout - time.Since(x.began)
}
