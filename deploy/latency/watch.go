package latency

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// Row is the number of a row whose key is one integer, from the framed Avro of the record's key. ok is false for any other record.
func Row(rec *kgo.Record) (row int64, ok bool) {
	_, payload, err := schemas.ParseFrame(rec.Key)
	if err != nil {
		return 0, false
	}
	row, n := binary.Varint(payload) // Avro's long is Go's varint
	return row, n > 0 && n == len(payload)
}

func rowsOf(recs []*kgo.Record) []int64 {
	rows := make([]int64, 0, len(recs))
	for _, rec := range recs {
		if row, ok := Row(rec); ok {
			rows = append(rows, row)
		}
	}
	return rows
}

// Source is a source that notes when its rows are Produced.
type Source struct {
	producers.Source
	Record *Record

	mu   sync.Mutex
	sent []sent // read and not yet committed, in order; guarded by mu
}

type sent struct {
	rows      []int64
	positions []producers.Position
}

var _ producers.Source = (*Source)(nil)

// Next passes a batch on and remembers its rows.
func (s *Source) Next(ctx context.Context) (producers.Batch, error) {
	b, err := s.Source.Next(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, sent{rowsOf(b.Records), b.Positions})
	return b, err
}

// Commit notes the rows up to the positions, which Kafka has committed a moment ago.
func (s *Source) Commit(ctx context.Context, positions []producers.Position) error {
	now := time.Now()
	for _, rows := range s.until(positions) {
		s.Record.Mark(Produced, now, rows...)
	}
	return s.Source.Commit(ctx, positions)
}

// until takes the batches up to the last one that ends at one of the positions.
func (s *Source) until(positions []producers.Position) (rows [][]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends := map[producers.Position]bool{}
	for _, p := range positions {
		ends[p] = true
	}
	last := -1
	for i, batch := range s.sent {
		for _, p := range batch.positions {
			if ends[p] {
				last = i
			}
		}
	}
	for _, batch := range s.sent[:last+1] {
		rows = append(rows, batch.rows)
	}
	s.sent = append([]sent(nil), s.sent[last+1:]...)
	return rows
}

// Sink is a sink that notes when rows are Intended, because their write begins, and Queryable, because it has ended.
type Sink struct {
	consumers.Sink
	Record *Record

	mu     sync.Mutex
	writes int // of at least one record; guarded by mu
}

var _ consumers.Sink = (*Sink)(nil)

// Write passes a batch on.
func (s *Sink) Write(ctx context.Context, b consumers.Batch) (consumers.Written, error) {
	rows := rowsOf(b.Records)
	s.Record.Mark(Intended, time.Now(), rows...)
	w, err := s.Sink.Write(ctx, b)
	if err == nil {
		s.Record.Mark(Queryable, time.Now(), rows...)
	}
	if len(rows) > 0 {
		s.mu.Lock()
		s.writes++
		s.mu.Unlock()
	}
	return w, err
}

// Writes counts the calls of Write that had rows.
func (s *Sink) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// Fetches is a hook of a consumer's Kafka client that notes when rows are Fetched.
type Fetches struct{ Record *Record }

var _ kgo.HookFetchRecordBuffered = Fetches{}

// OnFetchRecordBuffered implements kgo.HookFetchRecordBuffered.
func (f Fetches) OnFetchRecordBuffered(rec *kgo.Record) {
	if row, ok := Row(rec); ok {
		f.Record.Mark(Fetched, time.Now(), row)
	}
}
