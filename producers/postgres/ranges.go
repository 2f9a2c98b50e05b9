package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// A table too large for one Kafka transaction is copied by ranges of its key, each a transaction that ends with the position "copied up to this key". A
// copy that is cut short goes on behind the last range that is durable.
//
// # Why keys
//
// The snapshot is lost with the connection that exported it, so the ranges that are left are read under a newer one, with a later LSN. What separates them
// from those that are done must mean the same under both. A key does: a row has one for good, and a change of it is a delete and a create. A place in the
// table's file (ctid) does not: an update moves the row, so it could lie in a range that was read before the move and in one that is read after it, or in neither.
// Under one snapshot ctid ranges are right, and the copy of a smaller table is read by them.
//
// # Which changes are part of the copy
//
// Let the range of key k be read at LSN L(k). A change of the row k whose transaction has the final LSN C is in the copy exactly when C < L(k), as for a
// table read at once, because the snapshot of L shows exactly the transactions before L. So each change is judged by the range of its own key (copied, in
// judge.go). The stream begins at or before the LSN of every range, so nothing between is missed. For each key by itself the topic then holds what it would hold had
// the whole table been read at L(k): the row as of L(k) if it was there, then its changes from L(k) on.
//
// A change of the key, k to m, is a delete of k and a create of m. Both halves are judged, each by its own range, and this is why it cannot be one decision:
//   - C < L(k) and C < L(m): the copy shows m and not k. Neither half is sent.
//   - C ≥ L(k) and C ≥ L(m): the copy shows k and not m. Both are sent.
//   - L(m) ≤ C < L(k): m was read before the change and k after it: the copy shows neither. The create is sent.
//   - L(k) ≤ C < L(m): k was read before the change and m after it: the copy shows both. The delete is sent.
//
// # What begins the copy again
//
// A TRUNCATE between two snapshots would be before some ranges and after others, and a new column's default is in the rows of later ranges only. Neither is
// a change of a row. So the position keeps the table's shape as the first range's snapshot saw it: its columns, its key's index and the files it is stored in, which
// TRUNCATE and every rewriting command change. Where the shape is another, the copy begins again with a mark that empties the table, at an LSN
// above all it had, and what an earlier copy has sent counts no more.

const (
	// samplesPerPart is how many blocks are read, about, to place one end of a part, and samplesPerBlock how much of their rows is taken: enough to place
	// it, and few enough that a copy of a very large table goes on within a second.
	samplesPerPart  = 8
	samplesPerBlock = 0.2
	maxParts        = 4096
	partsPerRange   = 16
)

// tableKey is what a table is cut by: the columns of its replica identity, in the order of the index.
type tableKey struct {
	columns []string
	from    string // what the ranges are read from, quoted, with ONLY
	shape   string
	bytes   int64 // of the table on the server's disk
	blocks  int64
}

const listKey = `
select i.indexrelid, a.attname
from pg_class c join pg_index i on i.indrelid = c.oid and i.indisvalid and
  (c.relreplident in ('d', 'f') and i.indisprimary and i.indimmediate or c.relreplident = 'i' and i.indisreplident)
cross join unnest(i.indkey::int2[]) with ordinality k (attnum, n) join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
where c.oid = %d and k.n <= i.indnkeyatts order by k.n`

const listShape = `select attnum, attname, atttypid, atttypmod, attcollation, attgenerated from pg_attribute
where attrelid = %d and attnum > 0 and not attisdropped order by attnum`

const listFiles = `
select c.oid, c.relfilenode, pg_table_size(c.oid), pg_relation_size(c.oid) / current_setting('block_size')::bigint
from (select relid from pg_partition_tree(%[1]d) where isleaf union select %[1]d) l join pg_class c on c.oid = l.relid and c.relkind = 'r' order by c.oid`

// readKey reads what a table is cut by, as the connection's snapshot sees it. A table without a key has no columns.
func readKey(ctx context.Context, conn *pgconn.PgConn, e *entry) (k tableKey, err error) {
	shape := sha256.New()
	read := func(sql string) [][]string {
		if err != nil {
			return nil
		}
		var rows [][]string
		if rows, err = query(ctx, conn, fmt.Sprintf(sql, e.oid)); err != nil {
			err = fmt.Errorf("read its key and shape: %w", err)
		}
		return rows
	}
	for _, r := range read(listKey) {
		k.columns = append(k.columns, r[1])
		fmt.Fprintf(shape, "%q\n", r)
	}
	for _, r := range read(listShape) {
		fmt.Fprintf(shape, "%q\n", r)
	}
	for _, r := range read(listFiles) {
		fmt.Fprintf(shape, "%q\n", r[:2])
		bytes, _ := strconv.ParseInt(r[2], 10, 64)
		blocks, _ := strconv.ParseInt(r[3], 10, 64)
		k.bytes, k.blocks = k.bytes+bytes, k.blocks+blocks
	}
	fmt.Fprintf(shape, "%q %q", e.columns, e.filter)
	k.shape = hex.EncodeToString(shape.Sum(nil)[:8])
	k.from = quoteTable(e.schema, e.name)
	if !e.partitioned {
		k.from = "only " + k.from // tables that inherit from it are tables of their own
	}
	return k, err
}

// keyPart is the rows from one key to another; nil is the table's beginning or end.
type keyPart struct{ from, to []string }

// row is the key's columns as a row of SQL.
func (k tableKey) row() string {
	names := make([]string, len(k.columns))
	for i, c := range k.columns {
		names[i] = quoteName(c)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// literal is a key as a row of SQL. Its values take the types of what they are compared with.
func literal(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quoteText(v)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// where is the condition of a part, empty for all of the table.
func (k tableKey) where(p keyPart) []string {
	var where []string
	if p.from != nil {
		where = append(where, k.row()+" >= "+literal(p.from))
	}
	if p.to != nil {
		where = append(where, k.row()+" < "+literal(p.to))
	}
	return where
}

// sampleKeys finds every n-th key of a sample of blocks, in order: the ends of parts of about equal size.
const sampleKeys = `
with s as materialized (select %[1]s, %[2]s as ahead from %[3]s tablesample system (%[4]g) where random() < %[6]g),
n as (select %[1]s, row_number() over (order by %[1]s) as i, (select greatest(count(*) / %[5]d, 1) from s) as step from s where ahead)
select %[1]s from n where i %% step = 0 order by %[1]s`

// cut cuts the table behind a key into parts of about partBytes. Where the ends lie matters for the speed alone.
func (k tableKey) cut(ctx context.Context, conn *pgconn.PgConn, from []string, partBytes int64) ([]keyPart, error) {
	n := min(k.bytes/partBytes+1, maxParts)
	percent := 100.0
	if wanted := n * samplesPerPart; wanted < k.blocks {
		percent = 100 * float64(wanted) / float64(k.blocks)
	}
	ahead := "true"
	if from != nil {
		ahead = k.row() + " >= " + literal(from)
	}
	names := strings.Trim(k.row(), "()")
	ends, err := query(ctx, conn, fmt.Sprintf(sampleKeys, names, ahead, k.from, percent, n, samplesPerBlock))
	if err != nil {
		return nil, fmt.Errorf("cut it into ranges: %w", err)
	}
	parts := []keyPart{{from: from}}
	for _, end := range ends {
		if slices.Equal(end, from) {
			continue
		}
		parts[len(parts)-1].to = end
		parts = append(parts, keyPart{from: end})
	}
	return parts, nil
}
