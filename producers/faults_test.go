package producers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// counter is a source of the numbers below a limit, which may grow. Its position is the next number.
type counter struct {
	limit  *atomic.Int64
	value  func() *schemas.Schema
	target producers.Target
	next   int64
}

func (c *counter) Open(_ context.Context, target producers.Target, positions map[string]string) (err error) {
	c.target = target
	if text := positions["n"]; text != "" {
		c.next, err = strconv.ParseInt(text, 10, 64)
	}
	return err
}

func (c *counter) Next(ctx context.Context) (producers.Batch, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.next >= c.limit.Load() {
		select {
		case <-ctx.Done():
			return producers.Batch{}, ctx.Err()
		case <-tick.C:
		}
	}
	d, err := c.target.Dataset(ctx, "rows", nil, c.value())
	if err != nil {
		return producers.Batch{}, err
	}
	b := producers.Batch{}
	for end := min(c.next+100, c.limit.Load()); c.next < end; c.next++ {
		b.Records = append(b.Records, &kgo.Record{Topic: d.Topic, Value: schemas.AppendBytes(schemas.AppendFrame(nil, d.ValueID), fmt.Appendf(nil, "%d", c.next))})
	}
	b.Rows = []producers.RowCount{{Dataset: "rows", Produced: int64(len(b.Records))}}
	b.Positions = []producers.Position{{Part: "n", Text: fmt.Sprint(c.next)}}
	return b, nil
}

func (c *counter) Commit(context.Context, []producers.Position) error { return nil }
func (c *counter) Close(context.Context) error                        { return nil }

// counting is a counter that runs, with what it says.
type counting struct {
	*rig
	t     *testing.T
	limit atomic.Int64

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func (c *counting) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *counting) said(text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(c.out.String(), text)
}

// count runs a counter until the test ends.
func count(t *testing.T, r *rig, value func() *schemas.Schema) *counting {
	t.Helper()
	c := &counting{rig: r, t: t}
	if value == nil {
		value = func() *schemas.Schema { return valueSchema }
	}
	r.o.Log = slog.New(slog.NewTextHandler(c, nil))
	r.o.Backoff = producers.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond, Pause: 200 * time.Millisecond}
	r.o.New = func(context.Context) (producers.Source, error) { return &counter{limit: &c.limit, value: value}, nil }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- producers.Run(ctx, r.o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return c
}

// arrives lets the counter count to n and waits for it; every number must be there once.
func (c *counting) arrives(n int) {
	c.t.Helper()
	c.limit.Store(int64(n))
	c.position(c.t, "n", fmt.Sprint(n))
	seen := map[string]int{}
	for _, r := range c.sees(c.t, c.topic("sql.rows"), n) {
		seen[string(r.Value[schemas.FrameSize+1:])]++
	}
	if len(seen) != n {
		c.t.Errorf("%d numbers arrived, want %d", len(seen), n)
	}
}

// waits waits until the source waits for a fault.
func (c *counting) waits(name faults.Name, class producers.Class, tries int, texts ...string) {
	c.t.Helper()
	var p faults.Problem
	deadline := time.Now().Add(60 * time.Second)
	for found := false; !found; {
		for _, p = range c.o.Status.Snapshot().Problems {
			if found = p.Fault == name && p.Tries >= tries; found {
				break
			}
		}
		if !found && time.Now().After(deadline) {
			c.t.Fatalf("it does not wait for %s; status %+v", name, c.o.Status.Snapshot())
		}
		<-time.After(time.Millisecond)
	}
	if p.Class != class || p.Remedy == "" {
		c.t.Errorf("the problem is %+v, want class %s", p, class)
	}
	for _, text := range texts {
		if !strings.Contains(p.Error+"; "+p.Remedy, text) {
			c.t.Errorf("the problem is %+v, without %q", p, text)
		}
	}
	if n := c.said("msg=waiting"); n > 1 || n < 1 && class != producers.Retry {
		c.t.Errorf("said %d times that it waits", n)
	}
}

// goesOn waits until nothing is waited for.
func (c *counting) goesOn() {
	c.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); len(c.o.Status.Snapshot().Problems) > 0; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("it does not go on; status %+v", c.o.Status.Snapshot())
		}
	}
	if waits, goes := c.said("msg=waiting"), c.said(`msg="goes on"`); waits != goes || waits > 1 {
		c.t.Errorf("said %d times that it waits and %d times that it goes on", waits, goes)
	}
}

