package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// transact produces n numbered records from the number on, in transactions of ten, one of three aborted and one record of 25 bad. It returns how many
// are committed.
func (f *flow) transact(topic string, from, n int) int {
	f.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		f.t.Fatal(err)
	}
	defer cl.Close()
	committed := 0
	for i := 0; i < n; i += 10 {
		if err := cl.BeginTransaction(); err != nil {
			f.t.Fatal(err)
		}
		var recs []*kgo.Record
		for k := i; k < min(i+10, n); k++ {
			v := append(schemas.AppendFrame(nil, f.id), payload("row", int64(from+k))...)
			if k%25 == 7 {
				v = v[:7]
			}
			recs = append(recs, &kgo.Record{Topic: topic, Value: v})
		}
		if err := cl.ProduceSync(f.t.Context(), recs...).FirstErr(); err != nil {
			f.t.Fatal(err)
		}
		commit := i/10%3 != 1
		if err := cl.EndTransaction(f.t.Context(), kgo.TransactionEndTry(commit)); err != nil {
			f.t.Fatal(err)
		}
		if commit {
			committed += len(recs)
		}
	}
	return committed
}

// held is how many offsets of a topic are held, and how many rows and dead letters there are.
func (f *flow) held(topic string) (offsets, rows int64) {
	sql := "SELECT _partition, _offset FROM " + f.dead.fullName() + " WHERE _topic = " + quoteText(topic)
	name := schemas.Table(f.conf.Prefix, topic)
	if f.one("SELECT toString(count()) FROM system.tables WHERE database = %s AND name = %s", quoteText(f.conf.Raw), quoteText(name)) == "1" {
		sql += " UNION ALL SELECT _partition, _offset FROM " + quoteName(f.conf.Raw) + "." + quoteName(name)
	}
	n, err := f.ints(f.t.Context(), "SELECT arrayJoin([toInt64(uniqExact(_partition, _offset)), toInt64(count())]) FROM ("+sql+")")
	if err != nil {
		return -1, -1
	}
	return n[0], n[1]
}

// ask asks the consumers for an audit of a topic until each of the partitions is in it.
func (f *flow) ask(asked *consumers.Audits, repair bool, topic string, partitions int) []consumers.Finding {
	f.t.Helper()
	var all []consumers.Finding
	f.wait(func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
		defer cancel()
		var err error
		if all, err = asked.Ask(ctx, repair, topic); err != nil {
			f.t.Fatal(err)
		}
		return len(all) == partitions
	}, "an audit of %s", topic)
	return all
}

// auditTick is how often audits run that are to run often.
const auditTick = 50 * time.Millisecond

// deleteRecords makes the topic's partition 0 begin at an offset, as retention does.
func (f *flow) deleteRecords(topic string, before int64) {
	f.t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, before, -1)
	if _, err := kadm.NewClient(f.producer).DeleteRecords(f.t.Context(), offsets); err != nil {
		f.t.Fatal(err)
	}
}

// total adds findings up.
func total(all []consumers.Finding) (sum consumers.Finding) {
	for _, f := range all {
		sum.Expected, sum.Stored, sum.Rejected = sum.Expected+f.Expected, sum.Stored+f.Stored, sum.Rejected+f.Rejected
		sum.Missing, sum.Twice, sum.Strange, sum.Lost = sum.Missing+f.Missing, sum.Twice+f.Twice, sum.Strange+f.Strange, sum.Lost+f.Lost
		if !f.Fine() && sum.Verdict == "" {
			sum.Verdict = f.Verdict
		}
		if f.Err != "" {
			sum.Err = f.Err
		}
	}
	return sum
}

// damages are what can happen to a table of two partitions that is stored in parts of few rows, by the SQL that does it.
var damages = []struct {
	name, sql string
	verdict   consumers.Verdict
	restored  bool // by itself, without anybody asking
}{
	{"truncated", "TRUNCATE TABLE %s", consumers.Truncated, true},
	{"dropped", "DROP TABLE %s SYNC", consumers.Dropped, false},
	{"tail", "ALTER TABLE %s DELETE WHERE _offset >= 150 SETTINGS mutations_sync = 2", consumers.Behind, true},
	{"middle", "ALTER TABLE %s DELETE WHERE _offset >= 40 AND _offset < 90 SETTINGS mutations_sync = 2", consumers.Holes, true},
	{"scattered", "ALTER TABLE %s DELETE WHERE _offset % 7 = 0 AND _offset < 100 SETTINGS mutations_sync = 2", consumers.Holes, true},
	{"masked", "DELETE FROM %s WHERE _partition = 1 AND _offset > 30 AND _offset < 50", consumers.Holes, true},
	{"part", "ALTER TABLE %s DROP PART '%part'", "", true}, // what a power loss takes: a part that was not yet written through
	{"letters", "ALTER TABLE %dead DELETE WHERE _topic = '%topic' AND _offset < 120 SETTINGS mutations_sync = 2", consumers.Holes, true},
}

