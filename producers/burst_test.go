package producers_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// feed is a source of numbered rows, of which those between two are bad until somebody mends them. Its position is the next row.
type feed struct {
	rows, batch       int
	badFrom, badUntil int
	mended            *atomic.Bool
	open              bool // every batch but the last asks to be seen together with the next

	target producers.Target
	topic  producers.Dataset
	next   int
}

func (f *feed) Open(ctx context.Context, target producers.Target, positions map[string]string) (err error) {
	f.target = target
	fmt.Sscan(positions["p"], &f.next)
	f.topic, err = target.Dataset(ctx, "rows", nil, valueSchema)
	return err
}

func (f *feed) Next(context.Context) (producers.Batch, error) {
	if f.next == f.rows {
		return producers.Batch{}, io.EOF
	}
	var b producers.Batch
	count := producers.RowCount{Dataset: "rows"}
	for range min(f.batch, f.rows-f.next) {
		text := fmt.Sprint(f.next)
		if f.next >= f.badFrom && f.next < f.badUntil && !f.mended.Load() {
			b.Records = append(b.Records, f.target.DeadLetter(producers.DeadLetter{Dataset: "rows", Place: "feed row " + text, Raw: []byte(text), Reason: "it is bad"}))
			count.Rejected++
		} else {
			b.Records = append(b.Records, &kgo.Record{Topic: f.topic.Topic, Value: schemas.AppendBytes(schemas.AppendFrame(nil, f.topic.ValueID), []byte(text))})
			count.Produced++
		}
		f.next++
	}
	b.Rows, b.Positions = []producers.RowCount{count}, []producers.Position{{Part: "p", Text: fmt.Sprint(f.next)}}
	b.Open = f.open && f.next < f.rows
	return b, nil
}

func (f *feed) Commit(context.Context, []producers.Position) error { return nil }
func (f *feed) Close(context.Context) error                        { return nil }

// A burst pauses the source before any of it is written; what came before it is, and once the feed is mended everything comes, once.
func TestBurstPausesBeforeItIsWritten(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprint("open ", open), func(t *testing.T) {
			r := newRig(t)
			r.o.Rejects = faults.NewBudget(30)
			var mended atomic.Bool
			o := r.o
			o.New = func(context.Context) (producers.Source, error) {
				return &feed{rows: 300, batch: 10, badFrom: 100, badUntil: 200, mended: &mended, open: open}, nil
			}
			done := make(chan error, 1)
			go func() { done <- producers.Run(t.Context(), o) }()
			s := until(t, r.o.Status, "a pause", func(s producers.Snapshot) bool { return s.State == producers.Paused })
			for _, want := range []string{"more than 30 rows of source sql", "feed row 1", "it is bad", "max_rejected"} {
				if !strings.Contains(s.Error+"; "+s.ErrorRemedy, want) {
					t.Errorf("the error is %q, without %q", s.Error, want)
				}
			}
			if s.ErrorClass != producers.Pause {
				t.Errorf("the class is %s", s.ErrorClass)
			}
			letters, rows := r.visible(t, r.topic("deadletters")), r.visible(t, r.topic("sql.rows"))
			switch {
			case open && len(letters)+len(rows) > 0:
				t.Errorf("%d dead letters and %d rows of an aborted transaction are seen", len(letters), len(rows))
			case !open && (len(letters) > 30 || len(rows) != 100):
				t.Errorf("%d dead letters and %d rows are seen, want at most 30 and the 100 before the burst", len(letters), len(rows))
			}
			mended.Store(true)
			if err := receive(t, done, "end of Run"); err != nil {
				t.Fatal(err)
			}
			n := len(letters)
			r.sees(t, r.topic("deadletters"), n)
			seen := map[string]int{}
			for _, rec := range r.sees(t, r.topic("sql.rows"), 300-n) {
				seen[string(rec.Value)]++
			}
			if len(seen) != 300-n {
				t.Errorf("%d different rows, want %d", len(seen), 300-n)
			}
			if open && !r.o.Rejects.Take(30) {
				t.Error("what was taken for an aborted transaction was not given back")
			}
		})
	}
}

// The budget is of any minute: rows that were rejected in transactions that were aborted do not count, those of committed ones do.
func TestBudgetCountsWhatWasWritten(t *testing.T) {
	r := newRig(t)
	r.o.Rejects = faults.NewBudget(25)
	var mended atomic.Bool
	o := r.o
	o.New = func(context.Context) (producers.Source, error) {
		return &feed{rows: 60, batch: 10, badFrom: 0, badUntil: 60, mended: &mended}, nil
	}
	done := make(chan error, 1)
	go func() { done <- producers.Run(t.Context(), o) }()
	until(t, r.o.Status, "several tries", func(s producers.Snapshot) bool { return s.State == producers.Paused && s.Restarts > 3 })
	if n := len(r.visible(t, r.topic("deadletters"))); n != 20 {
		t.Errorf("%d dead letters, want the two batches that the budget has", n)
	}
	mended.Store(true)
	if err := receive(t, done, "end of Run"); err != nil {
		t.Fatal(err)
	}
	r.sees(t, r.topic("sql.rows"), 40)
}

// A record that only Run finds too large counts too, and is not half written.
func TestBurstOfLargeRecords(t *testing.T) {
	r := newRig(t)
	r.o.Limits.MaxRecordBytes = 9 << 10
	r.o.Rejects = faults.NewBudget(1)
	s := newScript(t)
	_, stop := r.start(t, s)
	receive(t, s.opened, "opening")
	s.send(s.batch(1, 10, "1"))
	if got := receive(t, s.committed, "commit"); got[0].Text != "1" {
		t.Fatalf("committed %v", got)
	}
	s.send(s.batch(3, 9<<10, "2"))
	until(t, r.o.Status, "a pause", func(s producers.Snapshot) bool { return s.State == producers.Paused })
	stop()
	if n := len(r.visible(t, r.topic("sql.rows"))) + len(r.visible(t, r.topic("deadletters"))); n != 1 {
		t.Errorf("%d records are seen, want the one before the burst", n)
	}
	r.position(t, "p", "1")
}