// What Kafka refuses for good is paused on and said once; once it is mended, the source goes on, and every row is there once.
func TestFaultsOfKafkaPass(t *testing.T) {
	for _, c := range []struct {
		key   kmsg.Key
		err   *kerr.Error
		topic bool // of the rows' topic only
		name  faults.Name
		class producers.Class
		text  string
	}{
		{kmsg.Produce, kerr.TopicAuthorizationFailed, true, faults.KafkaTopicRefused, producers.Pause, ".sql.rows/"},
		{kmsg.Produce, kerr.MessageTooLarge, true, "kafka-record-too-large", producers.Pause, ".sql.rows/"},
		{kmsg.Produce, kerr.UnsupportedForMessageFormat, true, "kafka-too-old", producers.Pause, ".sql.rows/"},
		{kmsg.EndTxn, kerr.TransactionalIDAuthorizationFailed, false, "kafka-transaction-refused", producers.Pause, "commit"},
	} {
		t.Run(c.key.Name()+" "+c.err.Message, func(t *testing.T) {
			cluster := embeddedtest.KafkaCluster(t)
			n := count(t, newRigOn(t, cluster.ListenAddrs()), nil)
			n.arrives(100)
			fault := kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: -1}
			if c.topic {
				fault.Topic = n.topic("sql.rows")
			}
			broken := cluster.Fault(fault)
			n.limit.Store(200)
			n.waits(c.name, c.class, 2, c.text)
			broken.Remove()
			n.arrives(300)
			n.goesOn()
		})
	}
}

// What Kafka refuses at the start names what to grant or change.
func TestFaultsOfKafkaAtTheStartPass(t *testing.T) {
	for _, c := range []struct {
		key  kmsg.Key
		err  *kerr.Error
		name faults.Name
		text string
	}{
		{kmsg.InitProducerID, kerr.TransactionalIDAuthorizationFailed, "kafka-transaction-refused", "take transactional id"},
		{kmsg.InitProducerID, kerr.ClusterAuthorizationFailed, "kafka-cluster-refused", "IdempotentWrite"},
		{kmsg.InitProducerID, kerr.InvalidTransactionTimeout, "kafka-transaction-timeout", "transaction.max.timeout.ms"},
		{kmsg.CreateTopics, kerr.PolicyViolation, faults.KafkaTopicSettings, "create topic"},
		{kmsg.CreateTopics, kerr.InvalidReplicationFactor, faults.KafkaTopicSettings, "create topic"},
		{kmsg.CreateTopics, kerr.TopicAuthorizationFailed, faults.KafkaTopicRefused, "grant Create"},
	} {
		t.Run(c.key.Name()+" "+c.err.Message, func(t *testing.T) {
			cluster := embeddedtest.KafkaCluster(t)
			broken := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: -1})
			n := count(t, newRigOn(t, cluster.ListenAddrs()), nil)
			n.waits(c.name, producers.Pause, 2, c.text)
			broken.Remove()
			n.arrives(100)
			n.goesOn()
		})
	}
}

// A coordinator or a leader that moves is not spoken of, and costs no row.
func TestMovesOfKafkaPass(t *testing.T) {
	for _, c := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{
		{kmsg.Produce, kerr.NotLeaderForPartition}, {kmsg.Produce, kerr.NotEnoughReplicas}, {kmsg.EndTxn, kerr.CoordinatorNotAvailable},
		{kmsg.EndTxn, kerr.NotCoordinator}, {kmsg.InitProducerID, kerr.CoordinatorLoadInProgress}, {kmsg.FindCoordinator, kerr.CoordinatorNotAvailable},
	} {
		t.Run(c.key.Name()+" "+c.err.Message, func(t *testing.T) {
			cluster := embeddedtest.KafkaCluster(t)
			broken := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: 2})
			n := count(t, newRigOn(t, cluster.ListenAddrs()), nil)
			n.arrives(100)
			again := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: 2})
			n.arrives(300)
			again.Remove()
			if broken.Hits() == 0 {
				t.Error("nothing moved")
			}
			if e := n.o.Status.Snapshot(); e.ErrorClass != "" && e.ErrorClass != producers.Retry {
				t.Errorf("it is %s: %s", e.ErrorClass, e.Error)
			}
		})
	}
}

