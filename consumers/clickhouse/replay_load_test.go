package clickhouse

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// A topic is replayed while 500 records a second arrive and queries run without a pause: no query fails or sees fewer rows than there were, and
// every record is there once, as it was. REPLAY_ROWS sets the size; it is 20,000 otherwise.
func TestReplayUnderLoad(t *testing.T) {
	rows := 20_000
	if text := os.Getenv("REPLAY_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		rows = n
	}
	f := newFlow(newBench(t))
	topic := f.topic("load", 4)
	for n := 0; n < rows; n += 10_000 {
		f.produce(topic, n, min(10_000, rows-n))
	}
	began := time.Now()
	f.run(nil)
	f.arriveWithin(topic, rows, 10*time.Minute)
	ingested := time.Since(began)
	table := quoteName(f.conf.Raw) + ".files_load"
	digest := fmt.Sprintf("SELECT toString((count(), uniqExact(_partition, _offset), sum(cityHash64(_partition, _offset, _timestamp, _schema_id, text, n)))) FROM %s WHERE n < %d", table, rows)
	before := f.one("%s", digest)

	ctx, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var produced, queries int
	wait.Go(func() { produced = f.trickle(ctx, topic, rows) })
	wait.Go(func() { queries = f.queryOn(ctx, table, int64(rows)) })
	var read, end time.Time
	began = time.Now()
	r := f.replay(topic, func(o *ReplayOptions) {
		o.Limits = consumers.Limits{}
		o.before = func(step string) error {
			switch step {
			case "read":
				read = time.Now()
			case "exchange":
				end = time.Now()
			}
			return nil
		}
	})
	took := time.Since(began)
	stop()
	wait.Wait()
	f.arriveWithin(topic, rows+produced, 10*time.Minute)
	if after := f.one("%s", digest); after != before {
		t.Errorf("the rows are %s, before they were %s", after, before)
	}
	if r.Same < int64(rows) || r.Restored+r.Twice+r.Different != 0 {
		t.Errorf("replayed %+v", r)
	}
	perSecond := func(n int64, d time.Duration) float64 { return float64(n) / d.Seconds() }
	t.Logf("%d rows and %d that came meanwhile, %d queries: ingested at %.0f rows/s, read again at %.0f rows/s, replayed in %s, writers waited %s", rows, produced, queries,
		perSecond(int64(rows), ingested), perSecond(r.Read, end.Sub(read)), took.Round(time.Millisecond), r.Fenced.Round(time.Millisecond))
}

// trickle produces 500 records a second, from the number on, until ctx ends, and tells how many.
func (f *flow) trickle(ctx context.Context, topic string, from int) (n int) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var recs []*kgo.Record
		for range 50 {
			recs = append(recs, &kgo.Record{Topic: topic, Value: append(schemas.AppendFrame(nil, f.id), payload("row", int64(from+n))...)})
			n++
		}
		if err := f.producer.ProduceSync(context.WithoutCancel(ctx), recs...).FirstErr(); err != nil {
			f.t.Errorf("produce: %v", err)
			return n
		}
		select {
		case <-ctx.Done():
			return n
		case <-tick.C:
		}
	}
}

// queryOn asks for the number of rows until ctx ends, and tells how often.
func (f *flow) queryOn(ctx context.Context, table string, atLeast int64) (queries int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		sql := "SELECT toInt64(count()) FROM " + table
		if queries%20 == 0 {
			sql = "SELECT toInt64(uniqExact(_partition, _offset)) FROM " + table
		}
		got, err := f.ints(context.WithoutCancel(ctx), sql)
		if err != nil || got[0] < atLeast {
			f.t.Errorf("query %d saw %v rows: %v", queries, got, err)
			return queries
		}
		queries++
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return queries
}

// arriveWithin is arrive for many rows.
func (f *flow) arriveWithin(topic string, n int, patience time.Duration) {
	f.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for f.rowsOf(topic) < int64(n) {
		select {
		case <-tick.C:
		case <-end:
			f.t.Fatalf("waited in vain for %d rows of %s; status %+v", n, topic, f.status.Topics())
		}
	}
	f.arrive(topic, n)
}

func (f *flow) rowsOf(topic string) int64 {
	n, err := f.ints(f.t.Context(), "SELECT toInt64(count()) FROM "+quoteName(f.conf.Raw)+"."+quoteName(schemas.Table(f.conf.Prefix, topic)))
	if err != nil {
		return 0 // not there yet
	}
	return n[0]
}
