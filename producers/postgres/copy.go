package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"adventureworks.example/extract/producers"
)

// part is a piece of a table that one COPY reads: all of a leaf, a range of its blocks or a range of the table's key.
type part struct {
	leaf  string   // quoted; empty for a range of the key
	from  string   // of a range of the key: what it is read from
	where []string // none for all
	end   []string // of a range of the key: where the next one begins, nil at the table's end
}

// tableCopy is the copy of one table while it is made.
type tableCopy struct {
	source *Source
	table  *table
	entry  *entry
	at     change
	head   []byte // what comes before the row in each value
	tail   []byte // and after

	rows, bytes atomic.Int64 // that were read of the range

	mu    sync.Mutex // guards what follows
	parts []part
	first int       // of the range
	next  int       // to be read
	full  time.Time // when the range takes no more parts; zero for never
	limit int64     // bytes after which it takes no more; 0 for none
}

// copyWhole copies the table in one transaction: only its last batch has a position.
func (c *tableCopy) copyWhole(ctx context.Context, conns []*pgconn.PgConn, parts []part) error {
	started := time.Now()
	c.parts = parts
	if err := c.readParts(ctx, conns); err != nil {
		return err
	}
	p := TablePosition{Generation: c.at.generation, LSN: c.at.lsn, OID: c.entry.oid}
	if err := c.reached(ctx, p); err != nil {
		return err
	}
	c.source.log.Info("copied a table", "source", c.source.name, "table", c.entry.String(), "rows", c.rows.Load(), "position", c.at.lsn.String(), "took", time.Since(started))
	return nil
}

// copyRanges copies the table behind p, range by range. See ranges.go.
func (c *tableCopy) copyRanges(ctx context.Context, conns []*pgconn.PgConn, key tableKey, p TablePosition) error {
	s := c.source
	var from []string
	if n := len(p.Ranges); n > 0 {
		from = p.Ranges[n-1].To
		s.log.Info("the copy of a table goes on", "source", s.name, "table", c.entry.String(), "behind", joinValues(from))
	}
	parts, err := key.cut(ctx, conns[0], from, min(rangeBytes, s.config.CopyRangeBytes/partsPerRange+1))
	if err != nil {
		return err
	}
	for _, k := range parts {
		c.parts = append(c.parts, part{from: key.from, where: key.where(k), end: k.to})
	}
	c.limit = s.config.CopyRangeBytes
	for c.next < len(c.parts) {
		started := time.Now()
		c.first, c.full = c.next, started.Add(s.config.CopyRangeTime)
		c.rows.Store(0)
		c.bytes.Store(0)
		if err := c.readParts(ctx, conns); err != nil {
			return err
		}
		p = p.with(c.at.lsn, c.parts[c.next-1].end)
		if err := c.reached(ctx, p); err != nil {
			return err
		}
		s.log.Info("copied a range of a table", "source", s.name, "table", c.entry.String(), "rows", c.rows.Load(), "bytes", c.bytes.Load(), "position", c.at.lsn.String(),
			"parts", fmt.Sprintf("%d of %d", c.next, len(c.parts)), "took", time.Since(started))
	}
	return nil
}

// reached ends a transaction with how far the copy has got.
func (c *tableCopy) reached(ctx context.Context, p TablePosition) error {
	if err := c.source.send(ctx, producers.Batch{Positions: []producers.Position{{Part: TablePart + c.table.dataset, Text: p.String()}}}); err != nil {
		return err
	}
	c.source.copied[c.table.dataset] = p
	return nil
}

// readParts reads parts over all connections until none is left or the range is full.
func (c *tableCopy) readParts(ctx context.Context, conns []*pgconn.PgConn) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, conn := range conns[:min(len(conns), len(c.parts)-c.next)] {
		g.Go(func() error { return c.read(gctx, conn) })
	}
	return g.Wait()
}

// take gives the next part to read. Parts are taken in order and each that is taken is read, so that a range has no gap.
func (c *tableCopy) take() (part, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	enough := c.limit > 0 && c.next > c.first && (c.bytes.Load() >= c.limit || !time.Now().Before(c.full))
	if c.next == len(c.parts) || enough {
		return part{}, false
	}
	c.next++
	return c.parts[c.next-1], true
}

// read copies part after part over one connection, until none is left.
func (c *tableCopy) read(ctx context.Context, conn *pgconn.PgConn) error {
	w := &rowWriter{copy: c, ctx: ctx, b: builder{target: c.source.target, source: c.source.name}}
	for p, ok := c.take(); ok; p, ok = c.take() {
		if _, err := conn.CopyTo(ctx, w, c.sql(p)); err != nil {
			return err
		}
		c.rows.Add(w.rows)
		c.bytes.Add(w.bytes)
		w.rows, w.bytes = 0, 0
	}
	if w.b.empty() {
		return nil
	}
	return c.source.send(ctx, w.b.take())
}

// sql is the COPY of one part.
func (c *tableCopy) sql(p part) string {
	names := make([]string, len(c.table.plan.columns))
	for i, col := range c.table.plan.columns {
		names[i] = quoteName(col.name)
	}
	list := strings.Join(names, ", ")
	from, where := "only "+p.leaf, p.where
	if p.leaf == "" {
		from = p.from
	} else if len(p.where) == 0 && c.entry.filter == "" {
		return "copy " + p.leaf + " (" + list + ") to stdout"
	}
	if c.entry.filter != "" {
		where = append(where[:len(where):len(where)], "("+c.entry.filter+")")
	}
	if len(where) == 0 {
		return "copy (select " + list + " from " + from + ") to stdout"
	}
	return "copy (select " + list + " from " + from + " where " + strings.Join(where, " and ") + ") to stdout"
}

// rowWriter takes the rows of a COPY, one in each Write, as the server sends them.
type rowWriter struct {
	copy  *tableCopy
	ctx   context.Context
	b     builder
	row   tuple
	rows  int64
	bytes int64
}

// Write adds one row to the batch.
func (w *rowWriter) Write(line []byte) (int, error) {
	t := w.copy.table
	if err := w.row.parseCopyLine(line, len(t.plan.columns)); err != nil {
		return 0, err
	}
	w.rows++
	w.bytes += int64(len(line))
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
	if err := b.addRecord(t, start, mid); err != nil {
		return err
	}
	b.count(t.dataset, 1, 0)
	return nil
}
