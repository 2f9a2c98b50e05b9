package latency

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

func TestTableShowsEveryStage(t *testing.T) {
	var r Record
	began := time.Unix(1_700_000_000, 0)
	for row := range int64(101) {
		r.Mark(Committed, began, row)
		r.Mark(Produced, began.Add(time.Duration(row)*time.Millisecond), row)
		r.Mark(Produced, began.Add(time.Hour), row) // a second time, which does not count
		r.Mark(Fetched, began.Add(time.Duration(row+2)*time.Millisecond), row)
	}
	r.Mark(Queryable, began.Add(500*time.Millisecond), 7)
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := Quantile(r.Between(Committed, Produced), q); got != want {
			t.Errorf("quantile %v of committed to produced is %v, want %v", q, got, want)
		}
	}
	if r.Reached(Fetched) != 101 || r.Reached(Queryable) != 1 || r.Reached(Intended) != 0 {
		t.Errorf("%d fetched, %d queryable, %d intended", r.Reached(Fetched), r.Reached(Queryable), r.Reached(Intended))
	}
	want := []string{
		"           |  stage p50        p99 |  since p50        p99        max",
		"produced        101 |    50.0 ms    99.0 ms |    50.0 ms    99.0 ms   100.0 ms",
		"fetched         101 |     2.0 ms     2.0 ms |    52.0 ms   101.0 ms   102.0 ms",
		"intended          0 |     0.0 ms     0.0 ms |     0.0 ms     0.0 ms     0.0 ms",
		"queryable         1 |     0.0 ms     0.0 ms |   500.0 ms   500.0 ms   500.0 ms",
	}
	for _, line := range want {
		if !strings.Contains(r.Table(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, r.Table())
		}
	}
	r.Reset()
	if r.Reached(Committed) != 0 || Quantile(r.Between(Committed, Produced), 0.5) != 0 {
		t.Error("rows are left after a reset")
	}
}

func key(row int64) []byte { return schemas.AppendLong(schemas.AppendFrame(nil, 7), row) }

func TestRowOfARecord(t *testing.T) {
	for _, row := range []int64{0, 1, -1, 1 << 40} {
		if got, ok := Row(&kgo.Record{Key: key(row)}); !ok || got != row {
			t.Errorf("row %d is read as %d, %v", row, got, ok)
		}
	}
	for _, other := range [][]byte{nil, {1, 2}, key(5)[:5], append(key(5), 'x')} {
		if row, ok := Row(&kgo.Record{Key: other}); ok {
			t.Errorf("key %x is taken for row %d", other, row)
		}
	}
}

// batches is a source of three batches.
type batches struct {
	producers.Source
	left []producers.Batch
}

func (b *batches) Next(context.Context) (producers.Batch, error) {
	next := b.left[0]
	b.left = b.left[1:]
	return next, nil
}

func (b *batches) Commit(context.Context, []producers.Position) error { return nil }

func TestRowsAreProducedUpToTheCommittedPosition(t *testing.T) {
	batch := func(row int64, position string) producers.Batch {
		b := producers.Batch{Records: []*kgo.Record{{Key: key(row)}}}
		if position != "" {
			b.Positions = []producers.Position{{Part: "stream", Text: position}}
		}
		return b
	}
	r := &Record{}
	s := &Source{Record: r, Source: &batches{left: []producers.Batch{batch(1, ""), batch(2, "a"), batch(3, "b")}}}
	for range 3 {
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		position string
		produced int
	}{{"unknown", 0}, {"a", 2}, {"a", 2}, {"b", 3}} {
		if err := s.Commit(t.Context(), []producers.Position{{Part: "stream", Text: step.position}}); err != nil {
			t.Fatal(err)
		}
		if got := r.Reached(Produced); got != step.produced {
			t.Errorf("after position %s %d rows are produced, want %d", step.position, got, step.produced)
		}
	}
}
