package postgres

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// toasted is an expression whose value is too large to stay in its row, and does not compress.
const toasted = "(select string_agg(md5(i::text || 'x'), '') from generate_series(1, 400) i)"

// last waits for a number of events and returns those of a table behind the first n.
func (s *stack) last(table string, skip, n int) []event {
	s.t.Helper()
	var out []event
	s.eventually(fmt.Sprintf("%s has %d events", table, skip+n), func() bool {
		out = slices.DeleteFunc(s.events(), func(e event) bool { return e.dataset != table })
		return len(out) >= skip+n
	})
	slices.SortStableFunc(out, func(a, b event) int { return slices.Compare(a.versionSlice(), b.versionSlice()) })
	if len(out) != skip+n {
		s.t.Fatalf("%s has %d events, want %d", table, len(out), skip+n)
	}
	return out[skip:]
}

func TestUnchangedToast(t *testing.T) {
	for _, identity := range []string{"default", "full"} {
		t.Run(identity, func(t *testing.T) {
			s := newStack(t)
			s.exec("create table doc (id int primary key, n int, body text)")
			s.exec("alter table doc replica identity " + identity)
			s.exec("insert into doc values (1, 0, " + toasted + ")")
			body := s.text("select body from doc")
			r := s.run(s.config())
			s.last("public.doc", 0, 1)

			s.exec("update doc set n = 1")
			e := s.last("public.doc", 1, 1)[0]
			if identity == "full" {
				if len(e.unchanged) != 0 || e.after["body"] != body || e.before["body"] != body || e.before["n"] != "0" {
					t.Errorf("with full identity the body must be there: unchanged %v, %d bytes, before %.40v", e.unchanged, len(e.after["body"]), e.before)
				}
			} else if !slices.Equal(e.unchanged, []string{"body"}) || e.after["body"] != "NULL" || e.before != nil {
				t.Errorf("unchanged %v, body %.20q, before %v", e.unchanged, e.after["body"], e.before)
			}

			s.exec("update doc set id = 2")
			moved := s.last("public.doc", 2, 2)
			slices.SortFunc(moved, func(a, b event) int { return strings.Compare(b.op, a.op) })
			deleted, created := moved[0], moved[1]
			if deleted.op != "d" || deleted.key != "id=1 " || deleted.before["id"] != "1" || deleted.after != nil {
				t.Errorf("delete of the old key is %s of %s, before %v", deleted.op, deleted.key, deleted.before["id"])
			}
			if created.op != "c" || created.key != "id=2 " || created.before["id"] != "1" || created.version() != deleted.version() {
				t.Errorf("create of the new key is %s of %s, before %v", created.op, created.key, created.before["id"])
			}
			if len(created.unchanged) != 0 || created.after["body"] != body {
				t.Errorf("under the new key the body must be there: unchanged %v, %d bytes", created.unchanged, len(created.after["body"]))
			}

			s.exec("update doc set body = null")
			if e := s.last("public.doc", 4, 1)[0]; e.after["body"] != "NULL" || len(e.unchanged) > 0 {
				t.Errorf("a real null reads %.20q, unchanged %v", e.after["body"], e.unchanged)
			}
			r.stop()
		})
	}
}

// TestRowThatGotAnotherKeyAndIsGone changes the key of a row whose large value the server does not send, and deletes the row, before the stream reads either:
// nobody has the value any more, and nobody needs it.
func TestRowThatGotAnotherKeyAndIsGone(t *testing.T) {
	s := newStack(t)
	s.exec("create table doc (id int primary key, n int, body text)")
	s.exec("insert into doc values (1, 0, " + toasted + ")")
	r := s.run(s.config())
	s.last("public.doc", 0, 1)
	r.stop()
	s.exec("update doc set id = 2")
	s.exec("delete from doc")
	s.exec("insert into doc values (3, 0, 'x')")
	r = s.run(s.config())
	ops := ""
	for _, e := range s.last("public.doc", 1, 4) {
		ops += e.op + e.key
		if e.op == "c" && e.key == "id=2 " && !slices.Equal(e.unchanged, []string{"body"}) {
			t.Errorf("unchanged %v, want the body, which nobody has", e.unchanged)
		}
	}
	if strings.Count(ops, "d") < 2 {
		t.Errorf("changes %q", ops)
	}
	r.stop()
}

