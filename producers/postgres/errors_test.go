package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// watched is a source that runs, with what it says.
type watched struct {
	*running
	status producers.Status
	log    said
}

// said keeps the log.
type said struct {
	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// lines are those that hold the text.
func (s *said) lines(text string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.out.String()) {
		if strings.Contains(line, text) {
			all = append(all, line)
		}
	}
	return all
}

// watch runs a source that pauses shortly.
func (s *stack) watch(c Config) *watched { return s.watchWith(c, s.reg) }

func (s *stack) watchWith(c Config, registry producers.Registry) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watched{running: &running{s: s, cancel: cancel, done: make(chan struct{})}}
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	o := producers.Options{Kafka: s.clientOptions(), Registry: registry, Prefix: s.prefix, Source: "sql", Log: log, Status: &w.status,
		Topics:  producers.TopicConfig{Partitions: 3, ReplicationFactor: 1},
		Backoff: producers.Backoff{Min: 50 * time.Millisecond, Max: 200 * time.Millisecond, Pause: 200 * time.Millisecond},
		New: func(context.Context) (producers.Source, error) {
			src, err := New("sql", c, log)
			if err == nil {
				src.patience = 300 * time.Millisecond
			}
			return src, err
		}}
	go func() {
		defer close(w.done)
		w.err = producers.Run(ctx, o)
	}()
	s.t.Cleanup(func() { cancel(); <-w.done })
	return w
}

// waits waits until the source waits for the fault and has said so, and returns the problem.
func (w *watched) waits(name faults.Name, class producers.Class, texts ...string) {
	w.s.t.Helper()
	var p faults.Problem
	w.s.eventually("it waits for "+string(name), func() bool {
		for _, p = range w.status.Snapshot().Problems {
			if p.Fault == name && p.Tries > 2 && len(w.log.lines("fault="+string(name))) > 0 {
				return true
			}
		}
		return false
	})
	if p.Class != class || len(p.Waits) != 1 || p.Waits[0] != "sql" {
		w.s.t.Errorf("the problem is %+v, want class %s", p, class)
	}
	for _, text := range append(texts, p.Remedy) {
		if !strings.Contains(p.Error+"; "+p.Remedy, text) || p.Remedy == "" {
			w.s.t.Errorf("the problem is %+v, want %q in it, and a remedy", p, text)
		}
	}
	if got := len(w.log.lines("msg=waiting")); got != 1 {
		w.s.t.Errorf("%d lines say that it waits, want 1: %q", got, w.log.lines("msg=waiting"))
	}
	if e := w.status.Snapshot(); e.ErrorClass != class || e.ErrorFault != name || e.Error == "" || e.ErrorRemedy == "" {
		w.s.t.Errorf("the status is %+v", e)
	}
}

// goesOn waits until nothing is waited for, and sees that this was said once.
func (w *watched) goesOn() {
	w.s.t.Helper()
	w.s.eventually("it goes on", func() bool { return len(w.status.Snapshot().Problems) == 0 })
	if got := len(w.log.lines(`msg="goes on"`)); got != 1 {
		w.s.t.Errorf("%d lines say that it goes on, want 1", got)
	}
}

// login makes a superuser of the test's own, whose login can be taken away, and the configuration that uses it.
func (s *stack) login(c Config) (string, Config) {
	name := "login_" + s.text("current_database()")
	s.exec("create role " + name + " superuser login password 'pw'")
	s.t.Cleanup(func() {
		s := &stack{t: s.t, url: s.url}
		s.conn = s.connect()
		s.exec("drop publication if exists p; reassign owned by " + name + " to postgres; drop role " + name)
	})
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	u.User = url.UserPassword(name, "pw")
	c.URL = u.String()
	return name, c
}

// hangUp ends the connections of a role.
func (s *stack) hangUp(role string) {
	s.exec("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", role)
}

