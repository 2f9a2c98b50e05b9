package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// result is what became of a write.
type result struct {
	p       *part
	batch   *Batch
	bytes   int // of the records, for the buffer
	written Written
	took    time.Duration
	err     error
}

// turn commits what is to be committed, starts what can be written and returns how long the loop may wait for anything to happen.
func (r *runner) turn(ctx context.Context) time.Duration {
	now := time.Now()
	if now.Before(r.commitAt) {
		return r.commitAt.Sub(now) // the last commit failed
	}
	wait := r.settle(now)
	var ready, dirty []*part
	for _, p := range r.parts {
		if p.parked {
			if !now.Before(p.until) && p.batch == nil {
				r.unpark(p)
			} else {
				wait = min(wait, max(p.until.Sub(now), 10*time.Millisecond))
			}
			continue
		}
		if len(p.todo) > 0 && p.batch == nil && p.recover.Empty() && len(p.again) == 0 {
			r.readAgain(p, now)
		}
		r.skipControl(p, now)
		if p.batch == nil && (len(p.buf) > 0 || !p.recover.Empty() && p.next >= p.recover.End) {
			if d := p.notBefore.Sub(now); d > 0 && p.bufBytes < r.o.Limits.BatchBytes {
				wait = min(wait, d)
			} else {
				ready = append(ready, p)
			}
		}
		if p.dirty && p.batch == nil {
			if d := p.dirtyAt.Add(dirtyDelay).Sub(now); d > 0 {
				wait = min(wait, d)
			} else {
				dirty = append(dirty, p)
			}
		}
	}
	r.start(ctx, ready, dirty)
	return wait
}

// skipControl moves the position over offsets that hold no record, which need no write.
func (r *runner) skipControl(p *part, now time.Time) {
	if p.batch == nil && len(p.buf) == 0 && p.next > p.position && p.recover.Empty() {
		to := p.next
		if len(p.again) > 0 {
			to = min(to, p.again[0].End)
		}
		r.reach(p, to, nil, now)
		r.publish(p)
	}
}

// reach moves the position of a partition of which everything up to it is stored now.
func (r *runner) reach(p *part, to int64, records []*kgo.Record, now time.Time) {
	again := len(p.again)
	if p.reach(to, records) {
		r.seek(p)
	}
	if again > 0 && len(p.again) == 0 {
		r.auditSoon(now)
	}
	r.markDirty(p, now)
}

func (r *runner) markDirty(p *part, now time.Time) {
	if !p.dirty {
		p.dirty, p.dirtyAt = true, now
	}
}

// start commits the intents of as many ready partitions as may be written, and the positions of the dirty ones, and begins the writes.
func (r *runner) start(ctx context.Context, ready, dirty []*part) {
	sort.Slice(ready, func(i, j int) bool { return ready[i].notBefore.Before(ready[j].notBefore) })
	type cut struct {
		p     *part
		batch *Batch
		bytes int
	}
	var cuts []cut
	commits := map[*part]Range{}
	for _, p := range ready {
		if r.writing+len(cuts) >= r.o.Limits.Writers {
			break
		}
		if b, bytes, ok := r.cut(p); ok {
			cuts = append(cuts, cut{p, b, bytes})
			commits[p] = b.Range
		}
	}
	for _, p := range dirty {
		if _, intended := commits[p]; !intended {
			commits[p] = p.recover // usually none
		}
	}
	if len(commits) == 0 || !r.commit(ctx, commits) {
		return
	}
	for _, c := range cuts {
		r.begin(c.p, c.batch, c.bytes)
		r.write(ctx, c.p)
	}
}

// write runs the partition's batch in a goroutine of its own. The write outlives ctx: its end is told by the loop, within the grace.
func (r *runner) write(ctx context.Context, p *part) {
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.writing++
	res := result{p: p, batch: p.batch, bytes: p.batchBytes}
	go func() {
		began := time.Now()
		res.written, res.err = r.store(ctx, *res.batch)
		res.took = time.Since(began)
		r.results <- res
	}()
}

