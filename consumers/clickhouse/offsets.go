package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"adventureworks.example/extract/consumers"
)

// offsetQueries are the queries that ask the dead letters and the table, where it is there, for the partition's offsets.
func (t *table) offsetQueries(partition int32, there bool, and string) []string {
	where := fmt.Sprintf(" WHERE _partition = %d%s", partition, and)
	dead := "SELECT _offset FROM " + t.sink.dead.fullName() + where + " AND _topic = " + quoteText(t.topic)
	if !there || t.isDead() {
		return []string{dead}
	}
	return []string{dead, "SELECT _offset FROM " + t.fullName() + where}
}

// highest asks for the highest offset of a partition, -1 for none. Both tables are in the order of the offsets within a partition, so the server
// reads them from the end and little more than the last row: a projection for it would double the cost of every small insert.
func (t *table) highest(ctx context.Context, p consumers.Partition, there bool) (int64, error) {
	orders := []string{"_topic DESC, _partition DESC, _offset DESC", "_partition DESC, _offset DESC"}
	highest := int64(-1)
	for i, q := range t.offsetQueries(p.Partition, there, "") {
		n, err := t.sink.ints(ctx, q+" ORDER BY "+orders[i]+" LIMIT 1 SETTINGS optimize_read_in_order = 1")
		if err != nil {
			return 0, classify(fmt.Errorf("ask for the highest offset of %s: %w", p, err))
		}
		if len(n) > 0 {
			highest = max(highest, n[0])
		}
	}
	return highest, nil
}

func (t *table) held(ctx context.Context, p consumers.Partition, r consumers.Range, there bool) ([]int64, error) {
	and := fmt.Sprintf(" AND _offset >= %d AND _offset < %d", r.Start, r.End)
	q := strings.Join(t.offsetQueries(p.Partition, there, and), " UNION ALL ")
	held, err := t.sink.ints(ctx, "SELECT DISTINCT _offset FROM ("+q+") ORDER BY _offset")
	if err != nil {
		if isStale(err) {
			t.forget()
		}
		return nil, classify(fmt.Errorf("ask table %s what it holds of %s: %w", t.fullName(), p, err))
	}
	return held, nil
}
