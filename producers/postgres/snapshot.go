package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// rangeBlocks is how many blocks of a table one COPY reads: 16 MiB.
const rangeBlocks = 2048

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
		if p, ok := s.copied[e.dataset()]; !e.gone && (!ok || p.Generation != s.position.Generation || p.OID != e.oid) {
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

// copyTables copies tables under one snapshot, one after the other, each read by several connections. Every table is one Kafka transaction: only its
// last batch has a position. A table that was rewritten since the snapshot, which would look empty, is left out.
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

// part is a piece of a table: all of a leaf, or a range of its blocks.
type part struct {
	leaf     string // quoted
	from, to int64  // blocks; to is 0 for the end
	whole    bool
}

// tableCopy is the copy of one table while it is made.
type tableCopy struct {
	source *Source
	table  *table
	entry  *entry
	at     change
	head   []byte // what comes before the row in each value
	tail   []byte // and after
	parts  []part
	next   atomic.Int64 // index of the part to read next
}

func (s *Source) copyTable(ctx context.Context, snap *snapshot, conns []*pgconn.PgConn, e *entry) error {
	started := time.Now()
	parts, ok, err := s.lockAndSplit(ctx, conns[0], e)
	if err != nil || !ok {
		return err
	}
	c, err := s.startCopy(ctx, snap, conns[0], e)
	if err != nil {
		return err
	}
	c.parts = parts
	if err := s.sendMark(ctx, c); err != nil {
		return err
	}
	var rows atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for _, conn := range conns[:min(len(conns), len(parts))] {
		g.Go(func() error {
			n, err := c.read(gctx, conn)
			rows.Add(n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	p := TablePosition{Generation: s.position.Generation, LSN: snap.lsn, OID: e.oid}
	if err := s.send(ctx, producers.Batch{Positions: []producers.Position{{Part: TablePart + c.table.dataset, Text: p.String()}}}); err != nil {
		return err
	}
	s.copied[c.table.dataset] = p
	s.log.Info("copied a table", "source", s.name, "table", e.String(), "rows", rows.Load(), "position", snap.lsn.String(), "took", time.Since(started))
	return nil
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
			parts = append(parts, leafPart{part{leaf: leaf, whole: true}, r[4] == "t"})
			continue
		}
		for from := int64(0); from < blocks; from += rangeBlocks {
			p := part{leaf: leaf, from: from, to: from + rangeBlocks}
			if p.to >= blocks {
				p.to = 0
			}
			parts = append(parts, leafPart{p, r[4] == "t"})
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

// read copies part after part over one connection, until none is left.
func (c *tableCopy) read(ctx context.Context, conn *pgconn.PgConn) (rows int64, err error) {
	w := &rowWriter{copy: c, ctx: ctx, b: builder{target: c.source.target, source: c.source.name}}
	for {
		i := c.next.Add(1) - 1
		if i >= int64(len(c.parts)) {
			break
		}
		if _, err := conn.CopyTo(ctx, w, c.sql(c.parts[i])); err != nil {
			return w.rows, err
		}
	}
	if w.b.empty() {
		return w.rows, nil
	}
	return w.rows, c.source.send(ctx, w.b.take())
}

// sql is the COPY of one part.
func (c *tableCopy) sql(p part) string {
	names := make([]string, len(c.table.plan.columns))
	for i, col := range c.table.plan.columns {
		names[i] = quoteName(col.name)
	}
	list := strings.Join(names, ", ")
	if p.whole && c.entry.filter == "" {
		return "copy " + p.leaf + " (" + list + ") to stdout"
	}
	var where []string
	if !p.whole {
		where = append(where, fmt.Sprintf("ctid >= '(%d,0)'", p.from))
		if p.to > 0 {
			where = append(where, fmt.Sprintf("ctid < '(%d,0)'", p.to))
		}
	}
	if c.entry.filter != "" {
		where = append(where, "("+c.entry.filter+")")
	}
	return "copy (select " + list + " from only " + p.leaf + " where " + strings.Join(where, " and ") + ") to stdout"
}

// rowWriter takes the rows of a COPY, one in each Write, as the server sends them.
type rowWriter struct {
	copy *tableCopy
	ctx  context.Context
	b    builder
	row  tuple
	rows int64
}

// Write adds one row to the batch.
func (w *rowWriter) Write(line []byte) (int, error) {
	t := w.copy.table
	if err := w.row.parseCopyLine(line, len(t.plan.columns)); err != nil {
		return 0, err
	}
	w.rows++
	w.b.start()
	start := len(w.b.arena)
	if err := w.add(t); err != nil {
		w.b.arena = w.b.arena[:start]
		w.b.reject(t, placeOf(t, &w.copy.at, &w.row), appendCopyLine(nil, &w.row), err)
	}
	if w.b.full() {
		return len(line), w.copy.source.send(w.ctx, w.b.take())
	}
	return len(line), nil
}

func (w *rowWriter) add(t *table) (err error) {
	b := &w.b
	start := len(b.arena)
	if t.plan.key != nil {
		if b.arena, err = t.appendFramedKey(b.arena, &w.row, nil); err != nil {
			return err
		}
	}
	mid := len(b.arena)
	b.arena = append(b.arena, w.copy.head...)
	if b.arena, err = t.plan.appendRow(b.arena, &w.row); err != nil {
		return err
	}
	b.arena = append(b.arena, w.copy.tail...)
	end := len(b.arena)
	if limit := b.target.MaxRecordBytes(); end-start+recordOverhead > limit {
		return fmt.Errorf("the record has %d bytes, the topic takes %d", end-start+recordOverhead, limit)
	}
	var key []byte
	if mid > start {
		key = b.arena[start:mid:mid]
	}
	b.add(t.topic, key, b.arena[mid:end:end])
	b.count(t.dataset, 1, 0)
	return nil
}
