package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/consumers"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Compare what was committed with what the tables hold, by partition; exit 1 on a difference",
		Long: `Audit counts what ClickHouse holds of every partition and compares it with the number of records that the consumer has committed. The consumer
does the same every minute (audit.every) and fetches by itself what is missing, but for a table that somebody dropped.

  committed  offset up to which everything is to be held
  expected   records below it
  stored     rows of them in the raw table
  rejected   dead letters of them
  missing    records that are neither: Kafka is asked which
  twice      rows too many

Where nothing is wrong, some changes of a database are looked for in its current rows; the verdict is stale where those do not show them. A replay mends
that, --repair does not.

Partitions that nobody can read to their end are named: a transaction that has written there has not ended. Their lag is 0 all the same.

Counting costs the same however many rows there are. --full compares record by record instead, and looks for every change: it takes as long as reading the
topics, and also finds a row that is there twice where another one is missing.

--repair fetches what is missing from Kafka again, makes a dropped table again, and removes rows that are there twice. The consumer that has the
partition does it: the one at admin.listen at once, one elsewhere at its next audit. Where none runs, this command is the consumer until
all is there. This command itself writes the end of a transaction that Kafka has ended without marking the partition, as Kafka's own log of
transactions tells it, which takes the right to alter the cluster.`,
		Example: "  extract audit\n  extract audit --topic files.reviews --full\n  extract audit --repair\n  extract audit -c extract.yaml --format json",
		Args:    noArgs,
	}
	var o auditOptions
	cmd.Flags().StringArrayVar(&o.topics, "topic", nil, "only this `topic`, with or without the prefix; may be given several times")
	cmd.Flags().BoolVar(&o.repair, "repair", false, "fetch what is missing from Kafka, and remove what is there twice")
	cmd.Flags().BoolVar(&o.full, "full", false, "compare record by record")
	cmd.Flags().StringVar(&o.format, "format", "text", "text or json")
	cmd.Flags().DurationVar(&o.wait, "wait", 5*time.Minute, "how long --repair may take")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.audit(cmd.Context(), o) }
	return cmd
}

type auditOptions struct {
	topics       []string
	repair, full bool
	format       string
	wait         time.Duration
}

func (a *app) audit(ctx context.Context, o auditOptions) error {
	if err := checkFormat(o.format, "text", "json"); err != nil {
		return err
	}
	p, err := a.openQuiet(ctx, nil)
	if err != nil {
		return err
	}
	defer p.close()
	for i, t := range o.topics {
		o.topics[i] = p.c.fullTopic(t)
	}
	r := &auditor{pipeline: p, o: o, progress: a.stderr}
	all, err := r.look(ctx)
	if err != nil {
		return err
	}
	held := r.heldBack(ctx)
	if o.repair && slices.ContainsFunc(all, wanting) {
		if all, err = r.repair(ctx, all); err != nil {
			return err
		}
	}
	return writeAudit(a.stdout, all, held, o.format)
}

// heldTime bounds the search for partitions that are held back, and the writing of ends: Kafka's log of transactions may be long.
const heldTime = time.Minute

// heldBack finds the partitions that are held back and, for a repair, ends what nobody else will. What cannot be asked or ended is said: the audit of what can be
// read is as good without.
func (r *auditor) heldBack(ctx context.Context) []consumers.HeldBack {
	ctx, cancel := context.WithTimeout(ctx, heldTime)
	defer cancel()
	all, err := consumers.FindHeldBack(ctx, consumers.HeldBackOptions{Kafka: r.kafka, Prefix: r.c.Prefix, Topics: r.o.topics, Outcome: true})
	if err != nil {
		fmt.Fprintf(r.progress, "cannot look for transactions without an end: %v\n", err)
	}
	if r.o.repair && len(all) > 0 {
		if err := consumers.EndHeldBack(ctx, r.kafka, all); err != nil {
			fmt.Fprintf(r.progress, "%v\n", err)
		}
	}
	return all
}

// wanting tells of a partition with something to repair.
func wanting(f consumers.Finding) bool { return !f.Fine() }

// auditor looks, and sees to it that what is missing comes back.
type auditor struct {
	*pipeline
	o        auditOptions
	progress io.Writer
}