// What takes a running source's connection away, and what brings it back: nothing is lost, nothing is there twice, and it is said once.
func TestFaultsOfTheServerPass(t *testing.T) {
	for _, c := range []struct {
		name          string
		fault         faults.Name
		class         producers.Class
		text          string
		provoke, mend string // %s is the role
	}{
		{"a refused password", "postgres-login", producers.Pause, "pg_hba.conf", "alter role %s password 'other'", "alter role %s password 'pw'"},
		{"a role that may not log in", "postgres-login", producers.Pause, "pg_hba.conf", "alter role %s nologin", "alter role %s login"},
		{"a role without replication", faults.PostgresReplication, producers.Pause, `REPLICATION;`, "alter role %s nosuperuser noreplication; grant pg_read_all_data, pg_write_all_data to %[1]s",
			"alter role %s superuser replication"},
		{"no connection left", "postgres-connections", producers.Retry, "max_connections", "alter role %s nosuperuser replication connection limit 0", "alter role %s superuser connection limit -1"},
		{"a right that is taken away", faults.PostgresRefused, producers.Pause, `GRANT SELECT ON "public"."a"`, "alter role %s nosuperuser replication", "alter role %s superuser"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStack(t)
			s.exec("create table a (id int primary key, v text); insert into a select i, 'first' from generate_series(1, 100) i")
			role, conf := s.login(s.config())
			w := s.watch(conf)
			s.same("a")
			s.exec(fmt.Sprintf(c.provoke, role))
			s.hangUp(role)
			s.exec("insert into a select i, 'while it waits' from generate_series(101, 200) i; update a set v = 'changed' where id < 50")
			w.waits(c.fault, c.class, c.text)
			s.exec(fmt.Sprintf(c.mend, role))
			s.same("a")
			w.goesOn()
			s.checkOnce()
			w.stop()
		})
	}
}

// newStackOn is a stack on a server of the test's own.
func newStackOn(t *testing.T, settings map[string]string) (*stack, *embedded.Postgres) {
	t.Helper()
	server := embeddedtest.StartPostgres(t, settings)
	s := &stack{t: t, url: server.URL("postgres"), kafka: embeddedtest.Kafka(t), reg: sourcetest.NewRegistry(),
		decoders: map[*schemas.Schema]*schemas.Decoder{}, read: map[string]map[int32]int64{}}
	s.prefix = embeddedtest.Prefix(t, s.kafka)
	s.conn = s.connect()
	return s, server
}

func TestServerThatIsDownIsAwaited(t *testing.T) {
	s, server := newStackOn(t, nil)
	s.exec("create table a (id int primary key, v text); insert into a select i, 'first' from generate_series(1, 100) i")
	w := s.watch(s.config())
	s.same("a")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	w.waits(faults.PostgresDown, producers.Retry, "connect to postgres", "start Postgres")
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.conn = s.connect()
	s.exec("insert into a values (1000, 'after the fall')")
	s.same("a")
	w.goesOn()
	s.checkOnce()
	w.stop()
}

// A slot that somebody else streams from is named with who that is; when it is let go the source goes on.
func TestSlotInUseIsAwaited(t *testing.T) {
	s := newStack(t)
	s.exec("create table a (id int primary key); insert into a select generate_series(1, 100)")
	c := s.config()
	first := s.watch(c)
	s.same("a")
	first.stop()
	conf, err := pgconn.ParseConfig(s.url)
	if err != nil {
		t.Fatal(err)
	}
	conf.RuntimeParams["replication"], conf.RuntimeParams["application_name"] = "database", "somebody else"
	other, err := pgconn.ConnectConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the slot is free", func() bool {
		err = pglogrepl.StartReplication(t.Context(), other, c.Slot, 0, pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication,
			PluginArgs: []string{"proto_version '1'", "publication_names 'p'"}})
		if sqlState(err) == stateObjectInUse {
			return drainReady(t.Context(), other) != nil
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	s.exec("insert into a select generate_series(101, 200)")
	w := s.watch(c)
	w.waits(faults.PostgresSlotInUse, producers.Pause, c.Slot, `for "somebody else"`, fmt.Sprintf("pg_terminate_backend(%d)", other.PID()))
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.same("a")
	w.goesOn()
	s.checkOnce()
	w.stop()
}

