package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/producers"
)

const deadLettersHelp = `A row that cannot be stored is kept as a dead letter, with its bytes, its place and the reason. There are two kinds:

  unproduced  its producer could not make a record of it: a CSV row that does not fit the schema, an image that cannot be read, a value
              that Avro has no room for, a record larger than topics take
  unstored    the record is in its topic, and ClickHouse cannot hold it: bytes that nobody can decode, an unknown schema id, a
              value out of range, a row that a constraint of the table refuses

Once the reason is repaired, retry brings the row in, once, with the origin it had. discard closes a letter that is not to come in, and says
who did it and why. Closed letters stay on record. docs/dead-letters.md says for each kind what a retry can do and what else to do.`

func (a *app) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look at the rows that could not be stored, bring them in after a repair, or discard them",
		Long:  deadLettersHelp,
		Example: `  extract deadletters list
  extract deadletters show 3f2a
  extract deadletters retry 3f2a --bytes-from corrected.csv
  extract deadletters retry --source files --dataset reviews
  extract deadletters discard 3f2a --why "a test row of the supplier"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listLettersCommand(), a.showLetterCommand(), a.retryLettersCommand(), a.discardLettersCommand())
	return cmd
}

// letterFilter is the flags that choose dead letters.
type letterFilter struct {
	source, dataset, class, since string
}

func (f *letterFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.source, "source", "", "only of this `source`")
	cmd.Flags().StringVar(&f.dataset, "dataset", "", "only of this `dataset`, without the source's name")
	cmd.Flags().StringVar(&f.class, "class", "", "only of this `class` of errors")
	cmd.Flags().StringVar(&f.since, "since", "", "only those rejected since a `time`: 2h, 2026-01-31 or 2026-01-31T12:00:00Z")
}

func (f *letterFilter) given() bool { return *f != letterFilter{} }

func (f *letterFilter) filter(now time.Time) (clickhouse.DeadLetterFilter, error) {
	out := clickhouse.DeadLetterFilter{Source: f.source, Dataset: f.dataset, Class: f.class}
	if f.since == "" {
		return out, nil
	}
	if d, err := time.ParseDuration(f.since); err == nil && d >= 0 {
		out.Since = now.Add(-d)
		return out, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if at, err := time.Parse(layout, f.since); err == nil {
			out.Since = at
			return out, nil
		}
	}
	return out, usageError{fmt.Errorf("--since %q: use a duration such as 2h, a day such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z", f.since)}
}

// letter is a dead letter with what has become of it.
type letter struct {
	clickhouse.DeadLetter
	closing producers.Closing // the zero value when nothing is on record
}

// state is that of the record, or what the raw table says: an offset that it holds is stored, whoever brought it in.
func (l letter) state() producers.LetterState {
	switch {
	case l.closing.State == producers.LetterDiscarded && !l.Stored:
		return producers.LetterDiscarded
	case l.Stored, l.closing.State == producers.LetterRetried:
		return producers.LetterRetried
	}
	return producers.LetterOpen
}

// reason is why the row is not stored, by the last try.
func (l letter) reason() string {
	if l.closing.Reason != "" {
		return l.closing.Reason
	}
	return l.Reason
}

func (l letter) kind() string {
	if l.Unproduced {
		return "unproduced"
	}
	return "unstored"
}

// letterID is how much of an id is shown. Any start of an id that is its only one will do on the command line.
func shortID(id string) string { return id[:min(len(id), 10)] }

// letters reads dead letters and what is on record about them.
type letters struct {
	*pipeline
	closings map[string]producers.Closing
}

// openLetters reads the configuration and what is on record.
func (a *app) openLetters(ctx context.Context) (*letters, error) {
	p, err := a.openQuiet(ctx, nil)
	if err != nil {
		return nil, err
	}
	l := &letters{pipeline: p}
	if l.closings, err = producers.ReadClosings(ctx, p.kafka, p.c.Prefix); err != nil {
		p.close()
		return nil, err
	}
	return l, nil
}

// each gives the chosen letters in a state, or in any when it is empty, newest first.
func (l *letters) each(ctx context.Context, f clickhouse.DeadLetterFilter, state producers.LetterState, each func(letter) error) error {
	return l.sink.DeadLetters(ctx, f, func(d clickhouse.DeadLetter) error {
		x := letter{d, l.closings[d.ID]}
		if state != "" && x.state() != state {
			return nil
		}
		return each(x)
	})
}

// one is the letter whose id starts with a text.
func (l *letters) one(ctx context.Context, id string, raw bool) (letter, error) {
	if len(id) < 4 || strings.Trim(strings.ToLower(id), "0123456789abcdef") != "" {
		return letter{}, usageError{fmt.Errorf("%q is not the id of a dead letter: at least four digits of one, see extract deadletters list", id)}
	}
	var found []letter
	err := l.each(ctx, clickhouse.DeadLetterFilter{ID: id, Raw: raw}, "", func(x letter) error {
		if len(found) == 2 {
			return errEnough
		}
		found = append(found, x)
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return letter{}, err
	case len(found) == 0:
		return letter{}, usageError{fmt.Errorf("there is no dead letter %s; see extract deadletters list", id)}
	case len(found) > 1:
		return letter{}, usageError{fmt.Errorf("more than one dead letter starts with %s: %s, %s; give more digits", id, found[0].ID, found[1].ID)}
	}
	return found[0], nil
}

func (a *app) listLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the newest first",
		Long: `List prints the dead letters, the newest first: a table on a terminal, one JSON object a line elsewhere. What is shown of an id is enough to
