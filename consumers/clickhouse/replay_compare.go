package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"adventureworks.example/extract/consumers"
)

// errDiffers says that the tables were not exchanged since the new one does not hold what it should.
var errDiffers = errors.New("the new table does not hold what it should")

// difference is what two generations of rows do not have in common.
type difference struct {
	same      int64 // offsets with one equal row in both
	restored  int64 // offsets that only the new generation holds
	twice     int64 // offsets that the old generation holds more than once
	missing   int64 // offsets that only the old generation holds
	different int64 // offsets with other content
	example   string
}

func (d *difference) add(o difference) {
	d.same, d.restored, d.twice = d.same+o.same, d.restored+o.restored, d.twice+o.twice
	d.missing, d.different = d.missing+o.missing, d.different+o.different
	if d.example == "" {
		d.example = o.example
	}
}

// settled is the part of the tables that has been compared, and what the table in use held of it then.
type settled struct {
	ends  map[int32]int64
	state string // of the table in use below ends
	found difference
}

// common is a column that both generations have.
type common struct{ name, old, new string }

func namesOf(columns []common) []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// commonColumns are the columns that two tables of a database have in common, in the order of the first.
func (s *Sink) commonColumns(ctx context.Context, database, old, new string) ([]common, error) {
	rows, err := s.texts(ctx, "SELECT o.name, o.type, n.type FROM system.columns AS o INNER JOIN system.columns AS n ON n.name = o.name WHERE o.database = "+quoteText(database)+
		" AND n.database = "+quoteText(database)+" AND o.table = "+quoteText(old)+" AND n.table = "+quoteText(new)+
		" AND o.default_kind IN ('', 'DEFAULT') AND n.default_kind IN ('', 'DEFAULT') ORDER BY o.position", 3)
	if err != nil {
		return nil, classify(fmt.Errorf("list the columns of %s and %s: %w", old, new, err))
	}
	var all []common
	for _, r := range rows {
		all = append(all, common{r[0], r[1], r[2]})
	}
	return all, nil
}

// rowHash is an expression for the hash of a row's values. NULL would make the whole hash NULL, so it is taken apart, or written as text. A value of
// the old table is brought to the type of the new one first.
func rowHash(columns []common, old bool) string {
	var parts []string
	for _, c := range columns {
		v := quoteName(c.name)
		if old && c.old != c.new {
			v = "CAST(" + v + ", " + quoteText(c.new) + ")"
		}
		inner, simple := strings.CutPrefix(c.new, "Nullable(")
		switch {
		case simple:
			inner = strings.TrimSuffix(inner, ")")
			parts = append(parts, "isNull("+v+")", "ifNull("+v+", defaultValueOfTypeName("+quoteText(inner)+"))")
		case strings.Contains(c.new, "Nullable(") || strings.Contains(c.new, "Variant("):
			parts = append(parts, "toString(tuple("+v+"))")
		default:
			parts = append(parts, v)
		}
	}
	return "cityHash64(" + strings.Join(parts, ", ") + ")"
}

// compareWindow compares the rows of one range of a partition: counts and sums of hashes first, and row by row only where these differ.
func (r *replay) compareWindow(ctx context.Context, columns []common, n int32, rng consumers.Range) (d difference, err error) {
	where := fmt.Sprintf(" WHERE _partition = %d AND _offset >= %d AND _offset < %d", n, rng.Start, rng.End)
	selects := func(side int) string {
		table := r.inUse()
		if side == 1 {
			table = r.table.fullName()
		}
		return fmt.Sprintf("SELECT _offset, %s AS _replayed_hash, %d AS _replayed_side FROM %s%s", rowHash(columns, side == 0), side, table, where)
	}
	sums, err := r.texts(ctx, "SELECT toString(count()), toString(sum(_replayed_hash)), toString(groupBitXor(intHash64(_replayed_hash))) FROM ("+selects(0)+") UNION ALL SELECT toString(count()), toString(sum(_replayed_hash)), "+
		"toString(groupBitXor(intHash64(_replayed_hash))) FROM ("+selects(1)+")", 3)
	if err != nil {
		return d, fmt.Errorf("compare partition %d from offset %d: %w", n, rng.Start, err)
	}
	if strings.Join(sums[0], " ") == strings.Join(sums[1], " ") {
		fmt.Sscan(sums[0][0], &d.same)
		return d, nil
	}
	rows, err := r.texts(ctx, "SELECT kind, toString(count()), toString(min(_offset)) FROM (SELECT _offset, countIf(_replayed_side = 0) AS o, countIf(_replayed_side = 1) AS n, uniqExact(_replayed_hash) AS u, "+
		"multiIf(n = 0, 'missing', o = 0, 'restored', n > 1 OR u > 1, 'different', o > 1, 'twice', 'same') AS kind FROM ("+selects(0)+" UNION ALL "+selects(1)+
		") GROUP BY _offset) GROUP BY kind", 3)
	if err != nil {
		return d, fmt.Errorf("compare partition %d from offset %d row by row: %w", n, rng.Start, err)
	}
	for _, row := range rows {
		var count int64
		fmt.Sscan(row[1], &count)
		switch row[0] {
		case "same":
			d.same = count
		case "restored":
			d.restored = count
		case "twice":
			d.twice = count
		case "missing":
			d.missing = count
		default:
			d.different = count
		}
		if row[0] == "missing" || row[0] == "different" {
			d.example = fmt.Sprintf("%s: partition %d offset %s", row[0], n, row[2])
		}
	}
	return d, nil
}

