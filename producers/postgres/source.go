// Package postgres streams the tables of a Postgres database: first every row as it was at one LSN, then every change, in commit order.
//
// # What is where
//
// The slot (slot.go) says from where the server streams; its exported snapshot is what the first copy reads (snapshot.go). Tables that are copied later, because a
// copy was cut short or the table is new, are read under the snapshot of a temporary slot made beside the stream, and remember that slot's consistent point as
// their copy LSN: the stream skips the changes of a table whose commit lies before it. stream.go reads the stream, wal.go its messages, row_to_avro.go turns rows into Avro.
//
// # What a topic holds
//
// One topic a table, its records in the shape of a Debezium envelope (schemas.Envelope), keyed by the replica identity: the primary key unless the table says
// otherwise, the whole row with REPLICA IDENTITY FULL and no primary key, nothing for a table that can only be inserted into. A change of the key is a delete of the old
// key and a create of the new one, both with the same number; that create is the only one with a `before`, which names the row it was. A TRUNCATE, and the start of a
// copy when older rows may be there, is a record with op t and no key. Topics are kept for ever, so deletes carry no tombstone unless the configuration asks.
//
// # What the role needs
//
// REPLICATION, SELECT on the tables and USAGE on their schemas; to make the publication, CREATE on the database and ownership of the tables, unless
// someone else makes it. What is missing is an error that holds the SQL to repair it.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// readAhead is how many batches wait for Next, each of about a megabyte.
const readAhead = 4

// Source streams one database. See producers.Source for how it is called.
type Source struct {
	name   string
	config Config
	log    *slog.Logger

	// Set by Open, read-only afterwards.
	target   producers.Target
	database string
	version  int  // server_version_num
	money    bool // money has two digits after the point, so it travels as a decimal

	// Owned by Open, then by the goroutine that reads the database.
	position StreamPosition
	stored   string                   // the stream's position as Kafka has it at the start
	first    bool                     // nothing of this source was ever produced
	copied   map[string]TablePosition // by dataset
	unwanted []string                 // datasets of the database's tables that the configuration leaves out
	domains  map[uint32]pgType        // user-defined types, domains resolved; cached for the run

	confirmed atomic.Uint64 // LSN that Commit was told last

	mu   sync.Mutex
	open map[*pgconn.PgConn]struct{} // the connections of the moment; guarded by mu

	patience time.Duration // with a slot that is in use

	batches chan producers.Batch
	err     error // why batches was closed; written before it is
	cancel  context.CancelFunc
	running sync.WaitGroup
}

var (
	_ producers.Source = (*Source)(nil)
	_ producers.Holder = (*Source)(nil)
)

// New makes the source called name, which is also the middle of its topics' names. The configuration must be valid.
func New(name string, config Config, log *slog.Logger) (*Source, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure source %s: %w", name, err)
	}
	return &Source{name: name, config: config.withDefaults(name), log: log, domains: map[uint32]pgType{}, copied: map[string]TablePosition{},
		open: map[*pgconn.PgConn]struct{}{}, patience: slotPatience}, nil
}

// Open connects, prepares publication and slot, and starts to read behind the positions.
func (s *Source) Open(ctx context.Context, target producers.Target, positions map[string]string) error {
	return explain(s.start(ctx, target, positions))
}

