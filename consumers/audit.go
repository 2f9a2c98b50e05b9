package consumers

import (
	"context"
	"fmt"
	"time"
)

// Auditor is a sink that says how much it holds, so that it can be compared with what was committed. Its methods are called by several goroutines at
// once. An offset is held when it is there as a row or as a dead letter, as for Held.
//
// Count counts what is held below an offset of each of the partitions, in their order. What it costs must not grow with what is held.
//
// Rows lists the offsets of the range that are held, ascending, and one that has several rows as often.
//
// Stale counts, of the records in the stretches of partitions of one topic, in their order, the changes that the rows it derives from them do not show: neither
// the change nor a later one of the same row. It is 0 where nothing is derived, or the record is not held.
//
// Recreate lets the sink make the table of a topic again although somebody took it away: a person has asked for it. The next batch makes it.
type Auditor interface {
	Count(ctx context.Context, at []Place) ([]Count, error)
	Rows(ctx context.Context, p Partition, r Range) ([]int64, error)
	Stale(ctx context.Context, in []Stretch) ([]int64, error)
	Recreate(topic string)
}

// Place is a partition and an offset of it.
type Place struct {
	Partition
	Offset int64
}

// Stretch is ranges of a partition.
type Stretch struct {
	Partition
	In []Range
}

// Count is how much a sink holds of a partition below an offset.
type Count struct {
	Stored   int64 // rows
	Rejected int64 // offsets that are a dead letter and no row
	NoTable  bool  // there is no table for the topic's rows
}

// AuditOptions say how a sink is audited. The zero value is what to begin with.
type AuditOptions struct {
	Every time.Duration // a minute when zero; below zero only at the start, after a repair and when somebody asks
	// Only makes an audit say what is missing, without fetching it from Kafka again before somebody asks for it.
	Only  bool
	Asked *Audits // through which other goroutines ask for an audit; may be nil
	// OpenFor is how long a transaction may be open without a record before an audit says that it holds its partition back; 90 s when zero.
	OpenFor time.Duration
}

// Audits let other goroutines ask a Run for an audit. Make one with NewAudits.
type Audits struct{ requests chan *auditRequest }

// NewAudits makes the way to a Run whose options have it.
func NewAudits() *Audits { return &Audits{requests: make(chan *auditRequest)} }

type auditRequest struct {
	topics  map[string]bool // all when empty
	repair  bool
	answers chan []Finding // holds the one answer
}

// about tells whether a topic is one of those that were asked about.
func (r *auditRequest) about(topic string) bool { return len(r.topics) == 0 || r.topics[topic] }

// Ask waits for an audit of the topics' partitions that the Run has, of all topics when none is given, and returns what was found. With repair what
// is missing is fetched from Kafka again afterwards, and a table that was taken away is made again.
func (a *Audits) Ask(ctx context.Context, repair bool, topics ...string) ([]Finding, error) {
	req := &auditRequest{topics: map[string]bool{}, repair: repair, answers: make(chan []Finding, 1)}
	for _, t := range topics {
		req.topics[t] = true
	}
	select {
	case a.requests <- req:
	case <-ctx.Done():
		return nil, fmt.Errorf("ask for an audit: %w", ctx.Err())
	}
	select {
	case all := <-req.answers:
		return all, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for an audit: %w", ctx.Err())
	}
}

func (a *Audits) asks() chan *auditRequest {
	if a == nil {
		return nil
	}
	return a.requests
}

// Verdict is what an audit thinks of a partition.
type Verdict string

// The verdicts. What a table has lost last is Behind, which is what a power loss does; what it has lost in between are Holes.
const (
	Complete  Verdict = "complete"
	Uncounted Verdict = "uncounted" // nothing says how many records there should be
	Dropped   Verdict = "dropped"
	Truncated Verdict = "truncated"
	Behind    Verdict = "behind"
	Holes     Verdict = "holes"
	Twice     Verdict = "twice"
	Strange   Verdict = "strange"   // rows that are no records of the topic
	Stale     Verdict = "stale"     // every record is there, but not every change in the rows derived from them
	Held      Verdict = "held back" // every record that can be read is there; see HeldBack
)

