package producers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

const patience = 20 * time.Second

var valueSchema = schemas.MustParse(`{"type":"record","name":"V","fields":[{"name":"v","type":"bytes"}]}`)

// script is a source whose batches are those that the test sends; it ends when the channel is closed.
type script struct {
	t         *testing.T
	in        chan producers.Batch
	opened    chan map[string]string
	committed chan []producers.Position
	target    producers.Target
	topic     producers.Dataset
	closed    atomic.Bool
}

func newScript(t *testing.T) *script {
	return &script{t: t, in: make(chan producers.Batch), opened: make(chan map[string]string, 100), committed: make(chan []producers.Position, 100)}
}

func (s *script) Open(ctx context.Context, target producers.Target, positions map[string]string) (err error) {
	s.target = target
	s.topic, err = target.Dataset(ctx, "rows", nil, valueSchema)
	s.opened <- positions
	return err
}

func (s *script) Next(ctx context.Context) (producers.Batch, error) {
	select {
	case b, ok := <-s.in:
		if !ok {
			return b, io.EOF
		}
		return b, nil
	case <-ctx.Done():
		return producers.Batch{}, ctx.Err()
	}
}

func (s *script) Commit(_ context.Context, p []producers.Position) error {
	s.committed <- p
	return nil
}

func (s *script) Close(context.Context) error { s.closed.Store(true); return nil }

// batch is n rows of some bytes, with a position unless it is empty.
func (s *script) batch(n, size int, position string) producers.Batch {
	b := producers.Batch{Rows: []producers.RowCount{{Dataset: "rows", Produced: int64(n)}}}
	for i := range n {
		v := schemas.AppendBytes(schemas.AppendFrame(nil, s.topic.ValueID), bytes.Repeat([]byte{'a' + byte(i)}, size))
		b.Records = append(b.Records, &kgo.Record{Topic: s.topic.Topic, Value: v})
	}
	if position != "" {
		b.Positions = []producers.Position{{Part: "p", Text: position}}
	}
	return b
}

func (s *script) send(b producers.Batch) {
	s.t.Helper()
	select {
	case s.in <- b:
	case <-time.After(patience):
		s.t.Fatal("the batch is not read")
	}
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// rig is a broker and the options to run a script on it.
type rig struct {
	o     producers.Options
	admin *kadm.Client
	cl    *kgo.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, embeddedtest.Kafka(t))
}

func newRigOn(t *testing.T, brokers []string) *rig {
	t.Helper()
	opts := []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(10 * time.Millisecond)}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &rig{cl: cl, admin: kadm.NewClient(cl), o: producers.Options{
		Kafka: opts, Registry: sourcetest.NewRegistry(), Prefix: embeddedtest.Prefix(t, brokers), Source: "sql", Status: &producers.Status{},
		Topics:  producers.TopicConfig{ReplicationFactor: 1, Partitions: 2},
		Backoff: producers.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond, Pause: 10 * time.Millisecond}}}
}

// topic is the full name of a topic.
func (r *rig) topic(name string) string { return r.o.Prefix + "." + name }

// start runs a script; the channel gives Run's error.
func (r *rig) start(t *testing.T, s producers.Source) (done <-chan error, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(chan error, 1), make(chan struct{})
	o := r.o
	o.New = func(context.Context) (producers.Source, error) { return s, nil }
	go func() {
		defer close(ended)
		out <- producers.Run(ctx, o)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return out, cancel
}

// visible are the records of a topic that a read_committed reader sees before its last stable offset.
func (r *rig) visible(t *testing.T, topic string) []*kgo.Record {
	t.Helper()
	ends, err := r.admin.ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	from, want := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			from[o.Partition], want[o.Partition] = kgo.NewOffset().At(0), o.Offset-1
		}
	})
	cl, err := kgo.NewClient(append(r.o.Kafka, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out []*kgo.Record
	for len(want) > 0 {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		f.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() {
				out = append(out, rec)
			}
			if end, ok := want[rec.Partition]; ok && rec.Offset >= end {
				delete(want, rec.Partition)
			}
		})
	}
	return out
}

// sees waits until a read_committed reader sees n records of a topic, and fails when it sees another number: a broker answers that a transaction
// has committed when that is decided, some milliseconds before its records can be read.
func (r *rig) sees(t *testing.T, topic string, n int) (out []*kgo.Record) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		if out = r.visible(t, topic); len(out) >= n || time.Now().After(deadline) {
			break
		}
	}
	if len(out) != n {
		t.Errorf("%d records of %s, want %d", len(out), topic, n)
	}
	return out
}

// position waits until a bystander reads that a part has got to where it should be, and returns all positions.
func (r *rig) position(t *testing.T, part, text string) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		got, err := producers.ReadPositions(t.Context(), r.o.Kafka, r.o.Prefix, "sql")
		if err == nil && got[part] == text {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("positions %v, %v; want %s at %s", got, err, part, text)
		}
	}
}

func TestPositionsComeBack(t *testing.T) {
	r := newRig(t)
	s := newScript(t)
	done, _ := r.start(t, s)
	if p := receive(t, s.opened, "opening"); len(p) != 0 {
		t.Errorf("first start with positions %v", p)
	}
	s.send(s.batch(3, 10, "three"))
	b := s.batch(0, 0, "four")
	b.Positions = append(b.Positions, producers.Position{Part: "q", Text: "gone"})
	s.send(b)
	s.send(producers.Batch{Positions: []producers.Position{{Part: "q"}}})
	close(s.in)
	if err := receive(t, done, "end"); err != nil {
		t.Fatal(err)
	}
	if !s.closed.Load() {
		t.Error("the source was not closed")
	}
	if got := r.position(t, "p", "four"); len(got) != 1 {
		t.Errorf("positions %v", got)
	}
	again := newScript(t)
	r.start(t, again)
	if p := receive(t, again.opened, "opening"); len(p) != 1 || p["p"] != "four" {
		t.Errorf("second start with positions %v", p)
	}
	if st := r.o.Status.Snapshot(); st.Datasets[0].Produced != 3 || st.Position.Text == "" || st.Transactions == 0 || st.Bytes == 0 || st.Error != "" {
		t.Errorf("status %+v", st)
	}
}

