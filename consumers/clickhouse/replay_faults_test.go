package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
)

var errKilled = errors.New("killed")

// changing is a topic of changes in Kafka, of which every one creates or updates one of ten rows.
type changing struct {
	*flow
	*changeTopic
	topic string
	next  int64
}

func newChanging(f *flow, name string) *changing {
	topic := f.conf.Prefix + ".sql." + name
	if _, err := kadm.NewClient(f.producer).CreateTopic(f.t.Context(), 1, 1, nil, topic); err != nil {
		f.t.Fatal(err)
	}
	return &changing{flow: f, changeTopic: newChangeTopic(f.bench, topic), topic: topic}
}

func (c *changing) produceChanges(n int) {
	c.flow.t.Helper()
	var recs []*kgo.Record
	for range n {
		c.next++
		row := image{int32(c.next % 10), fmt.Sprintf("v%d", c.next), []int64{c.next}}
		rec := c.change(schemas.OpUpdate, c.next, 1, nil, &row)
		if c.next%7 == 0 {
			rec = c.change(schemas.OpUpdate, c.next, 1, nil, &image{row.id, "", row.b}, "a")
		}
		recs = append(recs, &kgo.Record{Topic: c.topic, Key: rec.Key, Value: rec.Value})
	}
	if err := c.producer.ProduceSync(c.flow.t.Context(), recs...).FirstErr(); err != nil {
		c.flow.t.Fatal(err)
	}
}

// arriveChanges waits for every change and sees that each is there once, and that the current rows are those of the last ones.
func (c *changing) arriveChanges() {
	t := c.flow.t
	t.Helper()
	raw, current := quoteName(c.flow.conf.Raw)+".sql_item", quoteName(c.flow.conf.Current)+".sql_item"
	state := func() string {
		rows, err := c.flow.texts(t.Context(), "SELECT concat(toString(count()), ' ', toString(uniqExact(_partition, _offset))) FROM "+raw, 1)
		if err != nil {
			return ""
		}
		return rows[0][0]
	}
	want := fmt.Sprintf("%d %d", c.next, c.next)
	c.wait(func() bool { got := state(); return got == want || len(got) > len(want) }, "%d changes", c.next)
	if got := state(); got != want {
		t.Errorf("rows and offsets are %s, want %s", got, want)
	}
	var rows []string
	for id := range int64(10) {
		last := c.next - (c.next-id)%10
		if last < 1 {
			continue
		}
		known := last
		for known%7 == 0 {
			known -= 10
		}
		rows = append(rows, fmt.Sprintf("%d=v%d:[%d]", id, known, last))
	}
	got := c.flow.one("SELECT toString(arraySort(groupArray(concat(toString(id), '=', ifNull(a, 'NULL'), ':', toString(b))))) FROM %s", current)
	if want := "['" + strings.Join(rows, "','") + "']"; got != want {
		t.Errorf("current rows are %s, want %s", got, want)
	}
}

// A replay dies or is cancelled before each of its steps. The consumer goes on, nothing is lost or doubled, and the next replay comes to its end.
func TestReplayKilledAtEveryStep(t *testing.T) {
	f := newFlow(newBench(t))
	c := newChanging(f, "item")
	f.run(func(o *consumers.Options) { o.Sources = []string{"sql"} })
	c.produceChanges(200)
	c.arriveChanges()
	var steps []string
	f.replay(c.topic, func(o *ReplayOptions) {
		o.before = func(step string) error {
			if !slices.Contains(steps, step) {
				steps = append(steps, step)
			}
			return nil
		}
	})
	c.arriveChanges()
	if len(steps) < 12 || !slices.Contains(steps, "swap") {
		t.Fatalf("the steps are %v", steps)
	}
	cases := 0
	for i, step := range steps {
		if testing.Short() && !slices.Contains([]string{"read", "swap", "keep"}, step) {
			continue
		}
		c.killReplay(t, step, "killed")
		cases++
		if i >= slices.Index(steps, "fence") { // before, it makes no difference
			c.killReplay(t, step, "cancelled")
			cases++
		}
	}
	t.Logf("%d ends of a replay before its %d steps: %v", cases, len(steps), steps)
}

// killReplay ends a replay before a step. A killed one has no connection any more to clean up with.
func (c *changing) killReplay(t *testing.T, step, how string) {
	name := how + " before " + step
	mine, err := Open(t.Context(), c.flow.conf, c.flow.registry)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := c.replayOptions(c.topic)
	o.Lease = time.Second
	o.before = func(at string) error {
		c.produceChanges(1)
		switch {
		case at != step:
		case how == "killed":
			mine.Close()
			return errKilled
		default:
			cancel()
			return ctx.Err()
		}
		return nil
	}
	if _, err := mine.Replay(ctx, o); err == nil {
		t.Errorf("%s: the replay came to its end", name)
	}
	c.produceChanges(20)
	c.arriveChanges()
	c.replay(c.topic, nil)
	c.produceChanges(1)
	c.arriveChanges()
	if _, err := c.flow.DropOld(t.Context(), c.topic); err != nil {
		t.Fatal(err)
	}
	if left := c.tables(c.topic); left != "" {
		t.Errorf("%s: left are %s", name, left)
	}
	if t.Failed() {
		t.Fatalf("%s: failed", name)
	}
}

