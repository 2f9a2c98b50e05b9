package clickhouse

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// Rows that somebody put into a table are found: one that is a second time there, which a count shows; one more where another is missing, which only a
// full comparison shows; and one of an offset that is no record. Equal rows are removed again, those that differ are not.
func TestAuditFindsRowsThatAreThereTwice(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("twice", 1)
	committed := int64(f.transact(topic, 0, 200))
	asked := consumers.NewAudits()
	stop := f.run(func(o *consumers.Options) { o.Audit = consumers.AuditOptions{Every: -1, Only: true, Asked: asked} })
	f.wait(func() bool { n, _ := f.held(topic); return n == committed }, "the records")
	table := quoteName(f.conf.Raw) + ".files_twice"
	exec := func(sql string) {
		t.Helper()
		if err := f.exec(t.Context(), strings.ReplaceAll(sql, "%s", table)); err != nil {
			t.Fatal(err)
		}
	}
	look := func(full bool) consumers.Finding {
		t.Helper()
		all, err := consumers.Look(t.Context(), consumers.LookOptions{Kafka: []kgo.Opt{kgo.SeedBrokers(f.brokers...)}, Group: f.conf.Prefix + ".clickhouse", Sink: f.Sink, Full: full})
		if err != nil || len(all) != 1 {
			t.Fatalf("found %v: %v", all, err)
		}
		return all[0]
	}
	f.wait(func() bool { return look(false).Expected == committed }, "the commit")
	exec("INSERT INTO %s SELECT * FROM %s WHERE _offset IN (3, 4)")
	for from, found := range map[string]consumers.Finding{"inside": f.ask(asked, false, topic, 1)[0], "outside": look(false), "outside in full": look(true)} {
		if found.Twice != 2 || found.Missing != 0 || found.Strange != 0 || found.Verdict != consumers.Twice || !strings.Contains(found.String(), "2 rows of "+topic+"/0 are there twice, at 3-4") {
			t.Errorf("from %s: %s: %#v", from, found, found)
		}
	}
	if n, err := f.RemoveTwice(t.Context(), topic, []consumers.Finding{look(false)}); n != 2 || err != nil {
		t.Errorf("removed %d rows: %v", n, err)
	}
	if found := look(true); !found.Fine() || found.Stored+found.Rejected != committed {
		t.Errorf("afterwards: %s: %#v", found, found)
	}
	exec("INSERT INTO %s SELECT * REPLACE ('other' AS text) FROM %s WHERE _offset = 5")
	if n, err := f.RemoveTwice(t.Context(), topic, []consumers.Finding{look(false)}); n != 0 || err == nil || !strings.Contains(err.Error(), "extract replay --topic "+topic) {
		t.Errorf("removed %d rows that differ: %v", n, err)
	}
	exec("ALTER TABLE %s DELETE WHERE _offset = 5 AND text = 'other' OR _offset = 8 SETTINGS mutations_sync = 2")
	exec("INSERT INTO %s SELECT * FROM %s WHERE _offset = 9")
	if found := look(false); !found.Fine() {
		t.Errorf("a count cannot see this: %s", found)
	}
	if found := look(true); found.Twice != 1 || found.Missing != 1 || found.Verdict != consumers.Holes {
		t.Errorf("in full: %s: %#v", found, found)
	}
	exec("ALTER TABLE %s DELETE WHERE _offset = 9 SETTINGS mutations_sync = 2")
	f.ask(asked, true, topic, 1)
	f.wait(func() bool { n, rows := f.held(topic); return n == committed && rows == committed }, "what was missing")
	exec("INSERT INTO %s SELECT * REPLACE (10 AS _offset) FROM (SELECT * FROM %s WHERE _offset = 9)") // the offset of a transaction's mark
	if found := look(false); found.Strange != 1 || found.Missing != 0 || found.Twice != 0 || found.Verdict != consumers.Strange {
		t.Errorf("a strange row: %s: %#v", found, found)
	}
	stop()
}

// An audit without anybody asking finds what is missing and has it fetched again, but for a table that somebody took away; that one is named, and comes
// back when somebody asks.
func TestAuditRepairsByItself(t *testing.T) {
	f := newFlow(newBench(t))
	committed := map[string]int{}
	for _, d := range damages {
		committed[d.name] = f.transact(f.topic(d.name, 1), 0, 300)
	}
	asked := consumers.NewAudits()
	f.run(func(o *consumers.Options) {
		o.Limits.BatchRows = 20
		o.Audit = consumers.AuditOptions{Every: auditTick, Asked: asked}
	})
	for _, d := range damages {
		topic := f.conf.Prefix + ".files." + d.name
		all := func() bool { n, rows := f.held(topic); return n == int64(committed[d.name]) && rows == n }
		f.wait(all, "the records of %s", d.name)
		f.wait(func() bool { return total(f.ask(asked, false, topic, 1)).Expected == int64(committed[d.name]) }, "the commit of %s", d.name)
		f.do(d.sql, topic)
		if !d.restored {
			f.wait(func() bool { return strings.Contains(f.topicStatus(topic).Err, "the table was dropped") }, "the status to say so of %s", d.name)
			if n, _ := f.held(topic); n >= int64(committed[d.name]) {
				t.Errorf("%s came back by itself", d.name)
			}
			f.ask(asked, true, topic, 1)
		}
		f.wait(all, "the records of %s again", d.name)
		f.wait(func() bool { return f.topicStatus(topic).Err == "" }, "the status of %s to be well", d.name)
		f.transact(topic, 1000, 30) // and it goes on
		f.wait(func() bool { n, rows := f.held(topic); return n > int64(committed[d.name]) && n == rows }, "more of %s", d.name)
	}
}

