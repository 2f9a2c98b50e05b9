package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

const (
	statusEvery = time.Second
	// answerEvery bounds how often a server that asks (it does while it shuts down) makes an idle stream write its position.
	answerEvery = 100 * time.Millisecond
	// discoverAtLeast is the least time between two looks for tables that the stream asks for.
	discoverAtLeast = time.Second
)

// stream reads the replication connection. One goroutine owns it: it reads, and sends the status between reads.
type stream struct {
	source *Source
	conn   *pgconn.PgConn
	b      builder
	known  map[uint32]*followed // by the relation's OID

	// The open transaction.
	inside bool
	commit LSN // its final LSN
	at     change
	seen   int64 // changes of it that were read, wanted or not
	skip   int64 // changes of it that an earlier run produced

	cut     LSN   // final LSN of the transaction that an earlier run cut, until it was read again
	cutRows int64 // changes of it that were produced

	received  LSN // the last that arrived
	resumable LSN // everything whose commit ends here or before was read
	emitted   LSN // the last resumable position that was handed to Next

	starved                            bool // the last read waited in vain, perhaps for the rest of a message
	lastStatus, lastEmit, lastDiscover time.Time
	discover                           bool // the stream has met a table that is not copied yet

	old, row tuple

	side *pgconn.PgConn // for questions about rows; nil until there is one
}

// followed is a relation of the stream.
type followed struct {
	raw    []byte // the Relation message, to tell whether a repeated one differs
	wanted bool   // the table is captured and its copy is known
	table  *table
}

func newStream(s *Source, conn *pgconn.PgConn) *stream {
	now := time.Now()
	return &stream{source: s, conn: conn, b: builder{target: s.target, source: s.name}, known: map[uint32]*followed{},
		cut: s.position.Commit, cutRows: s.position.Rows, received: s.position.LSN, resumable: s.position.LSN, emitted: s.position.LSN, lastEmit: now, lastDiscover: now}
}

// run reads until ctx ends or the connection does. At the end the server is told what was committed.
func (w *stream) run(ctx context.Context) error {
	wake := context.AfterFunc(ctx, func() { _ = w.conn.Conn().SetReadDeadline(time.Unix(1, 0)) })
	defer wake()
	defer func() { _ = w.status() }() // the connection may be gone
	defer func() {
		if w.side != nil {
			w.source.hangUp(ctx, w.side)
		}
	}()
	for {
		if w.starved || w.conn.Frontend().ReadBufferLen() == 0 {
			w.starved = false
			if err := w.rest(ctx); err != nil {
				return err
			}
			_ = w.conn.Conn().SetReadDeadline(time.Now().Add(statusEvery))
			if ctx.Err() != nil { // it may have ended before the deadline was set, and its wake-up undone
				return ctx.Err()
			}
		}
		if err := w.read(ctx); err != nil {
			return err
		}
	}
}

// rest does what is due before the reader may have to wait.
func (w *stream) rest(ctx context.Context) error {
	now := time.Now()
	if !w.inside {
		if !w.b.empty() {
			if err := w.emit(ctx, false); err != nil {
				return err
			}
		}
		if due := now.Sub(w.lastDiscover); due > w.source.config.Discover || w.discover && due > discoverAtLeast {
			w.lastDiscover, w.discover = now, false
			if err := w.whileAlive(ctx, w.lookForTables); err != nil {
				return err
			}
		}
		if now.Sub(w.lastEmit) >= w.source.config.Heartbeat {
			if err := w.emitIdle(ctx); err != nil {
				return err
			}
		}
	}
	if now.Sub(w.lastStatus) >= statusEvery {
		return w.status()
	}
	return nil
}

// lookForTables copies tables that have come up since the last look, and forgets what the stream knows of them.
func (w *stream) lookForTables(ctx context.Context) error {
	s := w.source
	conn, err := s.dial(ctx, false)
	if err != nil {
		return err
	}
	defer w.source.hangUp(ctx, conn)
	entries, err := s.prepare(ctx, conn)
	if err != nil {
		return err
	}
	if len(s.missing(entries)) == 0 {
		return nil
	}
	if err := s.copyMissing(ctx, nil, entries); err != nil {
		return err
	}
	return w.followAgain(ctx)
}

