package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// Held counts and digests every captured table, all under one snapshot of now. A row that has no Avro form counts as rejected and is not in the
// digest. It needs no slot and changes nothing.
func (s *Source) Held(ctx context.Context, report func(producers.Held)) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.hangUp(ctx, conn)
	if conn, err = s.dial(ctx, false); err != nil { // with the settings that connect has found out about
		return err
	}
	defer s.hangUp(ctx, conn)
	if _, err := query(ctx, conn, "begin isolation level repeatable read read only"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	entries, err := s.listEntries(ctx, conn)
	if err != nil {
		return err
	}
	if err := s.markPublished(ctx, conn, entries); err != nil {
		return err
	}
	for _, e := range entries {
		h, err := s.heldOf(ctx, conn, e)
		if err != nil {
			return fmt.Errorf("read table %s: %w", e, err)
		}
		if h.Dataset != "" {
			report(h)
		}
	}
	return nil
}

// heldOf reads one table. A table that is gone has no dataset.
func (s *Source) heldOf(ctx context.Context, conn *pgconn.PgConn, e *entry) (producers.Held, error) {
	if gone, err := lockTable(ctx, conn, e); err != nil || gone {
		return producers.Held{}, err
	}
	columns, nullableKey, err := s.readColumns(ctx, conn, e)
	if err != nil {
		return producers.Held{}, err
	}
	t, err := newTable(e.oid, e.schema, e.name, columns, nullableKey)
	if err != nil {
		return producers.Held{}, err
	}
	decoder, err := schemas.NewDecoder(t.plan.rowSchema, t.plan.rowSchema)
	if err != nil {
		return producers.Held{}, fmt.Errorf("read rows as avro: %w", err)
	}
	parts, err := s.split(ctx, conn, e)
	if err != nil {
		return producers.Held{}, err
	}
	c := &tableCopy{source: s, table: t, entry: e}
	d := &digester{held: producers.Held{Dataset: t.dataset, Changes: true}, plan: t.plan, decoder: decoder, cols: schemas.NewColumns(t.plan.rowSchema)}
	for _, p := range parts {
		if _, err := conn.CopyTo(ctx, d, c.sql(p.part)); err != nil {
			return producers.Held{}, err
		}
	}
	return d.held, nil
}

// digester takes the rows of a COPY and digests each as the reader of its record would.
type digester struct {
	held    producers.Held
	plan    *rowPlan
	decoder *schemas.Decoder
	cols    *schemas.Columns
	row     tuple
	avro    []byte
	canon   []byte
}

// Write adds one row.
func (d *digester) Write(line []byte) (int, error) {
	if err := d.row.parseCopyLine(line, len(d.plan.columns)); err != nil {
		return 0, err
	}
	d.held.Rows++
	var err error
	if d.avro, err = d.plan.appendRow(d.avro[:0], &d.row); err != nil {
		d.held.Rejected++
		return len(line), nil
	}
	d.cols.Reset()
	if err := d.decoder.Decode(d.avro, d.cols); err != nil {
		return 0, fmt.Errorf("decode row %d: %w", d.held.Rows, err)
	}
	d.canon = d.cols.AppendCanonical(d.canon[:0], 0)
	d.held.Digest.Add(d.canon)
	return len(line), nil
}
