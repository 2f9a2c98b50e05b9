package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"adventureworks.example/extract/consumers"
)

// compareCurrent compares the current rows, key by key: the newest version of each in both tables. Keys whose newest version in use is of a record
// that the replay has not read yet are left out, and so are rows with a value that nobody knew, which a replay may find.
func (r *replay) compareCurrent(ctx context.Context) error {
	r.table.mu.Lock()
	st := r.table.state
	r.table.mu.Unlock()
	if st == nil || st.current == nil || r.gens.current == nil {
		return nil
	}
	columns, err := r.commonColumns(ctx, r.conf.Current, rowsPrefix+r.gens.name, rowsPrefix+r.table.name)
	if err != nil {
		return err
	}
	columns = slices.DeleteFunc(columns, func(c common) bool { return c.name == "_unknown" })
	var keys []string
	for _, k := range st.current.keys {
		keys = append(keys, k.name)
	}
	side := func(table string, side int) string {
		return fmt.Sprintf("SELECT %s, _version, _deleted, notEmpty(_unknown) AS _replayed_unknown, %s AS _replayed_hash, %d AS _replayed_side, %s AS _replayed_ahead FROM %s",
			columnsText(keys), rowHash(columns, side == 0), side, r.aheadText(side), table)
	}
	// The answer of a subquery may be NULL, and what is compared with it: a key that one of the tables lacks would not count as another row.
	truncated := "ifNull((SELECT max(_version) FROM " + st.current.truncations() + " WHERE `table` = " + quoteText(st.current.name) + "), 0)"
	alive := "(_deleted = 0 AND _version >= " + truncated + ", _replayed_hash)"
	n, err := r.ints(ctx, "SELECT toInt64(countIf(NOT a AND NOT u AND (o.1 != n.1 OR (o.1 AND o.2 != n.2)))) FROM (SELECT argMaxIf("+alive+", _version, _replayed_side = 0) AS o, argMaxIf("+
		alive+", _version, _replayed_side = 1) AS n, max(_replayed_ahead) AS a, max(_replayed_unknown AND _replayed_side = 0) AS u FROM ("+side(r.currentInUse(), 0)+" UNION ALL "+
		side(quoteName(r.conf.Current)+"."+quoteName(rowsPrefix+r.table.name), 1)+") GROUP BY "+columnsText(keys)+") SETTINGS max_bytes_before_external_group_by = 1000000000")
	if err != nil {
		return fmt.Errorf("compare current rows of %s: %w", r.o.Topic, err)
	}
	if n[0] > 0 && !r.o.AcceptDifferent {
		return fmt.Errorf("%w: %d current rows are not what they are in %s; the tables in use stay as they are. Accept it if the new ones in %s are right",
			errDiffers, n[0], r.currentInUse(), rowsPrefix+r.table.name)
	}
	return nil
}

// aheadText is an expression for whether a current row is of a record beyond what is read.
func (r *replay) aheadText(side int) string {
	if side == 1 {
		return "0"
	}
	var cases []string
	for _, n := range partitionsOf(r.done) {
		cases = append(cases, fmt.Sprintf("_partition = %d AND _offset >= %d", n, r.done[n]))
	}
	return "(" + strings.Join(cases, " OR ") + ")"
}

// buryRefused sends the records that cannot be stored any more to the dead letters. It comes right before the exchange, which takes their rows
// out of use.
func (r *replay) buryRefused(ctx context.Context) error {
	r.table.replay.reject = func(_ context.Context, _ *write, bad []reject) ([]reject, error) { return bad, nil }
	for n, offsets := range r.refused.offsets { // nobody writes now
		rng := consumers.Range{Start: math.MaxInt64}
		for o := range maps.Keys(offsets) {
			rng.Start, rng.End = min(rng.Start, o), max(rng.End, o+1)
		}
		r.doubt[n] = max(r.doubt[n], rng.End)
		if err := r.readRanges(ctx, "exchange", map[int32]consumers.Range{n: rng}); err != nil {
			return err
		}
	}
	return nil
}
