package postgres

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"adventureworks.example/extract/producers"
)

// role makes a login role of the test's own, without any privilege, and returns its address.
func (s *stack) role(t *testing.T) (name, address string) {
	name = "role_" + s.text("current_database()")
	s.exec("create role " + name + " login password 'pw'")
	t.Cleanup(func() {
		s := &stack{t: t, url: s.url}
		s.conn = s.connect()
		s.exec("drop owned by " + name)
		s.exec("drop role " + name)
	})
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "pw")
	return name, u.String()
}

func TestWhatIsMissingIsSaidAndRepaired(t *testing.T) {
	s := newStack(t)
	s.exec(`create schema shop; create table shop.item (id int primary key); insert into shop.item values (1)`)
	c := s.config()
	var name string
	name, c.URL = s.role(t)
	open := func() error {
		src, err := New("sql", c, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = src.Close(t.Context()) }()
		return src.Open(t.Context(), sink{}, nil)
	}
	for i, step := range []struct{ says, repair string }{
		{`GRANT USAGE ON SCHEMA "shop" TO "` + name + `"; GRANT SELECT ON "shop"."item"`, `grant usage on schema shop to ` + name + `; grant select on shop.item to ` + name},
		{`let the owner run: CREATE PUBLICATION "p" FOR TABLE ONLY "shop"."item" WITH (publish_via_partition_root = true);`, `CREATE PUBLICATION "p" FOR TABLE ONLY "shop"."item" WITH (publish_via_partition_root = true)`},
		{`ALTER ROLE "` + name + `" REPLICATION`, `ALTER ROLE "` + name + `" REPLICATION`},
	} {
		err := open()
		if err == nil || !strings.Contains(err.Error(), step.says) || producers.Classify(err) != producers.Pause {
			t.Fatalf("step %d: Open = %v, want a pause that says %s", i, err, step.says)
		}
		s.exec(step.repair)
	}
	r := s.run(c)
	s.same("shop.item")
	r.stop()
}

func TestErrorsOfTheServerAreExplained(t *testing.T) {
	s := newStack(t)
	s.exec("create table a (id int primary key)")
	for want, change := range map[string]func(*Config){
		"belongs to plugin": func(c *Config) { s.exec("select pg_create_logical_replication_slot($1, 'test_decoding')", c.Slot) },
		"every kind of change": func(c *Config) {
			c.Publication = "few"
			s.exec("create publication few for table a with (publish = 'insert')")
		},
		"check the database":    func(c *Config) { c.URL = strings.Replace(c.URL, s.text("current_database()"), "nowhere", 1) },
		"REPLICA IDENTITY FULL": func(c *Config) { s.exec("create table without (id int)") },
		"one by one": func(c *Config) {
			c.Publication = "leaves"
			c.Exclude = []string{"public.without"}
			s.exec("create table parts (id int primary key) partition by hash (id); create publication leaves for all tables")
		},
	} {
		t.Run(want, func(t *testing.T) {
			c := s.config()
			change(&c)
			src, err := New("sql", c, testLog(t))
			if err != nil {
				t.Fatal(err)
			}
			err = src.Open(t.Context(), sink{}, nil)
			_ = src.Close(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Open = %v, want %q", err, want)
			}
			if _, ok := errors.AsType[*producers.Error](err); !ok {
				t.Errorf("Open = %v has no remedy", err)
			}
			s.exec("select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()")
			s.exec("drop table if exists without, parts; drop publication if exists few; drop publication if exists leaves; drop publication if exists p")
		})
	}
}
