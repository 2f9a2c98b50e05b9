package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"adventureworks.example/extract/producers"
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
