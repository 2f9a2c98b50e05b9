package producers_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
)

// TestSignatureThatWasAbortedComesAgain ends the transaction of the signature with an abort though a commit was asked for and is confirmed, as kgo does
// when the commit overtakes what it has just learned of a topic. It is not another process that has taken over.
func TestSignatureThatWasAbortedComesAgain(t *testing.T) {
	cluster := embeddedtest.KafkaCluster(t)
	r := newRigOn(t, cluster.ListenAddrs())
	run := func(text string) {
		var ends atomic.Int32
		cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if ends.Add(1) == 1 {
				req.(*kmsg.EndTxnRequest).Commit = false
			}
			return nil, nil, false
		})
		s := newScript(t)
		done, stop := r.start(t, s)
		receive(t, s.opened, "Open")
		s.send(s.batch(1, 10, text))
		if got := receive(t, s.committed, "Commit"); got[0].Text != text {
			t.Errorf("committed %v, want %s", got, text)
		}
		stop()
		if err := receive(t, done, "end of Run"); err != nil {
			t.Errorf("Run: %v", err)
		}
		if ends.Load() == 0 {
			t.Fatal("no transaction was ended")
		}
	}
	run("1")
	run("2") // now another owner's signature is there
	r.sees(t, r.topic("sql.rows"), 2)
	if at, err := producers.ReadPositions(context.Background(), r.o.Kafka, r.o.Prefix, "sql"); err != nil || at["p"] != "2" {
		t.Errorf("positions %v, %v", at, err)
	}
}