// Whatever happens to a table, an audit says how much is missing and of what kind, from within the consumers and from outside; and what is
// missing comes back from Kafka, each record once.
func TestAuditSeesAndRepairs(t *testing.T) {
	f := newFlow(newBench(t))
	asked := consumers.NewAudits()
	committed := map[string]int{}
	for _, d := range damages {
		committed[d.name] = f.transact(f.topic(d.name, 2), 0, 500)
	}
	f.run(func(o *consumers.Options) {
		o.Limits.BatchRows = 20
		o.Audit = consumers.AuditOptions{Every: -1, Only: true, Asked: asked}
	})
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) { f.damage(t, d.name, d.sql, d.verdict, committed[d.name], asked) })
	}
}

func (f *flow) damage(t *testing.T, name, sql string, verdict consumers.Verdict, committed int, asked *consumers.Audits) {
	topic := f.conf.Prefix + ".files." + name
	all := func() bool { n, _ := f.held(topic); return n == int64(committed) }
	f.wait(all, "the records of %s", name)
	fine := func(when string, all []consumers.Finding) {
		t.Helper()
		if sum := total(all); sum.Verdict != "" || sum.Err != "" || sum.Expected != int64(committed) || sum.Stored+sum.Rejected != int64(committed) {
			t.Errorf("%s the audit finds %+v of %d records", when, all, committed)
		}
	}
	look := func(full bool) []consumers.Finding {
		t.Helper()
		all, err := consumers.Look(t.Context(), consumers.LookOptions{Kafka: []kgo.Opt{kgo.SeedBrokers(f.brokers...)}, Group: f.conf.Prefix + ".clickhouse",
			Topics: []string{topic}, Sink: f.Sink, Full: full})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	f.wait(func() bool { return total(look(false)).Expected == int64(committed) }, "the commit of %s", name)
	fine("before", f.ask(asked, false, topic, 2))
	f.do(sql, topic)
	left, _ := f.held(topic)
	missing := int64(committed) - left
	for from, found := range map[string][]consumers.Finding{"inside": f.ask(asked, false, topic, 2), "outside": look(false), "outside in full": look(true)} {
		sum := total(found)
		if missing == 0 || sum.Missing != missing || sum.Twice != 0 || sum.Strange != 0 || sum.Lost != 0 || verdict != "" && sum.Verdict != verdict {
			t.Errorf("from %s the audit finds %+v, and %d are missing", from, found, missing)
		}
	}
	f.wait(func() bool { return strings.Contains(f.topicStatus(topic).Err, "missing ") }, "the status to say what is missing")
	f.ask(asked, true, topic, 2)
	f.wait(all, "the records of %s again", name)
	if n, rows := f.held(topic); n != rows {
		t.Errorf("%d offsets have %d rows", n, rows)
	}
	f.wait(func() bool { return len(f.ask(asked, false, topic, 2)) == 2 && f.topicStatus(topic).Err == "" }, "the status to be well")
	fine("afterwards", f.ask(asked, false, topic, 2))
	fine("afterwards from outside", look(true))
}

// topicStatus is what the status says of a topic.
func (f *flow) topicStatus(topic string) consumers.TopicStatus {
	for _, st := range f.status.Topics() {
		if st.Topic == topic {
			return st
		}
	}
	return consumers.TopicStatus{}
}

// What a count costs does not grow with the history: the server reads the granules at the ends of the parts only.
func TestCountIsFlatInHistory(t *testing.T) {
	b := newBench(t)
	id := b.id("flat", numbered)
	b.write(b.batch(b.records("aw.files.flat", id, payload("a", 1))...))
	b.write(b.batch(b.records("aw.files.flat", id, nil)...)) // a dead letter
	table := quoteName(b.conf.Raw) + ".files_flat"
	read := func() (rows uint64) {
		t.Helper()
		var at []consumers.Place
		for p := range int32(4) {
			at = append(at, consumers.Place{Partition: consumers.Partition{Topic: "aw.files.flat", TopicID: b.topicID, Partition: p}, Offset: 1 << 40})
		}
		ctx := clickhouse.Context(t.Context(), clickhouse.WithProgress(func(p *clickhouse.Progress) { rows += p.Rows }))
		if _, err := b.Count(ctx, at); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	grow := func(from, n int) {
		t.Helper()
		sql := fmt.Sprintf("INSERT INTO %s (_partition, _offset) SELECT number %% 4, %d + intDiv(number, 4) FROM numbers(%d)", table, from, n)
		for _, sql := range []string{sql, "OPTIMIZE TABLE " + table + " FINAL"} {
			if err := b.exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	grow(10, 400_000)
	small := read()
	grow(1_000_000, 4_000_000)
	large := read()
	if large > small+4*8192 || large > 12*8192 {
		t.Errorf("counting reads %d rows of a table of 400,000 and %d of one of 4,400,000", small, large)
	}
	t.Logf("counting four partitions reads %d rows of a table of 400,000 and %d of one of 4,400,000", small, large)
	counts, err := b.Count(t.Context(), []consumers.Place{{Partition: consumers.Partition{Topic: "aw.files.flat", TopicID: b.topicID, Partition: 2}, Offset: 1_000_500}})
	if err != nil || counts[0].Stored != 100_500 || counts[0].NoTable {
		t.Errorf("counted %+v, want 100,500: %v", counts, err)
	}
}
