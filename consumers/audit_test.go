package consumers

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestIntentCarriesTheTally(t *testing.T) {
	for _, i := range []intent{
		{tally: tally{known: true}}, {pending: Range{5, 9}, first: true, tally: tally{true, 17, 5}}, {tally: tally{true, 1 << 62, 1 << 62}},
	} {
		if got, ok := parseIntent(i.String()); !ok || got != i {
			t.Errorf("%q was read as %+v, %v", i, got, ok)
		}
	}
	if i, ok := parseIntent(i16 + " pending=1-2 first"); !ok || i.tally.known {
		t.Errorf("a commit of before there were audits was read as %+v, %v", i, ok)
	}
	for _, text := range []string{" n=5", " n=@5", " n=5@", " n=-1@5", " n=5@-1", " n=x@5"} {
		if i, ok := parseIntent(i16 + text); ok {
			t.Errorf("%q was read as %+v", text, i)
		}
	}
	long := intent{pending: Range{1 << 62, 1<<63 - 1}, first: true, tally: tally{true, 1<<63 - 1, 1<<63 - 1}}
	if n := len(long.String()); n > 300 {
		t.Errorf("an intent takes %d bytes of the 4096 that metadata may have", n)
	}
}

func recordsAt(offsets ...int64) (all []*kgo.Record) {
	for _, o := range offsets {
		all = append(all, &kgo.Record{Offset: o})
	}
	return all
}

// A record is counted once, however often it is read again, and the mark of a transaction never.
func TestTallyCountsARecordOnce(t *testing.T) {
	p := &part{tally: tally{known: true}}
	step := func(to int64, elsewhere bool, want tally, wantPosition int64, offsets ...int64) {
		t.Helper()
		if got := p.reach(to, recordsAt(offsets...)); got != elsewhere || p.tally != want || p.position != wantPosition {
			t.Errorf("up to %d: elsewhere %v, tally %+v, position %d; want %v, %+v, %d", to, got, p.tally, p.position, elsewhere, want, wantPosition)
		}
	}
	step(10, false, tally{true, 3, 10}, 10, 2, 5, 9)
	step(11, false, tally{true, 3, 11}, 11)
	p.again, p.resume, p.position = []Range{{2, 3}, {9, 10}}, 11, 2
	step(3, true, tally{true, 3, 11}, 9, 2)
	step(10, true, tally{true, 3, 11}, 11, 9)
	if len(p.again) != 0 {
		t.Errorf("still to be read again: %v", p.again)
	}
	step(13, false, tally{true, 4, 13}, 13, 12)
	p.tally.below = 15 // a range in the middle of which the tally ends
	step(18, false, tally{true, 5, 18}, 18, 14, 17)
}

// Where a partition goes on: at the commit; lower, where the sink has lost its end; or in the middle of what a process that died was reading again.
func TestTakeUp(t *testing.T) {
	for _, c := range []struct {
		name            string
		committed, next int64
		i               intent
		want            part
	}{
		{"as committed", 10, 10, intent{tally: tally{true, 8, 10}}, part{position: 10, doubt: 10, tally: tally{true, 8, 10}}},
		{"with an intent", 10, 12, intent{pending: Range{10, 15}, tally: tally{true, 8, 10}}, part{position: 10, recover: Range{10, 15}, doubt: 12, tally: tally{true, 8, 10}}},
		{"behind", 10, 7, intent{pending: Range{10, 15}, tally: tally{true, 8, 10}},
			part{position: 7, again: []Range{{7, 10}}, resume: 10, pending: Range{10, 15}, doubt: 10, tally: tally{true, 8, 10}}},
		{"without a tally", 10, 7, intent{}, part{position: 7, again: []Range{{7, 10}}, resume: 10, doubt: 10, tally: tally{below: 10}}},
		{"reading again", 3, 20, intent{pending: Range{3, 6}, tally: tally{true, 8, 10}},
			part{position: 3, recover: Range{3, 6}, again: []Range{{3, 10}}, resume: 10, doubt: 20, tally: tally{true, 8, 10}}},
		{"reading again, and behind", 3, 2, intent{pending: Range{3, 6}, tally: tally{true, 8, 10}},
			part{position: 2, again: []Range{{2, 10}}, resume: 10, doubt: 10, tally: tally{true, 8, 10}}},
	} {
		var p part
		p.takeUp(c.committed, c.next, c.i)
		c.want.next = c.want.position
		if !reflect.DeepEqual(p, c.want) {
			t.Errorf("%s: goes on with\n%#v, want\n%#v", c.name, p, c.want)
		}
	}
}