// TestRowThatGotAnotherKeyIsAwaited changes a key in a transaction whose commit waits for a standby that is not there: the stream has it, and no query sees
// it yet.
func TestRowThatGotAnotherKeyIsAwaited(t *testing.T) {
	s := newStack(t)
	s.exec("create table doc (id int primary key, n int, body text)")
	s.exec("insert into doc values (1, 0, " + toasted + ")")
	body := s.text("select body from doc")
	r := s.run(s.config())
	s.last("public.doc", 0, 1)

	other := s.connect()
	s.exec("alter system set synchronous_standby_names = 'nobody'")
	reset := func() {
		s.exec("alter system reset synchronous_standby_names")
		s.exec("select pg_reload_conf()")
	}
	t.Cleanup(reset)
	s.exec("select pg_reload_conf()")
	// The sessions read the new configuration one by one, and commits wait only when the checkpointer has: another commit has to show it.
	waiting := func() string { return s.text("select count(*) from pg_stat_activity where wait_event = 'SyncRep'") }
	scout, first := make(chan error, 1), s.connect()
	var released atomic.Bool
	go func() {
		for n := 0; ; n++ {
			_, err := first.Exec(t.Context(), fmt.Sprintf("comment on database postgres is '%d'", n))
			if err != nil || released.Load() {
				scout <- err
				return
			}
		}
	}()
	s.eventually("commits wait", func() bool { return waiting() == "1" })
	updated := make(chan error, 1)
	go func() {
		_, err := other.Exec(t.Context(), "update doc set id = 2")
		updated <- err
	}()
	s.eventually("the commit waits", func() bool { return waiting() == "2" })
	s.eventually("the stream asks whether it is visible", func() bool {
		return s.text("select count(*) from pg_stat_activity where query like '%txid_visible_in_snapshot%' and pid <> pg_backend_pid()") != "0"
	})
	released.Store(true)
	reset()
	for _, wrote := range []chan error{updated, scout} {
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range s.last("public.doc", 1, 2) {
		if e.op == "c" && (len(e.unchanged) != 0 || e.after["body"] != body) {
			t.Errorf("unchanged %v, %d bytes of the body", e.unchanged, len(e.after["body"]))
		}
	}
	r.stop()
}

func TestKeyThatIsToasted(t *testing.T) {
	s := newStack(t)
	s.exec("create table k (name text primary key, n int)")
	s.exec("alter table k alter name set storage external")
	s.exec("insert into k values (" + strings.Replace(toasted, "400", "70", 1) + ", 0)")
	name := s.text("select name from k")
	r := s.run(s.config())
	s.last("public.k", 0, 1)
	s.exec("update k set n = 1")
	e := s.last("public.k", 1, 1)[0]
	if e.op != "u" || e.key != "name="+name+" " {
		t.Errorf("op %s, key %.30q", e.op, e.key)
	}
	r.stop()
}

func TestTablesWithoutPrimaryKey(t *testing.T) {
	s := newStack(t)
	s.exec("create table whole (a int, b text); alter table whole replica identity full")
	s.exec("create table log (a int)")
	c := s.config()
	r := s.run(c)
	s.eventually("the table without identity is refused", func() bool { return s.text("select count(*) from pg_publication") == "0" && s.refused(r) })
	r.stop()
	c.Exclude = []string{"public.log"}
	r = s.run(c)
	s.eventually("the publication is there", func() bool { return s.text("select count(*) from pg_publication_tables") == "1" })
	s.exec("insert into whole values (1, null), (2, 'x')")
	s.exec("update whole set b = 'y' where a = 1")
	s.exec("delete from whole where a = 2")
	s.same("whole")
	r.stop()
	s.exec("alter publication p add table log") // on one's own responsibility
	s.exec("insert into log values (1), (1)")
	c.Exclude = nil
	r = s.run(c)
	for _, e := range s.last("public.log", 0, 3) {
		if e.raw.Key != nil || e.partition != 0 {
			t.Errorf("op %s has key %q in partition %d", e.op, e.raw.Key, e.partition)
		}
	}
	r.stop()
}

// refused tells that the run has not produced anything and still tries.
func (s *stack) refused(r *running) bool {
	select {
	case <-r.done:
		s.t.Fatalf("Run ended: %v", r.err)
	default:
	}
	return len(s.events()) == 0
}

func TestPartitionedTableStreamsAsItsRoot(t *testing.T) {
	s := newStack(t)
	s.exec(`create table part (id int primary key, v text) partition by range (id);
		create table part_a partition of part for values from (0) to (100);
		create table part_b (v text, id int not null); alter table part attach partition part_b for values from (100) to (200)`)
	s.exec("insert into part select i, 'v' || i from generate_series(1, 199) i")
	r := s.run(s.config())
	s.same("part")
	s.exec("insert into part values (0, 'new')")
	s.exec("update part set id = 150 where id = 0 and false")
	s.exec("delete from part where id = 150")
	s.exec("update part set id = 150 where id = 50") // from one partition to the other
	s.same("part")
	r.stop()
	for _, e := range s.events() {
		if e.dataset != "public.part" {
			t.Fatalf("an event of %s", e.dataset)
		}
	}
}

func TestColumnsComeAndGo(t *testing.T) {
	s := newStack(t)
	s.exec("create table c (id int primary key, a int, b text)")
	s.exec("insert into c values (1, 1, 'one')")
	r := s.run(s.config())
	s.last("public.c", 0, 1)
	s.exec("alter table c add d numeric(5,1)")
	s.exec("insert into c values (2, 2, 'two', 2.5)")
	s.exec("alter table c drop b")
	s.exec("insert into c values (3, 3, 3.5)")
	s.exec("alter table c rename a to a2")
	s.exec("begin; insert into c values (4, 4, 4.5); alter table c alter a2 type bigint; insert into c values (5, 5000000000, 5.5); commit")
	events := s.last("public.c", 1, 4)
	r.stop()
	for i, want := range []map[string]string{
		{"id": "2", "a": "2", "b": "two", "d": "2.5"}, {"id": "3", "a": "3", "d": "3.5"}, {"id": "4", "a2": "4", "d": "4.5"}, {"id": "5", "a2": "5000000000", "d": "5.5"},
	} {
		if got := line(events[i].after); got != line(want) {
			t.Errorf("event %d is %s, want %s", i, got, line(want))
		}
	}
}

func TestTablesAddedLater(t *testing.T) {
	s := newStack(t)
	s.exec("create table a (id int primary key)")
	s.exec("insert into a values (1)")
	r := s.run(s.config())
	s.same("a")
	s.exec(`create table "B ""x"" . y" (id int primary key, "a b" text)`)
	s.exec(`insert into "B ""x"" . y" values (1, 'x')`)
	name := "public." + schemas.Name(`B "x" . y`)
	s.eventually("the new table is copied", func() bool { return len(current(s.events(), name)) == 1 })
	s.exec(`insert into "B ""x"" . y" values (2, 'y')`)
	s.exec("insert into a values (2)")
	s.eventually("the new table streams", func() bool { return len(current(s.events(), name)) == 2 })
	s.same("a")

	s.exec("drop table a; create table a (id int primary key); insert into a values (7)") // another table of the same name
	s.same("a")
	s.exec("insert into a values (8)")
	s.same("a")
	r.stop()
}

func TestRowsThatHaveNoAvroFormAreDeadLetters(t *testing.T) {
	s := newStack(t)
	s.exec("create table r (id int primary key, n numeric(5,2), body text)")
	s.exec("insert into r values (1, 'NaN', E'a\\tb'), (2, 2, 'ok')")
	r := s.runWith(s.config(), producers.Limits{MaxRecordBytes: 100_000})
	s.last("public.r", 0, 1)
	s.exec("insert into r values (3, 'NaN', null), (4, 4, 'ok'), (5, 5, repeat('x', 200000))")
	s.exec("update r set n = 'NaN' where id = 2")
	s.last("public.r", 1, 1)
	s.eventually("four dead letters", func() bool { return len(s.records(s.prefix+".deadletters")) == 4 })
	r.stop()
	want := map[string][2]string{"1": {"1\tNaN\ta\\tb", "copied at LSN"}, "3": {"3\tNaN\t\\N", "op c"}, "5": {"5\t5.00\txxx", "op c"}, "2": {"2\tNaN\tok", "op u"}}
	for _, rec := range s.records(s.prefix + ".deadletters") {
		c := s.decodeWith(schemas.DeadLetter, rec.Value)
		raw, place, reason := string(c.Field("raw").Bytes(0)), string(c.Field("place").Bytes(0)), string(c.Field("reason").Bytes(0))
		id, _, _ := strings.Cut(raw, "\t")
		w := want[id]
		delete(want, id)
		if !strings.HasPrefix(raw, w[0]) || !strings.Contains(place, w[1]) || !strings.Contains(place, "public.r id="+id) || reason == "" {
			t.Errorf("dead letter %.40q at %q because %q", raw, place, reason)
		}
	}
	if len(want) > 0 {
		t.Errorf("not in the dead letters: %v", want)
	}
	var held []producers.Held
	src, _ := New("sql", s.config(), testLog(t))
	if err := src.Held(t.Context(), func(h producers.Held) { held = append(held, h) }); err != nil {
		t.Fatal(err)
	}
	if len(held) != 1 || held[0].Rows != 5 || held[0].Rejected != 3 || held[0].Dataset != "public.r" || !held[0].Changes {
		t.Errorf("held %+v", held)
	}
}

func TestSavepointRolledBackInALargeTransaction(t *testing.T) {
	s := newStack(t)
	s.exec("create table sp (id int primary key, v text)")
	r := s.run(s.config())
	s.eventually("the copy is done", func() bool {
		return s.text("select count(*) from pg_stat_replication where application_name = 'extract sql'") != "0"
	})
	s.exec(`begin; insert into sp select i, repeat('x', 100) from generate_series(1, 5000) i; savepoint a;
		insert into sp select i, repeat('y', 100) from generate_series(5001, 10000) i; rollback to a;
		insert into sp select i, 'z' from generate_series(20001, 20010) i; commit`)
	if n := len(s.last("public.sp", 0, 5010)); n != 5010 {
		t.Errorf("%d events", n)
	}
	r.stop()
}

func TestTableRewrittenSinceTheSnapshotIsCopiedUnderAnother(t *testing.T) {
	s := newStack(t)
	s.exec("create table a (id int primary key, v int); insert into a select i, i from generate_series(1, 1000) i; create publication p for table a")
	src, err := New("sql", s.config(), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	src.target, src.batches = sink{}, make(chan producers.Batch, 100)
	conn, err := src.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer src.hangUp(t.Context(), conn)
	repl, err := src.dial(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer src.hangUp(t.Context(), repl)
	snap, err := src.createSlot(t.Context(), repl, "rewritten_"+s.text("current_database()"), true)
	if err != nil {
		t.Fatal(err)
	}
	s.exec("alter table a alter v type bigint") // the old snapshot sees no row any more
	src.position.Generation = 1
	entries, err := src.listEntries(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.copyMissing(t.Context(), snap, entries); err != nil {
		t.Fatal(err)
	}
	close(src.batches)
	rows := int64(0)
	for b := range src.batches {
		for _, c := range b.Rows {
			rows += c.Produced
		}
	}
	if at := src.copied["public.a"].LSN; at <= snap.lsn || rows != 1001 { // the rows and the mark that opens their copy
		t.Errorf("%d records at LSN %s, the first snapshot was at %s", rows, at, snap.lsn)
	}
}