// Finding is what an audit has found of one partition.
type Finding struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Committed int64     `json:"committed"` // offset up to which the sink is to hold everything
	Expected  int64     `json:"expected"`  // records below it; -1 when it is not known
	Stored    int64     `json:"stored"`    // rows below it
	Rejected  int64     `json:"rejected"`  // dead letters below it
	Missing   int64     `json:"missing"`   // records that are neither
	Lost      int64     `json:"lost"`      // of them, those that Kafka no longer has
	Twice     int64     `json:"twice"`     // rows too many of records
	Strange   int64     `json:"strange"`   // rows of offsets that are no record
	Stale     int64     `json:"stale"`     // of the changes that were looked at, those that the derived rows do not show
	MissingAt []Range   `json:"missing_at,omitempty"`
	TwiceAt   []Range   `json:"twice_at,omitempty"`
	HeldBack  *HeldBack `json:"held_back,omitempty"` // what keeps the partition from being read to its end; only in a Run's own audits
	Verdict   Verdict   `json:"verdict"`
	Err       string    `json:"error,omitempty"` // why nothing could be found
	Again     bool      `json:"again,omitempty"` // what is missing is being fetched from Kafka again

	p        *part // of a Run's own audit
	counted  tally // what was expected when the audit began
	compared bool  // record by record
}

// deficit is how many more are expected than are held.
func (f Finding) deficit() int64 { return f.Expected - f.Held() }

// Held is how many rows and dead letters there are.
func (f Finding) Held() int64 { return f.Stored + f.Rejected }

// Fine tells whether nothing is missing and nothing is there that should not be.
func (f Finding) Fine() bool {
	return f.Err == "" && f.HeldBack == nil && (f.Verdict == Complete || f.Verdict == Uncounted)
}

// String says for people what is wrong, and nothing when nothing is.
func (f Finding) String() string {
	at := fmt.Sprintf("%s/%d", f.Topic, f.Partition)
	if f.Err != "" {
		return fmt.Sprintf("cannot audit %s: %s", at, f.Err)
	}
	if f.Fine() {
		return ""
	}
	text := ""
	if f.Missing > 0 {
		text = fmt.Sprintf("missing %d rows of %s below offset %d", f.Missing, at, f.Committed)
		if len(f.MissingAt) > 0 {
			text += ", at " + rangesText(f.MissingAt)
		}
		text += map[Verdict]string{
			Dropped:   ": the table was dropped",
			Truncated: ": the table was truncated",
			Behind:    ": the table is behind, as after a power loss of its server",
			Holes:     ": the table has holes",
		}[f.Verdict]
		if f.Lost > 0 {
			text += fmt.Sprintf("; Kafka no longer has %d of them", f.Lost)
		}
	}
	if f.Twice > 0 {
		text = also(text, fmt.Sprintf("%d rows of %s are there twice, at %s", f.Twice, at, rangesText(f.TwiceAt)))
	}
	if f.Stale > 0 {
		text = also(text, fmt.Sprintf("the current rows of %s do not show every change that is stored: their table was truncated, or has lost rows", at))
	}
	if f.Strange > 0 {
		text = also(text, fmt.Sprintf("%d rows of %s have offsets that are no record of the topic", f.Strange, at))
	}
	if f.HeldBack != nil {
		text = also(text, f.HeldBack.String())
	}
	return text
}

func also(text, more string) string {
	if text == "" {
		return more
	}
	return text + "; " + more
}

// shownRanges is how many ranges are written out.
const shownRanges = 3

func rangesText(all []Range) string {
	text := ""
	for i, r := range all {
		if i == shownRanges {
			return text + " and more"
		}
		if i > 0 {
			text += ", "
		}
		if r.End == r.Start+1 {
			text += fmt.Sprint(r.Start)
		} else {
			text += fmt.Sprintf("%d-%d", r.Start, r.End-1)
		}
	}
	return text
}
