package clickhouse

import (
	"strings"
	"testing"

	"adventureworks.example/extract/consumers"
)

// Where a partition goes on is behind its highest offset, in the table or in the dead letters, whatever other partitions and topics hold.
func TestNextIsBehindTheHighestOffset(t *testing.T) {
	b := newBench(t)
	id := b.id("next", numbered)
	next := func(topic string, partition int32, want int64) {
		t.Helper()
		got, err := b.Next(t.Context(), consumers.Partition{Topic: topic, TopicID: b.topicID, Partition: partition})
		if err != nil || got != want {
			t.Errorf("next of %s/%d is %d: %v, want %d", topic, partition, got, err, want)
		}
	}
	next("aw.files.next", 0, 0)
	put := func(topic string, partition int32, offset int64, value []byte) {
		t.Helper()
		rec := b.records(topic, id, value)[0]
		rec.Partition, rec.Offset = partition, offset
		batch := b.batch(rec)
		batch.Partition.Partition, batch.First = partition, true
		b.write(batch)
	}
	put("aw.files.next", 1, 7, payload("a", 1))
	put("aw.files.next", 3, 99, payload("a", 1))
	put("aw.files.other", 2, 500, nil) // a dead letter
	put("aw.files.next", 2, 41, nil)   // likewise
	put("aw.files.next", 2, 40, payload("a", 1))
	put("aw.files.next", 1, 3, payload("a", 1))
	for partition, want := range []int64{0, 8, 42, 100, 0} {
		next("aw.files.next", int32(partition), want)
	}
	next("aw.files.other", 2, 501)
}

// Asking is quick on a table of many rows: the server reads the end of it.
func TestNextReadsTheEndOnly(t *testing.T) {
	b := newBench(t)
	id := b.id("next", numbered)
	b.write(b.batch(b.records("aw.files.next", id, payload("a", 1))...))
	if err := b.exec(t.Context(), "INSERT INTO "+quoteName(b.conf.Raw)+".files_next (_partition, _offset) SELECT number % 4, intDiv(number, 4) FROM numbers(2000000)"); err != nil {
		t.Fatal(err)
	}
	plan, found := b.query(1, "EXPLAIN PLAN actions = 1 SELECT _offset FROM %s.files_next WHERE _partition = 2 ORDER BY _partition DESC, _offset DESC LIMIT 1", quoteName(b.conf.Raw)), false
	for _, line := range plan {
		found = found || strings.Contains(line[0], "InReverseOrder")
	}
	if !found {
		t.Errorf("the plan does not read from the end: %v", plan)
	}
	if got, err := b.Next(t.Context(), consumers.Partition{Topic: "aw.files.next", TopicID: b.topicID, Partition: 2}); err != nil || got != 500_000 {
		t.Errorf("next is %d: %v", got, err)
	}
}
