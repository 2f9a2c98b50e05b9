package consumers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas/faults"
)

// part is one partition that is assigned to this process. It belongs to the runner's loop.
type part struct {
	Partition
	position int64 // everything below is stored
	first    bool  // nothing of the partition was stored before
	dirty    bool  // position is not committed
	dirtyAt  time.Time
	recover  Range // the range of an intent whose write did not come to its end, as far as this process knows; starts at position

	tally tally // of the records that the sink is to hold

	// What was stored once and is read again: at first what lies below the commit and above what the sink holds, which mostly is the mark of
	// a transaction and may be rows that the sink's server lost with its power; later what an audit finds missing. Position is in the first of the
	// ranges until all of them are done, and goes on at resume then.
	again   []Range
	resume  int64
	pending Range   // the committed intent, which comes after them
	doubt   int64   // below it the sink is asked what it holds
	todo    []Range // what is to be read again as soon as nothing is being written

	marks   []tally // at which audits found everything, ascending
	last    Finding // of the last audit, when something was wrong
	finding string  // of the last audit, as it was logged

	buf      []*kgo.Record // read, at or after position and after the batch
	bufBytes int
	next     int64 // one past the last offset read
	sought   int64 // of the runner's seeks, the partition's last one
	end      int64 // of the topic

	batch      *Batch // being written
	batchBytes int
	cancel     context.CancelFunc // of the write
	notBefore  time.Time          // the next small write

	parked   bool
	until    time.Time     // of the parking
	patience time.Duration // of the next parking
}

// recordOverhead is what a record costs in memory beside its key and value.
const recordOverhead = 160

func size(rec *kgo.Record) int { return len(rec.Key) + len(rec.Value) + recordOverhead }

// take appends what was polled to the partitions' buffers.
func (r *runner) take(polled polled) error {
	var fatal error
	f := polled.fetches
	f.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		if errors.Is(err, kerr.FencedInstanceID) {
			fatal = faults.KafkaFenced.With(fmt.Errorf("consume as %s of group %s: %w", r.o.Instance, r.o.Group, err),
				"another process runs under this name: give each its own")
			return
		}
		if p := r.parts[statusKey{topic, partition}]; p != nil {
			r.park(p, faults.RecognizeKafka(fmt.Errorf("read %s at offset %d: %w", p.Partition, p.next, err)))
			return
		}
		if _, ok := errors.AsType[*kgo.ErrGroupSession](err); ok {
			return // OnGroupManageError has it
		}
		r.kafkaFailed("read", fmt.Errorf("read as a member of group %s: %w", r.o.Group, err))
	})
	f.EachPartition(func(ft kgo.FetchTopicPartition) {
		p := r.parts[statusKey{ft.Topic, ft.Partition}]
		switch {
		case p == nil || p.parked:
		case polled.seeks < p.sought:
			r.seek(p) // it may have been polled before the client was told where to go on
		default:
			r.append(p, ft.FetchPartition)
		}
	})
	r.o.Metrics.buffered(r.buffered)
	return fatal
}

func (r *runner) append(p *part, f kgo.FetchPartition) {
	rows, bytes := 0, 0
	for _, rec := range f.Records {
		if rec.Offset < p.next {
			r.park(p, &Error{Class: Retry, Err: fmt.Errorf("read %s: offset %d comes after offset %d: the topic was made again", p.Partition, rec.Offset, p.next-1)})
			return
		}
		p.next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			continue
		}
		p.buf = append(p.buf, rec)
		rows, bytes = rows+1, bytes+size(rec)
	}
	p.bufBytes += bytes
	r.buffered += bytes
	p.end = max(p.end, f.LastStableOffset, p.next)
	r.o.Metrics.read(p.Topic, rows, bytes)
	r.publish(p)
}

// cut takes the next batch off the buffer without writing it. ok is false when there is none yet.
func (r *runner) cut(p *part) (b *Batch, bytes int, ok bool) {
	limits := r.o.Limits
	if !p.recover.Empty() && p.next < p.recover.End {
		return nil, 0, false // the batch that was intended comes back whole
	}
	limit, rows, most := int64(math.MaxInt64), limits.BatchRows, limits.BatchBytes
	switch {
	case !p.recover.Empty():
		limit, rows, most = p.recover.End, math.MaxInt, math.MaxInt
	case len(p.again) > 0:
		limit = p.again[0].End
	}
	below := sort.Search(len(p.buf), func(i int) bool { return p.buf[i].Offset >= limit })
	n, bytes := fit(p.buf[:below], rows, most)
	end := p.next
	switch {
	case !p.recover.Empty():
		end = p.recover.End
	case n < len(p.buf) && n > 0:
		end = p.buf[n-1].Offset + 1
	default:
		end = min(end, limit)
	}
	b = &Batch{Partition: p.Partition, Range: Range{p.position, end}, Records: p.buf[:n:n], First: p.first, Rejects: r.budget(p.Topic),
		Again: !p.recover.Empty() || p.position < p.doubt, audit: len(p.again) > 0}
	return b, bytes, !b.Range.Empty()
}