// read takes one message from the server.
func (w *stream) read(ctx context.Context) error {
	m, err := w.conn.Frontend().Receive()
	if err != nil {
		if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
			w.starved = true // part of a message may be in the buffer: without a new deadline every read would fail at once
			return ctx.Err() // nil unless it was woken to stop
		}
		return fmt.Errorf("read from slot %s behind LSN %s: %w", w.source.config.Slot, w.received, err)
	}
	switch m := m.(type) {
	case *pgproto3.CopyData:
		return w.copyData(ctx, m.Data)
	case *pgproto3.ErrorResponse:
		return fmt.Errorf("read from slot %s behind LSN %s: %w", w.source.config.Slot, w.received, pgconn.ErrorResponseToPgError(m))
	case *pgproto3.CopyDone:
		return fmt.Errorf("read from slot %s behind LSN %s: the server ended the stream", w.source.config.Slot, w.received)
	}
	return nil // notices and parameter changes
}

func (w *stream) copyData(ctx context.Context, data []byte) error {
	m := message{b: data}
	switch m.uint8() {
	case pglogrepl.XLogDataByteID:
		at := m.lsn()
		m.uint64() // the server's end
		m.uint64() // its clock
		if m.bad || len(m.b) == 0 {
			return fmt.Errorf("LSN %s: %w", at, errMessage)
		}
		w.received = max(w.received, at)
		if err := w.change(ctx, at, m.b); err != nil {
			return fmt.Errorf("message %q at LSN %s: %w", m.b[0], at, err)
		}
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		end := m.lsn()
		m.uint64()
		return w.keepalive(ctx, end, m.uint8() == 1)
	}
	return nil
}

// keepalive: every change up to end was sent. Outside a transaction, one may resume there.
func (w *stream) keepalive(ctx context.Context, end LSN, asked bool) error {
	w.received = max(w.received, end)
	if !w.inside {
		w.resumable = max(w.resumable, end)
	}
	if !asked {
		return nil
	}
	if !w.inside && time.Since(w.lastEmit) >= answerEvery {
		if err := w.emitIdle(ctx); err != nil {
			return err
		}
	}
	return w.status()
}

// emitIdle hands out a position without records, once all that was handed out before is durable: it lets the server forget WAL of other tables and
// databases. The LSN is confirmed only when the position is durable, so that the slot never stands past the position.
func (w *stream) emitIdle(ctx context.Context) error {
	if w.resumable <= w.emitted || !w.b.empty() || LSN(w.source.confirmed.Load()) < w.emitted {
		return nil
	}
	return w.emit(ctx, false)
}

// emit hands out the batch. Inside a transaction its position says how much of it is produced.
func (w *stream) emit(ctx context.Context, open bool) error {
	b := w.b.take()
	p := w.source.position
	p.LSN, p.Commit, p.Rows = w.resumable, w.cut, w.cutRows
	if open {
		p.Commit, p.Rows = w.commit, w.seen
	}
	w.source.position = p
	b.Positions = []producers.Position{{Part: StreamPart, Text: p.String()}}
	b.Open = open
	w.emitted, w.lastEmit = w.resumable, time.Now()
	select {
	case w.source.batches <- b:
		return nil
	default:
	}
	return w.whileAlive(ctx, func(ctx context.Context) error { return w.source.send(ctx, b) })
}

// whileAlive runs what may take long and goes on sending the status, so that the server does not hang up. It returns when work has.
func (w *stream) whileAlive(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	var failed error
	for {
		select {
		case err := <-done:
			return errors.Join(failed, err)
		case <-tick.C:
			if err := w.status(); err != nil && failed == nil {
				failed = err
				cancel()
			}
		}
	}
}

// status tells the server what arrived and what is durable in Kafka.
func (w *stream) status() error {
	w.lastStatus = time.Now()
	confirmed := LSN(w.source.confirmed.Load())
	_ = w.conn.Conn().SetWriteDeadline(w.lastStatus.Add(closePatience))
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), w.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: max(w.received, confirmed), WALFlushPosition: confirmed, WALApplyPosition: confirmed})
	if err != nil {
		return fmt.Errorf("send status to slot %s: %w", w.source.config.Slot, err)
	}
	return nil
}

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
