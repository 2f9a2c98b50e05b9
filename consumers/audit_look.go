package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// LookOptions are what Look needs. Kafka, Group and Sink are required.
type LookOptions struct {
	Kafka  []kgo.Opt
	Group  string
	Topics []string // all that the group has committed offsets of when empty
	Sink   Auditor
	// Full compares every record with the sink, where otherwise only a count that differs makes an audit look closer: a row that is there twice
	// hides one that is missing from a count.
	Full bool
}

// Look audits from outside what a group has committed, while its members work or while none runs. It changes nothing. The findings are in the order of
// topics and partitions; an offset that is committed never falls behind what was written, so nothing that is on its way is missing.
func Look(ctx context.Context, o LookOptions) ([]Finding, error) {
	cl, err := kgo.NewClient(o.Kafka...)
	if err != nil {
		return nil, fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	l := looker{kafka: o.Kafka, adm: kadm.NewClient(cl), sink: o.Sink, full: o.Full}
	committed, err := l.adm.FetchOffsets(ctx, o.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("fetch offsets of group %s: %w", o.Group, err)
	}
	var sights []sight
	for _, at := range committed.Sorted() {
		i, ours := parseIntent(at.Metadata)
		if !ours || at.At < 0 || at.Err != nil || len(o.Topics) > 0 && !slices.Contains(o.Topics, at.Topic) {
			continue
		}
		s := sight{Partition: Partition{Topic: at.Topic, TopicID: i.topic, Partition: at.Partition}, tally: i.tally, again: i.tally.below > at.At}
		if !s.tally.known {
			s.tally.below = at.At
		}
		sights = append(sights, s)
	}
	slices.SortFunc(sights, bySight)
	return l.look(ctx, sights), nil
}

// sight is a partition that an audit looks at, and what it is to hold.
type sight struct {
	Partition
	tally tally
	p     *part   // nil from outside
	again bool    // what is missing is being read again
	marks []tally // what earlier audits found complete, ascending
	last  Finding // of the last audit, when it was not fine
}

func bySight(a, b sight) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition.Partition, b.Partition.Partition))
}

// looker compares a sink with what was committed.
type looker struct {
	kafka []kgo.Opt
	adm   *kadm.Client
	sink  Auditor
	full  bool
	wait  time.Duration // for an answer of the sink; a minute when zero
}

// look looks at every partition, one topic after the other. What cannot be asked is said in its finding.
func (l looker) look(ctx context.Context, sights []sight) []Finding {
	var all []Finding
	for len(sights) > 0 && ctx.Err() == nil {
		n := 1
		for n < len(sights) && sights[n].Topic == sights[0].Topic {
			n++
		}
		all = append(all, l.topic(ctx, sights[:n])...)
		sights = sights[n:]
	}
	return all
}

// heldBack adds to each finding what keeps its partition from being read to its end.
func (l looker) heldBack(ctx context.Context, all []Finding, openFor time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.wait, stalled))
	defer cancel()
	var topics []string
	for _, f := range all {
		topics = append(topics, f.Topic)
	}
	held, err := findHeldBack(ctx, l.adm, slices.Compact(topics), openFor)
	for _, h := range held {
		if i := slices.IndexFunc(all, func(f Finding) bool { return f.Topic == h.Topic && f.Partition == h.Partition }); i >= 0 {
			if all[i].HeldBack = &h; all[i].Verdict == Complete {
				all[i].Verdict = Held
			}
		}
	}
	return err
}

