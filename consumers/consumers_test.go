package consumers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What the protocol rests on: taken away, most other tests still pass.
func TestClientOptions(t *testing.T) {
	r := newRunner(Options{Prefix: "aw", Sources: []string{"sql", "fi.les"}, Exclude: []string{"aw.sql.items"}, Instance: "me"})
	cl, err := kgo.NewClient(r.clientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.CloseAllowingRebalance()
	for _, c := range []struct {
		name string
		opt  any
		want any
	}{
		{"DisableAutoCommit", kgo.DisableAutoCommit, true},
		{"BlockRebalanceOnPoll", kgo.BlockRebalanceOnPoll, true},
		{"ConsumerGroup", kgo.ConsumerGroup, "aw.clickhouse"},
		{"InstanceID", kgo.InstanceID, "me"},
		{"SessionTimeout", kgo.SessionTimeout, 8 * time.Second},
		{"KeepControlRecords", kgo.KeepControlRecords, true},
	} {
		if got := cl.OptValue(c.opt); got != c.want {
			if p, ok := got.(*string); !ok || *p != c.want {
				t.Errorf("%s is %v, want %v", c.name, got, c.want)
			}
		}
	}
	if got := fmt.Sprint(cl.OptValue(kgo.FetchIsolationLevel)); got != "1" { // Kafka's number for read committed
		t.Errorf("isolation level is %v", got)
	}
}

func TestIntentText(t *testing.T) {
	for _, i := range []intent{
		{topic: [16]byte{1, 2}}, {topic: [16]byte{255}, pending: Range{0, 9}, first: true}, {topic: [16]byte{}, pending: Range{5, 1 << 60}}, {first: true},
	} {
		if got, ok := parseIntent(i.String()); !ok || got != i {
			t.Errorf("%q was read as %+v, %v", i, got, ok)
		}
	}
	for _, text := range []string{"", "member-7", "topic=12", "topic=zz", "pending=1-2", i16 + " pending=2-2", i16 + " pending=x-2", i16 + " other=1"} {
		if i, ok := parseIntent(text); ok {
			t.Errorf("%q was read as %+v", text, i)
		}
	}
	if n := len(intent{pending: Range{1 << 62, 1<<63 - 1}, first: true}.String()); n > 200 {
		t.Errorf("an intent takes %d bytes of the 4096 that metadata may have", n)
	}
}

const i16 = "topic=00000000000000000000000000000000"

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Class
	}{
		{io.ErrUnexpectedEOF, Retry}, {fmt.Errorf("x: %w", context.DeadlineExceeded), Retry}, {errors.New("odd"), Pause},
		{fmt.Errorf("x: %w", &Error{Class: Stop, Err: io.EOF}), Stop},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
	if got := (&Error{Class: Pause, Err: io.EOF, Remedy: "look"}).Error(); got != "EOF; look" {
		t.Errorf("error is %q", got)
	}
}

func TestInstancesAreTakenOnce(t *testing.T) {
	dir := t.TempDir()
	one, release, err := TakeInstance(dir, "aw.clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	two, release2, err := TakeInstance(dir, "aw.clickhouse")
	if err != nil || one == two {
		t.Fatalf("two processes have the name %s: %v", one, err)
	}
	defer release2()
	release()
	again, release, err := TakeInstance(dir, "aw.clickhouse")
	if err != nil || again != one {
		t.Errorf("the name is %s, want %s again: %v", again, one, err)
	}
	release()
}

func TestRateIsTheMeanOfWholeSeconds(t *testing.T) {
	var r rate
	at := time.Unix(1000, 0)
	for i := range 10 {
		r.add(at.Add(time.Duration(i)*time.Second), 30)
	}
	if got := r.perSecond(at.Add(9500 * time.Millisecond)); got != 30 {
		t.Errorf("rate is %v, want 30", got)
	}
	if got := r.perSecond(at.Add(time.Minute)); got != 0 {
		t.Errorf("rate after a minute of rest is %v, want 0", got)
	}
}

func TestStatusSumsPartitions(t *testing.T) {
	var s Status
	for n := range int32(3) {
		s.set(Partition{Topic: "b", Partition: n}, func(p *PartitionStatus) { p.End, p.Position, p.Stored, p.Rejected = 10, 7, 5, 1 })
	}
	s.set(Partition{Topic: "a"}, func(p *PartitionStatus) { p.Err = "broken" })
	got := s.Topics()
	if len(got) != 2 || got[0].Topic != "a" || got[0].Err != "broken" || got[1].Lag != 9 || got[1].Stored != 15 || got[1].Rejected != 3 || len(got[1].Partitions) != 3 {
		t.Errorf("status is %+v", got)
	}
	s.forget(Partition{Topic: "a"})
	if got := s.Topics(); len(got) != 2 || got[0].Err != "" || len(got[0].Partitions) != 0 {
		t.Errorf("a partition that was given up is still there: %+v", got)
	}
	(*Status)(nil).set(Partition{}, nil)
}

func TestMetricsRegisterOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	m.wrote("t", Written{Stored: 2, Rejected: 1}, time.Second)
	m.failed("t", "write", io.EOF, Pause)
	(*Metrics)(nil).wrote("t", Written{}, 0)
	families, err := reg.Gather()
	if err != nil || len(families) < 4 {
		t.Errorf("%d metrics: %v", len(families), err)
	}
}

// A batch is cut at its bounds, is never empty for one large record, and is what the intent said when there is one.
func TestCut(t *testing.T) {
	recs := func(offsets ...int64) (all []*kgo.Record) {
		for _, o := range offsets {
			all = append(all, &kgo.Record{Offset: o, Value: make([]byte, 100)})
		}
		return all
	}
	for _, c := range []struct {
		name    string
		limits  Limits
		recover Range
		next    int64
		want    Range
		rows    int
	}{
		{"all", Limits{}, Range{}, 9, Range{2, 9}, 4},
		{"rows", Limits{BatchRows: 2}, Range{}, 9, Range{2, 5}, 2},
		{"bytes", Limits{BatchBytes: 1}, Range{}, 9, Range{2, 4}, 1},
		{"intent", Limits{BatchRows: 1}, Range{2, 7}, 9, Range{2, 7}, 3},
		{"intent that is not read yet", Limits{}, Range{2, 20}, 9, Range{}, 0},
		{"intent whose records are gone", Limits{}, Range{2, 3}, 9, Range{2, 3}, 0},
	} {
		r := newRunner(Options{Limits: c.limits})
		p := &part{position: 2, next: c.next, recover: c.recover, buf: recs(3, 4, 6, 7)}
		b, _, ok := r.cut(p)
		if ok != (c.want != Range{}) || ok && (b.Range != c.want || len(b.Records) != c.rows || b.Again != !c.recover.Empty()) {
			t.Errorf("%s: cut %+v, %v; want %v with %d rows", c.name, b, ok, c.want, c.rows)
		}
	}
}