func TestAcknowledgedWhileWaiting(t *testing.T) {
	r := newRig(t)
	s := newScript(t)
	r.start(t, s)
	receive(t, s.opened, "opening")
	s.send(s.batch(1, 10, "one"))
	// Next waits for more, for ever, and still the source is told.
	if p := receive(t, s.committed, "commit"); len(p) != 1 || p[0].Text != "one" {
		t.Errorf("committed %v", p)
	}
}

func TestAnotherProcessTakesOver(t *testing.T) {
	r := newRig(t)
	first, second := newScript(t), newScript(t)
	done, _ := r.start(t, first)
	receive(t, first.opened, "opening")
	first.send(first.batch(1, 10, "")) // a transaction that it cannot end
	r.start(t, second)
	receive(t, second.opened, "opening of the second")
	first.send(first.batch(1, 10, "zombie"))
	err := receive(t, done, "end of the first")
	if !errors.Is(err, producers.ErrFenced) || producers.Classify(err) != producers.Stop || !strings.Contains(err.Error(), "process ") {
		t.Errorf("the first ended with %v", err)
	}
	second.send(second.batch(2, 10, "two"))
	receive(t, second.committed, "commit of the second")
	r.sees(t, r.topic("sql.rows"), 2) // the second's
}

func TestWhatIsOpenIsVisibleTogether(t *testing.T) {
	r := newRig(t)
	r.o.Limits.CloseTime = time.Nanosecond
	s := newScript(t)
	r.start(t, s)
	receive(t, s.opened, "opening")
	for i := range 5 {
		b := s.batch(1, 10, fmt.Sprint(i))
		b.Open = true
		s.send(b)
	}
	s.send(s.batch(1, 10, "")) // has no position, so it cannot end either
	if got := r.visible(t, r.topic("sql.rows")); len(got) != 0 {
		t.Errorf("%d rows are visible before the end of the transaction", len(got))
	}
	s.send(s.batch(1, 10, "end"))
	if p := receive(t, s.committed, "commit"); len(p) != 1 || p[0].Text != "end" {
		t.Errorf("committed %v", p)
	}
	r.sees(t, r.topic("sql.rows"), 7)
	if n := r.o.Status.Snapshot().Transactions; n != 1 {
		t.Errorf("%d transactions", n)
	}
}

func TestLongTransactionIsCut(t *testing.T) {
	for name, limits := range map[string]producers.Limits{"bytes": {MaxBytes: 1000}, "time": {MaxTime: time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.o.Limits = limits
			s := newScript(t)
			r.start(t, s)
			receive(t, s.opened, "opening")
			b := s.batch(1, 2000, "far")
			b.Open = true
			s.send(b)
			if p := receive(t, s.committed, "commit"); p[0].Text != "far" {
				t.Errorf("committed %v", p)
			}
		})
	}
}

func TestStopAbortsWhatIsOpen(t *testing.T) {
	r := newRig(t)
	s := newScript(t)
	done, stop := r.start(t, s)
	receive(t, s.opened, "opening")
	b := s.batch(1, 10, "middle")
	b.Open = true
	s.send(b)
	stop()
	if err := receive(t, done, "end"); err != nil {
		t.Fatal(err)
	}
	if got := r.visible(t, r.topic("sql.rows")); len(got) != 0 {
		t.Errorf("%d rows of half a transaction", len(got))
	}
	if p, err := producers.ReadPositions(t.Context(), r.o.Kafka, r.o.Prefix, "sql"); err != nil || len(p) != 0 {
		t.Errorf("positions %v, %v", p, err)
	}
	if st := r.o.Status.Snapshot(); st.State != producers.Stopped {
		t.Errorf("state %s", st.State)
	}
}

func TestEndWithoutPosition(t *testing.T) {
	r := newRig(t)
	s := newScript(t)
	done, _ := r.start(t, s)
	receive(t, s.opened, "opening")
	s.send(s.batch(1, 10, ""))
	close(s.in)
	if err := receive(t, done, "end"); producers.Classify(err) != producers.Stop {
		t.Errorf("ended with %v", err)
	}
	if got := r.visible(t, r.topic("sql.rows")); len(got) != 0 {
		t.Errorf("%d rows without a position", len(got))
	}
}

func TestRecordTooLarge(t *testing.T) {
	r := newRig(t)
	r.o.Limits.MaxRecordBytes = 20_000
	s := newScript(t)
	r.start(t, s)
	receive(t, s.opened, "opening")
	fits := s.target.MaxRecordBytes() - schemas.FrameSize - 3
	b := s.batch(3, fits, "p")
	b.Records[1].Value = append(b.Records[1].Value, 'x')
	s.send(b)
	receive(t, s.committed, "commit")
	r.sees(t, r.topic("sql.rows"), 2) // that fit
	letters := r.sees(t, producers.DeadLetterTopic(r.o.Prefix), 1)
	if len(letters) != 1 || !bytes.Contains(letters[0].Value, []byte("rows")) || !bytes.Contains(letters[0].Value, []byte("max_record_bytes")) {
		t.Errorf("dead letters %v", letters)
	}
	if d := r.o.Status.Snapshot().Datasets[0]; d.Produced != 2 || d.Rejected != 1 {
		t.Errorf("counted %+v", d)
	}
}