// The server is killed while a replay reads, and again when the tables are about to be exchanged.
func TestReplayServerKilled(t *testing.T) {
	server := embeddedtest.StartClickHouse(t)
	f := newFlow(newBenchAt(t, server.Addr()))
	topic := f.topic("fallen", 2)
	f.run(nil)
	f.produce(topic, 0, 4000)
	f.arrive(topic, 4000)
	next := 4000
	for _, step := range []string{"read", "read the rest", "swap"} {
		killed := false
		replay := func() error {
			o := f.replayOptions(topic)
			o.Lease = 5 * time.Second
			o.before = func(at string) error {
				if at == step && !killed {
					killed = true
					if err := server.Kill(); err != nil {
						return err
					}
					return server.Restart(t.Context())
				}
				return nil
			}
			_, err := f.Replay(t.Context(), o)
			return err
		}
		if err := replay(); err != nil {
			t.Logf("killed before %s: %v", step, err)
			if err := replay(); err != nil {
				t.Fatalf("after a kill before %s: %v", step, err)
			}
		}
		f.produce(topic, next, 100)
		next += 100
		f.arrive(topic, next)
	}
}

// An insert that was begun before the fence is waited for, and its row is read too; one whose process sleeps is cancelled, and its row is
// written by the consumer that comes after it.
func TestReplayWaitsForInsertsUnderWay(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("underway", 1)
	f.produce(topic, 0, 100)
	stop := f.run(nil)
	f.arrive(topic, 100)
	stop()
	f.produce(topic, 100, 2)
	finish, slept := make(chan bool), make(chan bool)
	awake, asleep := f.beginInsert(topic, 100, finish), f.beginInsert(topic, 101, slept)
	var drained bool
	r := f.replay(topic, func(o *ReplayOptions) {
		o.before = func(step string) error {
			if step == "drain" && !drained {
				drained = true
				close(finish)
			}
			return nil
		}
	})
	if err := <-awake; err != nil {
		t.Errorf("the insert that ended in time: %v", err)
	}
	close(slept)
	if err := <-asleep; err == nil {
		t.Error("the insert that slept was not cancelled")
	}
	if !drained || r.Rows != 101 || r.Same != 101 {
		t.Errorf("replayed %+v, want 101 rows", r)
	}
	f.run(nil)
	f.arrive(topic, 102)
}

// beginInsert begins an insert of one record, as a process of the first generation does, and sends its row when it is let.
func (f *flow) beginInsert(topic string, offset int64, let chan bool) chan error {
	f.t.Helper()
	rec := f.read(topic, consumers.Range{Start: offset, End: offset + 1}).Records[0]
	g, err := f.generations(f.t.Context(), topic)
	if err != nil {
		f.t.Fatal(err)
	}
	partition, offsets, ids, n, text := new(proto.ColInt32), new(proto.ColInt64), new(proto.ColInt32), new(proto.ColInt64), new(proto.ColStr)
	times := new(proto.ColDateTime64).WithPrecision(proto.PrecisionMilli)
	begun, ended := make(chan bool), make(chan error, 1)
	q := ch.Query{Body: "INSERT INTO " + quoteName(f.conf.Raw) + "." + quoteName(g.name) + " (_partition, _offset, _timestamp, _schema_id, n, text) VALUES",
		Input: proto.Input{{Name: "_partition", Data: partition}, {Name: "_offset", Data: offsets}, {Name: "_timestamp", Data: times}, {Name: "_schema_id", Data: ids},
			{Name: "n", Data: n}, {Name: "text", Data: text}},
		Settings: []ch.Setting{{Key: "async_insert", Value: "0"}, {Key: "insert_deduplication_token", Value: token(g.raw.tokenPrefix(), []*kgo.Record{rec})}},
		OnInput: func(context.Context) error {
			if offsets.Rows() > 0 {
				for _, c := range []interface{ Reset() }{partition, offsets, times, ids, n, text} {
					c.Reset()
				}
				return io.EOF
			}
			close(begun)
			<-let
			partition.Append(0)
			offsets.Append(offset)
			times.Append(rec.Timestamp)
			ids.Append(int32(f.id))
			n.Append(offset)
			text.Append("row")
			return nil
		}}
	go func() { ended <- f.pool.do(context.Background(), q) }()
	<-begun
	return ended
}
