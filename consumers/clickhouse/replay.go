package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// ReplayOptions are what Replay needs. Kafka, Topic and Group are required.
type ReplayOptions struct {
	Kafka []kgo.Opt
	Topic string
	Group string // of the consumers that write the table
	// From and To bound what is read again: offsets or times from From on, below To. Rows outside of that are copied from the table.
	From, To consumers.Mark
	// Newest looks up the newest schema of a subject of the registry, nil when it has none. It may be nil.
	Newest func(ctx context.Context, subject string) (*schemas.Schema, error)
	// AcceptDifferent exchanges the tables although rows have another content than before, or cannot be stored any more.
	AcceptDifferent bool
	Limits          consumers.Limits
	// Lease is how long writers are kept out of the table at most, 30 s by default. An exchange that takes longer is given up and begun again.
	Lease time.Duration
	// Progress is told how far the replay is, from one goroutine at a time; it may be nil.
	Progress func(ReplayProgress)

	before func(step string) error // for tests: called before every step
}

// ReplayProgress is how far a replay is.
type ReplayProgress struct {
	Step  string
	Done  int64 // of Total, in offsets; both 0 where a step has no measure
	Total int64
	Rows  int64  // read from Kafka so far
	Note  string // what it waits for; empty when it goes on
}

// Replayed is what a replay did.
type Replayed struct {
	Topic      string `json:"topic"`
	Table      string `json:"table"`
	Generation int    `json:"generation"` // of the table in use now
	Resumed    bool   `json:"resumed"`    // a replay that was killed had begun it
	Read       int64  `json:"read"`       // records read from Kafka
	Carried    int64  `json:"carried"`    // rows copied from the older generation
	Rows       int64  `json:"rows"`       // in the table now
	Before     int64  `json:"before"`     // in the older generation
	Same       int64  `json:"same"`       // rows that are equal in both
	Restored   int64  `json:"restored"`   // rows that the older generation lacked
	Twice      int64  `json:"twice"`      // offsets that it held more than once
	Different  int64  `json:"different"`  // rows with another content, or that cannot be stored any more
	// Fenced is how long writers waited for the exchange.
	Fenced time.Duration `json:"fenced"`
	Old    []Generation  `json:"old"` // kept until they are dropped
}

// replayPlan says what a replay makes of a topic. It is in the comment of the table, so that a replay which was killed can be resumed.
type replayPlan struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Read are the offsets that are read from Kafka, by partition. What lies below them, or between them and Planned, is copied. From Planned
	// on, everything is read.
	Read    map[int32]consumers.Range `json:"read"`
	Planned map[int32]int64           `json:"planned"`
}

// hidden is what sets a table that a replay builds apart from the one in use.
type hidden struct {
	number int // of the generation
	plan   *replayPlan
	reject func(ctx context.Context, w *write, bad []reject) ([]reject, error)
}

func (h *hidden) generation() int {
	if h == nil {
		return 1
	}
	return h.number
}

func (h *hidden) planned() *replayPlan {
	if h == nil {
		return nil
	}
	return h.plan
}

// refuse takes those of the bad records that are not to become dead letters.
func (h *hidden) refuse(ctx context.Context, w *write, bad []reject) ([]reject, error) {
	if h == nil || len(bad) == 0 {
		return bad, nil
	}
	return h.reject(ctx, w, bad)
}

// replay is one Replay. Its fields belong to the goroutine that runs it, but for what says otherwise.
type replay struct {
	*Sink
	o      ReplayOptions
	log    *slog.Logger
	owner  string
	extent *consumers.Extent
	gens   *generations
	table  *table // being built
	plan   *replayPlan
	done   map[int32]int64 // everything from plan.Planned up to here is read
	doubt  map[int32]int64 // below it the new table may hold rows of an earlier try
	report Replayed
	mark   settled

	mu    sync.Mutex // guards what follows and report.Read, which writers tell of
	total int64      // offsets to be read
	read  int64      // offsets read

	refused refusals // has its own mutex
}

// Replay builds the tables of a topic anew from Kafka, beside those in use, and puts them in their place when they hold what they should. Queries
// and writers go on meanwhile, but for writers at the very end, who wait for the exchange. The older tables stay until they are dropped.
//
// Killed at any step, it leaves the tables in use as they were, or exchanged; the next Replay of the topic goes on with what it finds. Two
// replays of one topic do not run at once: the later one takes the tables over, and the earlier one ends with an error.
func (s *Sink) Replay(ctx context.Context, o ReplayOptions) (*Replayed, error) {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Limits.BatchRows == 0 {
		o.Limits.BatchRows = 100_000
	}
	var id [4]byte
	rand.Read(id[:]) // it never fails
	r := &replay{Sink: s, o: o, log: s.log, owner: hex.EncodeToString(id[:]), done: map[int32]int64{}, doubt: map[int32]int64{},
		report: Replayed{Topic: o.Topic, Table: s.conf.Raw + "." + schemas.Table(s.conf.Prefix, o.Topic)}}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"survey", r.survey}, {"take over", r.takeOver}, {"create", r.create}, {"carry over", r.carry}, {"read", r.readRounds},
		{"exchange", r.exchange}, {"keep", r.keep}, {"refresh", r.refresh},
	} {
		if err := r.at(step.name); err != nil {
			return &r.report, err
		}
		if err := step.run(ctx); err != nil {
			return &r.report, fmt.Errorf("replay topic %s: %s: %w", o.Topic, step.name, err)
		}
	}
	return &r.report, nil
}