func (l looker) topic(ctx context.Context, sights []sight) []Finding {
	places := make([]Place, len(sights))
	all := make([]Finding, len(sights))
	for i, s := range sights {
		places[i] = Place{s.Partition, s.tally.below}
		all[i] = Finding{Topic: s.Topic, Partition: s.Partition.Partition, Committed: s.tally.below, Expected: s.tally.records, Again: s.again, p: s.p, counted: s.tally}
		if !s.tally.known {
			all[i].Expected = -1
		}
	}
	counts, err := l.count(ctx, places...)
	if err != nil {
		for i := range all {
			all[i].Err = err.Error()
		}
		return all
	}
	for i, s := range sights {
		f := &all[i]
		f.Stored, f.Rejected = counts[i].Stored, counts[i].Rejected
		if err := l.judge(ctx, s, counts[i], f); err != nil {
			f.Err = err.Error()
		}
	}
	l.derived(ctx, sights, all)
	return all
}

// judge says what a count means, and looks closer where it is not what it should be.
func (l looker) judge(ctx context.Context, s sight, c Count, f *Finding) error {
	switch {
	case c.NoTable && s.tally.known && f.Expected > f.Rejected:
		f.Verdict, f.Missing = Dropped, f.Expected-f.Rejected
	case s.tally.known && f.Stored == 0 && f.Expected > f.Rejected:
		f.Verdict, f.Missing = Truncated, f.Expected-f.Rejected
	case !l.full && !s.tally.known:
		f.Verdict = Uncounted
		return nil
	case !l.full && f.Held() == f.Expected:
		f.Verdict = Complete
		return nil
	default:
		return l.closer(ctx, s, f)
	}
	start, err := l.start(ctx, s.Partition)
	if err != nil {
		return err
	}
	f.MissingAt = []Range{{min(start, s.tally.below), s.tally.below}}
	if start > 0 {
		return l.countLost(ctx, s, f, start)
	}
	return nil
}

// derived looks whether the rows derived from the records show them, of the partitions that are fine: all of them in a full audit, else some from everywhere
// and the last.
func (l looker) derived(ctx context.Context, sights []sight, all []Finding) {
	var some []Stretch
	var index []int
	for i, s := range sights {
		below := s.tally.below
		switch {
		case !all[i].Fine():
		case !l.full:
			some, index = append(some, Stretch{s.Partition, places(below)}), append(index, i)
		default:
			for at := int64(0); at < below; at += windowRows {
				l.stale(ctx, []Stretch{{s.Partition, []Range{{at, min(at+windowRows, below)}}}}, []int{i}, all)
			}
		}
	}
	if len(some) > 0 {
		l.stale(ctx, some, index, all)
	}
}

// stale adds the changes of each stretch that are not shown to the finding of its index.
func (l looker) stale(ctx context.Context, in []Stretch, index []int, all []Finding) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.wait, stalled))
	defer cancel()
	counts, err := l.sink.Stale(ctx, in)
	for n, i := range index {
		if err != nil {
			all[i].Err = fmt.Sprintf("look for changes in the current rows: %v", err)
		} else if all[i].Stale += counts[n]; all[i].Stale > 0 {
			all[i].Verdict = Stale
		}
	}
}

const (
	somePlaces = 16 // from everywhere
	placeSize  = 4  // offsets of each, some of which are marks of transactions
	lastPlace  = 64 // offsets at the end, which a server that lost its power loses
)

// places are the offsets that an audit looks at which is not full. Each costs the server a granule of the current rows.
func places(below int64) []Range {
	if below <= somePlaces*placeSize+lastPlace {
		return []Range{{0, below}}
	}
	last := below - lastPlace
	in := []Range{{last, below}}
	for i := range int64(somePlaces) {
		at := last / somePlaces * i
		in = append(in, Range{at, min(at+placeSize, last)})
	}
	return in
}

// countLost finds how many of a table that is gone as a whole Kafka no longer has either.
func (l looker) countLost(ctx context.Context, s sight, f *Finding, start int64) error {
	d, err := compare(ctx, l.kafka, l.sink, s.Partition, Range{start, s.tally.below})
	if err == nil {
		f.Lost = max(0, f.Missing-d.missing.n)
	}
	return err
}

