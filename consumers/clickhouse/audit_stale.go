package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// Stale counts the changes in the stretches that the current rows do not show: their key has no row of their version or a later one. The current rows are written
// before the raw ones, so for a change that is stored they are there. Changes of tables without a key have none. A table of current rows that is missing shows
// no change.
func (s *Sink) Stale(ctx context.Context, in []consumers.Stretch) ([]int64, error) {
	counts := make([]int64, len(in))
	t, err := s.table(in[0].Topic)
	if err != nil || t.isDead() {
		return counts, err
	}
	m, err := s.described(ctx, s.conf.Raw, t.name)
	if err != nil || m == nil {
		return counts, err
	}
	c, l, err := s.changesIn(t, m)
	if err != nil || c == nil {
		return counts, err
	}
	var places []string
	index := map[int64]int{}
	for i, stretch := range in {
		index[int64(stretch.Partition.Partition)] = i
		for _, r := range stretch.In {
			places = append(places, fmt.Sprintf("_partition = %d AND _offset >= %d AND _offset < %d", stretch.Partition.Partition, r.Start, r.End))
		}
	}
	changes := "FROM " + t.fullName() + " WHERE (" + strings.Join(places, " OR ") + ") AND " + keyedChange
	keys, err := s.keyColumns(ctx, c.rows)
	if err != nil {
		return nil, classify(err)
	}
	sql := "SELECT toInt64(_partition), toInt64(count()) " + changes + " GROUP BY _partition"
	if len(keys) > 0 {
		sql = c.staleSQL(l, slices.Sorted(maps.Keys(keys)), changes)
	}
	err = s.pairs(ctx, sql, func(partition, n int64) { counts[index[partition]] = n })
	return counts, classify(err)
}

// staleSQL counts, by partition, the changes whose key has no current row of their version or a later one.
func (c *current) staleSQL(l *layout, keys []string, changes string) string {
	var of, aliases, own, set []string
	for i, k := range keys {
		alias := fmt.Sprintf("_audited_%d", i)
		image := fmt.Sprintf("if(op = %s, %s, %s)", quoteText(string(schemas.OpDelete)), quoteName("before."+k), quoteName("after."+k))
		of = append(of, image+" AS "+alias)
		own = append(own, quoteName(k)+" AS "+alias)
		aliases, set = append(aliases, alias), append(set, "isNotNull("+alias+")")
	}
	names := strings.Join(aliases, ", ")
	changed := "SELECT _partition, " + strings.Join(of, ", ") + ", " + versionSQL(l) + " AS _audited_version " + changes + " AND " + strings.Join(set, " AND ")
	return "WITH changed AS (" + changed + ") SELECT toInt64(_partition), toInt64(countIf(newest < _audited_version)) FROM changed LEFT JOIN (SELECT " + strings.Join(own, ", ") +
		", max(_version) AS newest FROM " + c.rowsTable() + " WHERE (" + columnsText(keys) + ") IN (SELECT " + names + " FROM changed) GROUP BY " + names + ") AS shown USING (" +
		names + ") GROUP BY _partition SETTINGS join_use_nulls = 0"
}

// versionSQL is the version of a change, as changes.version has it.
func versionSQL(l *layout) string {
	number := func(name string) string {
		for _, c := range l.columns {
			if c.name == "source."+name {
				return "toUInt64(ifNull(" + quoteName(c.name) + ", 0))"
			}
		}
		return "toUInt64(0)"
	}
	lsn := fmt.Sprintf("if(%[1]s = 0, %[2]s, %[1]s)", number("commit_lsn"), number("lsn"))
	return fmt.Sprintf("bitOr(bitOr(bitShiftLeft(toUInt128(%s), 96), bitShiftLeft(toUInt128(%s), 32)), toUInt128(bitAnd(%s, 4294967295)))",
		number("generation"), lsn, number("number"))
}