// at tells where the replay is.
func (r *replay) at(step string) error {
	r.tell(step, "")
	if r.o.before != nil {
		return r.o.before(step)
	}
	return nil
}

func (r *replay) tell(step, note string) {
	if r.o.Progress != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.o.Progress(ReplayProgress{Step: step, Done: r.read, Total: r.total, Rows: r.report.Read, Note: note})
	}
}

// persist does what can be done again until it works or cannot work: an error that passes, or that somebody mends, is waited for.
func (r *replay) persist(ctx context.Context, step string, do func(context.Context) error) error {
	backoff := 50 * time.Millisecond
	for {
		err := classify(do(ctx))
		if err == nil || ctx.Err() != nil {
			return err
		}
		if class := consumers.Classify(err); errors.Is(err, errTaken) || errors.Is(err, errDiffers) || class != consumers.Retry && class != consumers.Pause {
			return err
		}
		r.tell(step, err.Error())
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, 2*time.Second)
	}
}

// survey finds out what there is, and plans.
func (r *replay) survey(ctx context.Context) error {
	var err error
	if r.extent, err = consumers.Survey(ctx, r.o.Kafka, r.o.Topic, r.o.Group, r.o.From, r.o.To); err != nil {
		return err
	}
	if err := r.dead.ensure(ctx); err != nil {
		return err
	}
	if r.gens, err = r.generations(ctx, r.o.Topic); err != nil {
		return err
	}
	id := hex.EncodeToString(r.extent.TopicID[:])
	if m := r.gens.raw; m != nil && m.TopicID != id {
		return fmt.Errorf("table %s holds topic %s with id %s, which was deleted: the topic of that name now has id %s. Rename the table, or drop it, and the consumer makes it anew",
			r.report.Table, m.Topic, m.TopicID, id)
	}
	bounds, err := r.bounds(ctx)
	if err != nil {
		return err
	}
	r.plan = &replayPlan{From: r.o.From.String(), To: r.o.To.String(), Read: map[int32]consumers.Range{}, Planned: bounds}
	for n, rng := range r.extent.Ranges {
		rng.End = min(rng.End, bounds[n])
		rng.Start = min(rng.Start, rng.End)
		if !r.o.To.Set {
			rng = consumers.Range{Start: min(r.extent.Ranges[n].Start, bounds[n]), End: bounds[n]}
		}
		r.plan.Read[n] = rng
		if r.gens.raw == nil && (r.o.From.Set && r.o.From != consumers.Mark{Set: true} || r.o.To.Set) {
			return fmt.Errorf("table %s is missing, so the rows outside of --from and --to cannot be copied from it: replay the whole topic", r.report.Table)
		}
	}
	return nil
}

// bounds are where the new table has to end, by partition: behind what the table in use holds, as its writers go on from there and take nothing
// twice. Where the table is missing, the writers wait at what they have committed.
func (r *replay) bounds(ctx context.Context) (map[int32]int64, error) {
	bounds := map[int32]int64{}
	if r.gens.raw == nil {
		for n, rng := range r.extent.Ranges {
			bounds[n] = rng.End
			if at, ok := r.extent.Committed[n]; ok {
				bounds[n] = at
			}
		}
		return bounds, nil
	}
	inUse := newTable(r.Sink, r.o.Topic, r.gens.name)
	for n := range r.extent.Ranges {
		highest, err := inUse.highest(ctx, r.partition(n), true)
		if err != nil {
			return nil, err
		}
		bounds[n] = highest + 1
	}
	return bounds, nil
}

func (r *replay) partition(n int32) consumers.Partition {
	return consumers.Partition{Topic: r.o.Topic, TopicID: r.extent.TopicID, Partition: n}
}

// inUse is the name of the raw table that people query, tableName that of the one being built.
func (r *replay) inUse() string { return quoteName(r.conf.Raw) + "." + quoteName(r.gens.name) }

func (r *replay) currentInUse() string {
	return quoteName(r.conf.Current) + "." + quoteName(rowsPrefix+r.gens.name)
}

// columnsText lists columns for a statement.
func columnsText(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteName(n)
	}
	return strings.Join(quoted, ", ")
}
