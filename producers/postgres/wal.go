package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"adventureworks.example/extract/schemas"
)

// change takes one message of pgoutput.
func (w *stream) change(ctx context.Context, at LSN, data []byte) error {
	m := message{b: data[1:]}
	switch data[0] {
	case 'I', 'U', 'D':
		return w.rowChange(ctx, at, data[0], &m)
	case 'B':
		w.begin(&m)
	case 'C':
		m.uint8()
		m.lsn()
		end := m.lsn()
		w.inside, w.resumable = false, max(w.resumable, end)
		if w.cut == w.commit {
			w.cut, w.cutRows = 0, 0
		}
		if !m.bad && w.b.full() {
			return w.emit(ctx, false)
		}
	case 'R':
		return w.relation(ctx, data)
	case 'T':
		return w.truncate(ctx, at, &m)
	}
	if m.bad {
		return errMessage
	}
	return nil // Type, Origin and Message say nothing about rows
}

func (w *stream) begin(m *message) {
	w.commit = m.lsn()
	micros := m.micros()
	w.at = change{micros: micros, millis: time.Now().UnixMilli(), xid: m.uint32(), commit: w.commit, generation: w.source.position.Generation}
	w.inside, w.seen, w.skip = true, 0, 0
	if w.cut == w.commit {
		w.skip = w.cutRows
	}
}

// counted numbers the next change of the transaction, and tells whether it is to be produced.
func (w *stream) counted(at LSN, op schemas.Op) bool {
	w.at.lsn, w.at.op, w.at.number = at, op, schemas.NumberFirstChange+w.seen
	w.seen++
	return w.seen > w.skip
}

func (w *stream) rowChange(ctx context.Context, at LSN, kind byte, m *message) error {
	f := w.known[m.uint32()]
	op := schemas.OpCreate
	switch kind {
	case 'U':
		op = schemas.OpUpdate
	case 'D':
		op = schemas.OpDelete
	}
	if f == nil {
		return fmt.Errorf("%w: a row of a relation that was not described", errMessage)
	}
	if !w.counted(at, op) || !f.wanted || w.commit < f.table.copied.first {
		return nil
	}
	var before, after *tuple
	columns := len(f.table.plan.columns)
	part := m.uint8()
	if part == 'K' || part == 'O' {
		m.tuple(&w.old, columns)
		before = &w.old
		if kind == 'U' {
			part = m.uint8()
		}
	}
	if part == 'N' {
		m.tuple(&w.row, columns)
		after = &w.row
	}
	if m.bad || (after == nil) != (kind == 'D') || kind == 'D' && before == nil {
		return errMessage
	}
	before, after, err := w.uncopied(ctx, f.table, before, after)
	if err != nil || before == nil && after == nil {
		return err
	}
	if err := w.ready(ctx, f); err != nil {
		return err
	}
	if before != nil && after != nil && f.table.full {
		after.fillUnchanged(before)
	} else if before != nil && after != nil && after.incomplete() && !f.table.plan.sameKey(before, after) {
		if err := w.completeMoved(ctx, f.table, after); err != nil {
			return err
		}
	}
	w.b.addChange(f.table, &w.at, before, after, w.source.config.Tombstones)
	if w.b.full() {
		return w.emit(ctx, true)
	}
	return nil
}

func (w *stream) truncate(ctx context.Context, at LSN, m *message) error {
	n := int(m.uint32())
	m.uint8() // CASCADE and RESTART IDENTITY: the tables are all listed
	for range n {
		f := w.known[m.uint32()]
		if m.bad || f == nil {
			return errMessage
		}
		if !w.counted(at, schemas.OpTruncate) || !f.wanted || w.commit < f.table.copied.first {
			continue
		}
		if err := w.ready(ctx, f); err != nil {
			return err
		}
		w.b.addMark(f.table, &w.at)
	}
	return nil
}

// ready makes the table's topic and schema ids ready before its first record.
func (w *stream) ready(ctx context.Context, f *followed) error {
	if f.table.topic != "" {
		return nil
	}
	return w.whileAlive(ctx, func(ctx context.Context) error { return w.source.ready(ctx, f.table) })
}

// relation takes the description of a table, which comes before its first row and again whenever it may have changed.
func (w *stream) relation(ctx context.Context, data []byte) error {
	m := message{b: data[1:]}
	r := m.relation()
	if m.bad {
		return errMessage
	}
	if f := w.known[r.oid]; f != nil && bytes.Equal(f.raw, data) {
		return nil
	}
	f := &followed{raw: bytes.Clone(data)}
	w.known[r.oid] = f
	return w.follow(ctx, f, r)
}

// follow decides whether the relation is captured, and compiles its plan. Changes of a table that is not copied yet are left out: its copy, still to be
// made, holds them.
func (w *stream) follow(ctx context.Context, f *followed, r relation) error {
	s := w.source
	if !s.config.wants(r.schema, r.name) {
		return nil
	}
	p, ok := s.copied[schemas.Name(r.schema)+"."+schemas.Name(r.name)]
	if !ok || !p.complete() || p.Generation != s.position.Generation || p.OID != r.oid {
		w.discover = true
		return nil
	}
	primary, err := w.primaryKey(ctx, r)
	if err != nil {
		return err
	}
	columns, nullableKey, err := s.resolveColumns(ctx, r.schema, r.name, r.identity, r.columns, primary)
	if err != nil {
		return err
	}
	if f.table, err = newTable(r.oid, r.schema, r.name, columns, nullableKey); err != nil {
		return err
	}
	f.table.copied, f.table.full, f.wanted = stateOf(p, f.table.plan), r.identity == 'f', true
	return nil
}

// followAgain decides anew about every relation, after tables were copied.
func (w *stream) followAgain(ctx context.Context) error {
	for _, f := range w.known {
		m := message{b: f.raw[1:]}
		f.wanted = false
		if err := w.follow(ctx, f, m.relation()); err != nil {
			return err
		}
	}
	return nil
}

// primaryKey asks for the primary key of a table with REPLICA IDENTITY FULL, whose Relation message calls every column a key.
func (w *stream) primaryKey(ctx context.Context, r relation) (map[string]bool, error) {
	if r.identity != 'f' {
		return nil, nil
	}
	conn, err := w.source.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	defer w.source.hangUp(ctx, conn)
	rows, err := query(ctx, conn, listPrimaryKey+strconv.FormatUint(uint64(r.oid), 10))
	if err != nil {
		return nil, fmt.Errorf("read primary key of %s.%s: %w", r.schema, r.name, err)
	}
	primary := map[string]bool{}
	for _, row := range rows {
		primary[row[0]] = true
	}
	return primary, nil
}

const listPrimaryKey = `select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey::int2[])
where i.indisprimary and i.indimmediate and i.indisvalid and i.indrelid = `
