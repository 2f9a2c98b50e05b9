package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
)

// Retry stores a record that went to the dead letters, by the schemas, the table and the code as they are now, at its own offset. It returns nil once the
// topic's table holds the record, and an error of the class Reject with the reason when it still cannot be stored. first tells that nothing
// of the topic was ever stored, so that a table that is not there may be made.
//
// It may be repeated, also by another process while this call goes on, and whatever dies when. The record goes into a block of its own, whose token is
// made of the table's generation and the offset, so the block is the same whoever sends it; current rows come before it, as in Write. The
// dead letter stays where it is: from now on the table has its offset, and counts (see DeadLetter). Until the row is in the table the
// letter holds the offset, so that at no moment is it held by neither.
func (s *Sink) Retry(ctx context.Context, p consumers.Partition, rec *kgo.Record, first bool) error {
	t, err := s.table(p.Topic)
	if err != nil {
		return err
	}
	if t.isDead() {
		return &consumers.Error{Class: consumers.Reject, Err: errors.New("this is a record of the dead letters' own topic that cannot be read"), Remedy: "see who else writes to that topic"}
	}
	held, err := s.holds(ctx, t, p, rec.Offset)
	if err != nil || held {
		return err
	}
	w := &write{sink: s, table: t, apart: map[int]bool{}, retry: true, batch: consumers.Batch{Partition: p,
		Range: consumers.Range{Start: rec.Offset, End: rec.Offset + 1}, Records: []*kgo.Record{rec}, First: first, Again: true}}
	if err := w.run(ctx); err != nil {
		if _, refused := guarded(err); refused || isStale(err) {
			t.forget()
			s.afterRefusal(ctx, p.Topic, err)
		}
		return classify(fmt.Errorf("store %s at offset %d again: %w", p, rec.Offset, err))
	}
	if len(w.bad) > 0 {
		return &consumers.Error{Class: consumers.Reject, Err: errors.New(w.bad[0].reason)}
	}
	if held, err = s.holds(ctx, t, p, rec.Offset); err == nil && !held {
		err = &consumers.Error{Class: consumers.Pause, Err: fmt.Errorf("table %s took %s at offset %d once and does not have it", t.fullName(), p, rec.Offset),
			Remedy: "rows were removed from the table: replay the topic"}
	}
	return err
}

// holds tells whether the topic's raw table has the offset.
func (s *Sink) holds(ctx context.Context, t *table, p consumers.Partition, offset int64) (bool, error) {
	there, err := t.check(ctx, p.TopicID)
	if err != nil || !there {
		return false, err
	}
	n, err := s.ints(ctx, fmt.Sprintf("SELECT toInt64(count()) FROM %s WHERE _partition = %d AND _offset = %d", t.fullName(), p.Partition, offset))
	if err != nil {
		if isStale(err) {
			t.forget()
		}
		return false, classify(fmt.Errorf("ask table %s for offset %d of %s: %w", t.fullName(), offset, p, err))
	}
	return n[0] > 0, nil
}
