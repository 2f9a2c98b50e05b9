package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// restTime is how long nothing must move before the sources are taken for drained and compared; longRest where not all that was produced is
// stored, which is no rest yet but may be all there will be.
const (
	restTime = 1500 * time.Millisecond
	longRest = 8 * time.Second
)

// drain streams until everything the sources hold is stored, prints the completeness report, and returns errAnswerIsNo on a gap.
func (d *demo) drain(ctx context.Context) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	parts, err := d.pipeline.producerParts(true)
	if err != nil {
		return err
	}
	parts = append(parts, d.pipeline.consumerPart(), d.pipeline.datasetPart())
	board := newScoreboard(d.pipeline)
	if err := board.countBefore(ctx); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- d.pipeline.runParts(work, parts) }()
	started := time.Now()
	all, err := d.drained(ctx, board, started)
	if err == nil && ctx.Err() == nil {
		err = d.finish(ctx, all, started)
	}
	stop()
	if partErr := <-failed; err == nil && ctx.Err() == nil {
		err = partErr
	}
	d.pipeline.logEnd()
	return err
}

// drained waits until sources, topics and tables add up. When nothing has moved for --wait and they do not, it gives up and returns the gap.
func (d *demo) drained(ctx context.Context, board *scoreboard, started time.Time) ([]completeness, error) {
	show := d.out.progress()
	defer d.out.endProgress()
	r := &reconciler{d.pipeline}
	var last int64
	moved := time.Now()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		rows, err := board.rows(ctx)
		if err != nil {
			d.log.Debug("counting what is stored", "err", err)
		}
		sum, _ := total(rows, nil)
		if now := sum.Produced + sum.Stored + sum.Rejected; now != last {
			last, moved = now, time.Now()
		}
		show(fmt.Sprintf("streaming: %s produced, %s stored, %s rejected, %d s", thousands(sum.Produced), thousands(sum.Stored), thousands(sum.Rejected),
			int(time.Since(started).Seconds())), 0, 0)
		rest := time.Since(moved)
		if rest < restTime || sum.Stored < sum.Produced && rest < longRest {
			continue
		}
		show("comparing sources, topics and tables", 0, 0)
		all, err := r.compare(ctx)
		if err != nil && rest < d.o.wait { // a table may be on its way
			d.log.Debug("comparing", "err", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		gap := slices.ContainsFunc(all, func(c completeness) bool { return len(c.Gaps) > 0 })
		if !gap || time.Since(moved) > d.o.wait {
			return all, nil
		}
		if problem := d.pipeline.live.report().lastError(); problem != "" {
			d.out.line("still a gap, and %s", problem)
		}
	}
}

// finish refreshes the dataset and prints the report.
func (d *demo) finish(ctx context.Context, all []completeness, started time.Time) error {
	took := time.Since(started)
	var records int64
	for _, c := range all {
		records += c.Stored
	}
	show := d.out.progress()
	show("refreshing the dataset", 0, 0)
	if err := d.pipeline.sink.Refresh(ctx); err != nil {
		return fmt.Errorf("refresh the dataset: %w", err)
	}
	d.out.endProgress()
	d.out.line("%s records in ClickHouse, streamed in %s.\n", thousands(records), took.Round(100*time.Millisecond))
	answer := writeCompleteness(d.out.w, all, "text")
	queries := &queryShow{d: d}
	queries.refresh(ctx, time.Now())
	for _, block := range queries.blocks {
		for _, line := range block {
			d.out.line("%s", line)
		}
	}
	return answer
}
