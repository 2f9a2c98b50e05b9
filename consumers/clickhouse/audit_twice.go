package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas/faults"
)

// RemoveTwice removes the rows of a topic that repeat an offset, and returns how many. What is found says where they are. Rows of one offset that are not
// the same row are not removed, since nothing here says which of them is right: that is an error. The server writes the table's parts anew
// for it, which takes time in proportion to the table; rows that come meanwhile are not touched.
func (s *Sink) RemoveTwice(ctx context.Context, topic string, found []consumers.Finding) (int64, error) {
	t, err := s.table(topic)
	if err != nil {
		return 0, err
	}
	if t.isDead() {
		return 0, nil // their offsets are counted once
	}
	where := placesText(found)
	if where == "" {
		return 0, nil
	}
	differ, err := s.ints(ctx, "SELECT _offset FROM (SELECT _partition, _offset, formatRow('JSONEachRow', *) AS _row FROM "+t.fullName()+" WHERE "+where+
		") GROUP BY _partition, _offset HAVING uniqExact(_row) > 1 ORDER BY _offset LIMIT 1")
	if err != nil {
		return 0, classify(fmt.Errorf("compare the rows that are there twice in %s: %w", t.fullName(), err))
	}
	if len(differ) > 0 {
		return 0, faults.ClickHouseTableHoles.With(fmt.Errorf("the rows of offset %d in table %s differ", differ[0], t.fullName()),
			"rebuild the table: extract replay --topic "+topic)
	}
	before, err := s.ints(ctx, "SELECT toInt64(count()) FROM "+t.fullName()+" WHERE "+where)
	if err != nil {
		return 0, classify(fmt.Errorf("count the rows of %s: %w", t.fullName(), err))
	}
	// _partition and _offset name the record, and a table's order is part of what it takes to compare rows.
	if err := s.exec(ctx, "OPTIMIZE TABLE "+t.fullName()+" FINAL DEDUPLICATE BY _partition, _offset SETTINGS optimize_throw_if_noop = 1"); err != nil {
		return 0, fmt.Errorf("remove the rows that are there twice from %s: %w", t.fullName(), err)
	}
	after, err := s.ints(ctx, "SELECT toInt64(count()) FROM "+t.fullName()+" WHERE "+where)
	if err != nil {
		return 0, classify(fmt.Errorf("count the rows of %s: %w", t.fullName(), err))
	}
	s.log.Info("removed rows that were there twice", "topic", topic, "table", t.name, "rows", before[0]-after[0])
	return before[0] - after[0], nil
}

// placesText is the condition for the places where something is there twice, empty when none is known.
func placesText(found []consumers.Finding) string {
	var places []string
	for _, f := range found {
		for _, r := range f.TwiceAt {
			places = append(places, fmt.Sprintf("_partition = %d AND _offset >= %d AND _offset < %d", f.Partition, r.Start, r.End))
		}
	}
	return strings.Join(places, " OR ")
}
