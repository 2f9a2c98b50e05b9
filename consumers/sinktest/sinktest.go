// Package sinktest is the conformance suite of consumers.Sink: a sink passes when consumers.Run, whatever happens to its calls, stores every record of
// every partition once. What happens is not picked by hand. The suite first watches which requests consumers make, to Kafka and to the
// sink's server; then every one of them fails in every way, with everything that can follow: the process goes on, it dies and is started
// again, it freezes and wakes up after another has taken over, another joins it.
package sinktest

import (
	"flag"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
)

// Harness is what the suite needs of a sink.
type Harness struct {
	// Server is host:port of the sink's server. The suite puts a proxy before it.
	Server string
	// Open opens a sink of the topics with a prefix that talks to its server at addr.
	Open func(t *testing.T, addr, prefix string) (sink consumers.Sink, close func())
	// Call names the call that a packet to the server begins; empty when it begins none.
	Call func(packet []byte) string
	// Done tells whether a packet of the server's ends its reply.
	Done func(packet []byte) bool
	// Calls are the names that Call must have given when everything has been seen: a table without them shows nothing.
	Calls []string
	// Insert is the call that stores rows, for faults that need one before them.
	Insert string
	// History begins the history of a new topic.
	History func(t *testing.T, topic string) History
	// Count is how many rows the sink holds of the topic, dead letters included, those that are there twice twice.
	Count func(t *testing.T, topic string) int
	// Rows reads all of them.
	Rows func(t *testing.T, topic string) []Row
	// Source is that of the topics. Every case has a prefix of its own.
	Source string
	// Each is how many cases of every call run, and All is all of them; 0 is one.
	Each int
	// Thin leaves out all but one call in so many; 0 leaves out none.
	Thin int
}

// All is a Harness.Each that leaves out no case.
const All = 1 << 10

// History makes the records of a topic one after the other.
type History interface {
	// Record is the next record, with its partition of the topic's two, and the text of the row that it must become. Its transaction
	// will be aborted, so nothing of it may be seen; the text does not matter then.
	Record(aborted bool) (rec *kgo.Record, text string)
	// Check sees that everything beside the rows is as the records that were not aborted say.
	Check(t *testing.T)
}

// Row is one row that the sink holds.
type Row struct {
	Partition int32
	Offset    int64
	Text      string
}

// workers is how many cases run at the same time: they mostly wait.
const workers = 6

// Run runs the suite and logs the size of its table.
func Run(t *testing.T, h Harness) {
	provoked := strike{h.Insert, 2, beforeReply}
	calls := h.watch(t, provoked)
	if t.Failed() {
		return
	}
	rows := table(calls, provoked)
	size := 0
	for _, row := range rows {
		size += len(row)
	}
	cases := choose(rows, max(1, h.Each), max(1, h.Thin))
	t.Logf("%d calls, %d with their occurrences and scenes, %d faults, %d recoveries: %d cases, of which %d run", names(calls), len(rows), len(faults)+1, len(recoveries), size, len(cases))
	var struck atomic.Int64
	var wg sync.WaitGroup
	next := make(chan int)
	for range workers {
		wg.Go(func() {
			for n := range next {
				t.Run(cases[n].String(), func(t *testing.T) {
					if h.world(t).run(t, cases[n]) {
						struck.Add(1)
					}
				})
			}
		})
	}
	for n := range cases {
		next <- n
	}
	close(next)
	wg.Wait()
	t.Logf("the fault happened in %d of %d cases", struck.Load(), len(cases))
	if filter := flag.Lookup("test.run"); struck.Load() < int64(len(cases))*9/10 && filter.Value.String() == "" {
		t.Errorf("the fault happened in %d of %d cases: the others show nothing", struck.Load(), len(cases))
	}
}

// names is how many different calls there are.
func names(calls []call) int {
	seen := map[string]bool{}
	for _, c := range calls {
		seen[c.name] = true
	}
	return len(seen)
}

// watch runs every scene without the faults of the table and lists the calls: all that a process makes, those it only makes when something has happened to
// an insert, and those of a process that finds another's intent.
func (h Harness) watch(t *testing.T, provoked strike) []call {
	var all []call
	for _, s := range []scene{plain, doubtful, heir} {
		w := h.world(t) // no test of its own: a case that is run alone needs it too
		w.run(t, testCase{scene: s, provoked: provoked, recovery: retry})
		for _, c := range w.watched.calls(s) {
			known := slices.ContainsFunc(all, func(o call) bool { return o.name == c.name })
			if s == heir || !known {
				all = append(all, c)
			}
		}
	}
	for _, name := range h.Calls {
		if !slices.ContainsFunc(all, func(c call) bool { return c.name == name }) {
			t.Errorf("no consumer made the call %q: the table would say nothing of it", name)
		}
	}
	for _, c := range all {
		t.Logf("%-14s %-40s %d", c.scene, c.name, c.count)
	}
	return all
}
