package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// completeness is what `extract reconcile` knows of one dataset: what its source holds, what is in its topic, what is stored.
type completeness struct {
	Source  string `json:"source"`
	Dataset string `json:"dataset"`
	// Changes tells that the topic carries changes: then the source's rows compare with the current table, and the topic's records with
	// the raw one. Otherwise a row is a record.
	Changes bool `json:"changes"`

	Held     int64 `json:"held"`     // rows at the source, those that cannot be produced included
	Produced int64 `json:"produced"` // committed records in the topic
	Stored   int64 `json:"stored"`   // rows in the raw table
	Twice    int64 `json:"twice"`    // offsets that the raw table holds more than once, counted by their surplus rows
	Current  int64 `json:"current"`  // rows in the current table, of changes
	Rejected int64 `json:"rejected"` // rows in the dead letters that are not stored, from the producer and from the consumer
	Retried  int64 `json:"retried"`  // rows that the producer rejected and a retry produced; they are not among Rejected

	RejectedAtSource   int64 `json:"rejected_at_source"` // of Held, by reading the source again, without those retried with corrected bytes
	RejectedByConsumer int64 `json:"rejected_by_consumer"`

	HeldDigest   schemas.Digest `json:"-"`
	StoredDigest schemas.Digest `json:"-"` // of the current table for changes, else of the raw one

	Gaps []string `json:"gaps"` // what does not add up; empty when all does
}

// retried takes in the dead letters of the producer that were retried since: their rows are in the topic. Where the bytes were corrected, the source still
// holds the row as it was and counts it as rejected; what is compared is the row that was brought in instead.
func (c *completeness) retried(closings map[string]producers.Closing) error {
	for id, closing := range closings {
		if closing.State != producers.LetterRetried || !closing.Produced || closing.Source != c.Source || closing.Dataset != c.Dataset {
			continue
		}
		c.Retried++
		c.Rejected--
		if !closing.Corrected || c.RejectedAtSource == 0 {
			continue
		}
		digest, err := schemas.ParseDigest(closing.Digest)
		if err != nil {
			return fmt.Errorf("dead letter %s: %w", id, err)
		}
		c.RejectedAtSource--
		c.HeldDigest.Sum(digest)
	}
	return nil
}

// judge fills Gaps. Every rule can fail on its own, so that the report says which step lost or doubled something.
func (c *completeness) judge() {
	c.Gaps = []string{}
	gap := func(format string, args ...any) { c.Gaps = append(c.Gaps, fmt.Sprintf(format, args...)) }
	if stored := c.Stored + c.RejectedByConsumer; stored < c.Produced {
		gap("%s records of the topic are not stored", thousands(c.Produced-stored))
	} else if stored > c.Produced {
		gap("%s more records are stored than the topic holds", thousands(stored-c.Produced))
	}
	if c.Twice > 0 {
		gap("%s records are stored twice", thousands(c.Twice))
	}
	kept, where := c.Produced, "produced"
	if c.Changes {
		kept, where = c.Current, "in the current table"
	}
	want := c.Held - c.RejectedAtSource
	switch {
	case kept < want:
		gap("%s rows of the source are not %s", thousands(want-kept), where)
	case kept > want:
		gap("%s more rows are %s than the source holds", thousands(kept-want), where)
	case len(c.Gaps) == 0 && c.RejectedByConsumer == 0 && c.HeldDigest != c.StoredDigest:
		gap("the rows differ: digest %s at the source, %s stored", c.HeldDigest, c.StoredDigest)
	}
	if !c.Changes && c.Rejected < c.RejectedAtSource+c.RejectedByConsumer {
		gap("%s rejected rows are not in the dead letters", thousands(c.RejectedAtSource+c.RejectedByConsumer-c.Rejected))
	}
}

// MarshalJSON adds the digests as text.
func (c completeness) MarshalJSON() ([]byte, error) {
	type plain completeness
	return json.Marshal(struct {
		plain
		HeldDigest   string `json:"held_digest"`
		StoredDigest string `json:"stored_digest"`
	}{plain(c), c.HeldDigest.String(), c.StoredDigest.String()})
}

// writeCompleteness prints the report as text, json or markdown and returns errAnswerIsNo when there is a gap.
func writeCompleteness(w io.Writer, all []completeness, format string) error {
	gaps := 0
	for _, c := range all {
		gaps += len(c.Gaps)
	}
	var err error
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		err = enc.Encode(map[string]any{"complete": gaps == 0, "datasets": all})
	case "text", "markdown":
		err = writeCompletenessText(w, all, gaps, format)
	default:
		return usageError{fmt.Errorf("--format %q: use text, json or markdown", format)}
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if gaps > 0 {
		return errAnswerIsNo
	}
	return nil
}

func writeCompletenessText(w io.Writer, all []completeness, gaps int, format string) error {
	g := grid{
		columns: []string{"source", "dataset", "held", "current", "produced", "stored", "rejected", "digest", "verdict"},
		numbers: []bool{false, false, true, true, true, true, true, false, false},
	}
	var held, stored, rejected int64
	for _, c := range all {
		current := "-"
		if c.Changes {
			current = thousands(c.Current)
		}
		verdict := "complete"
		if len(c.Gaps) > 0 {
			verdict = "GAP"
		}
		g.rows = append(g.rows, []string{c.Source, c.Dataset, thousands(c.Held), current, thousands(c.Produced), thousands(c.Stored),
			thousands(c.Rejected), c.StoredDigest.String()[24:], verdict})
		held, stored, rejected = held+c.Held, stored+c.Stored, rejected+c.Rejected
	}
	layout := "table"
	if format == "markdown" {
		layout = "markdown"
	}
	if err := writeGrid(w, g, layout); err != nil {
		return err
	}
	var b strings.Builder
	for _, c := range all {
		for _, gap := range c.Gaps {
			fmt.Fprintf(&b, "GAP %s.%s: %s\n", c.Source, c.Dataset, gap)
		}
	}
	hint := ""
	if rejected > 0 {
		hint = " (extract deadletters list)"
	}
	if gaps == 0 {
		fmt.Fprintf(&b, "Complete: %d datasets, %s rows held, %s records stored, none missing, none twice, every digest equal; %s in the dead letters%s.\n",
			len(all), thousands(held), thousands(stored), thousands(rejected), hint)
	}
	_, err := fmt.Fprintf(w, "\n%s", b.String())
	return err
}
