package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// patience is how long anything may take before the case fails.
const patience = 60 * time.Second

func newSuite(t *testing.T, h Harness) *suite {
	t.Helper()
	s := &suite{h: h, reg: NewRegistry()}
	if embeddedtest.KafkaShared() {
		s.brokers = embeddedtest.Kafka(t)
		return s
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatalf("start kfake: %v", err)
	}
	t.Cleanup(cluster.Close)
	s.cluster, s.brokers = cluster, cluster.ListenAddrs()
	return s
}

// kase is one case: an origin and a prefix of its own.
type kase struct {
	s      *suite
	origin Origin
	prefix string

	mu     sync.Mutex          // guards topics
	topics map[[16]byte]string // names by id, as far as they were asked for
}

func (s *suite) newCase(t *testing.T) *kase {
	t.Helper()
	return &kase{s: s, origin: s.h.New(t), prefix: embeddedtest.Prefix(t, s.brokers), topics: map[[16]byte]string{}}
}

// process is a process that runs the case's source, and to which something may happen.
func (c *kase) process(p plan) *process {
	out := newProcess(p, c.isProgress)
	out.durable = c.durable
	return out
}

// visibleSoon is how long it may take until what is committed can be read.
const visibleSoon = 5 * time.Second

// durable tells which of the positions is not committed. The source is told them one transaction after the other, so each must be the newest.
func (c *kase) durable(ctx context.Context, positions []producers.Position) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), visibleSoon)
	defer cancel()
	for {
		at, err := producers.ReadPositions(ctx, c.s.options(), c.prefix, source)
		if err == nil && !slices.ContainsFunc(positions, func(p producers.Position) bool { return at[p.Part] != p.Text }) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the source was told that %v is durable; committed is %v (%v)", positions, at, err)
		}
	}
}

// isProgress tells whether a topic, of which a request has the name or the id, is that of the positions.
func (c *kase) isProgress(name string, id [16]byte) bool {
	if name != "" {
		return name == producers.ProgressTopic(c.prefix)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.topics[id]; !ok {
		c.askForTopics()
	}
	return c.topics[id] == producers.ProgressTopic(c.prefix)
}

// askForTopics is done as a bystander. The caller holds mu.
func (c *kase) askForTopics() {
	cl, err := kgo.NewClient(c.s.options()...)
	if err != nil {
		return
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	topics, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		return
	}
	for _, topic := range topics {
		c.topics[topic.ID] = topic.Topic
	}
}

const source = "src"

// options are those of a bystander.
func (s *suite) options() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(s.brokers...), kgo.MetadataMinAge(10 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond })}
}

// running is a call of producers.Run.
type running struct {
	p      *process
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

// start runs the source in a process.
func (c *kase) start(t *testing.T, p *process) *running {
	limits := c.s.h.Limits
	if limits.CloseTime == 0 {
		limits.CloseTime = time.Nanosecond
	}
	if p.recovery == restart {
		limits.Grace = 20 * time.Millisecond // what a dead process does in its grace is of no interest
	}
	kafka := append(c.s.options(), kgo.Dialer(p.dial))
	if p.fault == hangs || p.fault == hangsAfter {
		limits.CallTimeout = requestTimeout
		kafka = append(kafka, kgo.RequestTimeoutOverhead(requestTimeout), kgo.ProduceRequestTimeout(requestTimeout))
	}
	ctx, end := context.WithCancel(t.Context())
	r := &running{p: p, cancel: end, done: make(chan struct{})}
	o := producers.Options{
		Kafka: kafka, Registry: registry{c.s.reg, p}, Prefix: c.prefix, Source: source, Limits: limits,
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
		Topics:  producers.TopicConfig{Partitions: 3, ReplicationFactor: 1},
		Backoff: producers.Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond, Pause: 5 * time.Millisecond},
		New: func(ctx context.Context) (producers.Source, error) {
			if p.isDead() {
				return nil, errDead
			}
			src, err := c.origin.Source(ctx)
			if err != nil {
				return nil, err
			}
			return p.watch(src), nil
		},
	}
	go func() {
		defer close(r.done)
		r.err = c.s.h.Start(ctx, o)
	}()
	if p.recovery == stop {
		go func() {
			select {
			case <-p.struck:
				end()
			case <-r.done:
			}
		}()
	}
	t.Cleanup(func() { end(); <-r.done })
	return r
}

// wait waits for the end of Run, which is nil or the news that another process has taken over.
func (r *running) wait(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		t.Fatal("Run did not return")
	}
	if r.err != nil && !(r.p.recovery == zombie && errors.Is(r.err, producers.ErrFenced)) {
		t.Fatalf("Run: %v", r.err)
	}
	if err := r.p.promises(); err != nil {
		t.Fatal(err)
	}
}

func (r *running) cancelIf(yes bool) {
	if yes {
		r.cancel()
	}
}

// complete waits until the source has read everything, and stops it.
func (c *kase) complete(t *testing.T, r *running) {
	t.Helper()
	select {
	case <-r.done:
	case <-c.everything(t):
		r.cancel()
	case <-time.After(patience):
		t.Fatalf("not every row came: %s", c.missing(t))
	}
	r.wait(t)
}

