package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

// CleanStops is the trial of those who operate the system: nothing is killed. While the sample's Options.Rows load, producers and consumers are stopped with
// SIGTERM so many times and started again at once, in turn, each time when another part of the rows has come through. Every stop must be over within its
// grace with exit code 0, and at the end every row must be there once. For, Kills and the changes of the sources are left out.
func CleanStops(ctx context.Context, o Options, stops int) (*Report, error) {
	return onCluster(ctx, o, func(c *cluster, ctx context.Context) (*Report, error) {
		r := c.newReport()
		began := time.Now()
		if err := c.stopInTurn(ctx, r, stops); err != nil {
			return r, err
		}
		r.Took = time.Since(began)
		return r, c.finish(ctx, r)
	})
}

// stopInTurn stops producers by what is produced and consumers by what is stored, at the same time.
func (c *cluster) stopInTurn(ctx context.Context, r *Report, stops int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	loop := func(turns int, progress func(context.Context) (int64, error), names ...string) {
		for n := range turns {
			// The rows left out at both ends are for the last one to come up again, and for the first to have begun.
			want := int64(c.o.Rows) * int64(n+1) / int64(turns+2)
			if err := c.awaitProgress(ctx, progress, want); err != nil {
				cancel(err)
				return
			}
			name := names[n%len(names)]
			took, problem, err := c.member(name).stop(ctx, 0)
			if err != nil {
				cancel(err)
				return
			}
			r.count(func() { r.stopped(name, took, problem) })
			c.o.Log.Info("stopped cleanly", "member", name, "rows", want, "took", took)
		}
	}
	wait.Go(func() { loop((stops+1)/2, c.produced, "produce lake", "produce postgres", "produce files") })
	wait.Go(func() { loop(stops/2, c.stored, "consume 1", "consume 2") })
	wait.Wait()
	return context.Cause(ctx)
}

// awaitProgress waits until so many rows have come through. That nothing moves for the time that the drain may take is an error.
func (c *cluster) awaitProgress(ctx context.Context, progress func(context.Context) (int64, error), want int64) error {
	last, moved := int64(-1), time.Now()
	for {
		n, err := progress(ctx)
		if err == nil && n >= want {
			return nil
		}
		if n != last {
			last, moved = n, time.Now()
		}
		if time.Since(moved) > c.o.Drain {
			return fmt.Errorf("only %d of %d rows have come through, and nothing has moved for %s: %v", n, want, c.o.Drain, err)
		}
		if rest(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// produced is about how many records are committed in the sources' topics.
func (c *cluster) produced(ctx context.Context) (sum int64, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListCommittedOffsets(ctx)
	if err != nil {
		return 0, err
	}
	listed.Each(func(o kadm.ListedOffset) {
		if c.ofSource(o.Topic) {
			sum += max(o.Offset, 0)
		}
	})
	return sum, nil
}

// ofSource tells whether a topic holds a source's rows.
func (c *cluster) ofSource(topic string) bool {
	source, _, ok := schemas.SplitTopic(c.prefix, topic)
	return ok && (source == "sql" || source == "files" || source == "lake")
}

// stored is how many rows the raw tables hold.
func (c *cluster) stored(ctx context.Context) (int64, error) {
	n, err := c.numbers(ctx, "SELECT toInt64(sum(ifNull(total_rows, 0))) FROM system.tables WHERE database = 'raw' AND match(name, '^(sql|files|lake)_')")
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// newReport begins the report of a trial.
func (c *cluster) newReport() *Report {
	r := &Report{Seed: c.o.Seed, Kafka: c.kafkaName(), ByMember: map[string]*MemberReport{}}
	for _, m := range c.members {
		r.ByMember[m.name] = &MemberReport{}
	}
	return r
}

// finish waits until everything has arrived, stops the program and compares.
func (c *cluster) finish(ctx context.Context, r *Report) error {
	drained := time.Now()
	if err := c.reconcile(ctx, r); err != nil {
		return err
	}
	r.Drained = time.Since(drained)
	c.stopPrograms(ctx, r)
	return c.compare(ctx, r)
}
