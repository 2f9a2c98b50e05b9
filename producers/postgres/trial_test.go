package postgres

import (
	"os"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

// TestDatabase streams a whole database that TRIAL_POSTGRES_URL names, and compares what the topics amount to with the source's own inventory. A trial to run
// by hand: it leaves nothing behind but a publication.
func TestDatabase(t *testing.T) {
	url := os.Getenv("TRIAL_POSTGRES_URL")
	if url == "" {
		t.Skip("TRIAL_POSTGRES_URL is not set")
	}
	s := &stack{t: t, url: url, kafka: embeddedtest.Kafka(t), reg: sourcetest.NewRegistry(), decoders: map[*schemas.Schema]*schemas.Decoder{}, read: map[string]map[int32]int64{}}
	s.conn = s.connect()
	c := s.config()
	t.Cleanup(func() {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			_, err = conn.Exec(t.Context(), "select pg_drop_replication_slot($1)", c.Slot)
		}
		_ = err
	})
	r := s.run(c)
	s.eventually("it streams", s.streams)
	s.inventory(c)
	r.stop()
}

// inventory compares rows and digests of every table with what the topics amount to.
func (s *stack) inventory(c Config) {
	s.t.Helper()
	src, err := New("sql", c, testLog(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	var held []producers.Held
	if err := src.Held(s.t.Context(), func(h producers.Held) { held = append(held, h) }); err != nil {
		s.t.Fatal(err)
	}
	total := int64(0)
	for _, h := range held {
		total += h.Rows
		var got producers.Held
		s.eventually("the topic of "+h.Dataset+" amounts to the table", func() bool {
			got = amount(s.events(), h.Dataset)
			return got.Rows == h.Rows-h.Rejected && got.Digest == h.Digest
		})
	}
	s.t.Logf("%d tables with %d rows are held as they are produced", len(held), total)
}

// amount counts and digests the rows that events amount to. Values that were not sent are not filled in.
func amount(events []event, dataset string) producers.Held {
	rows := map[string]event{}
	events = slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.dataset != dataset })
	slices.SortStableFunc(events, func(a, b event) int { return slices.Compare(a.versionSlice(), b.versionSlice()) })
	for _, e := range events {
		if e.op == "t" {
			clear(rows)
			continue
		}
		rows[e.key] = e
	}
	var h producers.Held
	for _, e := range rows {
		if e.op != "d" {
			h.Rows++
			h.Digest.Add(e.row.AppendCanonical(nil, 0))
		}
	}
	return h
}