name the letter to show, retry and discard.

States: open, retried (the row is stored), discarded.`,
		Example: "  extract deadletters list\n  extract deadletters list --source files --dataset reviews --since 2h\n  extract deadletters list --state discarded --format csv --limit 0 > discarded.csv",
		Args:    noArgs,
	}
	var f letterFilter
	f.flags(cmd)
	state := cmd.Flags().String("state", "open", "open, retried, discarded or all")
	limit := cmd.Flags().Int("limit", 100, "most letters listed; 0 for all")
	format := cmd.Flags().String("format", "", "table, csv or json; by default table on a terminal and json elsewhere")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *format == "" {
			*format = "json"
			if newScreen(a.stdout).terminal {
				*format = "table"
			}
		}
		chosen, err := parseLetterState(*state)
		if err != nil {
			return err
		}
		if *format != "table" && *format != "csv" && *format != "json" || *limit < 0 {
			return usageError{fmt.Errorf("--format %q, --limit %d: the formats are table, csv and json, and a limit is not negative", *format, *limit)}
		}
		filter, err := f.filter(time.Now())
		if err != nil {
			return err
		}
		l, err := a.openLetters(cmd.Context())
		if err != nil {
			return err
		}
		defer l.close()
		return l.list(cmd.Context(), a.stdout, filter, chosen, *limit, *format)
	}
	return cmd
}

func parseLetterState(text string) (producers.LetterState, error) {
	switch s := producers.LetterState(text); s {
	case producers.LetterOpen, producers.LetterRetried, producers.LetterDiscarded:
		return s, nil
	case "all":
		return "", nil
	}
	return "", usageError{fmt.Errorf("--state %q: use open, retried, discarded or all", text)}
}

// letterLine is a letter in JSON, and the columns of CSV.
type letterLine struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"`
	Source    string    `json:"source"`
	Dataset   string    `json:"dataset"`
	Place     string    `json:"place"`
	Bytes     int64     `json:"bytes"`
	Class     string    `json:"class"`
	Reason    string    `json:"reason"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Tries     int       `json:"tries"`
	ClosedAt  time.Time `json:"closed_at,omitzero"`
	ClosedBy  string    `json:"closed_by,omitempty"`
	Why       string    `json:"why,omitempty"`
}

func (l letter) line() letterLine {
	out := letterLine{ID: l.ID, State: string(l.state()), At: l.At.UTC(), Kind: l.kind(), Source: l.Source, Dataset: l.Dataset, Place: l.Place, Bytes: l.Size, Class: l.Class, Reason: l.reason(),
		Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Tries: l.closing.Tries}
	if l.state() != producers.LetterOpen {
		out.ClosedAt, out.ClosedBy, out.Why = l.closing.At, l.closing.By, l.closing.Why
	}
	return out
}

var letterColumns = []string{"id", "state", "at", "kind", "source", "dataset", "place", "bytes", "class", "reason", "topic", "partition", "offset", "tries", "closed_at", "closed_by", "why"}

func (l letterLine) cells() []string {
	closed := ""
	if !l.ClosedAt.IsZero() {
		closed = l.ClosedAt.Format(time.RFC3339)
	}
	return []string{l.ID, l.State, l.At.Format(time.RFC3339), l.Kind, l.Source, l.Dataset, l.Place, strconv.FormatInt(l.Bytes, 10), l.Class, l.Reason, l.Topic,
		strconv.Itoa(int(l.Partition)), strconv.FormatInt(l.Offset, 10), strconv.Itoa(l.Tries), closed, l.ClosedBy, l.Why}
}

// list prints letters as they come; a table holds the shown ones to find the columns' widths.
func (l *letters) list(ctx context.Context, w io.Writer, f clickhouse.DeadLetterFilter, state producers.LetterState, limit int, format string) error {
	g := grid{columns: []string{"id", "state", "at", "source", "dataset", "bytes", "place", "reason"}, numbers: []bool{false, false, false, false, false, true, false, false}}
	rows := csv.NewWriter(w)
	if format == "csv" {
		if err := rows.Write(letterColumns); err != nil {
			return err
		}
	}
	shown, more := 0, false
	err := l.each(ctx, f, state, func(x letter) error {
		if limit > 0 && shown == limit {
			more = true
			return errEnough
		}
		shown++
		line := x.line()
		switch format {
		case "json":
			return json.NewEncoder(w).Encode(line)
		case "csv":
			return rows.Write(line.cells())
		}
		g.rows = append(g.rows, []string{shortID(x.ID), line.State, line.At.Format("2006-01-02 15:04:05"), line.Source, line.Dataset, thousands(line.Bytes), cut(flat(line.Place), 60), cut(flat(line.Reason), 80)})
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if rows.Flush(); rows.Error() != nil {
		return fmt.Errorf("write csv: %w", rows.Error())
	}
	if format != "table" {
		return nil
	}
	if shown == 0 {
		_, err = fmt.Fprintln(w, "No dead letters.")
		return err
	}
	if err := writeGrid(w, g, "table"); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(w, "\nThe newest %s are shown; --limit, csv or json show more.\n", thousands(int64(limit)))
	}
	_, err = fmt.Fprintln(w, "\nLook at one with `extract deadletters show ID`.")
	return err
}

// flat is a text without what would break a table.
func flat(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// who is the person at the command line, as far as the system tells.
func who() string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
