package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/producers"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how far each source and each partition is, its lag and its last error",
		Long: `Status asks the running process at admin.listen. When none answers there, it shows what is saved in Kafka: the
positions of the sources and the offsets of the consumer. Exit code 1 means that something is not healthy.

What does not work now is listed below the tables: the fault (extract errors explains each), its class, since when, who waits for it, the error,
and what to do. The class retry passes by itself; pause waits for a repair and then goes on by itself.`,
		Example: "  extract status\n  extract status --format json\n  extract status --partitions",
		Args:    noArgs,
	}
	format := cmd.Flags().String("format", "table", "table or json")
	partitions := cmd.Flags().Bool("partitions", false, "one line a partition instead of one a topic")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.findConfig()
		if err != nil {
			return err
		}
		s, live := askStatus(cmd.Context(), c.Admin.Listen)
		if !live {
			if s, err = savedStatus(cmd.Context(), c); err != nil {
				return err
			}
		}
		switch *format {
		case "json":
			enc := json.NewEncoder(a.stdout)
			enc.SetIndent("", "  ")
			err = enc.Encode(s)
		case "table":
			if !live {
				fmt.Fprintf(a.stdout, "No process answers at %s: this is what is saved in Kafka.\n\n", c.Admin.Listen)
			}
			err = writeStatus(a.stdout, s, *partitions)
		default:
			return usageError{fmt.Errorf("--format %q: use table or json", *format)}
		}
		if err != nil {
			return err
		}
		if s.Unhealthy != "" {
			return errAnswerIsNo
		}
		return nil
	}
	return cmd
}

// askStatus asks the running process.
func askStatus(ctx context.Context, address string) (s processStatus, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", nil)
	if err != nil {
		return s, false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, false
	}
	defer res.Body.Close()
	return s, res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(&s) == nil
}

// savedStatus is what Kafka holds when nothing runs.
func savedStatus(ctx context.Context, c *Config) (s processStatus, err error) {
	opts, err := c.kafkaOptions()
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, src := range c.Sources {
		positions, err := producers.ReadPositions(ctx, opts, c.Prefix, src.Name)
		if err != nil {
			return s, fmt.Errorf("read the positions of source %s: %w", src.Name, err)
		}
		snap := producers.Snapshot{Source: src.Name, State: producers.Stopped}
		if len(positions) > 0 {
			snap.Position = producers.Position{Part: strconv.Itoa(len(positions)) + " parts", Text: positions["stream"]}
		}
		s.Sources = append(s.Sources, snap)
	}
	s.Topics, err = savedOffsets(ctx, opts, consumers.DefaultGroup(c.Prefix))
	return s, err
}

func savedOffsets(ctx context.Context, opts []kgo.Opt, group string) ([]consumers.TopicStatus, error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to kafka: %w", err)
	}
	defer cl.Close()
	lags, err := kadm.NewClient(cl).Lag(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %s: %w", group, err)
	}
	byTopic := map[string]*consumers.TopicStatus{}
	for _, l := range lags[group].Lag.Sorted() {
		t := byTopic[l.Topic]
		if t == nil {
			t = &consumers.TopicStatus{Topic: l.Topic}
			byTopic[l.Topic] = t
		}
		t.Lag += max(l.Lag, 0)
		t.Partitions = append(t.Partitions, consumers.PartitionStatus{Topic: l.Topic, Partition: l.Partition, Position: l.Commit.At, End: l.End.Offset})
	}
	var all []consumers.TopicStatus
	for _, t := range byTopic {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b consumers.TopicStatus) int { return cmp.Compare(a.Topic, b.Topic) })
	return all, nil
}

func writeStatus(w io.Writer, s processStatus, partitions bool) error {
	sources := grid{columns: []string{"source", "state", "rows", "transactions", "committed", "position", "last error"}, numbers: []bool{false, false, true, true}}
	for _, src := range s.Sources {
		committed := "-"
		if !src.Committed.IsZero() {
			committed = time.Since(src.Committed).Truncate(time.Millisecond).String() + " ago"
		}
		sources.rows = append(sources.rows, []string{src.Source, string(src.State), thousands(src.Records), thousands(src.Transactions), committed,
			cut(src.Position.Part+" "+src.Position.Text, 60), cut(src.Error, 80)})
	}
	topics := grid{columns: []string{"topic", "stored", "rejected", "lag", "rows/s", "error"}, numbers: []bool{false, true, true, true, true}}
	if partitions {
		topics = grid{columns: []string{"topic", "partition", "position", "end", "lag", "state", "error"}, numbers: []bool{false, true, true, true, true}}
	}
	for _, t := range s.Topics {
		if !partitions {
			topics.rows = append(topics.rows, []string{t.Topic, thousands(t.Stored), thousands(t.Rejected), thousands(t.Lag), thousands(int64(t.RowsPerSecond)), cut(t.Err, 80)})
			continue
		}
		for _, p := range t.Partitions {
			topics.rows = append(topics.rows, []string{p.Topic, fmt.Sprint(p.Partition), thousands(p.Position), thousands(p.End), thousands(p.Lag()), p.State, cut(p.Err, 80)})
		}
	}
	if err := writeGrid(w, sources, "table"); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := writeGrid(w, topics, "table"); err != nil {
		return err
	}
	if err := writeProblems(w, s.Problems, time.Now()); err != nil {
		return err
	}
	if s.Unhealthy != "" {
		fmt.Fprintf(w, "\nNot healthy: %s\n", s.Unhealthy)
	}
	return nil
}

// cut shortens a text for one line of a table.
func cut(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
