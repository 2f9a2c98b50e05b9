package postgres

import (
	"testing"
)

func TestCopyThenStream(t *testing.T) {
	s := newStack(t)
	s.exec(`create table item (id int primary key, name text, price numeric(10,2))`)
	s.exec(`insert into item select i, 'item ' || i, i * 1.25 from generate_series(1, 1000) i`)
	r := s.run(s.config())
	s.same("public.item")
	s.exec(`insert into item values (2001, E'tab\t back\\slash \n line', null)`)
	s.exec(`update item set name = null, price = -0.01 where id = 5`)
	s.exec(`delete from item where id = 7`)
	s.exec(`update item set id = 3000 where id = 8`)
	s.same("public.item")
	r.stop()
	s.exec(`insert into item values (2002, '', 99999999.99)`)
	r = s.run(s.config())
	s.same("public.item")
	s.exec(`truncate item`)
	s.exec(`insert into item values (1, 'after', 1)`)
	s.same("public.item")
	r.stop()
	ops := map[string]int{}
	for _, e := range s.events() {
		ops[e.op]++
	}
	for op, want := range map[string]int{"r": 1000, "c": 4, "u": 1, "d": 2, "t": 1} {
		if ops[op] != want {
			t.Errorf("%d records with op %q, want %d", ops[op], op, want)
		}
	}
}