// WAL that the server has dropped cannot be read any more: the source ends and says which slot, what was reached and what to do. Told to, it copies again.
func TestWALThatIsDroppedStops(t *testing.T) {
	s, _ := newStackOn(t, map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB", "max_replication_slots": "1"})
	s.exec("create table a (id int primary key, v text); insert into a values (1, 'x')")
	c := s.config()
	s.exec("select pg_create_physical_replication_slot('other')")
	w := s.watch(c)
	w.waits(faults.PostgresSlots, producers.Pause, "max_replication_slots")
	s.exec("select pg_drop_replication_slot('other')")
	s.same("a")
	w.goesOn()
	w.stop()
	for range 8 {
		s.exec("insert into a select coalesce(max(id), 0) + 1, repeat('x', 100) from a; select pg_switch_wal(); checkpoint")
	}
	if status := s.text("select wal_status from pg_replication_slots where slot_name = $1", c.Slot); status != "lost" {
		t.Fatalf("the slot is %s, want lost", status)
	}
	err := s.watch(c).wait()
	if f, _ := faults.Known(err); !errors.Is(err, ErrSlotLost) || f.Name != faults.PostgresSlotLost || producers.Classify(err) != producers.Stop {
		t.Errorf("Run: %v", err)
	}
	for _, text := range []string{c.Slot, "max_slot_wal_keep_size", "ends at LSN ", "on_slot_lost: resnapshot"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Run: %v, without %q", err, text)
		}
	}
	c.OnSlotLost = OnSlotLostResnapshot
	w = s.watch(c)
	s.same("a")
	w.stop()
}

// A publication that was dropped leaves changes that the server cannot decode, though it is made again. The source ends, as with a slot that is lost; told to, it
// copies again.
func TestPublicationThatWasDropped(t *testing.T) {
	for _, policy := range []string{OnSlotLostStop, OnSlotLostResnapshot} {
		t.Run(policy, func(t *testing.T) {
			s := newStack(t)
			s.exec("create table a (id int primary key, v text); insert into a select i, 'first' from generate_series(1, 100) i")
			c := s.config()
			c.OnSlotLost = policy
			w := s.watch(c)
			s.same("a")
			s.exec("drop publication p; insert into a select i, 'meanwhile' from generate_series(101, 200) i")
			if policy == OnSlotLostResnapshot {
				s.same("a")
				s.exec("delete from a where id < 50")
				s.same("a")
				w.stop()
				return
			}
			err := w.wait()
			if f, _ := faults.Known(err); f.Name != faults.PostgresSlotLost || !errors.Is(err, ErrSlotLost) {
				t.Errorf("Run: %v", err)
			}
			for _, text := range []string{c.Slot, "publication p was dropped", "behind LSN ", "on_slot_lost: resnapshot"} {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("Run: %v, without %q", err, text)
				}
			}
		})
	}
}

// A table that is taken out of the configuration and back in is copied again: what was changed meanwhile is not missed.
func TestTableThatIsTakenBackIsCopiedAgain(t *testing.T) {
	s := newStack(t)
	s.exec("create table a (id int primary key, v text); create table b (id int primary key); insert into a values (1, 'x'), (2, 'y')")
	c := s.config()
	r := s.run(c)
	s.same("a")
	r.stop()
	out := c
	out.Exclude = []string{"public.a"}
	r = s.run(out)
	s.exec("delete from a where id = 1; update a set v = 'z'; insert into a values (3, 'new'); insert into b values (1)")
	s.same("b")
	s.exec("insert into b values (2)") // streamed, so that the position moves past what was changed
	s.same("b")
	r.stop()
	r = s.run(c)
	s.same("a")
	s.exec("insert into a values (4, 'newer')")
	s.same("a")
	r.stop()
}

