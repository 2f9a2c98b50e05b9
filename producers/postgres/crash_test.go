package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"adventureworks.example/extract/producers"
)

// kill ends a source as the end of its process would: the connections are closed without a word.
func kill(s *Source) {
	cut(s)
	s.running.Wait()
}

// cut is kill without waiting for what the source is at.
func cut(s *Source) {
	s.mu.Lock()
	for c := range s.open {
		_ = c.Conn().Close()
	}
	s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// writers run n clients that change table w in transactions of every kind, until stop.
func (s *stack) writers(n int, seed uint64) (stop func()) {
	return s.clients(n, seed, write)
}

// clients run n connections, each of which makes step after step until stop, or until one is an error.
func (s *stack) clients(n int, seed uint64, each func(conn *pgx.Conn, rnd *rand.Rand, client, step int) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range n {
		conn, err := pgx.Connect(ctx, s.url)
		if err != nil {
			s.t.Fatal(err)
		}
		wg.Go(func() {
			defer conn.Close(context.Background())
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for step := 0; ctx.Err() == nil; step++ {
				if err := each(conn, rnd, i, step); err != nil {
					s.t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// write makes one transaction: COPY, INSERT of several rows, updates, a delete, a change of key; now and then rolled back.
func write(conn *pgx.Conn, rnd *rand.Rand, client, step int) error {
	ctx := context.Background()
	id := client*10_000_000 + step*10
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	var lines strings.Builder
	for i := range 5 {
		fmt.Fprintf(&lines, "%d\t%d\tcopied %d\n", id+i, rnd.IntN(1000), step)
	}
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(lines.String()), "copy w from stdin"); err != nil {
		return err
	}
	own := fmt.Sprintf("id between %d and %d", client*10_000_000, id+9)
	for _, sql := range []string{
		fmt.Sprintf("insert into w values (%d, 1, 'a'), (%d, 2, null)", id+5, id+6),
		fmt.Sprintf("update w set n = n + 1 where %s and n %% 7 = %d", own, rnd.IntN(7)),
		fmt.Sprintf("delete from w where %s and n %% 19 = %d", own, rnd.IntN(19)),
		fmt.Sprintf("update w set id = id + 3 where id = %d", id+6),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if rnd.IntN(10) == 0 {
		return tx.Rollback(ctx)
	}
	return tx.Commit(ctx)
}

// checkOnce fails where an event is there twice: two records with one key and one version, which no change makes, or a change that the table's one copy
// already holds.
func (s *stack) checkOnce() {
	s.t.Helper()
	seen := map[string]bool{}
	copied := map[string]int64{}
	for _, e := range s.events() {
		if e.op == "r" {
			copied[e.dataset] = e.commit
		}
	}
	for _, e := range s.events() {
		if e.op != "t" && e.commit < copied[e.dataset] {
			s.t.Fatalf("%s of %s %sat %d, which the copy at %d holds", e.op, e.dataset, e.key, e.commit, copied[e.dataset])
		}
		id := fmt.Sprint(e.dataset, e.key, e.version(), e.op)
		if seen[id] {
			s.t.Fatalf("twice: %s", id)
		}
		seen[id] = true
	}
}

func TestStartsAndStopsUnderWriters(t *testing.T) {
	s := newStack(t)
	s.exec("create table w (id int primary key, n int, v text)")
	s.exec("insert into w select -i, i, 'old' from generate_series(1, 20000) i")
	stop := s.writers(4, 1)
	for i := range 8 {
		r := s.run(s.config())
		before := len(s.events())
		s.eventually("something was read", func() bool { return len(s.events()) > before+100*min(i, 1) })
		r.stop()
	}
	stop()
	r := s.run(s.config())
	s.same("w")
	r.stop()
	s.checkOnce()
}

func TestKilledUnderWriters(t *testing.T) {
	s := newStack(t)
	s.exec("create table w (id int primary key, n int, v text)")
	s.exec("insert into w select -i, i, 'old' from generate_series(1, 20000) i")
	s.exec("create table other (id int primary key); insert into other select generate_series(1, 1000)")
	stop := s.writers(4, 2)
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range 16 {
		s.killAfter(1+rnd.IntN(2+3*i), producers.Limits{}, false)
	}
	stop()
	r := s.run(s.config())
	s.same("w")
	s.same("other")
	r.stop()
	s.checkOnce()
}

// errKilled is what a killed source says.
var errKilled = errors.New("killed")

// killAfter runs the source and kills it in its nth call of Next, or the first after that when a cut transaction is durable.
func (s *stack) killAfter(n int, limits producers.Limits, cut bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	limits.Grace = 1
	log := testLog(s.t)
	struck := make(chan struct{})
	o := producers.Options{Kafka: s.clientOptions(), Registry: s.reg, Prefix: s.prefix, Source: "sql", Log: log,
		Limits: limits, Topics: producers.TopicConfig{Partitions: 3, ReplicationFactor: 1},
		New: func(context.Context) (producers.Source, error) {
			src, err := New("sql", s.config(), log)
			m := &mortal{Source: src, left: n, struck: struck, cut: make(chan struct{})}
			if !cut {
				m.told.Do(func() { close(m.cut) })
			}
			return m, err
		}}
	done := make(chan error, 1)
	go func() { done <- producers.Run(ctx, o) }()
	<-struck
	cancel()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// mortal is a source that is killed in a call of Next, and never closed or told of a commit afterwards.
type mortal struct {
	*Source
	left   int
	struck chan struct{} // closed when it is killed
	cut    chan struct{} // closed when a part of a transaction is durable
	once   sync.Once
	told   sync.Once
}

func (m *mortal) Next(ctx context.Context) (producers.Batch, error) {
	if m.left--; m.left < 0 {
		select {
		case <-m.cut:
			m.once.Do(func() { kill(m.Source); close(m.struck) })
			return producers.Batch{}, errKilled
		default:
		}
	}
	return m.Source.Next(ctx)
}

func (m *mortal) Commit(ctx context.Context, positions []producers.Position) error {
	for _, p := range positions {
		if strings.Contains(p.Text, " commit=") {
			m.told.Do(func() { close(m.cut) })
		}
	}
	return m.Source.Commit(ctx, positions)
}

func TestLongTransactionIsCutAndResumed(t *testing.T) {
	s := newStack(t)
	s.exec("create table w (id int primary key, n int, v text)")
	r := s.run(s.config())
	s.eventually("it streams", s.streams)
	r.stop()
	s.exec("begin; insert into w select i, i, repeat('x', 100) from generate_series(1, 60000) i; delete from w where id % 3 = 0; update w set id = -id where id % 3 = 1; commit")
	s.exec("insert into w values (1000001, 0, 'after')")
	limits := producers.Limits{MaxBytes: 2 << 20}
	for range 3 {
		s.killAfter(3, limits, true)
	}
	if n := len(s.events()); n == 0 || n >= 120_000 {
		t.Fatalf("the transaction was to be cut: %d events", n)
	}
	r = s.runWith(s.config(), limits)
	s.same("w")
	r.stop()
	s.checkOnce()
	n := 0
	for _, e := range s.events() {
		if e.raw.Topic == s.prefix+".sql.public.w" {
			n++
		}
	}
	if want := 60000 + 20000 + 2*20000 + 1; n != want {
		t.Errorf("%d events, want %d", n, want)
	}
}

func (s *stack) streams() bool {
	return s.text("select count(*) from pg_stat_replication r join pg_replication_slots l on l.active_pid = r.pid where l.database = current_database() and r.state = 'streaming'") != "0"
}

func TestSlotThatIsLost(t *testing.T) {
	for _, how := range []string{"dropped", "made again"} {
		t.Run(how, func(t *testing.T) {
			s := newStack(t)
			s.exec("create table a (id int primary key, v text); insert into a values (1, 'x'), (2, 'y')")
			c := s.config()
			r := s.run(c)
			s.same("a")
			r.stop()
			s.eventually("the slot is free", func() bool {
				return s.text("select count(*) from pg_replication_slots where slot_name = $1 and active", c.Slot) == "0"
			})
			s.exec("select pg_drop_replication_slot($1)", c.Slot)
			s.exec("delete from a where id = 1; insert into a values (3, 'z')")
			if how == "made again" {
				s.exec("select pg_create_logical_replication_slot($1, 'pgoutput')", c.Slot)
			}
			if err := s.run(c).wait(); !errors.Is(err, ErrSlotLost) || producers.Classify(err) != producers.Stop {
				t.Errorf("Run: %v", err)
			}
			c.OnSlotLost = OnSlotLostResnapshot
			r = s.run(c)
			s.same("a")
			s.exec("insert into a values (4, 'new')")
			s.same("a")
			r.stop()
			last := slices.MaxFunc(s.events(), func(a, b event) int { return int(a.generation - b.generation) })
			if last.generation != 2 {
				t.Errorf("generation %d, want 2", last.generation)
			}
		})
	}
}

func TestSlotLeftByAStartThatDiedAtOnce(t *testing.T) {
	s := newStack(t)
	s.exec("create table a (id int primary key); create publication p for table a")
	s.exec("select pg_create_logical_replication_slot($1, 'pgoutput')", s.config().Slot)
	s.exec("insert into a select generate_series(1, 100)")
	r := s.run(s.config())
	s.same("a")
	s.exec("delete from a where id < 50")
	s.same("a")
	r.stop()
	s.checkOnce()
}

func TestIdleTableLetsWALGo(t *testing.T) {
	s := newStack(t)
	s.exec("create table a (id int primary key); create table busy (id int primary key, v text)")
	c := s.config()
	c.Exclude = []string{"public.busy"}
	r := s.run(c)
	s.eventually("it streams", s.streams)
	for i := range 5 {
		s.exec("insert into busy select i, repeat('x', 1000) from generate_series($1::int, $1::int + 999) i", i*1000)
		at := s.text("select pg_current_wal_flush_lsn()")
		s.eventually("the slot follows", func() bool {
			return s.text("select confirmed_flush_lsn >= $1::pg_lsn from pg_replication_slots where slot_name = $2", at, c.Slot) == "true"
		})
	}
	r.stop()
	r = s.run(c) // what is confirmed is not past the position
	s.exec("insert into a values (1)")
	s.same("a")
	r.stop()
}
