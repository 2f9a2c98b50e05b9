package producers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// until waits for a status.
func until(t *testing.T, s *producers.Status, what string, ok func(producers.Snapshot) bool) producers.Snapshot {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		st := s.Snapshot()
		if ok(st) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: status is %+v", what, st)
		}
	}
}

func TestTopicsAreConfigured(t *testing.T) {
	r := newRig(t)
	r.o.Topics.Config = map[string]string{"retention.ms": "5000"}
	s := newScript(t)
	r.start(t, s)
	receive(t, s.opened, "opening")
	configs, err := r.admin.DescribeTopicConfigs(t.Context(), r.topic("sql.rows"), r.topic("progress"))
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]map[string]string{
		r.topic("sql.rows"): {"retention.ms": "5000", "max.message.bytes": "16777216"},
		r.topic("progress"): {"cleanup.policy": "compact"},
	} {
		c, err := configs.On(topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range c.Configs {
			if w, ok := want[entry.Key]; ok && entry.MaybeValue() != w {
				t.Errorf("%s: %s is %s, want %s", topic, entry.Key, entry.MaybeValue(), w)
			}
		}
	}
}

func TestTopicThatWouldLoseRowsPauses(t *testing.T) {
	for name, c := range map[string]struct{ topic, key, bad, good string }{
		"compacted": {"sql.rows", "cleanup.policy", "compact", "delete"},
		"small":     {"sql.rows", "max.message.bytes", "1000", "16777216"},
		"progress":  {"progress", "cleanup.policy", "delete", "compact"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			config := map[string]*string{"max.message.bytes": kadm.StringPtr("16777216")}
			config[c.key] = &c.bad
			if _, err := r.admin.CreateTopic(t.Context(), 1, 1, config, r.topic(c.topic)); err != nil {
				t.Fatal(err)
			}
			s := newScript(t)
			r.start(t, s)
			st := until(t, r.o.Status, "paused", func(st producers.Snapshot) bool { return st.State == producers.Paused })
			if st.ErrorClass != producers.Pause || !strings.Contains(st.Error, r.topic(c.topic)) || !strings.Contains(st.Error, c.bad) {
				t.Errorf("%s: %s", st.ErrorClass, st.Error)
			}
			if _, err := r.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: c.key, Value: &c.good}}, r.topic(c.topic)); err != nil {
				t.Fatal(err)
			}
			until(t, r.o.Status, "running again", func(st producers.Snapshot) bool { return st.State == producers.Running })
		})
	}
}

func TestTwoTopicsOfOneTable(t *testing.T) {
	r := newRig(t)
	s := newScript(t)
	r.start(t, s)
	receive(t, s.opened, "opening")
	if _, err := s.target.Dataset(t.Context(), "a.b", nil, valueSchema); err != nil {
		t.Fatal(err)
	}
	if _, err := s.target.Dataset(t.Context(), "a_b", nil, valueSchema); producers.Classify(err) != producers.Stop {
		t.Errorf("a_b beside a.b: %v", err)
	}
	again, err := s.target.Dataset(t.Context(), "a.b", valueSchema, valueSchema)
	if err != nil || again.Topic != schemas.Topic(r.o.Prefix, "sql", "a.b") || again.KeyID == 0 || again.ValueID == 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// TestOtherTransactionHidesPositions holds a transaction of another producer open on the progress topic.
func TestOtherTransactionHidesPositions(t *testing.T) {
	r := newRig(t)
	r.o.Limits.ProgressWait = 300 * time.Millisecond
	first := newScript(t)
	done, _ := r.start(t, first)
	receive(t, first.opened, "opening")
	first.send(first.batch(1, 10, "one"))
	receive(t, first.committed, "commit")
	close(first.in)
	if err := receive(t, done, "end"); err != nil {
		t.Fatal(err)
	}

	topics, err := r.admin.ListTopics(t.Context(), r.topic("progress"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := kgo.NewClient(append(r.o.Kafka, kgo.TransactionalID("somebody"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range topics[r.topic("progress")].Partitions {
		if err := other.ProduceSync(t.Context(), &kgo.Record{Topic: r.topic("progress"), Partition: p, Key: []byte("k"), Value: []byte("never committed")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r.position(t, "p", "one") // a bystander's
	second := newScript(t)
	r.start(t, second)
	st := until(t, r.o.Status, "an error", func(st producers.Snapshot) bool { return st.Error != "" })
	if !strings.Contains(st.Error, "transactional id somebody") || st.ErrorClass != producers.Retry || st.ErrorFault != faults.KafkaHeldBack {
		t.Errorf("%s %s: %s", st.ErrorClass, st.ErrorFault, st.Error)
	}
	if err := other.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if p := receive(t, second.opened, "opening"); p["p"] != "one" {
		t.Errorf("opened with %v", p)
	}
}

// TestTopicOfAnotherProcessIsNotKnownYet has the broker answer as it does for a topic that another process has made a moment ago.
func TestTopicOfAnotherProcessIsNotKnownYet(t *testing.T) {
	cluster := embeddedtest.KafkaCluster(t)
	r := newRigOn(t, cluster.ListenAddrs())
	if _, err := r.admin.CreateTopic(t.Context(), 16, 1, map[string]*string{"cleanup.policy": ptr("compact")}, r.topic("progress")); err != nil {
		t.Fatal(err)
	}
	unknown := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.UnknownTopicOrPartition, Count: 3})
	s := newScript(t)
	r.start(t, s)
	receive(t, s.opened, "opening")
	if st := r.o.Status.Snapshot(); st.Error != "" || unknown.Hits() != 3 {
		t.Errorf("after %d answers: %s", unknown.Hits(), st.Error)
	}
}

// TestNewTopicIsAwaited has the leader of a topic that was just made not know it yet, as happens on a busy broker.
func TestNewTopicIsAwaited(t *testing.T) {
	cluster := embeddedtest.KafkaCluster(t)
	r := newRigOn(t, cluster.ListenAddrs())
	unknown := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: r.topic("sql.rows"), Err: kerr.UnknownTopicOrPartition, Count: 3})
	s := newScript(t)
	r.start(t, s)
	receive(t, s.opened, "opening")
	if st := r.o.Status.Snapshot(); st.Error != "" || unknown.Hits() != 3 {
		t.Errorf("after %d answers: %s", unknown.Hits(), st.Error)
	}
}
