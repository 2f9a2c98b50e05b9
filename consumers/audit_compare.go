package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxSpans bounds the ranges that a comparison remembers. The last one grows over what comes after that many.
	maxSpans = 256
	// windowRows bounds the offsets that are compared at once.
	windowRows = 50_000
	// stalled is how long Kafka may send nothing of a range that it has.
	stalled = time.Minute
)

// spans are offsets, as few ranges.
type spans struct {
	n      int64
	ranges []Range
	next   bool // the offset before this one, of those that are records, was in too
}

func (s *spans) add(offset int64) {
	s.n++
	if last := len(s.ranges) - 1; last >= 0 && (s.next || len(s.ranges) == maxSpans) {
		s.ranges[last].End = offset + 1
	} else {
		s.ranges = append(s.ranges, Range{offset, offset + 1})
	}
	s.next = true
}

// difference is how what a sink holds of a range differs from Kafka.
type difference struct {
	records int64 // in Kafka
	missing spans
	twice   spans
	strange int64 // rows of offsets that are no record
}

// take compares one window: the offsets of the records, and of the rows, both ascending.
func (d *difference) take(records, rows []int64) {
	for _, offset := range records {
		for len(rows) > 0 && rows[0] < offset {
			d.strange, rows = d.strange+1, rows[1:]
		}
		n := 0
		for n < len(rows) && rows[n] == offset {
			n++
		}
		rows = rows[n:]
		d.records++
		if n == 0 {
			d.missing.add(offset)
		} else {
			d.missing.next = false
		}
		if n > 1 {
			d.twice.add(offset)
			d.twice.n += int64(n - 2)
		} else {
			d.twice.next = false
		}
	}
	d.strange += int64(len(rows))
}

// compare reads a range of a partition from Kafka and asks the sink for its rows, window by window. The range ends below the last offset that can be read,
// and Kafka has its beginning.
func compare(ctx context.Context, kafka []kgo.Opt, sink Auditor, p Partition, r Range) (d difference, err error) {
	if r.Empty() {
		return d, nil
	}
	cl, err := kgo.NewClient(append(slices.Clone(kafka), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxBytes(4<<20),
		kgo.MaxConcurrentFetches(1), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.Topic: {p.Partition: kgo.NewOffset().At(r.Start)}}))...)
	if err != nil {
		return d, fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	at, window := r.Start, r.Start // one past what was read; the window's beginning
	var records []int64
	for at < r.End {
		f, err := pollOnce(ctx, cl)
		if err != nil {
			return d, fmt.Errorf("read %s at offset %d: %w", p, at, err)
		}
		f.EachRecord(func(rec *kgo.Record) {
			if at = rec.Offset + 1; at <= r.End && !rec.Attrs.IsControl() {
				records = append(records, rec.Offset)
			}
		})
		if at = min(at, r.End); len(records) < windowRows && at < r.End {
			continue
		}
		rows, err := rowsOf(ctx, sink, p, Range{window, at})
		if err != nil {
			return d, fmt.Errorf("list the rows of %s from %d to %d: %w", p, window, at, err)
		}
		d.take(records, rows)
		window, records = at, records[:0]
	}
	return d, nil
}

func rowsOf(ctx context.Context, sink Auditor, p Partition, r Range) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, stalled)
	defer cancel()
	return sink.Rows(ctx, p, r)
}

func pollOnce(ctx context.Context, cl *kgo.Client) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeout(ctx, stalled)
	defer cancel()
	f := cl.PollRecords(ctx, windowRows)
	var errs []error
	f.EachError(func(_ string, _ int32, err error) { errs = append(errs, err) })
	return f, errors.Join(errs...)
}
