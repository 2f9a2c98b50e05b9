package producers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas/faults"
)

// item is what Next has returned.
type item struct {
	batch Batch
	err   error
}

// reader reads ahead. It is the only one to call Next.
type reader struct {
	src  Source
	out  chan item     // closed at the end
	quit chan struct{} // closed by the pump's side
	o    Options
}

// run reads until the source ends or fails, ctx ends or the pump quits.
func (r *reader) run(ctx, reading context.Context) {
	defer close(r.out)
	for {
		start := time.Now()
		b, err := r.src.Next(reading)
		r.o.Metrics.took(r.o.Source, "read", start)
		if len(b.Records) > 0 || len(b.Positions) > 0 {
			if !r.send(item{batch: b}) {
				return
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				r.send(item{err: err})
			}
			return
		}
	}
}

// send gives an item to the pump, which takes what was read even when ctx has ended; it is false once the pump has quit.
func (r *reader) send(it item) bool {
	select {
	case r.out <- it:
		return true
	case <-r.quit:
		return false
	}
}

// pump writes what the reader has read, one transaction after the other.
type pump struct {
	r   *runner
	cl  *kgo.Client
	t   *target
	src Source
	in  <-chan item

	x *transaction // the open one; nil when there is none
}

// run returns io.EOF at the source's end, nil when the reader has stopped because the caller's context ended, or an error.
func (p *pump) run(ctx context.Context) error {
	for {
		if p.x != nil && p.x.full() {
			if err := p.end(ctx); err != nil {
				return err
			}
			continue
		}
		it, more, err := p.wait(ctx)
		switch {
		case err != nil:
			return p.abort(ctx, err)
		case !more && p.x != nil && p.x.endable: // nothing more is ready
			if err := p.end(ctx); err != nil {
				return err
			}
		case !more:
			continue // the bound is reached
		case it.err != nil:
			return p.finish(ctx, it.err)
		default:
			if err := p.add(ctx, it.batch); err != nil {
				return p.abort(ctx, err)
			}
		}
	}
}

// errStopped is what wait says when the reader has stopped.
var errStopped = errors.New("stopped")

// wait returns the next item. more is false when there is none and the transaction should be looked at.
func (p *pump) wait(ctx context.Context) (it item, more bool, err error) {
	if p.x != nil && p.x.endable {
		select {
		case it, ok := <-p.in:
			return stopped(it, ok)
		default:
			return item{}, false, nil
		}
	}
	var bound <-chan time.Time
	if p.x != nil {
		left := p.x.patience()
		if left <= 0 && !p.x.cuttable {
			return item{}, false, &Error{Class: Pause, Err: fmt.Errorf("no position within the transaction timeout of %v, after %d records", p.t.o.Limits.TransactionTimeout, p.x.records),
				Remedy: "raise the transaction timeout, or let the source resume in smaller steps"}
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		bound = timer.C
	}
	select {
	case it, ok := <-p.in:
		return stopped(it, ok)
	case <-bound:
		return item{}, false, nil
	case <-ctx.Done():
		return item{}, false, ctx.Err()
	}
}

// stopped turns the end of the channel into an item.
func stopped(it item, ok bool) (item, bool, error) {
	if !ok {
		it.err = errStopped
	}
	return it, true, nil
}

func (p *pump) add(ctx context.Context, b Batch) error {
	if p.x == nil {
		if err := p.cl.BeginTransaction(); err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
		p.x = newTransaction(p.cl, p.t)
	}
	start := time.Now()
	defer p.r.o.Metrics.took(p.r.o.Source, "produce", start)
	err := p.x.add(ctx, b)
	if fault, ok := faults.Known(err); ok && fault.Name == faults.InputBurst && p.x.endable {
		// What came before the burst can be committed. The burst is not in it.
		if endErr := p.end(ctx); endErr != nil {
			return endErr
		}
	}
	return err
}

// finish ends or aborts the last transaction. What can be committed is, so that a source that fails again and again still gets on.
func (p *pump) finish(ctx context.Context, cause error) error {
	if p.x != nil && p.x.endable {
		if err := p.end(ctx); err != nil {
			return err
		}
	}
	switch {
	case cause == io.EOF && p.x != nil:
		return p.abort(ctx, &Error{Class: Stop, Err: errors.New("the source ended without a position behind its last rows"), Remedy: "this is a defect of the source"})
	case cause == io.EOF:
		return io.EOF
	case cause == errStopped:
		return p.abort(ctx, nil)
	}
	return p.abort(ctx, fmt.Errorf("read source: %w", cause))
}

// end commits the open transaction, positions last, and tells the source.
func (p *pump) end(ctx context.Context) error {
	x, o := p.x, p.r.o
	start := time.Now()
	if err := x.addPositions(ctx); err != nil {
		return p.abort(ctx, err)
	}
	p.x = nil
	p.r.unsettled = x // until the answer is known
	if err := p.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		o.Metrics.transactions.WithLabelValues(o.Source, "unknown").Inc()
		return faults.RecognizeKafka(fmt.Errorf("commit transaction: %w", err))
	}
	p.r.unsettled = nil
	p.r.committed(x)
	o.Metrics.took(o.Source, "commit", start)
	start = time.Now()
	if err := p.src.Commit(ctx, x.positions); err != nil {
		return fmt.Errorf("commit source: %w", err)
	}
	o.Metrics.took(o.Source, "acknowledge", start)
	return nil
}

// abort aborts the open transaction, if there is one, and returns the cause. That the abort itself fails changes nothing: taking the
// transactional id again aborts too.
func (p *pump) abort(ctx context.Context, cause error) error {
	if p.x == nil {
		return cause
	}
	p.x.giveRejects()
	p.x = nil
	p.r.o.Metrics.transactions.WithLabelValues(p.r.o.Source, "aborted").Inc()
	if err := abort(ctx, p.cl, p.r.o.Limits.Grace); err != nil && cause != nil {
		p.r.o.Log.Debug("transaction left to the broker", "err", err)
	}
	return cause
}
