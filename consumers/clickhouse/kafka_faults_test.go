package clickhouse

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas/faults"
)

// kafkaWaits waits until something waits for a fault of Kafka, and sees that this was said once.
func (f *flow) kafkaWaits(l *logged, name faults.Name, class consumers.Class, waiter string) {
	f.t.Helper()
	var p faults.Problem
	f.wait(func() bool {
		for _, p = range f.status.Problems() {
			if p.Fault == name && p.Tries > 2 && len(l.lines("msg=waiting", "fault="+string(name))) > 0 {
				return true
			}
		}
		return false
	}, "something to wait for %s; problems %+v", name, f.status.Problems())
	if p.Class != class || p.Place != faults.Kafka || p.Remedy == "" || !strings.Contains(strings.Join(p.Waits, " "), waiter) {
		f.t.Errorf("the problem is %+v, want class %s and %s waiting", p, class, waiter)
	}
	if said := l.lines("msg=waiting"); len(said) != 1 {
		f.t.Errorf("said %d times that something waits:\n%s", len(said), strings.Join(said, ""))
	}
}

// What Kafka refuses is said once, stops what needs it alone, and when it is mended every row is there once.
func TestFaultsOfKafkaPass(t *testing.T) {
	for _, c := range []struct {
		key   kmsg.Key
		err   *kerr.Error
		topic bool // of the first topic only
		name  faults.Name
	}{
		{kmsg.Fetch, kerr.TopicAuthorizationFailed, true, faults.KafkaTopicRefused},
		{kmsg.OffsetCommit, kerr.GroupAuthorizationFailed, false, "kafka-group-refused"},
		{kmsg.Heartbeat, kerr.GroupAuthorizationFailed, false, "kafka-group-refused"},
	} {
		t.Run(c.key.Name()+" "+c.err.Message, func(t *testing.T) {
			cluster := embeddedtest.KafkaCluster(t)
			f := newFlowOn(newBench(t), cluster.ListenAddrs())
			first, second := f.topic("first", 2), f.topic("second", 2)
			l := f.listen()
			for _, topic := range []string{first, second} {
				f.produce(topic, 0, 200)
				f.arrive(topic, 200)
			}
			fault, waiter := kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: -1}, f.conf.Prefix+".clickhouse"
			if c.topic {
				fault.Topic, waiter = first, first
			}
			broken := cluster.Fault(fault)
			f.produce(first, 200, 200)
			f.kafkaWaits(l, c.name, consumers.Pause, waiter)
			if c.topic {
				f.produce(second, 200, 200)
				f.arrive(second, 400)
			}
			broken.Remove()
			f.arrive(first, 400)
			f.goesOn(l, 1)
		})
	}
}

// A coordinator or a leader that moves costs no row.
func TestMovesOfKafkaPass(t *testing.T) {
	cluster := embeddedtest.KafkaCluster(t)
	f := newFlowOn(newBench(t), cluster.ListenAddrs())
	topic := f.topic("moves", 2)
	l := f.listen()
	f.produce(topic, 0, 200)
	f.arrive(topic, 200)
	n := 200
	for _, c := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{
		{kmsg.OffsetCommit, kerr.NotCoordinator}, {kmsg.OffsetCommit, kerr.CoordinatorLoadInProgress}, {kmsg.Heartbeat, kerr.CoordinatorNotAvailable},
		{kmsg.Fetch, kerr.NotLeaderForPartition}, {kmsg.OffsetFetch, kerr.NotCoordinator},
	} {
		moved := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: 2})
		f.produce(topic, n, 200)
		n += 200
		f.arrive(topic, n)
		moved.Remove()
	}
	f.wait(func() bool { return len(f.status.Problems()) == 0 }, "nothing to wait")
	if said := l.lines("level=ERROR"); len(said) > 0 {
		t.Errorf("said\n%s", strings.Join(said, ""))
	}
}

// Brokers that are gone are one episode, and what comes when they are back is stored once.
func TestBrokersThatAreDownAreSaidOnce(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("down", 2)
	var gate gate
	l := &logged{}
	f.run(func(o *consumers.Options) {
		o.Log = slog.New(slog.NewTextHandler(l, nil))
		o.Kafka = append(o.Kafka, kgo.Dialer(gate.dial), kgo.RetryTimeout(time.Second))
		o.Limits.SessionTimeout = 6 * time.Second
	})
	f.produce(topic, 0, 200)
	f.arrive(topic, 200)
	gate.shut(true)
	f.produce(topic, 200, 200)
	f.kafkaWaits(l, faults.KafkaDown, consumers.Retry, f.conf.Prefix+".clickhouse")
	gate.shut(false)
	f.arrive(topic, 400)
	f.goesOn(l, 1)
}

// A topic that is deleted stops nobody else.
func TestTopicThatIsDeletedStopsNobody(t *testing.T) {
	f := newFlow(newBench(t))
	gone, fine := f.topic("gone", 2), f.topic("fine", 2)
	f.listen()
	for _, topic := range []string{gone, fine} {
		f.produce(topic, 0, 200)
		f.arrive(topic, 200)
	}
	if _, err := kadm.NewClient(f.producer).DeleteTopic(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	for n := 200; n < 1000; n += 200 {
		f.produce(fine, n, 200)
		f.arrive(fine, n+200)
	}
	if n := f.counts(gone)[0]; n != 200 {
		t.Errorf("%d rows of the topic that is gone are stored, want 200", n)
	}
}
