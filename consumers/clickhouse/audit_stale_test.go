package clickhouse

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// stale is how many changes of a topic's partition 0 the current rows do not show, of those below an offset.
func (b *bench) stale(topic string, below int64) int64 {
	b.t.Helper()
	n, err := b.Stale(b.t.Context(), []consumers.Stretch{{Partition: consumers.Partition{Topic: topic, TopicID: b.topicID, Partition: 1}, In: []consumers.Range{{Start: 0, End: below}}},
		{Partition: consumers.Partition{Topic: topic, TopicID: b.topicID}, In: []consumers.Range{{Start: 0, End: below / 2}, {Start: below / 2, End: below}}}})
	if err != nil || n[0] != 0 {
		b.t.Fatal(n, err)
	}
	return n[1]
}

// Of every kind of change the current rows show it or a later one, until rows of them are gone.
func TestStaleCountsTheChangesThatAreNotShown(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	if n := c.stale(c.topic, 100); n != 0 {
		t.Errorf("%d changes of a topic without a table are stale", n)
	}
	truncate := c.change(schemas.OpTruncate, 5, 2, nil, nil)
	truncate.Key = nil
	c.write(c.batch(truncate))
	if n := c.stale(c.topic, 100); n != 0 {
		t.Errorf("%d truncates are stale", n)
	}
	c.write(c.batch(c.change(schemas.OpRead, 10, 1, nil, &image{1, "one", nil}), c.change(schemas.OpRead, 10, 1, nil, &image{2, "two", nil}),
		c.change(schemas.OpUpdate, 20, 2, nil, &image{1, "ONE", nil}), c.change(schemas.OpUpdate, 1<<40, 3, nil, &image{2, "", nil}, "a"),
		c.change(schemas.OpDelete, 1<<40, 4, &image{id: 1}, nil), c.change(schemas.OpCreate, 1<<40, 5, nil, &image{3, "three", []int64{1}})))
	c.write(c.batch(c.tombstone(c.change(schemas.OpDelete, 1<<40, 6, &image{id: 1}, nil))))
	c.write(c.batch(c.change(schemas.OpUpdate, 1<<40, 7, nil, nil))) // a dead letter
	if n := c.stale(c.topic, 100); n != 0 {
		t.Errorf("%d changes are stale", n)
	}
	rows := quoteName(c.conf.Current) + "._rows_sql_shop_item"
	for _, damage := range []struct {
		sql  string
		want int64
	}{
		{"ALTER TABLE " + rows + " DELETE WHERE id = 3 SETTINGS mutations_sync = 2", 1},
		{"INSERT INTO " + rows + " (id, a, _version, _partition, _offset) SELECT 3, 'older', 1, 0, 0", 1},
		{"ALTER TABLE " + rows + " DELETE WHERE id = 1 SETTINGS mutations_sync = 2", 4},
		{"TRUNCATE TABLE " + rows, 6},
		{"DROP TABLE " + rows + " SYNC", 6},
	} {
		if err := c.exec(t.Context(), damage.sql); err != nil {
			t.Fatal(err)
		}
		if n := c.stale(c.topic, 100); n != damage.want {
			t.Errorf("%d changes are stale after %s, want %d", n, damage.sql, damage.want)
		}
	}
}

// Current rows that were truncated are said by the consumer's audit, whichever changes come later, until a replay has built them anew.
func TestTruncatedCurrentRowsAreSaid(t *testing.T) {
	f := newFlow(newBench(t))
	c := newChanging(f, "item")
	asked := consumers.NewAudits()
	f.run(func(o *consumers.Options) {
		o.Sources, o.Audit = []string{"sql"}, consumers.AuditOptions{Every: auditTick, Asked: asked}
	})
	look := func(want consumers.Verdict) {
		t.Helper()
		f.wait(func() bool {
			found := f.ask(asked, false, c.topic, 1)[0]
			return found.Err == "" && found.Verdict == want
		}, "the verdict %s", want)
		var all []consumers.Finding
		f.wait(func() bool {
			var err error
			all, err = consumers.Look(t.Context(), consumers.LookOptions{Kafka: []kgo.Opt{kgo.SeedBrokers(f.brokers...)}, Group: f.conf.Prefix + ".clickhouse",
				Topics: []string{c.topic}, Sink: f.Sink, Full: true})
			if err != nil {
				t.Fatal(err)
			}
			return len(all) == 1 && all[0].Committed >= c.next
		}, "all to be committed")
		if all[0].Verdict != want || all[0].Err != "" {
			t.Errorf("a full audit finds %s %v, want %s", all[0].Verdict, all[0], want)
		}
	}
	c.produceChanges(1000)
	c.arriveChanges()
	look(consumers.Complete)
	if err := f.exec(t.Context(), "TRUNCATE TABLE "+quoteName(f.conf.Current)+"._rows_sql_item"); err != nil {
		t.Fatal(err)
	}
	look(consumers.Stale)
	if st := f.status.Topics(); len(st) != 1 || !strings.Contains(st[0].Err, "do not show every change") {
		t.Errorf("the status is %+v", st)
	}
	if _, err := f.Replay(t.Context(), f.replayOptions(c.topic)); err == nil || !strings.Contains(err.Error(), "10 current rows are not what they are") {
		t.Errorf("a replay that is not told to take current rows that are not those in use: %v", err)
	}
	f.replay(c.topic, func(o *ReplayOptions) { o.AcceptDifferent = true })
	c.produceChanges(100)
	c.arriveChanges()
	look(consumers.Complete)
	if err := f.exec(t.Context(), "INSERT INTO "+quoteName(f.conf.Current)+"._rows_sql_item (id, _version) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Replay(t.Context(), f.replayOptions(c.topic)); err == nil || !strings.Contains(err.Error(), "1 current rows are not what they are") {
		t.Errorf("a replay that lacks a row of those in use: %v", err)
	}
}
