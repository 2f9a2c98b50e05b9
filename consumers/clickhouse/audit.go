package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"adventureworks.example/extract/consumers"
)

var _ consumers.Auditor = (*Sink)(nil)

// Count counts the rows and the dead letters below an offset of each partition. The tables are in the order of the offsets within a partition, so the
// server knows the number of rows of all granules but those at the ends from the index, and reads one or two of each part, however long the table is.
func (s *Sink) Count(ctx context.Context, at []consumers.Place) ([]consumers.Count, error) {
	counts := make([]consumers.Count, 0, len(at))
	for len(at) > 0 {
		n := 1
		for n < len(at) && at[n].Topic == at[0].Topic {
			n++
		}
		t, err := s.table(at[0].Topic)
		if err != nil {
			return nil, err
		}
		some, err := t.count(ctx, at[:n])
		if err != nil {
			return nil, classify(fmt.Errorf("count the rows of topic %s: %w", t.topic, err))
		}
		counts, at = append(counts, some...), at[n:]
	}
	return counts, nil
}

// Rows lists the offsets of the rows in a range, and those of the dead letters that are no row.
func (s *Sink) Rows(ctx context.Context, p consumers.Partition, r consumers.Range) ([]int64, error) {
	t, err := s.table(p.Topic)
	if err != nil {
		return nil, err
	}
	there, err := t.stillThere(ctx, p.TopicID)
	if err != nil {
		return nil, err
	}
	place := fmt.Sprintf("_partition = %d AND _offset >= %d AND _offset < %d", p.Partition, r.Start, r.End)
	dead := "SELECT DISTINCT _offset FROM " + t.sink.dead.fullName() + " WHERE _topic = " + quoteText(t.topic) + " AND " + place
	var queries []string
	switch {
	case t.isDead():
		queries = []string{strings.Replace(dead, "DISTINCT ", "", 1)}
	case there:
		rows := "SELECT _offset FROM " + t.fullName() + " WHERE " + place
		queries = []string{rows, dead + " AND _offset NOT IN (" + rows + ")"}
	default:
		queries = []string{dead}
	}
	all, err := s.ints(ctx, "SELECT _offset FROM ("+strings.Join(queries, " UNION ALL ")+") ORDER BY _offset")
	if absent(err) && !t.isDead() && there { // there is no table of dead letters
		all, err = s.ints(ctx, queries[0]+" ORDER BY _offset")
	} else if absent(err) {
		all, err = nil, nil
	}
	return all, classify(err)
}

// Recreate lets the topic's table, and that of the dead letters, be made again.
func (s *Sink) Recreate(topic string) {
	t, err := s.table(topic)
	if err != nil {
		return // the next write says it
	}
	t.mu.Lock()
	t.recreate, t.meta, t.state = true, nil, nil
	t.mu.Unlock()
	s.dead.mu.Lock()
	s.dead.seen = false
	s.dead.mu.Unlock()
}

// stillThere tells whether the topic's table is there now, whatever is remembered of it.
func (t *table) stillThere(ctx context.Context, topicID [16]byte) (bool, error) {
	if t.isDead() {
		return true, nil
	}
	there, err := t.check(ctx, topicID)
	if err != nil || !there {
		return false, err
	}
	n, err := t.sink.ints(ctx, "SELECT toInt64(count()) FROM system.tables WHERE database = "+quoteText(t.sink.conf.Raw)+" AND name = "+quoteText(t.name))
	if err != nil {
		return false, classify(fmt.Errorf("look for table %s: %w", t.fullName(), err))
	}
	if n[0] == 0 {
		t.forget()
	}
	return n[0] > 0, nil
}

func (t *table) count(ctx context.Context, at []consumers.Place) ([]consumers.Count, error) {
	counts := make([]consumers.Count, len(at))
	there, err := t.stillThere(ctx, at[0].TopicID)
	if err != nil {
		return nil, err
	}
	var places, selects []string
	for i, p := range at {
		place := fmt.Sprintf("_partition = %d AND _offset < %d", p.Partition.Partition, p.Offset)
		places = append(places, place)
		sql := fmt.Sprintf("SELECT toInt64(%d), toInt64(count()) FROM ", i)
		if t.isDead() {
			sql += t.sink.dead.fullName() + " WHERE _topic = " + quoteText(t.topic) + " AND "
		} else {
			sql += t.fullName() + " WHERE "
		}
		selects = append(selects, sql+place)
		counts[i].NoTable = !there
	}
	if there {
		if err := t.sink.pairs(ctx, strings.Join(selects, " UNION ALL "), func(i, n int64) { counts[i].Stored = n }); err != nil && !(t.isDead() && absent(err)) {
			return nil, err
		}
	}
	if t.isDead() {
		return counts, nil
	}
	return counts, t.countDead(ctx, at, counts, "_topic = "+quoteText(t.topic)+" AND ("+strings.Join(places, " OR ")+")", there)
}

// countDead counts the dead letters that are no row: there are few of them, if any.
func (t *table) countDead(ctx context.Context, at []consumers.Place, counts []consumers.Count, where string, there bool) error {
	index := map[int64]int{}
	for i, p := range at {
		index[int64(p.Partition.Partition)] = i
	}
	dead := " FROM " + t.sink.dead.fullName() + " WHERE " + where
	any := false
	err := t.sink.pairs(ctx, "SELECT toInt64(_partition), toInt64(uniqExact(_offset))"+dead+" GROUP BY _partition", func(partition, n int64) {
		counts[index[partition]].Rejected, any = n, true
	})
	if absent(err) {
		return nil
	}
	if err != nil || !any || !there {
		return err
	}
	return t.sink.pairs(ctx, "SELECT toInt64(_partition), toInt64(uniqExact(_offset)) FROM "+t.fullName()+" WHERE (_partition, _offset) IN (SELECT _partition, _offset"+dead+
		") GROUP BY _partition", func(partition, n int64) { counts[index[partition]].Rejected -= n })
}

// pairs runs a query of two Int64 columns.
func (s *Sink) pairs(ctx context.Context, sql string, each func(a, b int64)) error {
	return s.scan(ctx, sql, func(rows driver.Rows) error {
		var a, b int64
		if err := rows.Scan(&a, &b); err != nil {
			return err
		}
		each(a, b)
		return nil
	})
}

// absent tells of a table, or its database, that is not there.
func absent(err error) bool {
	code, _, _ := exception(err)
	return code == 60 || code == 81
}