// gate is a network that can be cut.
type gate struct {
	mu    sync.Mutex
	shut  bool // guarded by mu
	conns []net.Conn
}

func (g *gate) dial(ctx context.Context, network, host string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, host)
	if err == nil {
		g.conns = append(g.conns, conn)
	}
	return conn, err
}

func (g *gate) cut(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for _, conn := range g.conns {
			conn.Close()
		}
		g.conns = nil
	}
}

// Brokers that are gone are named, whether they go while records are on their way or were never there.
func TestBrokersThatAreDownAreAwaited(t *testing.T) {
	t.Run("while rows flow", func(t *testing.T) {
		var g gate
		r := newRig(t)
		r.o.Kafka = append(r.o.Kafka, kgo.Dialer(g.dial))
		n := count(t, r, nil)
		n.arrives(100)
		g.cut(true)
		n.limit.Store(200)
		n.waits(faults.KafkaDown, producers.Retry, 1, "kafka.brokers")
		g.cut(false)
		n.arrives(300)
		n.goesOn()
	})
	t.Run("at the start", func(t *testing.T) {
		var g gate
		g.cut(true)
		r := newRig(t)
		r.o.Kafka = append(r.o.Kafka, kgo.Dialer(g.dial), kgo.RetryTimeout(300*time.Millisecond))
		n := count(t, r, nil)
		n.waits(faults.KafkaDown, producers.Retry, 2, "take transactional id", "kafka.brokers")
		g.cut(false)
		n.arrives(100)
		n.goesOn()
	})
}

// A topic that is deleted while rows flow is made again, and what comes after it is there once.
func TestTopicThatIsDeletedIsMadeAgain(t *testing.T) {
	n := count(t, newRig(t), nil)
	n.arrives(100)
	if _, err := n.admin.DeleteTopic(t.Context(), n.topic("sql.rows")); err != nil {
		t.Fatal(err)
	}
	n.limit.Store(200)
	n.position(t, "n", "200")
	if got := n.sees(t, n.topic("sql.rows"), 100); len(got) > 0 && string(got[0].Value[schemas.FrameSize+1:]) < "100" {
		t.Errorf("an old row is there: %s", got[0].Value)
	}
	n.goesOn()
}

// A registry that is gone stops nobody whose schemas are known; a new schema waits for it. One that the registry refuses says which, and goes on when
// it is taken.
func TestFaultsOfTheRegistryPass(t *testing.T) {
	wider := schemas.MustParse(`{"type":"record","name":"V","fields":[{"name":"v","type":"bytes"},{"name":"more","type":"bytes","default":""}]}`)
	bad := schemas.MustParse(`{"type":"record","name":"V","fields":[{"name":"v","type":"long"}]}`)
	brokers := embeddedtest.Kafka(t)
	address, err := url.Parse(embeddedtest.StartRegistry(t, brokers).URL())
	if err != nil {
		t.Fatal(err)
	}
	var status atomic.Int64 // that is answered in place of the registry; 0 for none
	proxy := httputil.NewSingleHostReverseProxy(address)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := status.Load(); s != 0 {
			w.WriteHeader(int(s))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	registry, err := schemas.OpenRegistry(schemas.RegistryConfig{URLs: []string{front.URL}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	var value atomic.Pointer[schemas.Schema]
	value.Store(valueSchema)
	r := newRigOn(t, brokers)
	r.o.Registry = registry
	n := count(t, r, value.Load)
	n.arrives(100)
	for _, c := range []struct {
		status int64
		schema *schemas.Schema
		name   faults.Name
		class  producers.Class
		text   string
	}{
		{0, bad, faults.RegistryIncompatible, producers.Pause, n.topic("sql.rows-value")},
		{http.StatusServiceUnavailable, wider, faults.RegistryDown, producers.Retry, n.topic("sql.rows-value")},
		{http.StatusUnauthorized, wider, faults.RegistryRefused, producers.Pause, "user and password"},
	} {
		before := n.limit.Load()
		status.Store(c.status)
		n.arrives(int(before) + 100) // with schemas that are known
		value.Store(c.schema)
		n.limit.Store(before + 200)
		n.waits(c.name, c.class, 2, c.text)
		value.Store(valueSchema)
		status.Store(0)
		n.arrives(int(before) + 300)
		n.goesOn()
		n.clear()
	}
}

func (c *counting) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Reset()
}