// store writes the batch, and tries the identical batch again while the error is of the kind that passes.
func (r *runner) store(ctx context.Context, b Batch) (Written, error) {
	backoff := 50 * time.Millisecond
	for {
		w, err := r.try(ctx, &b)
		if err == nil || Classify(err) != Retry || ctx.Err() != nil {
			return w, err
		}
		r.failed(b.Partition, "write", err)
		select {
		case <-ctx.Done():
			return Written{}, err
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, time.Second)
		b.Again = true
	}
}

func (r *runner) try(ctx context.Context, b *Batch) (Written, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Limits.WriteTimeout)
	defer cancel()
	if b.Again {
		held, err := r.o.Sink.Held(ctx, b.Partition, b.Range)
		if err != nil {
			return Written{}, fmt.Errorf("ask what is held of %s from %d to %d: %w", b.Partition, b.Start, b.End, err)
		}
		b.Held = held
		if b.audit {
			return r.restore(ctx, *b)
		}
	}
	w, err := r.o.Sink.Write(ctx, *b)
	if err != nil {
		return Written{}, fmt.Errorf("write %s from %d to %d: %w", b.Partition, b.Start, b.End, err)
	}
	return w, nil
}

// restore writes what the sink has lost of a range that was stored. How the range was cut when it was first written is not known any more, and is of no
// matter, since all of that has ended: what is missing is one block.
func (r *runner) restore(ctx context.Context, b Batch) (Written, error) {
	var missing []*kgo.Record
	for _, rec := range b.Records {
		if _, held := slices.BinarySearch(b.Held, rec.Offset); !held {
			missing = append(missing, rec)
		}
	}
	b.Records = missing
	if len(missing) == 0 {
		return Written{}, nil
	}
	w, err := r.o.Sink.Write(ctx, b)
	if err != nil {
		return Written{}, fmt.Errorf("write %s from %d to %d again: %w", b.Partition, b.Start, b.End, err)
	}
	r.log.Warn("rows that were stored were gone and are there again", "topic", b.Topic, "partition", b.Partition.Partition, "offset", missing[0].Offset,
		"rows", len(missing))
	return w, nil
}

// finish takes the result of a write. The partition may have been lost in the meantime; its next owner will ask what is held.
func (r *runner) finish(res result) {
	p, now := res.p, time.Now()
	r.writing--
	r.buffered -= res.bytes
	r.o.Metrics.buffered(r.buffered)
	p.cancel()
	p.batch, p.batchBytes = nil, 0
	if r.parts[p.key()] != p {
		return
	}
	if res.err != nil {
		if !p.parked && !errors.Is(res.err, context.Canceled) {
			r.park(p, res.err)
		}
		return
	}
	r.reach(p, res.batch.End, res.batch.Records, now)
	p.first = p.first && res.written.Stored == 0 // rejected rows make no table
	p.patience = 0
	r.episodes.Passed(waiter(p.Partition))
	p.notBefore = now.Add(max(r.o.Limits.Pace-res.took, res.took/2))
	r.o.Metrics.wrote(p.Topic, res.written, res.took)
	r.o.Status.set(p.Partition, func(s *PartitionStatus) {
		s.Stored += int64(res.written.Stored)
		s.Rejected += int64(res.written.Rejected)
		s.pass()
	})
	r.publish(p)
}

func (p *part) key() statusKey { return statusKey{p.Topic, p.Partition.Partition} }

// drain waits until none of the partitions is being written, or until ctx ends; then it cancels the writes.
func (r *runner) drain(ctx context.Context, parts []*part) {
	for _, p := range parts {
		for p.batch != nil {
			select {
			case res := <-r.results:
				r.finish(res)
			case <-ctx.Done():
				for _, p := range parts {
					if p.batch != nil {
						p.cancel()
					}
				}
				return
			}
		}
	}
}
