package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas/faults"
)

// ErrSlotLost is returned when the replication slot does not continue what was produced, and the policy is to stop.
var ErrSlotLost = errors.New("the replication slot does not continue what was produced")

// snapshot is an exported snapshot and the LSN it was taken at: it shows exactly the transactions whose final LSN lies before. It lives until the connection
// that exported it runs another command or closes.
type snapshot struct {
	name string
	lsn  LSN
}

// slotState is what the server says of a slot.
type slotState struct {
	plugin    string
	database  string
	confirmed LSN
	status    string // wal_status
	invalid   bool
}

func (s *Source) readSlot(ctx context.Context, conn *pgconn.PgConn) (*slotState, error) {
	invalid := "false"
	if s.version >= 170000 {
		invalid = "invalidation_reason is not null"
	} else if s.version >= 160000 {
		invalid = "coalesce(conflicting, false)"
	}
	rows, err := query(ctx, conn, `select coalesce(plugin, ''), coalesce(database, ''), coalesce(confirmed_flush_lsn, '0/0'), coalesce(wal_status, ''), `+invalid+`
		from pg_replication_slots where slot_name = $1`, s.config.Slot)
	if err != nil {
		return nil, fmt.Errorf("read slot %s: %w", s.config.Slot, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	r := rows[0]
	lsn, err := pglogrepl.ParseLSN(r[2])
	if err != nil {
		return nil, fmt.Errorf("read slot %s: %w", s.config.Slot, err)
	}
	return &slotState{plugin: r[0], database: r[1], confirmed: lsn, status: r[3], invalid: r[4] == "t"}, nil
}

// prepareSlot decides where the stream starts: behind the position, or in a new slot, whose snapshot it then returns. repl is the connection
// that will stream, conn another one.
func (s *Source) prepareSlot(ctx context.Context, conn, repl *pgconn.PgConn) (*snapshot, error) {
	system, err := pglogrepl.IdentifySystem(ctx, repl)
	if err != nil {
		return nil, fmt.Errorf("identify system: %w", err)
	}
	s.database = system.DBName
	slot, err := s.readSlot(ctx, conn)
	if err != nil {
		return nil, err
	}
	if slot != nil && (slot.plugin != "pgoutput" || slot.database != system.DBName) {
		return nil, faults.PostgresSlotForeign.Of(fmt.Errorf("slot %s belongs to plugin %q of database %q", s.config.Slot, slot.plugin, slot.database))
	}
	generation := int64(1)
	if s.position.LSN != 0 {
		reason, err := s.lostReason(ctx, conn, repl, system, slot)
		if err != nil {
			return nil, err
		}
		if reason == "" {
			s.position.Timeline = system.Timeline
			return nil, s.awaitSlot(ctx, conn)
		}
		if s.config.OnSlotLost != OnSlotLostResnapshot {
			return nil, faults.PostgresSlotLost.Of(fmt.Errorf("slot %s: %s, and what was produced ends at LSN %s: %w", s.config.Slot, reason, s.position.LSN, ErrSlotLost))
		}
		s.log.Warn("the slot is lost, every table is copied again", "source", s.name, "slot", s.config.Slot, "reason", reason)
		generation = s.position.Generation + 1
		if slot != nil {
			if _, err := query(ctx, conn, "select pg_drop_replication_slot($1)", s.config.Slot); err != nil {
				return nil, fmt.Errorf("drop slot %s: %w", s.config.Slot, err)
			}
			slot = nil
		}
	}
	s.position = StreamPosition{System: system.SystemID, Timeline: system.Timeline, Slot: s.config.Slot, Generation: generation}
	if slot != nil {
		// Made by a start that ended before its first transaction. Nothing is produced, so it may start where it stands: every table is still to be copied.
		s.position.Point, s.position.LSN = slot.confirmed, slot.confirmed
		return nil, s.awaitSlot(ctx, conn)
	}
	snap, err := s.createSlot(ctx, repl, s.config.Slot, false)
	if err != nil {
		return nil, err
	}
	s.position.Point, s.position.LSN = snap.lsn, snap.lsn
	return snap, nil
}

// lostReason tells why the slot does not continue the position, empty when it does.
func (s *Source) lostReason(ctx context.Context, conn, repl *pgconn.PgConn, system pglogrepl.IdentifySystemResult, slot *slotState) (string, error) {
	p := s.position
	switch {
	case p.System != system.SystemID:
		return fmt.Sprintf("this is server %s, the position is of server %s", system.SystemID, p.System), nil
	case p.Slot != s.config.Slot:
		return fmt.Sprintf("the position is of slot %s", p.Slot), nil
	case slot == nil:
		return "it is not there any more", nil
	case slot.status == "lost" || slot.invalid:
		return "the server has dropped WAL that it needs (max_slot_wal_keep_size) or invalidated it", nil
	case slot.confirmed > p.LSN:
		return fmt.Sprintf("it stands at LSN %s, past the position %s: it was made again or moved", slot.confirmed, p.LSN), nil
	}
	rows, err := query(ctx, conn, "select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end")
	if err != nil {
		return "", fmt.Errorf("read the server's LSN: %w", err)
	}
	if end, err := pglogrepl.ParseLSN(rows[0][0]); err == nil && end < p.LSN {
		return fmt.Sprintf("the server ends at LSN %s, before the position %s: it was restored from a backup", end, p.LSN), nil
	}
	if p.Timeline == system.Timeline {
		return "", nil
	}
	history, err := pglogrepl.TimelineHistory(ctx, repl, system.Timeline)
	if err != nil {
		return "", fmt.Errorf("read history of timeline %d: %w", system.Timeline, err)
	}
	left, ok := timelineEnd(string(history.Content), p.Timeline)
	if !ok || left < p.LSN {
		return fmt.Sprintf("timeline %d left timeline %d at LSN %s, the position is %s: what was produced after it is not on this server", system.Timeline, p.Timeline, left, p.LSN), nil
	}
	return "", nil
}

// timelineEnd finds in a history file (lines of timeline, LSN, reason) where a timeline was left.
func timelineEnd(history string, timeline int32) (LSN, bool) {
	for line := range strings.Lines(history) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == strconv.Itoa(int(timeline)) {
			lsn, err := pglogrepl.ParseLSN(f[1])
			return lsn, err == nil
		}
	}
	return 0, false
}

// createSlot makes a slot and exports the snapshot of its consistent point. It waits for the transactions that are running.
func (s *Source) createSlot(ctx context.Context, repl *pgconn.PgConn, name string, temporary bool) (*snapshot, error) {
	sql := "CREATE_REPLICATION_SLOT " + name
	if temporary {
		sql += " TEMPORARY"
	}
	switch {
	case s.version >= 170000 && !temporary:
		sql += " LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER true)"
	case s.version >= 150000:
		sql += " LOGICAL pgoutput (SNAPSHOT 'export')"
	default:
		sql += " LOGICAL pgoutput EXPORT_SNAPSHOT"
	}
	rows, err := query(ctx, repl, sql)
	if err != nil {
		wrapped := fmt.Errorf("create slot %s: %w", name, err)
		switch sqlState(err) {
		case stateTooManySlots:
			return nil, faults.PostgresSlots.Of(wrapped)
		case stateInsufficientPrivilege:
			return nil, faults.PostgresReplication.With(wrapped, "give the role REPLICATION")
		}
		return nil, wrapped
	}
	if len(rows) != 1 || len(rows[0]) < 3 {
		return nil, fmt.Errorf("create slot %s: the server's answer has no snapshot", name)
	}
	lsn, err := pglogrepl.ParseLSN(rows[0][1])
	if err != nil {
		return nil, fmt.Errorf("create slot %s: %w", name, err)
	}
	s.log.Info("made a replication slot", "source", s.name, "slot", name, "position", lsn.String())
	return &snapshot{name: rows[0][2], lsn: lsn}, nil
}

// checkDecodable looks whether the server cannot decode what the slot holds, because the publication was not there when it was written: the server
// decodes with the catalog as it was then, so that making the publication again does not help. The slot is as good as lost.
func (s *Source) checkDecodable(ctx context.Context, err error) error {
	if sqlState(err) != stateUndefinedObject || !strings.Contains(err.Error(), "publication") {
		return err
	}
	err = fmt.Errorf("slot %s: publication %s was dropped, and what was changed until it was made again cannot be decoded: %w: %w", s.config.Slot, s.config.Publication, ErrSlotLost, err)
	if s.config.OnSlotLost != OnSlotLostResnapshot {
		return faults.PostgresSlotLost.Of(err)
	}
	conn, dialErr := s.dial(ctx, false)
	if dialErr != nil {
		return errors.Join(dialErr, err)
	}
	defer s.hangUp(ctx, conn)
	if waitErr := s.awaitSlot(ctx, conn); waitErr != nil {
		return waitErr
	}
	if _, dropErr := query(ctx, conn, "select pg_drop_replication_slot($1)", s.config.Slot); dropErr != nil {
		return fmt.Errorf("drop slot %s: %w", s.config.Slot, dropErr)
	}
	s.log.Warn("the slot is dropped, every table is copied again", "source", s.name, "slot", s.config.Slot, "err", err)
	return &producers.Error{Class: producers.Retry, Err: err}
}

const (
	slotPatience = 15 * time.Second // how long a slot that is in use is waited for
	slotPoll     = 50 * time.Millisecond
)

// awaitSlot waits until nobody streams from the slot. A process before us may still hold it: the server lets it go when it notices. That is before anything of
// this run is committed, so that a slot which stays in use shows as an error of opening the source.
func (s *Source) awaitSlot(ctx context.Context, conn *pgconn.PgConn) error {
	deadline := time.Now().Add(s.patience)
	for {
		rows, err := query(ctx, conn, `select s.active_pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'a local socket')
			from pg_replication_slots s left join pg_stat_activity a on a.pid = s.active_pid where s.slot_name = $1 and s.active`, s.config.Slot)
		if err != nil {
			return fmt.Errorf("look who streams from slot %s: %w", s.config.Slot, err)
		}
		if len(rows) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			r := rows[0]
			return faults.PostgresSlotInUse.With(fmt.Errorf("slot %s is in use by the server's process %s, for %q at %s", s.config.Slot, r[0], r[1], r[2]),
				"stop the program that streams from it, or run: SELECT pg_terminate_backend("+r[0]+");")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(slotPoll):
		}
	}
}

// startReplication starts the stream. A slot that a process before us still holds is waited for: the server lets it go when it notices.
func (s *Source) startReplication(ctx context.Context, repl *pgconn.PgConn) error {
	options := pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", "publication_names " + quoteText(quoteName(s.config.Publication))}}
	deadline := time.Now().Add(s.patience)
	for {
		err := pglogrepl.StartReplication(ctx, repl, s.config.Slot, s.position.LSN, options)
		if err == nil {
			return nil
		}
		wrapped := fmt.Errorf("stream from slot %s: %w", s.config.Slot, err)
		if sqlState(err) != stateObjectInUse || time.Now().After(deadline) {
			return wrapped
		}
		if err := drainReady(ctx, repl); err != nil {
			return wrapped
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(slotPoll):
		}
	}
}
