package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/schemas"
)

const (
	// rangeBytes is about how much of a table one COPY reads, rangeBlocks the same in blocks of the usual size.
	rangeBytes  = 16 << 20
	rangeBlocks = rangeBytes / 8192
)

// copyMissing copies the tables that have no valid position. snap is the snapshot of a slot that was just made, or nil; tables it cannot show are read under
// another.
func (s *Source) copyMissing(ctx context.Context, snap *snapshot, entries []*entry) error {
	for {
		missing := s.missing(entries)
		if len(missing) == 0 {
			return nil
		}
		if snap != nil {
			if err := s.copyTables(ctx, snap, missing); err != nil {
				return err
			}
			snap = nil
			continue
		}
		if err := s.copyUnderTemporarySlot(ctx, missing); err != nil {
			return err
		}
	}
}

// missing are the tables of entries that are not copied in this generation.
func (s *Source) missing(entries []*entry) []*entry {
	var out []*entry
	for _, e := range entries {
		if p, ok := s.copied[e.dataset()]; !e.gone && (!ok || !p.complete() || p.Generation != s.position.Generation || p.OID != e.oid) {
			out = append(out, e)
		}
	}
	return out
}

func (s *Source) copyUnderTemporarySlot(ctx context.Context, missing []*entry) error {
	repl, err := s.dial(ctx, true)
	if err != nil {
		return err
	}
	defer s.hangUp(ctx, repl) // drops the slot and the snapshot
	name := fmt.Sprintf("%.40s_copy_%d", s.config.Slot, repl.PID())
	snap, err := s.createSlot(ctx, repl, name, true)
	if err != nil {
		return err
	}
	return s.copyTables(ctx, snap, missing)
}

// copyTables copies tables under one snapshot, one after the other, each read by several connections. A table that was rewritten since the snapshot, which would look empty, is left out.
func (s *Source) copyTables(ctx context.Context, snap *snapshot, entries []*entry) error {
	conns := make([]*pgconn.PgConn, s.config.CopyWorkers)
	defer func() {
		for _, c := range conns {
			if c != nil {
				s.hangUp(ctx, c)
			}
		}
	}()
	for i := range conns {
		var err error
		if conns[i], err = s.dial(ctx, false); err != nil {
			return err
		}
		if _, err := query(ctx, conns[i], "begin isolation level repeatable read read only; set transaction snapshot "+quoteText(snap.name)); err != nil {
			return fmt.Errorf("read under the snapshot of LSN %s: %w", snap.lsn, err)
		}
	}
	for _, e := range entries {
		if err := s.copyTable(ctx, snap, conns, e); err != nil {
			return fmt.Errorf("copy table %s: %w", e, err)
		}
	}
	return nil
}

// copyTable copies one table: in one Kafka transaction, or by ranges of its key where it is large or an earlier copy by ranges was cut short.
func (s *Source) copyTable(ctx context.Context, snap *snapshot, conns []*pgconn.PgConn, e *entry) error {
	parts, ok, err := s.lockAndSplit(ctx, conns[0], e)
	if err != nil || !ok {
		return err
	}
	key, err := readKey(ctx, conns[0], e)
	if err != nil {
		return err
	}
	c, err := s.startCopy(ctx, snap, conns[0], e)
	if err != nil {
		return err
	}
	p := TablePosition{Generation: s.position.Generation, OID: e.oid, Key: key.columns, Shape: key.shape}
	began, again := s.copied[c.table.dataset]
	again = again && began.Generation == p.Generation && began.OID == p.OID && len(began.Ranges) > 0
	if again && began.Shape == key.shape {
		return c.copyRanges(ctx, conns, key, began)
	}
	if again {
		s.log.Warn("the table has changed since its copy began, it is copied from the start", "source", s.name, "table", e.String())
	}
	if err := s.sendMark(ctx, c); err != nil {
		return err
	}
	large := key.bytes > s.config.CopyRangeBytes
	if large && len(key.columns) > 0 {
		return c.copyRanges(ctx, conns, key, p)
	}
	if large {
		s.log.Warn("a large table has no key to copy it by, its copy is one transaction", "source", s.name, "table", e.String(), "bytes", key.bytes)
	}
	return c.copyWhole(ctx, conns, parts)
}

