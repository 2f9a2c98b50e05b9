package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/files"
	"adventureworks.example/extract/producers/lake"
	"adventureworks.example/extract/producers/postgres"
	"adventureworks.example/extract/schemas"
)

func (a *app) reconcileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare what the sources hold with what is stored, row for row by digest; exit 1 on a gap",
		Long: `Reconcile reads every source again, counts the records of every topic, reads every table back, and compares counts and digests.

  held      rows at the source now
  current   rows in the current table, for the changes of a database
  produced  committed records in the topic
  stored    rows in the raw table
  rejected  rows in the dead letters, from the producer and from the consumer

A digest is the sum of the rows' hashes, so it is equal only when the rows are. While a source changes, rows are on their way: reconcile
then tries again until everything adds up or --wait is over. The demo's own changes are paused meanwhile.`,
		Example: "  extract reconcile\n  extract reconcile --format markdown > completeness.md\n  extract reconcile -c extract.yaml --format json --wait 5m",
		Args:    noArgs,
	}
	format := cmd.Flags().String("format", "text", "text, json or markdown")
	wait := cmd.Flags().Duration("wait", 30*time.Second, "how long to wait for rows on their way")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := newLog(a.stderr, a.logFormat, cmp.Or(a.logLevel, "warn"))
		if err != nil {
			return err
		}
		if err := checkFormat(*format, "text", "json", "markdown"); err != nil {
			return err
		}
		c, err := a.findConfig()
		if err != nil {
			return err
		}
		resume := a.pauseDemo(cmd.Context(), c, log)
		defer resume()
		r, err := openReconciler(cmd.Context(), c, quiet(log))
		if err != nil {
			return err
		}
		defer r.close()
		all, err := r.settled(cmd.Context(), *wait)
		if err != nil {
			return err
		}
		return writeCompleteness(a.stdout, all, *format)
	}
	return cmd
}

// openQuiet finds the configuration and opens what it describes, for a command that answers and ends. check, where it is not nil, looks at what was asked
// by the configuration before anything is opened.
func (a *app) openQuiet(ctx context.Context, check func(*Config) error) (*pipeline, error) {
	log, err := newLog(a.stderr, a.logFormat, a.logLevel)
	if err != nil {
		return nil, err
	}
	c, err := a.findConfig()
	if err != nil {
		return nil, err
	}
	if check != nil {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	return openPipeline(ctx, c, quiet(log))
}

// quiet keeps a command's parts from telling their life: only what goes wrong is said.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(least{log.Handler()}) }

type least struct{ slog.Handler }

// Enabled passes warnings and errors.
func (h least) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// reconciler compares sources, topics and tables. It only reads.
type reconciler struct{ *pipeline }

func openReconciler(ctx context.Context, c *Config, log *slog.Logger) (*reconciler, error) {
	p, err := openPipeline(ctx, c, log)
	if err != nil {
		return nil, err
	}
	return &reconciler{p}, nil
}

// settled compares until nothing is missing or the time is over, and returns the last comparison.
func (r *reconciler) settled(ctx context.Context, wait time.Duration) ([]completeness, error) {
	deadline := time.Now().Add(wait)
	for {
		all, err := r.compare(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(c completeness) bool { return len(c.Gaps) > 0 }) || time.Now().After(deadline) {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// compare looks once.
func (r *reconciler) compare(ctx context.Context) ([]completeness, error) {
	var all []completeness
	var topics []string
	for _, s := range r.c.Sources {
		held, err := r.held(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("read source %s again: %w", s.Name, err)
		}
		slices.SortFunc(held, func(a, b producers.Held) int { return cmp.Compare(a.Dataset, b.Dataset) })
		for _, h := range held {
			all = append(all, completeness{Source: s.Name, Dataset: h.Dataset, Changes: h.Changes, Held: h.Rows, HeldDigest: h.Digest, RejectedAtSource: h.Rejected})
			topics = append(topics, schemas.Topic(r.c.Prefix, s.Name, h.Dataset))
		}
	}
	produced, err := countRecords(ctx, r.kafka, topics)
	if err != nil {
		return nil, err
	}
	stored, err := r.sink.Stored(ctx, topics...)
	if err != nil {
		return nil, err
	}
	byTopic := map[string]clickhouse.Stored{}
	for _, s := range stored {
		byTopic[s.Topic] = s
	}
	closings, err := producers.ReadClosings(ctx, r.kafka, r.c.Prefix)
	if err != nil {
		return nil, err
	}
	for i := range all {
		c, s := &all[i], byTopic[topics[i]]
		c.Produced = produced[topics[i]]
		c.Stored, c.Twice, c.Current = s.Rows, s.Rows-s.Offsets, s.Current
		c.RejectedByConsumer, c.Rejected = s.Rejected, s.Rejected+s.Unproduced
		c.StoredDigest = s.Digest
		if err := c.retried(closings); err != nil {
			return nil, err
		}
		c.judge()
	}
	return all, nil
}

// held reads one source again.
func (r *reconciler) held(ctx context.Context, s SourceConfig) ([]producers.Held, error) {
	var all []producers.Held
	report := func(h producers.Held) { all = append(all, h) }
	holder, done, err := r.holder(ctx, s)
	if err != nil {
		return nil, err
	}
	err = holder.Held(ctx, report)
	return all, errors.Join(err, done())
}

func (r *reconciler) holder(ctx context.Context, s SourceConfig) (producers.Holder, func() error, error) {
	nothing := func() error { return nil }
	if s.kind() == "postgres" {
		src, err := postgres.New(s.Name, *s.Postgres, r.log)
		return src, nothing, err
	}
	positions, err := producers.ReadPositions(ctx, r.kafka, r.c.Prefix, s.Name)
	if err != nil {
		return nil, nothing, err
	}
	if s.kind() == "files" {
		src, err := files.New(*s.Files, filepath.Dir(r.c.path), r.log)
		if err != nil {
			return nil, nothing, err
		}
		return src, func() error { return src.Close(ctx) }, src.Remember(positions)
	}
	src, err := lake.New(r.c.lake(s), r.log)
	if err != nil {
		return nil, nothing, err
	}
	return src, nothing, src.Remember(positions)
}
