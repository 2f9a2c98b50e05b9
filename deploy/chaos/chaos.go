// Package chaos is the trial by fire of the whole system. Every member is a process of its own: Kafka, the schema registry, ClickHouse, Postgres, the
// three kinds of producer and two consumers, which are the program itself. While rows come in at all sources, the members are killed with SIGKILL,
// frozen and stopped by a plan that a seed makes. Then the sources rest, everything drains, and what is stored is compared with what the sources hold: by the
// program's own reconcile, and row by row without it.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Options say what Run does. Program and Dir are required.
type Options struct {
	Program string        // the extract program
	Dir     string        // keeps everything: servers, sources, logs. It must be empty or not be there
	Seed    uint64        // makes the plan and the changes
	For     time.Duration // how long members are killed; a minute when it is 0
	Kills   int           // how many times, besides freezes and clean stops; one every four seconds when it is 0
	// Kafka is what the members speak to: "" for the embedded one and "apache" for Apache Kafka, both of which are killed too, or brokers
	// (host:port, comma between two), which are left alone.
	Kafka string
	Rows  int           // of the sample that is there at the start; 8,000 when it is 0
	Drain time.Duration // how long everything may take to arrive at the end; five minutes when it is 0
	Log   *slog.Logger  // discards when nil
	Out   io.Writer     // receives a line about every few events; nil for none
}

func (o Options) withDefaults() Options {
	if o.For == 0 {
		o.For = time.Minute
	}
	if o.Kills == 0 {
		o.Kills = max(int(o.For/(4*time.Second)), 1)
	}
	if o.Rows == 0 {
		o.Rows = 8000
	}
	if o.Drain == 0 {
		o.Drain = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	return o
}

// Run makes the trial and returns what came of it. The error is of a trial that could not be made; what the trial has found is in the report.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	report, err = onCluster(ctx, o, (*cluster).run)
	if err != nil && report != nil {
		report.problem("the trial did not come to its end: %v", err)
	}
	return report, err
}

// onCluster starts the members in the trial's folder, makes the trial with them and ends them.
func onCluster(ctx context.Context, o Options, trial func(*cluster, context.Context) (*Report, error)) (report *Report, err error) {
	o = o.withDefaults()
	if err := openFolder(&o); err != nil {
		return nil, err
	}
	c, err := startCluster(ctx, o)
	if c != nil {
		defer func() { err = errors.Join(err, c.close(ctx)) }()
	}
	if err != nil {
		return nil, err
	}
	return trial(c, ctx)
}

// openFolder makes the folder, which Postgres must be able to pass through.
func openFolder(o *Options) (err error) {
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if o.Program, err = filepath.Abs(o.Program); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the trial: %w", err)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return fmt.Errorf("make the folder of the trial: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: name another folder", o.Dir)
	}
	return nil
}

// run is the trial once everything runs.
func (c *cluster) run(ctx context.Context) (*Report, error) {
	r := c.newReport()
	feed, err := startFeed(ctx, c)
	if err != nil {
		return nil, err
	}
	defer feed.stop()
	flow := newFlow(c.clickhouse.HTTP())
	if err := flow.await(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(c.o.Out, "rows flow; %d kills in %s begin\n", c.o.Kills, c.o.For)
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watched := make(chan struct{})
	go func() { flow.watch(watching); close(watched) }()
	began := time.Now()
	err = c.carryOut(ctx, makePlan(c.o.Seed, c.names(), c.o.For, c.o.Kills), r, flow)
	r.Took = time.Since(began)
	if err == nil {
		if late := flow.settled(ctx, c.o.Drain); late != nil {
			r.problem("%v", late)
		}
	}
	stopWatching()
	<-watched
	r.Recovery = flow.recoveries()
	if err != nil {
		return r, err
	}
	if err := feed.stop(); err != nil {
		return r, err
	}
	r.Fed, r.labelled = feed.counts(), feed.labelled
	fmt.Fprintf(c.o.Out, "%d kills in %s; the sources rest now, and everything is compared\n", r.Kills(), r.Took.Round(time.Second))
	return r, c.finish(ctx, r)
}
