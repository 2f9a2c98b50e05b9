package clickhouse

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// A consumer that has stored all it can read says what it cannot, whose transaction is in the way and since when, until that has ended; what it can read it
// audits as ever, and repairs nothing.
func TestAuditSaysWhatIsHeldBack(t *testing.T) {
	f := newFlow(newBench(t))
	topic, other := f.topic("held", 2), f.topic("other", 1)
	asked := consumers.NewAudits()
	f.run(func(o *consumers.Options) {
		o.Audit = consumers.AuditOptions{Every: auditTick, Asked: asked, OpenFor: time.Millisecond}
	})
	f.produce(topic, 0, 20)
	f.produce(other, 0, 20)
	f.arrive(topic, 20)
	f.arrive(other, 20)

	id := f.conf.Prefix + ".dead"
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	value := append(schemas.AppendFrame(nil, f.id), payload("open", 20)...)
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 1, Value: value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f.produce(topic, 21, 9) // some of them behind it
	f.wait(func() bool { return strings.Contains(f.topicStatus(topic).Err, id+" is open") }, "the status to say what is held back")
	if st := f.topicStatus(topic); st.Lag != 0 {
		t.Errorf("the lag is %d though nothing more can be read", st.Lag)
	}
	if err := f.topicStatus(other).Err; err != "" {
		t.Errorf("of a topic without open transactions it says %q", err)
	}
	var held int64
	for _, finding := range f.ask(asked, true, topic, 2) {
		if finding.Missing > 0 || finding.Again || finding.Fine() != (finding.Partition == 0) || (finding.Verdict == consumers.Held) != (finding.Partition == 1) {
			t.Errorf("found %+v", finding)
		}
		if h := finding.HeldBack; h != nil {
			held = h.To - h.From
		}
	}
	if held < 2 {
		t.Errorf("%d offsets are held back", held)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	f.arrive(topic, 30)
	f.wait(func() bool { return f.topicStatus(topic).Err == "" }, "the status to be well")
}