// A topic that begins later than a partition goes on drops what can no longer be read, also of what was to be read again.
func TestStartAt(t *testing.T) {
	again := func() part {
		return part{position: 2, again: []Range{{2, 5}, {8, 10}}, resume: 12, pending: Range{12, 14}, tally: tally{true, 9, 12}}
	}
	for start, want := range map[int64]Range{4: {4, 5}, 6: {8, 10}, 9: {9, 10}, 11: {}, 20: {}} {
		p := again()
		p.startAt(start)
		if want.Empty() {
			if len(p.again) != 0 || p.position != max(12, start) || p.tally.below != max(12, start) {
				t.Errorf("start %d: %#v", start, p)
			}
			if start == 11 && p.recover != (Range{12, 14}) {
				t.Errorf("start %d: the intent is %v", start, p.recover)
			}
			continue
		}
		if p.position != want.Start || p.again[0].End != want.End || p.tally != (tally{true, 9, 12}) || p.next != p.position {
			t.Errorf("start %d: %#v, want %v", start, p, want)
		}
	}
}

func TestDifference(t *testing.T) {
	for _, c := range []struct {
		records, rows   []int64
		missing, twice  []Range
		nTwice, strange int64
	}{
		{[]int64{1, 2, 4}, []int64{1, 2, 4}, nil, nil, 0, 0},
		{[]int64{1, 2, 4, 7}, []int64{1}, []Range{{2, 8}}, nil, 0, 0},
		{[]int64{1, 2, 4, 7}, []int64{2, 7}, []Range{{1, 2}, {4, 5}}, nil, 0, 0},
		{[]int64{1, 2, 4}, []int64{1, 1, 1, 2, 4, 4}, nil, []Range{{1, 2}, {4, 5}}, 3, 0},
		{[]int64{2, 4}, []int64{1, 2, 3, 3, 4, 5}, nil, nil, 0, 4},
		{nil, []int64{8}, nil, nil, 0, 1},
		{[]int64{8}, nil, []Range{{8, 9}}, nil, 0, 0},
	} {
		var d difference
		d.take(c.records, c.rows)
		if !slices.Equal(d.missing.ranges, c.missing) || !slices.Equal(d.twice.ranges, c.twice) || d.twice.n != c.nTwice || d.strange != c.strange || d.records != int64(len(c.records)) {
			t.Errorf("%v in Kafka and %v in the sink differ by %+v", c.records, c.rows, d)
		}
	}
	var many difference
	for i := range int64(2 * maxSpans) {
		many.take([]int64{2 * i, 2*i + 1}, []int64{2 * i})
	}
	last := many.missing.ranges[len(many.missing.ranges)-1]
	if many.missing.n != 2*maxSpans || len(many.missing.ranges) != maxSpans || last.End != 4*maxSpans {
		t.Errorf("%d missing in %d ranges, the last %v", many.missing.n, len(many.missing.ranges), last)
	}
}