// everything is closed once every row is in Kafka, for a source that follows; for one that ends it never is.
func (c *kase) everything(t *testing.T) <-chan struct{} {
	all := make(chan struct{})
	if !c.s.h.Follows {
		return all
	}
	want := len(c.origin.Rows(t))
	go func() {
		for t.Context().Err() == nil {
			if got, err := c.read(t.Context()); err == nil && len(got) >= want {
				close(all)
				return
			}
		}
	}()
	return all
}

// kill gives back what a dead process held.
func (c *kase) kill(r *running) {
	k, ok := c.origin.(Killer)
	if !ok {
		return
	}
	for _, src := range r.p.sources() {
		k.Kill(src)
	}
}

// read is every row that a read_committed reader sees, in the order of each partition.
func (c *kase) read(ctx context.Context) ([]Row, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	records, err := readTopics(ctx, c.s.options(), c.prefix)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, r := range records {
		dataset := DeadLetters
		if r.Topic != producers.DeadLetterTopic(c.prefix) {
			dataset = strings.TrimPrefix(r.Topic, schemas.Topic(c.prefix, source, ""))
		}
		row, ok, err := c.origin.Row(dataset, r, c.s.reg.Schema)
		if err != nil {
			return nil, fmt.Errorf("row of %s/%d at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		if ok {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// check compares what is in Kafka with what must be.
func (c *kase) check(t *testing.T) {
	t.Helper()
	got, err := c.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := compare(c.origin.Rows(t), got); diff != "" {
		t.Fatalf("rows in Kafka:\n%s", diff)
	}
	if k, ok := c.origin.(Checker); ok {
		k.Check(t)
	}
}

func (c *kase) missing(t *testing.T) string {
	got, err := c.read(t.Context())
	if err != nil {
		return err.Error()
	}
	return compare(c.origin.Rows(t), got)
}

// compare says how got differs from want: rows missing, too many or unknown, and rows of one Order in another order.
func compare(want, got []Row) string {
	var out []string
	count := map[Row]int{}
	for _, r := range want {
		count[r]++
	}
	for _, r := range got {
		count[r]--
	}
	for r, n := range count {
		switch {
		case n > 0:
			out = append(out, fmt.Sprintf("missing %d × %+v", n, r))
		case n < 0:
			out = append(out, fmt.Sprintf("too many: %d × %+v", -n, r))
		}
	}
	if len(out) == 0 {
		g := sequences(got)
		for order, w := range sequences(want) {
			if order[1] != "" && !slices.Equal(w, g[order]) {
				out = append(out, fmt.Sprintf("order of %q: %q, want %q", order, g[order], w))
			}
		}
	}
	slices.Sort(out)
	if len(out) > 10 {
		out = append(out[:10], fmt.Sprintf("and %d more", len(out)-10))
	}
	return strings.Join(out, "\n")
}

// sequences are the texts by dataset and order.
func sequences(rows []Row) map[[2]string][]string {
	s := map[[2]string][]string{}
	for _, r := range rows {
		k := [2]string{r.Dataset, r.Order}
		s[k] = append(s[k], r.Text)
	}
	return s
}

// readTopics is every record of the source's topics and of the dead letters, as ReadTopics shows them.
func readTopics(ctx context.Context, opts []kgo.Opt, prefix string) ([]*kgo.Record, error) {
	plain, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	topics, err := kadm.NewClient(plain).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, schemas.Topic(prefix, source, "")) || name == producers.DeadLetterTopic(prefix) {
			names = append(names, name)
		}
	}
	return ReadTopics(ctx, opts, names...)
}

// ReadTopics is every record of the topics, as read_committed shows them, to the end of each partition, in the order of each. opts are those of the
// client. A topic that is not there has no records; a transaction that nobody ends makes it wait.
func ReadTopics(ctx context.Context, opts []kgo.Opt, names ...string) ([]*kgo.Record, error) {
	if len(names) == 0 {
		return nil, nil
	}
	plain, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	admin := kadm.NewClient(plain)
	ends, err := admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	from := map[string]map[int32]kgo.Offset{}
	open := map[string]map[int32]int64{}
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			if from[o.Topic] == nil {
				from[o.Topic], open[o.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
			}
			from[o.Topic][o.Partition], open[o.Topic][o.Partition] = kgo.NewOffset().At(0), o.Offset
			left++
		}
	})
	if left == 0 {
		return nil, nil
	}
	cl, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(50*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []*kgo.Record
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %v, %d partitions before their end: %w", names, left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end := open[r.Topic][r.Partition]
			if r.Offset < end && !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if end > 0 && r.Offset >= end-1 { // the last one itself is not shown if it was aborted, but then its marker is
				left--
				open[r.Topic][r.Partition] = 0
			}
		})
	}
	return out, nil
}

// Registry is a schema registry in memory that refuses nothing.
type Registry struct {
	mu   sync.Mutex
	byID []*schemas.Schema
}

// NewRegistry is an empty registry.
func NewRegistry() *Registry { return &Registry{} }

// Register gives the schema's id; one text has one id.
func (r *Registry) Register(_ context.Context, _ string, s *schemas.Schema) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.byID, func(o *schemas.Schema) bool { return o.String() == s.String() })
	if i < 0 {
		i = len(r.byID)
		r.byID = append(r.byID, s)
	}
	return i + 1, nil
}

// Schema is the schema of an id; nil when there is none.
func (r *Registry) Schema(id int) *schemas.Schema {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id < 1 || id > len(r.byID) {
		return nil
	}
	return r.byID[id-1]
}