// closer compares the records one by one. Where as much is missing as an audit before has found in this way, that is what is missing.
func (l looker) closer(ctx context.Context, s sight, f *Finding) error {
	f.compared = true
	if last := s.last; last.compared && !l.full && last.deficit() == f.deficit() {
		f.Missing, f.Lost, f.Twice, f.Strange = last.Missing, last.Lost, last.Twice, last.Strange
		f.MissingAt, f.TwiceAt, f.Verdict = last.MissingAt, last.TwiceAt, last.Verdict
		if len(f.MissingAt) > 0 {
			return l.nameLoss(ctx, s, f)
		}
		return nil
	}
	start, err := l.start(ctx, s.Partition)
	if err != nil {
		return err
	}
	from, below, err := l.from(ctx, s, min(start, s.tally.below))
	if err != nil {
		return err
	}
	d, err := compare(ctx, l.kafka, l.sink, s.Partition, Range{from, s.tally.below})
	if err != nil {
		return err
	}
	f.Missing, f.Twice, f.Strange = d.missing.n, d.twice.n, d.strange
	f.MissingAt, f.TwiceAt = d.missing.ranges, d.twice.ranges
	// What Kafka no longer has below from can only be counted.
	expected := f.Expected
	if !s.tally.known {
		expected = below + d.records
		f.Expected = expected
	}
	if rest := expected - d.records - below; rest > 0 && start > 0 {
		f.Lost, f.Missing = rest, f.Missing+rest
	} else if rest < 0 && start > 0 {
		f.Twice -= rest
	}
	switch {
	case d.missing.n > 0:
		return l.nameLoss(ctx, s, f)
	case f.Missing > 0:
		f.Verdict = Holes
	case f.Twice > 0:
		f.Verdict = Twice
	case f.Strange > 0:
		f.Verdict = Strange
	default:
		f.Verdict = Complete // a count that was not one of a single moment, or a tally that was wrong
		f.Expected = d.records + below
	}
	return nil
}

// nameLoss tells a table that is behind, which has no row above the first that is missing, from one with holes. Dead letters are in another table.
func (l looker) nameLoss(ctx context.Context, s sight, f *Finding) error {
	below, err := l.count(ctx, Place{s.Partition, f.MissingAt[0].Start})
	if err != nil {
		return err
	}
	switch {
	case f.Stored == 0:
		f.Verdict = Truncated
	case f.Stored == below[0].Stored:
		f.Verdict = Behind
	default:
		f.Verdict = Holes
	}
	return nil
}

// from is where to begin to compare: where an earlier audit found everything that is still there, else at start. It also returns how much is held below.
func (l looker) from(ctx context.Context, s sight, start int64) (from, held int64, err error) {
	marks := append([]tally{{below: start}}, s.marks...)
	if l.full {
		marks = marks[:1]
	}
	for i := len(marks) - 1; i >= 0; i-- {
		if m := marks[i]; m.below >= start {
			c, err := l.count(ctx, Place{s.Partition, m.below})
			if err != nil {
				return 0, 0, err
			}
			if held = c[0].Stored + c[0].Rejected; i == 0 || held == m.records {
				return m.below, held, nil
			}
		}
	}
	return start, held, nil
}

// count asks the sink. One that never answers must not end all audits.
func (l looker) count(ctx context.Context, at ...Place) ([]Count, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.wait, stalled))
	defer cancel()
	return l.sink.Count(ctx, at)
}

// start is the first offset that Kafka has of a partition.
func (l looker) start(ctx context.Context, p Partition) (int64, error) {
	starts, err := l.adm.ListStartOffsets(ctx, p.Topic)
	if err != nil {
		return 0, fmt.Errorf("list start offsets: %w", err)
	}
	start, ok := starts.Lookup(p.Topic, p.Partition)
	if !ok {
		return 0, fmt.Errorf("topic %s has no partition %d any more", p.Topic, p.Partition)
	}
	return start.Offset, start.Err
}