// compareRanges compares a range of every partition, reads again what is missing, and copies what cannot be read any more.
func (r *replay) compareRanges(ctx context.Context, ranges map[int32]consumers.Range) (all difference, err error) {
	columns, err := r.commonColumns(ctx, r.conf.Raw, r.gens.name, r.table.name)
	if err != nil {
		return all, err
	}
	for _, n := range partitionsOf(ranges) {
		for _, w := range windows(ranges[n]) {
			d, err := r.compareWindow(ctx, columns, n, w)
			if err == nil && d.missing > 0 {
				if err = r.mend(ctx, n, w); err == nil {
					d, err = r.compareWindow(ctx, columns, n, w)
				}
			}
			if err != nil {
				return all, err
			}
			all.add(d)
			r.tell("compare", "")
		}
	}
	return all, nil
}

// mend brings the rows of a window into the new table that the table in use has and it has not: from Kafka, as far as it still has them, the
// others as they are.
func (r *replay) mend(ctx context.Context, n int32, w consumers.Range) error {
	r.doubt[n] = max(r.doubt[n], w.End)
	read := consumers.Range{Start: max(w.Start, r.extent.Ranges[n].Start), End: w.End}
	if !r.carriedOnly(n, w) && !read.Empty() {
		if err := r.readRanges(ctx, "compare", map[int32]consumers.Range{n: read}); err != nil {
			return err
		}
	}
	return r.persist(ctx, "compare", func(ctx context.Context) error {
		have, err := r.offsets(ctx, r.table.fullName(), n, w)
		if err != nil {
			return err
		}
		there, err := r.offsets(ctx, r.inUse(), n, w)
		if err != nil {
			return err
		}
		lost := r.refused.without(n, missingFrom(there, have))
		if len(lost) == 0 {
			return nil
		}
		var list []string
		for _, o := range lost {
			list = append(list, fmt.Sprint(o))
		}
		r.report.Carried += int64(len(lost))
		return r.copyRows(ctx, fmt.Sprintf("_partition = %d AND _offset IN (%s)", n, strings.Join(list, ",")))
	})
}

// carriedOnly tells whether a range is one of those that are copied and not read.
func (r *replay) carriedOnly(n int32, w consumers.Range) bool {
	read := r.plan.Read[n]
	return w.End <= read.Start || w.Start >= read.End && w.End <= r.plan.Planned[n]
}

// missingFrom is what is in a and not in b, both ascending.
func missingFrom(a, b []int64) []int64 {
	var missing []int64
	for _, o := range a {
		for len(b) > 0 && b[0] < o {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != o {
			missing = append(missing, o)
		}
	}
	return missing
}

// without leaves out the offsets that are refused.
func (f *refusals) without(partition int32, offsets []int64) []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var others []int64
	for _, o := range offsets {
		if _, refused := f.offsets[partition][o]; !refused {
			others = append(others, o)
		}
	}
	return others
}

// whereBelow is the condition for offsets below the ends.
func whereBelow(ends map[int32]int64) string {
	where := []string{"0"}
	for _, n := range partitionsOf(ends) {
		where = append(where, fmt.Sprintf("_partition = %d AND _offset < %d", n, ends[n]))
	}
	return strings.Join(where, " OR ")
}

// stateBelow sums up the offsets that the table in use holds below the ends, so that a change of them is noticed.
func (r *replay) stateBelow(ctx context.Context, ends map[int32]int64) (string, error) {
	rows, err := r.texts(ctx, "SELECT toString(_partition), toString(count()), toString(sum(cityHash64(_offset))) FROM "+r.inUse()+" WHERE "+whereBelow(ends)+
		" GROUP BY _partition ORDER BY _partition", 3)
	return fmt.Sprint(rows), err
}

// partitionsOf are the keys of a map, ascending.
func partitionsOf[T any](m map[int32]T) []int32 { return slices.Sorted(maps.Keys(m)) }

// settle compares everything that is read by now, while the writers go on.
func (r *replay) settle(ctx context.Context) error {
	ends := map[int32]int64{}
	ranges := map[int32]consumers.Range{}
	for n, end := range r.done {
		ends[n], ranges[n] = end, consumers.Range{Start: 0, End: end}
	}
	state, err := r.stateBelow(ctx, ends)
	if err != nil {
		return err
	}
	found, err := r.compareRanges(ctx, ranges)
	r.mark = settled{ends, state, found}
	return err
}

// verdict is the error of a comparison that did not come out as it must.
func (r *replay) verdict(d difference) error {
	refused, reason := r.refused.count()
	if d.missing > int64(refused) {
		return fmt.Errorf("%w: it lacks %d rows (%s); the table in use stays as it is", errDiffers, d.missing, d.example)
	}
	if d.different+int64(refused) == 0 || r.o.AcceptDifferent {
		return nil
	}
	if refused > 0 {
		return fmt.Errorf("%w: %d rows cannot be stored any more (%s); the table in use stays as it is. Accept it to send them to the dead letters", errDiffers, refused, reason)
	}
	return fmt.Errorf("%w: %d rows have another content (%s); the table in use stays as it is. Compare %s with %s, and accept it if the new one is right",
		errDiffers, d.different, d.example, r.inUse(), r.table.fullName())
}