func TestFindingsText(t *testing.T) {
	for want, f := range map[string]Finding{
		"": {Verdict: Complete},
		"missing 3 rows of aw.files.x/2 below offset 9, at 4-5, 7: the table has holes":                                                {Verdict: Holes, Missing: 3, MissingAt: []Range{{4, 6}, {7, 8}}},
		"missing 9 rows of aw.files.x/2 below offset 9, at 0-8: the table was dropped; Kafka no longer has 2 of them":                  {Verdict: Dropped, Missing: 9, Lost: 2, MissingAt: []Range{{0, 9}}},
		"1 rows of aw.files.x/2 are there twice, at 3":                                                                                 {Verdict: Twice, Twice: 1, TwiceAt: []Range{{3, 4}}},
		"2 rows of aw.files.x/2 have offsets that are no record of the topic":                                                          {Verdict: Strange, Strange: 2},
		"cannot audit aw.files.x/2: no":                                                                                                {Err: "no"},
		"missing 4 rows of aw.files.x/2 below offset 9, at 0, 2, 4 and more: the table is behind, as after a power loss of its server": {Verdict: Behind, Missing: 4, MissingAt: []Range{{0, 1}, {2, 3}, {4, 5}, {6, 7}}},
	} {
		f.Topic, f.Partition, f.Committed = "aw.files.x", 2, 9
		if got := f.String(); got != want || f.Fine() != (want == "") {
			t.Errorf("it reads %q, want %q", got, want)
		}
	}
}

// Old marks stay, new ones come, and there are never more than so many.
func TestMarksGetThinner(t *testing.T) {
	p := &part{}
	for i := range int64(1000) {
		p.mark(tally{true, i, 10 * i})
		p.mark(tally{true, i, 10 * i})
	}
	if len(p.marks) > maxMarks || p.marks[0].below != 0 || p.marks[len(p.marks)-1].below != 9990 || !slices.IsSortedFunc(p.marks, func(a, b tally) int { return int(a.below - b.below) }) {
		t.Errorf("the marks are %v", p.marks)
	}
}

// Somebody who removes rows again and again is not worked against for ever.
func TestRepairsByItselfAreBounded(t *testing.T) {
	r, p, now := newRunner(Options{}), &part{Partition: Partition{Topic: "t"}}, time.Now()
	for i := range maxRepairs + 1 {
		if may := r.mayRepair(p, now); may != (i < maxRepairs) {
			t.Errorf("repair %d: %v", i, may)
		}
	}
	if !r.mayRepair(p, now.Add(2*repairsIn)) {
		t.Error("an hour later it may be repaired again")
	}
}

// Whoever asks is answered when the consumers end.
func TestAskIsAnsweredAtTheEnd(t *testing.T) {
	audits := NewAudits()
	r := newRunner(Options{Audit: AuditOptions{Asked: audits}})
	answered := make(chan error, 1)
	go func() {
		all, err := audits.Ask(t.Context(), false)
		if len(all) > 0 {
			err = fmt.Errorf("%v", all)
		}
		answered <- err
	}()
	r.auditing.asked = append(r.auditing.asked, <-audits.asks())
	r.endAudit()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if text := fmt.Sprint((*Audits)(nil).asks()); !strings.Contains(text, "nil") {
		t.Errorf("no audits are asked for through %s", text)
	}
}

// What was polled before the client was told to go on elsewhere is dropped, though its offsets lie behind where it is to go on.
func TestWhatWasPolledBeforeASeekIsDropped(t *testing.T) {
	r := newRunner(Options{})
	var err error
	if r.cl, err = kgo.NewClient(); err != nil {
		t.Fatal(err)
	}
	defer r.cl.Close()
	p := &part{Partition: Partition{Topic: "t"}, position: 50, next: 80, buf: recordsAt(60, 70), bufBytes: 2 * recordOverhead}
	r.parts[p.key()], r.buffered = p, p.bufBytes
	before := r.seeks
	r.seek(p)
	if len(p.buf) > 0 || p.next != 50 || r.buffered != 0 {
		t.Errorf("after the seek: %#v", p)
	}
	fetched := func(seeks int64, offsets ...int64) polled {
		return polled{kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "t", Partitions: []kgo.FetchPartition{{Records: recordsAt(offsets...)}}}}}}, seeks}
	}
	for _, f := range []polled{fetched(before, 80, 81), fetched(before, 50, 51)} {
		if err := r.take(f); err != nil || len(p.buf) > 0 || p.next != 50 {
			t.Errorf("a poll of before the seek was taken: %+v, %v", p, err)
		}
	}
	if err := r.take(fetched(r.seeks, 50, 52)); err != nil || len(p.buf) != 2 || p.next != 53 {
		t.Errorf("a poll of after the seek was not taken: %+v, %v", p, err)
	}
}
