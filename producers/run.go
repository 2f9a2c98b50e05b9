package producers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas/faults"
)

// Run streams a source into Kafka until the source is at its end or ctx ends; both return nil. It takes the transactional id
// `<prefix>.<source>`, which fences any other process that runs the source, reads the committed positions back, and opens the source
// behind them. What the source reads is written together with the positions reached, in one Kafka transaction at a time, and only
// then is the source told to commit. After an error everything is closed and starts again in this same way; only errors of the class
// Stop end Run. When ctx ends, what was read is still written, within Limits.Grace.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return fmt.Errorf("run source %s: %w", o.Source, err)
	}
	if o.New == nil {
		return fmt.Errorf("run source %s: no constructor", o.Source)
	}
	o.health = newHealth(o, "")
	r := &runner{o: o, owner: newOwner()}
	return again(ctx, o, &r.commits, r.attempt)
}

// runner is what outlives the attempts of one Run.
type runner struct {
	o         Options
	owner     string // this Run, as it signs in the progress topic
	signed    bool   // owner has been written
	commits   int64  // transactions
	unsettled *transaction
}

// newOwner says for people who this is; the random end makes it unique.
func newOwner() string {
	host, _ := os.Hostname() // a name that is not known stays empty
	return fmt.Sprintf("process %d on %s since %s, run %s", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339), rand.Text()[:10])
}

// again repeats attempt until it returns nil, ctx ends or its error is of the class Stop. commits is attempt's counter of successes: when it
// has moved, waiting begins again at the shortest.
func again(ctx context.Context, o Options, commits *int64, attempt func(context.Context) error) error {
	wait := o.Backoff.Min
	defer o.health.forget()
	for {
		o.Status.state(o.Source, Starting)
		before := *commits
		err := explain(attempt(ctx))
		class := Classify(err)
		switch {
		case err == nil:
			return nil
		case class == Stop:
			fail(o, err, Stop, Stopped)
			return fmt.Errorf("run source %s: %w", o.Source, err)
		case ctx.Err() != nil:
			o.Log.Warn("stopped before the last transaction ended; its rows come again", "err", err)
			o.Status.state(o.Source, Stopped)
			return nil
		}
		if *commits > before {
			wait = o.Backoff.Min
		}
		state, delay := Retrying, jitter(wait)
		if class != Retry {
			state, delay = Paused, jitter(o.Backoff.Pause)
		}
		fail(o, err, class, state)
		o.health.failed(err, class)
		wait = min(2*wait, o.Backoff.Max)
		select {
		case <-ctx.Done():
			o.Status.state(o.Source, Stopped)
			return nil
		case <-time.After(delay):
		}
	}
}

func fail(o Options, err error, class Class, state State) {
	o.Metrics.failed(o.Source, err, class)
	o.Status.failed(err, class)
	o.Status.state(o.Source, state)
}

// jitter is d, a quarter more or less.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*(mathrand.Float64()-0.5)/2)
}

// attempt runs the source once, from taking the transactional id to closing the source.
func (r *runner) attempt(ctx context.Context) error {
	work, cancel := graceful(ctx, r.o.Limits.Grace)
	defer cancel()
	id := r.o.Prefix + "." + r.o.Source
	cl, err := kgo.NewClient(clientOptions(r.o, id)...)
	if err != nil {
		return faults.KafkaSettings.Of(fmt.Errorf("open kafka client: %w", err))
	}
	err = r.runClient(ctx, work, cl, id)
	cl.Close()
	if isFencing(err) {
		return r.explainFencing(work, err)
	}
	return err
}

func (r *runner) runClient(ctx, work context.Context, cl *kgo.Client, id string) error {
	if err := takeID(ctx, cl, id); err != nil {
		return faults.RecognizeKafka(err)
	}
	t := newTarget(r.o, cl)
	defer t.forgetWaits()
	if err := t.prepare(ctx); err != nil {
		return faults.RecognizeKafka(err)
	}
	p, err := t.resume(ctx, cl, r.owner)
	if err != nil {
		return faults.RecognizeKafka(err)
	}
	r.signed = true
	r.settle(p)
	src, err := r.o.New(ctx)
	if err != nil {
		return fmt.Errorf("make source: %w", err)
	}
	err = r.runSource(ctx, work, cl, t, src, p.positions)
	closing, cancel := last(work, r.o.Limits.Grace)
	defer cancel()
	if closeErr := src.Close(closing); closeErr != nil {
		r.o.Log.Warn("source closed with an error", "err", closeErr)
	}
	return err
}

func (r *runner) runSource(ctx, work context.Context, cl *kgo.Client, t *target, src Source, positions map[string]string) error {
	if err := src.Open(ctx, t, positions); err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	r.o.Log.Info("source opened", "parts", len(positions))
	r.o.Status.state(r.o.Source, Running)
	r.o.health.opened()
	reading, stop := context.WithCancel(ctx)
	read := &reader{src: src, out: make(chan item, r.o.Limits.ReadAhead), quit: make(chan struct{}), o: r.o}
	done := make(chan struct{})
	go func() {
		defer close(done)
		read.run(ctx, reading)
	}()
	p := &pump{r: r, cl: cl, t: t, src: src, in: read.out}
	err := p.run(work)
	stop()
	close(read.quit)
	<-done
	switch {
	case err == io.EOF:
		r.o.Status.state(r.o.Source, Ended)
		return nil
	case err == nil:
		r.o.Status.state(r.o.Source, Stopped)
	}
	return err
}

// settle counts a transaction whose commit had no answer, now that the positions tell.
func (r *runner) settle(p progress) {
	x := r.unsettled
	r.unsettled = nil
	if x == nil || len(x.positions) == 0 {
		return
	}
	for _, want := range x.positions {
		if p.positions[want.Part] != want.Text {
			r.o.Metrics.transactions.WithLabelValues(r.o.Source, "aborted").Inc()
			return
		}
	}
	r.committed(x)
}

func (r *runner) committed(x *transaction) {
	r.commits++
	r.o.health.passed()
	r.o.Metrics.commit(r.o.Source, x.counts)
	r.o.Status.committed(x.counts, x.positions)
}

// explainFencing tells another process from ourselves: whoever takes the transactional id signs in the progress topic. When the last
// signature is ours, it was the broker that ended a transaction, because it lasted too long, or a late request of our own.
func (r *runner) explainFencing(work context.Context, err error) error {
	ctx, cancel := last(work, initTimeout)
	defer cancel()
	p, readErr := peek(ctx, r.o.Kafka, r.o.Prefix, r.o.Source)
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case r.signed && p.owner != "" && p.owner != r.owner: // none where the topic was made again
		return faults.KafkaFenced.With(fmt.Errorf("%w: %s (%w)", ErrFenced, p.owner, err), "run each source once")
	}
	return faults.KafkaExpired.Of(fmt.Errorf("the transaction was ended by the broker: %w", err))
}

// lastBreath is how long each thing may take that ends an attempt once the grace is over: a stop is bounded by the grace, and not by its multiple.
const lastBreath = time.Second

// last is a context for what ends an attempt, with a time of its own. It outlives work by no more than a breath.
func last(work context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := graceful(work, lastBreath)
	ctx, cancelLimit := context.WithTimeout(ctx, limit)
	return ctx, func() { cancelLimit(); cancel() }
}

// graceful is a context that outlives ctx by the grace.
func graceful(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-work.Done():
		case <-time.After(grace):
			cancel()
		}
	})
	return work, func() { stop(); cancel() }
}
