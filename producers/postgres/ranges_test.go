package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"adventureworks.example/extract/producers"
)

// movers run n clients that change rows of w all over its key: they insert, update, delete and, above all, give rows other keys, across every border of
// ranges. set is the assignment of key number $2, one is the condition of key number $1. They run until stop.
func (s *stack) movers(n int, keys int, set, one string) (stop func()) {
	return s.clients(n, 7, func(conn *pgx.Conn, rnd *rand.Rand, _, _ int) error {
		err := move(conn, rnd, keys, set, one)
		if err != nil && (strings.Contains(err.Error(), "23505") || strings.Contains(err.Error(), "40P01")) {
			return nil // two that want one key, or wait for each other, are no news
		}
		return err
	})
}

// move makes one transaction.
func move(conn *pgx.Conn, rnd *rand.Rand, keys int, set, one string) error {
	ctx := context.Background()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	sub := func(sql string, a, b int) string {
		return strings.NewReplacer("$1", strconv.Itoa(a), "$2", strconv.Itoa(b)).Replace(sql)
	}
	for range 1 + rnd.IntN(3) {
		a, b := rnd.IntN(keys), rnd.IntN(keys)
		sql := ""
		switch rnd.IntN(6) {
		case 0, 1, 2:
			sql = sub("update w set "+set+", n = n + 1 where "+one, a, b)
		case 3:
			sql = sub("update w set n = n + 1 where "+one, a, b)
		case 4:
			sql = sub("delete from w where "+one, a, b)
		default:
			sql = sub("insert into w select (makew($2)).* on conflict do nothing", a, b)
		}
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// TestRangesKilledUnderMovers kills the first copy of a table again and again in the middle of its ranges, while rows move from range to range. A second
// source that has read the table from before the first change on is the judge: of every key, the topic must hold what the judge's holds from the LSN
// of the key's range on, and the row as of that LSN if there was one.
func TestRangesKilledUnderMovers(t *testing.T) {
	for name, c := range map[string]struct{ columns, key, of, set, one string }{
		"integer": {"id int, v text", "id", "$1, repeat('x', 150)", "id = $2", "id = $1"},
		"text and integer": {"b int, a text, v text", "a, b", "$1 % 50, 'k' || $1 / 50, repeat('x', 150)", "a = 'k' || $2 / 50, b = $2 % 50",
			"a = 'k' || $1 / 50 and b = $1 % 50"},
	} {
		t.Run(name, func(t *testing.T) {
			const keys = 4000
			s := newStack(t)
			s.exec("create table w (" + c.columns + ", n int, primary key (" + c.key + "))")
			s.exec("create function makew(int) returns w language sql as $f$ select " + c.of + ", 0 $f$")
			s.exec(fmt.Sprintf("insert into w select (makew(i)).* from generate_series(0, %d - 1, 2) i", keys))
			judge := *s
			judge.prefix, judge.read, judge.seen = s.prefix+"judge", map[string]map[int32]int64{}, nil
			conf := s.config()
			conf.Slot += "_judge"
			judging := judge.run(conf)
			judge.same("w")

			s.rangeBytes = 32 << 10
			stop := s.movers(3, keys, c.set, c.one)
			for range 12 {
				if p := s.tablePosition("w"); p.complete() || len(p.Ranges) > 3 {
					break
				}
				s.killAfter(9, producers.Limits{}, false)
			}
			r := s.run(s.config())
			s.eventually("the copy is complete", func() bool { return s.tablePosition("w").complete() })
			stop()
			s.same("w")
			judge.same("w")
			r.stop()
			judging.stop()
			p := s.tablePosition("w")
			if len(p.Ranges) < 2 {
				t.Errorf("the copy was to be made under several snapshots: %s", p)
			}
			s.compareRanges(p, judge.events())
		})
	}
}

// tablePosition is the position of a table's copy that is committed.
func (s *stack) tablePosition(table string) TablePosition {
	s.t.Helper()
	at, err := producers.ReadPositions(context.Background(), s.clientOptions(), s.prefix, "sql")
	if err != nil {
		s.t.Fatal(err)
	}
	text, ok := at[TablePart+"public."+table]
	if !ok {
		return TablePosition{}
	}
	p, err := ParseTablePosition(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// compareRanges compares the changes of w with those that a source which read the table from the start on has seen.
func (s *stack) compareRanges(p TablePosition, judge []event) {
	s.t.Helper()
	lsn := map[string]LSN{}
	lsnOf := func(e event) LSN {
		if _, ok := lsn[e.key]; !ok {
			lsn[e.key] = s.rangeOf(p, e.key)
		}
		return lsn[e.key]
	}
	name := func(e event) string {
		return fmt.Sprintf("%s of %sat %s number %d", e.op, e.key, LSN(e.commit), e.number)
	}
	want, copied := map[string]int{}, map[string]string{} // the row of each key as of its range's LSN
	slices.SortStableFunc(judge, func(a, b event) int { return slices.Compare(a.versionSlice(), b.versionSlice()) })
	for _, e := range judge {
		switch {
		case e.op != "r" && LSN(e.commit) >= lsnOf(e):
			want[name(e)]++
		case e.op == "d":
			delete(copied, e.key)
		default:
			copied[e.key] = line(e.after)
		}
	}
	rows, marks := 0, 0
	for _, e := range s.events() {
		switch {
		case e.op == "t":
			marks++
		case e.op == "r" && (LSN(e.commit) != lsnOf(e) || copied[e.key] != line(e.after)):
			s.t.Errorf("copied at %s: %s, want at %s: %s", LSN(e.commit), line(e.after), lsnOf(e), copied[e.key])
		case e.op == "r":
			rows++
		default:
			want[name(e)]--
		}
	}
	wrong := 0
	for e, n := range want {
		if n != 0 && wrong < 10 {
			wrong++
			s.t.Errorf("%+d times missing: %s", n, e)
		}
	}
	if rows != len(copied) || marks > 1 {
		s.t.Errorf("%d rows copied, want %d; %d marks", rows, len(copied), marks)
	}
	s.t.Logf("%d rows copied under %d snapshots, %d changes, all as the judge has them", rows, len(p.Ranges), len(want))
}

// rangeOf asks the server for the LSN of a key's range. key is as events have it: a=… b=… with blanks.
func (s *stack) rangeOf(p TablePosition, key string) LSN {
	s.t.Helper()
	values := map[string]string{}
	for f := range strings.FieldsSeq(key) {
		n, v, _ := strings.Cut(f, "=")
		values[n] = v
	}
	var row []string
	for _, k := range p.Key {
		row = append(row, values[k])
	}
	for _, r := range p.Ranges[:len(p.Ranges)-1] {
		// The columns give the values their types and collations.
		if s.text(fmt.Sprintf("select (%s) < %s from (select %s from w where false union all select %s) k", strings.Join(p.Key, ", "), literal(r.To),
			strings.Join(p.Key, ", "), strings.Trim(literal(row), "()"))) == "true" {
			return r.LSN
		}
	}
	return p.Ranges[len(p.Ranges)-1].LSN
}