// A column that changes its type so that the topic cannot follow is named with both types, the place and the ways out. Each of them works.
func TestIncompatibleColumnIsNamed(t *testing.T) {
	for _, way := range []string{"compatibility", "exclude"} {
		t.Run(way, func(t *testing.T) {
			s := newStack(t)
			address := embeddedtest.Registry(t)
			registry, err := schemas.OpenRegistry(schemas.RegistryConfig{URLs: []string{address}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(registry.Close)
			s.exec("create table a (id int primary key, price numeric(9,2)); create table b (id int primary key); insert into a values (1, 10)")
			c := s.config()
			w := s.watchWith(c, registry)
			produced := func(dataset string, n int64) func() bool {
				return func() bool {
					for _, d := range w.status.Snapshot().Datasets {
						if d.Dataset == dataset {
							return d.Produced >= n
						}
					}
					return n == 0
				}
			}
			s.eventually("the copy is produced", func() bool { return produced("public.a", 1)() && s.streams() })
			s.exec("alter table a alter column price type text; insert into a values (2, 'dear')")
			s.exec("insert into b values (1)")
			subject := s.prefix + ".sql.public.a-value"
			w.waits(faults.PostgresSchema, producers.Pause, "table public.a", "column price is text in Postgres now", "bytes decimal(9,2) cannot become string",
				"at LSN ", subject, "under exclude")
			if way == "exclude" {
				w.stop()
				out := c
				out.Exclude = []string{"public.a"}
				w = s.watchWith(out, registry)
				s.eventually("the other table goes on", produced("public.b", 1))
				w.stop()
				s.exec("delete from a where id = 2; alter table a alter column price type numeric(9,2) using price::numeric")
				w = s.watchWith(c, registry)
				s.eventually("the table is copied again", produced("public.a", 1))
				w.stop()
				return
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, address+"/config/"+subject, strings.NewReader(`{"compatibility":"NONE"}`))
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("set the compatibility: %v %v", res, err)
			}
			res.Body.Close()
			s.eventually("both tables go on", func() bool { return produced("public.a", 2)() && produced("public.b", 1)() })
			w.goesOn()
			w.stop()
		})
	}
}

func TestWALLevelIsSaid(t *testing.T) {
	server := embeddedtest.StartPostgres(t, map[string]string{"wal_level": "replica"})
	src, err := New("sql", Config{URL: server.URL("postgres")}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	err = src.Open(t.Context(), sink{}, nil)
	_ = src.Close(t.Context())
	if f, _ := faults.Known(err); f.Name != faults.PostgresWALLevel || producers.Classify(err) != producers.Pause || !strings.Contains(err.Error(), "ALTER SYSTEM SET wal_level = 'logical'") {
		t.Errorf("Open: %v", err)
	}
}

// Errors of Kafka and of the registry are not taken for Postgres's.
func TestExplainKnowsWhoseErrorItIs(t *testing.T) {
	for _, c := range []struct {
		err  error
		want faults.Name
	}{
		{&pgconn.PgError{Code: "57P03"}, faults.PostgresDown}, {&pgconn.PgError{Code: "08006"}, faults.PostgresDown}, {&pgconn.PgError{Code: "42P01"}, ""},
		{&pgconn.PgError{Code: "53100"}, "postgres-disk"}, {context.DeadlineExceeded, faults.PostgresDown}, {context.Canceled, ""},
		{faults.KafkaDown.Of(errors.New("no broker")), faults.KafkaDown}, {kgo.ErrClientClosed, ""},
		{&pgconn.PgError{Code: "55000", Message: "logical decoding requires wal_level >= logical"}, faults.PostgresWALLevel},
	} {
		if f, _ := faults.Known(explain(fmt.Errorf("read: %w", c.err))); f.Name != c.want {
			t.Errorf("%v is %q, want %q", c.err, f.Name, c.want)
		}
	}
}
