// Package sourcetest is the conformance suite that every producers.Source passes: whatever fails or dies at whatever moment, a
// read_committed reader sees every row exactly once and in order.
//
// A run of a source is a sequence of calls to the world outside (calls.go): requests to Kafka, calls of the registry and of the source itself. The suite
// counts them in a plain run and generates the fault table from them: each kind of call, at several of its places, fails and did not happen, fails but
// happened, or hangs past its deadline, having happened or not; and then the process tries again by itself, or dies and another one starts, or stands still
// until another one has taken over and wakes up. Beside that it is stopped at each call, and the broker answers with errors. Kafka is kfake in process, or
// the one that KAFKA_BROKERS names, where fewer cases are tried; nothing else is imitated.
package sourcetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// DeadLetters stands for the dataset of a Row that is expected in the dead letters.
const DeadLetters = "!deadletters"

// Row is one row as the suite compares it.
type Row struct {
	// Dataset is the row's dataset, or DeadLetters.
	Dataset string
	// Order names what the row is in order with: rows of one dataset and one Order (a key, a file) appear in the order in which Rows
	// lists them. Empty means that its place does not matter.
	Order string
	// Text is the row in a form that is unique and does not depend on the run: no times of processing, no schema ids.
	Text string
}

// Origin is what a source reads: tables, files, objects, fresh for each case.
type Origin interface {
	// Source makes a source over the origin, as after the start of a process. Several may exist one after the other; when one process was
	// killed or frozen, the next one's is made while it still exists.
	Source(ctx context.Context) (producers.Source, error)
	// Add adds a few rows. Some sources read them once another Source opens, some at once.
	Add(t *testing.T)
	// Rows lists every row that must be in Kafka once the source has read everything.
	Rows(t *testing.T) []Row
	// Row reads back a record of a topic. lookup gives the schema of an id. A record that is no row (a mark, a tombstone) is none: ok is false.
	Row(dataset string, r *kgo.Record, lookup func(id int) *schemas.Schema) (row Row, ok bool, err error)
}

// Killer is an Origin whose sources hold something that the system gives back when a process dies (a connection, a lock). Kill gives
// it back without a word to the other side; the suite calls it instead of Close. It may not wait for the source, which may stand still.
type Killer interface {
	Kill(src producers.Source)
}

// Checker is an Origin that has its own word to say at the end of each case, when everything has been read and acknowledged.
type Checker interface {
	Check(t *testing.T)
}

// Harness tells the suite how to make origins.
type Harness struct {
	// New makes an origin with some rows in it: few, but in several batches and at least two transactions.
	New func(t *testing.T) Origin
	// Follows says that the source never ends by itself, so that the suite stops it once every row is there.
	Follows bool
	// Places bounds at how many places of a run each kind of call is made to fail, spread evenly; 0 means all of them. Cases bounds the
	// number of cases, spread evenly over the table; 0 means all of them, as does EXTRACT_TEST_FULL=1. go test -short tries shortCases.
	Places, Cases int
	// Limits override those of producers.Run. The suite closes transactions at once unless CloseTime is set.
	Limits producers.Limits
	// Start runs the source until ctx ends or it has ended; nil means producers.Run. A source whose work is shared runs its planner and its
	// readers here, all with the options' Kafka.
	Start func(ctx context.Context, o producers.Options) error
}

// Run runs the suite, and logs how large the fault table was.
func Run(t *testing.T, h Harness) {
	if h.Start == nil {
		h.Start = producers.Run
	}
	s := newSuite(t, h)
	t.Run("plain", s.plain)
	if t.Failed() {
		return
	}
	s.table(t)
	t.Run("broker", s.broker)
}

// spread is up to limit numbers below n, evenly; 0 is no limit.
func spread(n, limit int) []int {
	if limit <= 0 || limit > n {
		limit = n
	}
	out := make([]int, limit)
	for i := range out {
		out[i] = i * n / limit
	}
	return out
}

// suite is the state of one Run.
type suite struct {
	h       Harness
	cluster *kfake.Cluster // nil when KAFKA_BROKERS names another Kafka
	brokers []string
	reg     *Registry
	made    map[call]int // calls of a plain run
}

// plain runs to the end, adds rows, runs again, and once more with nothing new.
func (s *suite) plain(t *testing.T) {
	c := s.newCase(t)
	for range 3 {
		p := c.process(plan{})
		r := c.start(t, p)
		c.complete(t, r)
		if s.made == nil {
			s.made = p.made()
			c.origin.Add(t)
		}
	}
	c.check(t)
}

// places is at how many requests of a kind the broker answers with each error.
func (s *suite) places() int {
	if testing.Short() {
		return 1
	}
	return s.h.Places
}

// broker makes the broker answer with an error, once, at each of the first requests of a kind.
func (s *suite) broker(t *testing.T) {
	if s.cluster == nil {
		t.Skip("a broker that answers with errors is imitated by kfake only")
	}
	cases := 0
	defer func() { t.Logf("%d cases of errors that the broker answers with", cases) }()
	for key, errs := range map[kmsg.Key][]*kerr.Error{
		kmsg.Produce: {kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.UnknownServerError,
			kerr.InvalidRecord, kerr.TransactionAbortable, kerr.InvalidProducerEpoch, kerr.TopicAuthorizationFailed},
		kmsg.EndTxn:         {kerr.NotCoordinator, kerr.RequestTimedOut, kerr.UnknownServerError, kerr.ConcurrentTransactions, kerr.ProducerFenced},
		kmsg.InitProducerID: {kerr.CoordinatorNotAvailable, kerr.UnknownServerError, kerr.TransactionalIDAuthorizationFailed},
		kmsg.CreateTopics:   {kerr.NotController, kerr.PolicyViolation},
	} {
		for _, e := range errs {
			for _, nth := range spread(8, s.places()) {
				cases++
				t.Run(fmt.Sprintf("%s/%s/%d", key.Name(), e.Message, nth), func(t *testing.T) { s.answer(t, key, e, nth) })
			}
		}
	}
}

// answer has the nth request of a kind answered with an error. The handle counts on the cluster's goroutine only.
func (s *suite) answer(t *testing.T, key kmsg.Key, e *kerr.Error, nth int) {
	c := s.newCase(t)
	seen := 0
	h := s.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: e, TopLevel: key == kmsg.EndTxn || key == kmsg.InitProducerID, When: func(kmsg.Request) bool {
		seen++
		return seen > nth
	}})
	defer h.Remove()
	c.complete(t, c.start(t, c.process(plan{})))
	h.Remove()
	c.check(t)
}