func (r *auditor) look(ctx context.Context) ([]consumers.Finding, error) {
	all, err := consumers.Look(ctx, consumers.LookOptions{Kafka: r.kafka, Group: consumers.DefaultGroup(r.c.Prefix), Topics: r.o.topics, Sink: r.sink, Full: r.o.full})
	if err != nil {
		return nil, err
	}
	for _, t := range r.o.topics {
		if !slices.ContainsFunc(all, func(f consumers.Finding) bool { return f.Topic == t }) {
			return nil, fmt.Errorf("nothing is committed of topic %s: no consumer has read it yet, or the name is another one", t)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("group %s.clickhouse has committed nothing: no consumer has run yet", r.c.Prefix)
	}
	return all, nil
}

// writeAudit prints the findings and returns errAnswerIsNo when one of them is not fine, or a partition is held back.
func writeAudit(w io.Writer, all []consumers.Finding, held []consumers.HeldBack, format string) error {
	bad := slices.ContainsFunc(all, wanting) || slices.ContainsFunc(held, func(h consumers.HeldBack) bool { return !h.Ended })
	var err error
	if format == "json" {
		err = writeAuditJSON(w, all, held, !bad)
	} else {
		err = writeAuditText(w, all, held, !bad)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if bad {
		return errAnswerIsNo
	}
	return nil
}

func writeAuditJSON(w io.Writer, all []consumers.Finding, held []consumers.HeldBack, complete bool) error {
	type finding struct {
		consumers.Finding
		Text string `json:"text,omitempty"`
	}
	var out []finding
	for _, f := range all {
		out = append(out, finding{f, f.String()})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"complete": complete, "partitions": out, "held_back": slices.Concat([]consumers.HeldBack{}, held)})
}

func writeAuditText(w io.Writer, all []consumers.Finding, held []consumers.HeldBack, complete bool) error {
	g := grid{
		columns: []string{"topic", "partition", "committed", "expected", "stored", "rejected", "missing", "twice", "verdict"},
		numbers: []bool{false, true, true, true, true, true, true, true, false},
	}
	topics := map[string]bool{}
	var stored, rejected int64
	for _, f := range all {
		expected, verdict := thousands(f.Expected), string(f.Verdict)
		if f.Expected < 0 {
			expected = "?"
		}
		if f.Err != "" {
			verdict = "error"
		}
		g.rows = append(g.rows, []string{f.Topic, fmt.Sprint(f.Partition), thousands(f.Committed), expected, thousands(f.Stored), thousands(f.Rejected),
			thousands(f.Missing), thousands(f.Twice), verdict})
		topics[f.Topic] = true
		stored, rejected = stored+f.Stored, rejected+f.Rejected
	}
	if err := writeGrid(w, g, "table"); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, h := range held {
		fmt.Fprintf(w, "%s\n", h)
	}
	if complete {
		_, err := fmt.Fprintf(w, "Complete: %d partitions of %d topics, %s rows stored and %s rejected, none missing, none twice.\n", len(all), len(topics),
			thousands(stored), thousands(rejected))
		return err
	}
	for _, f := range all {
		if text := f.String(); text != "" {
			fmt.Fprintf(w, "%s\n", text)
		}
	}
	for _, way := range waysOut(all) {
		fmt.Fprintf(w, "%s\n", way)
	}
	return nil
}

// waysOut says what can be done about the findings.
func waysOut(all []consumers.Finding) []string {
	var missing, lost, twice, strange, stale bool
	for _, f := range all {
		missing, lost = missing || f.Missing > f.Lost, lost || f.Lost > 0
		twice, strange, stale = twice || f.Twice > 0, strange || f.Strange > 0, stale || f.Stale > 0
	}
	ways := []string{""}
	if missing || twice {
		ways = append(ways, "extract audit --repair fetches what is missing from Kafka and removes what is there twice.")
	}
	if twice || strange {
		ways = append(ways, "extract replay --topic TOPIC builds a table anew from its topic.")
	}
	if stale {
		ways = append(ways, "extract replay --topic TOPIC --accept-different builds the current rows anew.")
	}
	if lost {
		ways = append(ways, "What Kafka no longer has comes back from its source only: drop the file again, or have the table copied again.")
	}
	return ways
}

// serveAudits adds /audit, where `extract audit --repair` asks the consumer of this process. Call it before run.
func (a *admin) serveAudits(p *pipeline) {
	a.mux.HandleFunc("POST /audit", func(w http.ResponseWriter, req *http.Request) {
		if !p.consumes.Load() {
			http.Error(w, "no consumer runs in this process", http.StatusServiceUnavailable)
			return
		}
		q := req.URL.Query()
		all, err := p.audits.Ask(req.Context(), q.Has("repair"), q["topic"]...)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all) // else the reader went away
	})
}

// askAudit asks the consumer at an admin address to repair the topics.
func askAudit(ctx context.Context, listen string, topics []string) error {
	u := url.URL{Scheme: "http", Host: reachable(listen), Path: "/audit", RawQuery: url.Values{"repair": {""}, "topic": topics}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000)) // what was read of it is shown
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}
