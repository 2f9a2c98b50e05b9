package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A plan is for a machine that is not busy. On one that is, events wait until no more than mostWaiting kills are not yet overcome, so that rows flow between
// them: each for patience at most, and all together no longer than twice the time of the plan.
const (
	mostWaiting = 4
	patience    = 30 * time.Second
)

// carryOut carries out the plan, each event in a goroutine of its own so that several members can be down at once, and starts again what has ended by
// itself, as a supervisor does. It returns when everything runs again.
func (c *cluster) carryOut(ctx context.Context, plan []event, r *Report, flow *flow) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	began := time.Now()
	supervising, stopSupervising := context.WithCancel(ctx)
	supervised := make(chan struct{})
	go func() { c.supervise(supervising, r); close(supervised) }()
	late := time.Duration(0)
	for n, e := range plan {
		rest(ctx, time.Until(began.Add(e.at+late)))
		late += flow.rest(ctx, mostWaiting, min(patience, 2*c.o.For-late))
		if ctx.Err() != nil {
			break
		}
		c.o.Log.Info("chaos", "event", e.String())
		if n%10 == 9 {
			fmt.Fprintf(c.o.Out, "%s: %d of %d events; %s\n", time.Since(began).Round(time.Second), n+1, len(plan), flow)
		}
		wait.Go(func() {
			if err := c.event(ctx, e, r, flow); err != nil {
				cancel(fmt.Errorf("%s: %w", e, err))
			}
		})
	}
	wait.Wait()
	stopSupervising()
	<-supervised
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

func (c *cluster) event(ctx context.Context, e event, r *Report, flow *flow) error {
	m := c.member(e.member)
	switch e.action {
	case kill:
		return m.kill(ctx, e.pause, func(at time.Time) {
			r.count(func() { r.ByMember[e.member].Kills++ })
			flow.killed(killed{member: e.member, at: at, gone: time.Now()})
		})
	case freeze:
		r.count(func() { r.ByMember[e.member].Freezes++ })
		return m.freeze(ctx, e.pause)
	}
	took, problem, err := m.stop(ctx, e.pause)
	r.count(func() { r.stopped(e.member, took, problem) })
	return err
}

// supervise looks after the members until ctx ends.
func (c *cluster) supervise(ctx context.Context, r *Report) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, m := range c.members {
			ended, code, err := m.revive(ctx)
			if !ended {
				continue
			}
			c.o.Log.Warn("ended by itself", "member", m.name, "code", code, "err", err)
			r.count(func() {
				r.ByMember[m.name].Ended++
				r.Ends = append(r.Ends, fmt.Sprintf("%s ended by itself with code %d", m.name, code))
			})
		}
	}
}
