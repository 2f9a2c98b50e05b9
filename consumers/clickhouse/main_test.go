package clickhouse

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// bench is a sink with databases and a registry of its own.
type bench struct {
	*Sink
	t        testing.TB
	registry *schemas.Registry
	topicID  [16]byte
	next     map[string]int64 // offset by topic
}

func newBench(t testing.TB) *bench {
	t.Helper()
	return newBenchAt(t, embeddedtest.ClickHouse(t).Addr)
}

// newBenchAt is a bench whose sink talks to the server at an address.
func newBenchAt(t testing.TB, addr string) *bench {
	t.Helper()
	server := embeddedtest.ClickHouse(t)
	registry, err := schemas.OpenRegistry(schemas.RegistryConfig{URLs: []string{embeddedtest.Registry(t)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	b := &bench{t: t, registry: registry, topicID: [16]byte{1, 2, 3}, next: map[string]int64{}}
	b.Sink, err = Open(t.Context(), Config{Addresses: []string{addr}, Raw: "raw" + server.Suffix, Current: "current" + server.Suffix,
		Dataset: "dataset" + server.Suffix, Prefix: "aw"}, registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, db := range []string{b.conf.Raw, b.conf.Current, b.conf.Dataset} {
			if err := b.exec(ctx, "DROP DATABASE IF EXISTS "+quoteName(db)); err != nil {
				t.Error(err)
			}
		}
		b.Close()
	})
	return b
}

// id registers a schema.
func (b *bench) id(subject string, s *schemas.Schema) int {
	b.t.Helper()
	id, err := b.registry.Register(b.t.Context(), subject, s)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// records makes records of payloads, at the topic's next offsets of partition 0.
func (b *bench) records(topic string, id int, payloads ...[]byte) []*kgo.Record {
	var recs []*kgo.Record
	for _, p := range payloads {
		recs = append(recs, &kgo.Record{Topic: topic, Offset: b.next[topic], Timestamp: time.UnixMilli(1_700_000_000_000),
			Value: append(schemas.AppendFrame(nil, id), p...)})
		b.next[topic]++
	}
	return recs
}

func (b *bench) batch(recs ...*kgo.Record) consumers.Batch {
	first, last := recs[0], recs[len(recs)-1]
	return consumers.Batch{Partition: consumers.Partition{Topic: first.Topic, TopicID: b.topicID}, Range: consumers.Range{Start: first.Offset, End: last.Offset + 1},
		Records: recs, First: first.Offset == 0}
}

func (b *bench) write(batch consumers.Batch) consumers.Written {
	b.t.Helper()
	w, err := b.Write(b.t.Context(), batch)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// query runs a query whose result is text, with %s for the database raw and current.
func (b *bench) query(columns int, format string, args ...any) [][]string {
	b.t.Helper()
	rows, err := b.texts(b.t.Context(), fmt.Sprintf(format, args...), columns)
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// one is the single value of a query.
func (b *bench) one(format string, args ...any) string {
	b.t.Helper()
	rows := b.query(1, format, args...)
	if len(rows) != 1 {
		b.t.Fatalf("query %s returned %d rows", fmt.Sprintf(format, args...), len(rows))
	}
	return rows[0][0]
}