// fit is how many records make a batch of so many rows and bytes, and how many bytes those are. The first always fits.
func fit(buf []*kgo.Record, rows, most int) (n, bytes int) {
	for n < len(buf) {
		s := size(buf[n])
		if n > 0 && (n >= rows || bytes+s > most) {
			break
		}
		bytes += s
		n++
	}
	return n, bytes
}

// budget is the topic's budget of rejected records.
func (r *runner) budget(topic string) *faults.Budget {
	if r.o.MaxRejected == nil {
		return nil
	}
	if r.budgets[topic] == nil {
		r.budgets[topic] = faults.NewBudget(*r.o.MaxRejected)
	}
	return r.budgets[topic]
}

// begin makes the cut batch the one that is being written.
func (r *runner) begin(p *part, b *Batch, bytes int) {
	p.batch, p.batchBytes = b, bytes
	p.buf = p.buf[len(b.Records):]
	if len(p.buf) == 0 {
		p.buf = nil // the batch has the array
	}
	p.bufBytes -= bytes
	p.recover = b.Range // until it is written
}

// reach moves the position to one below which the records are stored too. Behind the ranges that are read again comes the range that was intended when
// the partition was taken over. It tells whether the position has moved elsewhere, so that the client is to be told.
func (p *part) reach(position int64, records []*kgo.Record) (elsewhere bool) {
	p.tally.add(records, position)
	p.position, p.recover = position, Range{}
	if len(p.again) == 0 || position < p.again[0].End {
		return false
	}
	if p.again = p.again[1:]; len(p.again) > 0 {
		p.position = p.again[0].Start
	} else {
		p.position, p.recover, p.pending = max(position, p.resume), p.pending, Range{}
	}
	return p.position != position
}

// readAgain goes back to ranges below the position, each of which was stored once. Nothing of the partition is being written.
func (r *runner) readAgain(p *part, now time.Time) {
	var again []Range
	for _, hole := range p.todo {
		if hole.End = min(hole.End, p.position); !hole.Empty() {
			again = append(again, hole)
		}
	}
	p.todo = nil
	if len(again) == 0 {
		return
	}
	p.again, p.resume, p.doubt = again, p.position, max(p.doubt, p.position)
	p.last = Finding{} // afterwards something else may be missing
	p.position = again[0].Start
	r.seek(p)
	r.markDirty(p, now)
	r.publish(p)
}

// seek forgets what was read of the partition and makes the client read on at its position. What the client has polled before may still be on its
// way to the loop; it is known by the number of seeks that it was polled after.
func (r *runner) seek(p *part) {
	r.buffered -= p.bufBytes
	p.buf, p.bufBytes, p.next = nil, 0, p.position
	r.seeks++
	p.sought = r.seeks
	r.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.Topic: {p.Partition.Partition: {Epoch: -1, Offset: p.position}}})
}

// drop forgets what was read of the partition and not written.
func (r *runner) drop(p *part) {
	r.buffered -= p.bufBytes
	p.buf, p.bufBytes = nil, 0
	if p.batch != nil {
		p.cancel()
	}
}

// park stops one partition on an error and forgets what was read of it; unpark tries again from its position.
func (r *runner) park(p *part, err error) {
	r.drop(p)
	p.parked = true
	if p.patience == 0 {
		p.patience = r.o.Limits.PauseMin
	}
	p.until = time.Now().Add(p.patience)
	p.patience = min(2*p.patience, r.o.Limits.PauseMax)
	r.cl.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition.Partition}})
	r.failed(p.Partition, "write", err)
}

func (r *runner) unpark(p *part) {
	p.parked = false
	r.seek(p)
	r.cl.ResumeFetchPartitions(map[string][]int32{p.Topic: {p.Partition.Partition}})
}

// publish makes the partition's progress visible.
func (r *runner) publish(p *part) {
	r.o.Status.set(p.Partition, func(s *PartitionStatus) { s.Position, s.End = p.position, max(p.end, p.position) })
	r.o.Metrics.lagging(p)
}