// What Kafka no longer has cannot come back, and is named; the rest does.
func TestAuditNamesWhatKafkaNoLongerHas(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("retention", 1)
	f.produce(topic, 0, 200)
	asked := consumers.NewAudits()
	f.run(func(o *consumers.Options) { o.Audit = consumers.AuditOptions{Every: -1, Asked: asked} })
	f.arrive(topic, 200)
	f.wait(func() bool { return total(f.ask(asked, false, topic, 1)).Expected == 200 }, "the commit")
	f.deleteRecords(topic, 50)
	if found := f.ask(asked, false, topic, 1)[0]; !found.Fine() {
		t.Errorf("retention alone: %s", found)
	}
	f.do("ALTER TABLE %s DELETE WHERE _offset >= 40 AND _offset < 60 SETTINGS mutations_sync = 2", topic)
	found := f.ask(asked, false, topic, 1)[0]
	if found.Missing != 20 || found.Lost != 10 || !found.Again || !strings.Contains(found.String(), "Kafka no longer has 10 of them") {
		t.Errorf("found %s: %#v", found, found)
	}
	f.wait(func() bool { return f.counts(topic)[0] == 190 }, "what Kafka has")
	f.wait(func() bool {
		all := f.ask(asked, false, topic, 1)
		return all[0].Missing == 10 && all[0].Lost == 10 && !all[0].Again
	}, "an audit that says what is lost")
	f.do("TRUNCATE TABLE %s", topic)
	if found := f.ask(asked, false, topic, 1)[0]; found.Missing != 200 || found.Lost != 50 || found.Verdict != consumers.Truncated {
		t.Errorf("found %s: %#v", found, found)
	}
	f.wait(func() bool { return f.counts(topic)[0] == 150 }, "what Kafka has, again")
}

// do damages the table of a topic.
func (f *flow) do(sql, topic string) {
	f.t.Helper()
	if err := f.exec(f.t.Context(), f.damageText(sql, topic)); err != nil {
		f.t.Fatal(err)
	}
}

// damageText puts the names of a topic's table, of its smallest part, and of the dead letters into a statement.
func (f *flow) damageText(sql, topic string) string {
	f.t.Helper()
	name := schemas.Table(f.conf.Prefix, topic)
	part := f.one("SELECT name FROM system.parts WHERE active AND database = %s AND table = %s ORDER BY rows LIMIT 1", quoteText(f.conf.Raw), quoteText(name))
	return strings.NewReplacer("%s", quoteName(f.conf.Raw)+"."+quoteName(name), "%part", part, "%dead", f.dead.fullName(), "%topic", topic).Replace(sql)
}

// A table that is dropped while no consumer runs is not made again by the next one, which says so; it is when somebody asks.
func TestDroppedTableIsMadeAgainAfterARestart(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("gone", 2)
	committed := int64(f.transact(topic, 0, 100))
	all := func() bool { n, rows := f.held(topic); return n == committed && rows == n }
	stop := f.run(nil)
	f.wait(all, "the records")
	f.wait(func() bool {
		all, err := f.look(t.Context(), topic)
		return err == nil && total(all).Expected == committed
	}, "the commit")
	stop()
	f.do("DROP TABLE %s SYNC", topic)
	f.Close()
	var err error
	if f.Sink, err = Open(t.Context(), f.conf, f.registry); err != nil {
		t.Fatal(err)
	}
	asked := consumers.NewAudits()
	f.run(func(o *consumers.Options) { o.Audit = consumers.AuditOptions{Every: auditTick, Asked: asked} })
	f.wait(func() bool { return total(f.ask(asked, false, topic, 2)).Verdict == consumers.Dropped }, "an audit that says that it was dropped")
	f.wait(func() bool { return f.topicStatus(topic).Err != "" }, "the status to say so")
	f.ask(asked, true, topic, 2)
	f.wait(all, "the records again")
}

// Rows that are removed again and again are written again as often, although the server remembers their block each time.
func TestRowsRemovedAgainAndAgainAreWritten(t *testing.T) {
	b := newBench(t)
	id := b.id("again", numbered)
	batch := b.batch(b.records("aw.files.again", id, payload("a", 1), payload("b", 2), payload("c", 3))...)
	b.write(batch)
	batch.First, batch.Again = false, true
	for round := range 4 {
		if err := b.exec(t.Context(), "ALTER TABLE "+quoteName(b.conf.Raw)+".files_again DELETE WHERE 1 SETTINGS mutations_sync = 2"); err != nil {
			t.Fatal(err)
		}
		b.write(batch)
		b.write(batch)
		if n := b.one("SELECT toString(count()) FROM %s.files_again", quoteName(b.conf.Raw)); n != "3" {
			t.Errorf("removed %d times there are %s rows, want 3", round+1, n)
		}
	}
}