// startCopy reads the table's shape and makes its topic ready.
func (s *Source) startCopy(ctx context.Context, snap *snapshot, conn *pgconn.PgConn, e *entry) (*tableCopy, error) {
	columns, nullableKey, err := s.readColumns(ctx, conn, e)
	if err != nil {
		return nil, err
	}
	c := &tableCopy{source: s, entry: e}
	if c.table, err = newTable(e.oid, e.schema, e.name, columns, nullableKey); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, c.table); err != nil {
		return nil, err
	}
	rows, err := query(ctx, conn, "select (extract(epoch from transaction_timestamp()) * 1000000)::bigint")
	if err != nil {
		return nil, fmt.Errorf("ask for the time: %w", err)
	}
	micros, _ := strconv.ParseInt(rows[0][0], 10, 64)
	c.at = change{op: schemas.OpRead, micros: micros, millis: time.Now().UnixMilli(), snapshot: true, lsn: snap.lsn, commit: snap.lsn,
		number: schemas.NumberCopyRow, generation: s.position.Generation}
	c.head = append(schemas.AppendFrame(nil, c.table.value), 0, 2) // no before; after
	c.tail = append(c.table.appendTail(nil, &c.at), 0)             // nothing is unchanged
	return c, nil
}

// sendMark says that the table is empty before the copy, when rows of an earlier one may be there.
func (s *Source) sendMark(ctx context.Context, c *tableCopy) error {
	if s.first {
		return nil
	}
	at := c.at
	at.op, at.number = schemas.OpTruncate, schemas.NumberCopyMark
	b := builder{target: s.target, source: s.name}
	b.addMark(c.table, &at)
	return s.send(ctx, b.take())
}

const listLeaves = `
select n.nspname, c.relname, pg_relation_size(c.oid) / current_setting('block_size')::bigint, coalesce(am.amname = 'heap', false),
  c.relfilenode is distinct from pg_relation_filenode(c.oid)
from (select relid from pg_partition_tree(%[1]d) where isleaf union select %[1]d) l
join pg_class c on c.oid = l.relid and c.relkind = 'r' join pg_namespace n on n.oid = c.relnamespace left join pg_am am on am.oid = c.relam
order by c.oid`

// lockAndSplit keeps the table's shape as it is and cuts it into parts. ok is false when the table is gone, or was rewritten since the snapshot: its rows are then
// newer than the snapshot, which shows none of them. (The catalog's rows are the snapshot's, its functions see the present.)
func (s *Source) lockAndSplit(ctx context.Context, conn *pgconn.PgConn, e *entry) (parts []part, ok bool, err error) {
	if e.gone, err = lockTable(ctx, conn, e); err != nil || e.gone {
		return nil, false, err
	}
	split, err := s.split(ctx, conn, e)
	if err != nil {
		return nil, false, err
	}
	for _, p := range split {
		if p.rewritten {
			s.log.Info("the table was rewritten since the snapshot, it is copied under another", "source", s.name, "table", e.String())
			return nil, false, nil
		}
		parts = append(parts, p.part)
	}
	return parts, true, nil
}

// leafPart is a part and whether its table was rewritten since the snapshot.
type leafPart struct {
	part
	rewritten bool
}

// split cuts a table into parts: each leaf of a partitioned one, each range of blocks of a long one.
func (s *Source) split(ctx context.Context, conn *pgconn.PgConn, e *entry) (parts []leafPart, err error) {
	rows, err := query(ctx, conn, fmt.Sprintf(listLeaves, e.oid))
	if err != nil {
		return nil, fmt.Errorf("list its parts: %w", err)
	}
	for _, r := range rows {
		blocks, _ := strconv.ParseInt(r[2], 10, 64)
		leaf := quoteTable(r[0], r[1])
		if blocks <= rangeBlocks || r[3] != "t" || s.version < 140000 { // older servers scan the whole table for a range of ctid
			parts = append(parts, leafPart{part{leaf: leaf}, r[4] == "t"})
			continue
		}
		for from := int64(0); from < blocks; from += rangeBlocks {
			where := []string{fmt.Sprintf("ctid >= '(%d,0)'", from)}
			if to := from + rangeBlocks; to < blocks {
				where = append(where, fmt.Sprintf("ctid < '(%d,0)'", to))
			}
			parts = append(parts, leafPart{part{leaf: leaf, where: where}, r[4] == "t"})
		}
	}
	return parts, nil
}

// lockTable keeps a table from being changed in shape until the snapshot is left. gone tells that it is not the table that was listed any more; the next
// look for tables finds what has become of it.
func lockTable(ctx context.Context, conn *pgconn.PgConn, e *entry) (gone bool, err error) {
	if _, err := query(ctx, conn, "savepoint locked; lock table "+quoteTable(e.schema, e.name)+" in access share mode"); err != nil {
		if sqlState(err) != stateUndefinedTable {
			return false, fmt.Errorf("lock: %w", err)
		}
		_, err = query(ctx, conn, "rollback to savepoint locked")
		return true, err
	}
	rows, err := query(ctx, conn, fmt.Sprintf("select from pg_class where oid = %d and oid = %s::regclass", e.oid, quoteText(quoteTable(e.schema, e.name))))
	if err != nil {
		return false, fmt.Errorf("look up: %w", err)
	}
	return len(rows) == 0, nil
}
