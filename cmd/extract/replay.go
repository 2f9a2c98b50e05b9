package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/schemas"
)

const replayHelp = `Replay reads a topic again from Kafka into a new table beside the one in use, with its current rows where the topic carries the
changes of a database, compares the two, and exchanges them. Queries and new records go on meanwhile; writers wait for the exchange, less
than a second mostly. Then the dataset is refreshed.

The old table stays, beside the new one, until --drop-old drops it. Nothing is exchanged unless the new table holds every row of the old
one with the same content; rows that the old one lacks or has twice are put right. --accept-different exchanges although rows have another content.

With --from or --to, only what lies between is read again, and the other rows are copied from the old table. Both are an offset or a time
and count for every partition: from --from on, below --to. A time is that of the records, as Kafka has it.

Killed at any moment, it leaves the table in use as it is; the same command goes on where it was. What the dead letters hold stays there:
extract deadletters retry brings it in.

--drop-old without --from and --to replays nothing: it only drops the old tables of earlier replays.

Exit codes: 0 replayed, 1 not replayed: the table in use is what it was, 2 the command line or the configuration is wrong.`

// replayFlags are the command line of a replay.
type replayFlags struct {
	topic, from, to  string
	acceptDifferent  bool
	dropOld, list    bool
	format           string
	fromMark, toMark consumers.Mark
}

func (a *app) replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --topic TOPIC",
		Short: "Build a table anew from Kafka beside the one in use, compare, and exchange them",
		Long:  replayHelp,
		Example: "  extract replay --topic aw.files.reviews\n  extract replay --topic aw.sql.production.product --from 2026-11-24T08:00:00Z\n" +
			"  extract replay --topic aw.files.reviews --from 120000 --to 180000\n" +
			"  extract replay --topic aw.files.reviews --list\n  extract replay --topic aw.files.reviews --drop-old",
		Args: noArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.topic, "topic", "", "the `topic`, with or without the prefix")
	flags.StringVar(&f.from, "from", "", "where to begin: earliest (the default), an offset or a `time`")
	flags.StringVar(&f.to, "to", "", "where to end: latest (the default), an offset or a `time`; it is not read itself")
	flags.BoolVar(&f.acceptDifferent, "accept-different", false, "exchange although rows have another content, or cannot be stored any more")
	flags.BoolVar(&f.dropOld, "drop-old", false, "drop the old tables, after the replay or without one")
	flags.BoolVar(&f.list, "list", false, "list the old tables, and what a killed replay left, and do nothing")
	flags.StringVar(&f.format, "format", "text", "text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := a.openQuiet(cmd.Context(), f.check)
		if err != nil {
			return err
		}
		defer p.close()
		switch {
		case f.list:
			return a.listGenerations(cmd.Context(), p, f)
		case f.dropOld && f.from == "" && f.to == "":
			return a.dropOld(cmd.Context(), p, f)
		}
		return a.replay(cmd.Context(), p, f)
	}
	return cmd
}

// check completes the flags and says what is wrong with them.
func (f *replayFlags) check(c *Config) (err error) {
	if f.topic == "" {
		return usageError{errors.New("name the topic with --topic, such as aw.files.reviews; extract status lists them")}
	}
	f.topic = c.fullTopic(f.topic)
	source, _, ok := schemas.SplitTopic(c.Prefix, f.topic)
	if !ok || !slices.ContainsFunc(c.Sources, func(s SourceConfig) bool { return s.Name == source }) {
		return usageError{fmt.Errorf("--topic %s is of no source of %s; extract status lists the topics", f.topic, c.path)}
	}
	if f.fromMark, err = consumers.ParseMark(f.from); err != nil {
		return usageError{fmt.Errorf("--from: %w", err)}
	}
	if f.from == "latest" {
		return usageError{errors.New("--from latest would read nothing again")}
	}
	if f.toMark, err = consumers.ParseMark(f.to); err != nil {
		return usageError{fmt.Errorf("--to: %w", err)}
	}
	return checkFormat(f.format, "text", "json")
}

func (a *app) replay(ctx context.Context, p *pipeline, f replayFlags) error {
	bar := newReplayBar(a.stderr)
	began := time.Now()
	done, err := p.sink.Replay(ctx, clickhouse.ReplayOptions{Kafka: p.kafka, Topic: f.topic, Group: consumers.DefaultGroup(p.c.Prefix), From: f.fromMark, To: f.toMark,
		Newest: p.registry.Newest, AcceptDifferent: f.acceptDifferent, Progress: bar.show})
	bar.end()
	if err != nil {
		return err
	}
	if f.dropOld {
		if _, err := p.sink.DropOld(ctx, f.topic); err != nil {
			return err
		}
		done.Old = nil
	}
	if f.format == "json" {
		return printJSON(a.stdout, done)
	}
	return a.printReplayed(done, time.Since(began))
}

func (a *app) printReplayed(r *clickhouse.Replayed, took time.Duration) error {
	w := a.stdout
	fmt.Fprintf(w, "Replayed %s into %s, which is generation %d now, in %s.\n", r.Topic, r.Table, r.Generation, took.Round(100*time.Millisecond))
	fmt.Fprintf(w, "  %s rows; %s records read from Kafka, %s rows copied\n", thousands(r.Rows), thousands(r.Read), thousands(r.Carried))
	fmt.Fprintf(w, "  against the generation before: %s equal, %s restored, %s that were there twice, %s different\n",
		thousands(r.Same), thousands(r.Restored), thousands(r.Twice), thousands(r.Different))
	fmt.Fprintf(w, "  writers waited %s for the exchange\n", r.Fenced.Round(time.Millisecond))
	if len(r.Old) == 0 {
		return nil
	}
	fmt.Fprintln(w, "Kept, until you drop it:")
	printGenerations(w, r.Old)
	_, err := fmt.Fprintf(w, "Drop it with: %s\n", a.dropCommand(r.Topic))
	return err
}

// dropCommand is the command that drops what a replay kept, for the same configuration.
func (a *app) dropCommand(topic string) string {
	command := "extract replay --topic " + topic + " --drop-old"
	switch {
	case a.config != "":
		command += " --config " + a.config
	case a.dir != defaultDemoDir:
		command += " --dir " + a.dir
	}
	return command
}

func printGenerations(w io.Writer, all []clickhouse.Generation) {
	for _, g := range all {
		state := ""
		if g.Building {
			state = ", not finished: the same replay goes on with it, another one drops it"
		}
		fmt.Fprintf(w, "  %s.`%s`  generation %d, %s rows, %s%s\n", g.Database, g.Table, g.Generation, thousands(g.Rows), megabytes(g.Bytes), state)
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func (a *app) listGenerations(ctx context.Context, p *pipeline, f replayFlags) error {
	all, err := p.sink.Generations(ctx, f.topic)
	if err != nil {
		return err
	}
	if f.format == "json" {
		return printJSON(a.stdout, all)
	}
	if len(all) == 0 {
		_, err = fmt.Fprintf(a.stdout, "%s has no table beside the one in use.\n", f.topic)
		return err
	}
	printGenerations(a.stdout, all)
	return nil
}

func (a *app) dropOld(ctx context.Context, p *pipeline, f replayFlags) error {
	dropped, err := p.sink.DropOld(ctx, f.topic)
	if err != nil {
		return err
	}
	if f.format == "json" {
		return printJSON(a.stdout, dropped)
	}
	if len(dropped) == 0 {
		_, err = fmt.Fprintf(a.stdout, "%s has no old table.\n", f.topic)
		return err
	}
	fmt.Fprintln(a.stdout, "Dropped:")
	printGenerations(a.stdout, dropped)
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}