func (s *Source) start(ctx context.Context, target producers.Target, positions map[string]string) error {
	s.target = target
	if err := s.readPositions(positions); err != nil {
		return err
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer s.hangUp(ctx, conn)
	entries, err := s.prepare(ctx, conn)
	if err != nil {
		return err
	}
	repl, err := s.dial(ctx, true)
	if err != nil {
		return err
	}
	snap, err := s.prepareSlot(ctx, conn, repl)
	if err != nil {
		s.hangUp(ctx, repl)
		return err
	}
	s.first = snap != nil && len(positions) == 0
	s.confirmed.Store(uint64(s.position.LSN))
	s.batches = make(chan producers.Batch, readAhead)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.running.Go(func() {
		defer close(s.batches)
		defer s.hangUp(run, repl)
		s.err = explain(s.checkDecodable(run, s.run(run, repl, snap, entries)))
	})
	return nil
}

func (s *Source) readPositions(positions map[string]string) (err error) {
	if text, ok := positions[StreamPart]; ok {
		s.stored = text
		if s.position, err = ParseStreamPosition(text); err != nil {
			return faults.PostgresPosition.Of(err)
		}
	}
	for part, text := range positions {
		dataset, ok := strings.CutPrefix(part, TablePart)
		if !ok {
			continue
		}
		if s.copied[dataset], err = ParseTablePosition(text); err != nil {
			return faults.PostgresPosition.Of(err)
		}
	}
	return nil
}

// connect makes a plain connection and asks the server what the session settings depend on.
func (s *Source) connect(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := s.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	rows, err := query(ctx, conn, "select current_setting('server_version_num'), current_setting('wal_level'), scale(0::money::numeric)")
	if err != nil {
		s.hangUp(ctx, conn)
		return nil, fmt.Errorf("read the server's settings: %w", err)
	}
	s.version, _ = strconv.Atoi(rows[0][0])
	s.money = rows[0][2] == "2"
	if rows[0][1] != "logical" {
		s.hangUp(ctx, conn)
		return nil, faults.PostgresWALLevel.Of(fmt.Errorf("wal_level is %s, changes cannot be decoded", rows[0][1]))
	}
	return conn, nil
}

// prepare lists the tables and sees to it that they are published. That comes before the slot: the server decodes with the publication as it was then.
func (s *Source) prepare(ctx context.Context, conn *pgconn.PgConn) ([]*entry, error) {
	entries, err := s.listEntries(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := s.ensurePublication(ctx, conn, entries); err != nil {
		return nil, err
	}
	return entries, nil
}

// run copies what is to be copied, then streams, until ctx ends. While it streams it looks for new tables from time to time.
func (s *Source) run(ctx context.Context, repl *pgconn.PgConn, snap *snapshot, entries []*entry) error {
	// A position that is durable already is not written again: a transaction is what tells that the source works.
	positions := s.forgetUnwanted()
	if text := s.position.String(); text != s.stored {
		positions = append(positions, producers.Position{Part: StreamPart, Text: text})
	}
	if len(positions) > 0 {
		if err := s.send(ctx, producers.Batch{Positions: positions}); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		s.log.Warn("no table matches the configuration yet", "source", s.name)
	}
	if err := s.copyMissing(ctx, snap, entries); err != nil {
		return err
	}
	s.first = false
	if err := s.startReplication(ctx, repl); err != nil {
		return err
	}
	return newStream(s, repl).run(ctx)
}

// forgetUnwanted forgets the copies of tables that the configuration leaves out now: their changes are passed over from here on, so that they must be copied
// again when they are taken back.
func (s *Source) forgetUnwanted() (positions []producers.Position) {
	for _, dataset := range s.unwanted {
		if _, ok := s.copied[dataset]; ok {
			delete(s.copied, dataset)
			positions = append(positions, producers.Position{Part: TablePart + dataset})
			s.log.Warn("the table is left out of the configuration; it is copied again when it is taken back", "source", s.name, "dataset", dataset)
		}
	}
	return positions
}

// send hands a batch to Next.
func (s *Source) send(ctx context.Context, b producers.Batch) error {
	select {
	case s.batches <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Next returns the next batch.
func (s *Source) Next(ctx context.Context) (producers.Batch, error) {
	select {
	case b, ok := <-s.batches:
		if ok {
			return b, nil
		}
		if s.err == nil {
			return producers.Batch{}, io.ErrUnexpectedEOF // the stream has no end
		}
		return producers.Batch{}, s.err
	case <-ctx.Done():
		return producers.Batch{}, ctx.Err()
	}
}

// Commit lets the server forget the WAL up to the position. It is told with the next status, within a second.
func (s *Source) Commit(_ context.Context, positions []producers.Position) error {
	for _, p := range positions {
		if p.Part != StreamPart {
			continue
		}
		at, err := ParseStreamPosition(p.Text)
		if err != nil {
			return err
		}
		for old := s.confirmed.Load(); uint64(at.LSN) > old && !s.confirmed.CompareAndSwap(old, uint64(at.LSN)); old = s.confirmed.Load() {
		}
	}
	return nil
}

// Close stops reading, tells the server what was committed, and disconnects.
func (s *Source) Close(context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.running.Wait() // what went wrong was returned by Next
	return nil
}

// ready makes topic and schema ids of a table ready.
func (s *Source) ready(ctx context.Context, t *table) error {
	d, err := s.target.Dataset(ctx, t.dataset, t.plan.key, t.plan.value)
	if refused, ok := errors.AsType[*schemas.IncompatibleError](err); ok {
		return s.incompatible(ctx, t, refused)
	}
	if err != nil {
		return fmt.Errorf("prepare dataset %s: %w", t.dataset, err)
	}
	t.bind(d.Topic, d.KeyID, d.ValueID, s.database)
	return nil
}

// newTable compiles the plan of a table.
func newTable(oid uint32, schema, name string, columns []column, nullableKey bool) (*table, error) {
	t := &table{oid: oid, schema: schema, name: name, dataset: schemas.Name(schema) + "." + schemas.Name(name)}
	var err error
	t.plan, err = compilePlan(t.dataset, columns, nullableKey)
	return t, err
}
