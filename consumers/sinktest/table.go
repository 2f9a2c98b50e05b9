package sinktest

import (
	"fmt"
	"slices"
	"strings"
)

// fault is what happens to one call.
type fault string

// The faults. A call whose request is cut, or never answered, did not happen; one whose reply is cut, or withheld, did. A late one is
// cut as well, and its request reaches the server when everything else is over, as a packet of a process may that was believed dead.
const (
	beforeRequest fault = "cut before the request"
	withinRequest fault = "cut within the request"
	beforeReply   fault = "cut before the reply"
	withinReply   fault = "cut within the reply"
	afterReply    fault = "cut after the reply"
	hangRequest   fault = "hangs before it happens"
	hangReply     fault = "hangs after it happened"
	late          fault = "happens late"
)

var (
	faults = []fault{beforeRequest, beforeReply, withinReply, afterReply, hangRequest, hangReply, late}
	// dataFaults are those of what follows a request, such as an insert's rows. What happens to the reply is the request's.
	dataFaults = []fault{beforeRequest, withinRequest, hangRequest, late}
)

// hangs tells of a fault that only ends with the caller's deadline.
func (f fault) hangs() bool { return f == hangRequest || f == hangReply }

// recovery is what follows a fault.
type recovery string

const (
	retry     recovery = "retry"     // the process goes on
	restart   recovery = "restart"   // it dies, and is started again under its name
	zombie    recovery = "zombie"    // it freezes, another process takes over, and then it wakes up
	rebalance recovery = "rebalance" // another process joins it
)

var recoveries = []recovery{retry, restart, zombie, rebalance}

// strike is a fault at the nth call of a name that a process makes.
type strike struct {
	call  string
	nth   int
	fault fault
}

// String names the call, which time it is and what happens to it.
func (s strike) String() string { return fmt.Sprintf("%s #%d %s", s.call, s.nth, s.fault) }

// scene is when a call is made.
type scene string

const (
	plain    scene = "plain"         // by a process to which nothing else happens
	doubtful scene = "after a fault" // by a process whose insert's reply was cut
	heir     scene = "after a death" // by the next process, when the first died in the middle of an insert
)

// testCase is one line of the table. Provoked comes before Strike where the scene needs it.
type testCase struct {
	scene    scene
	provoked strike
	strike   strike
	recovery recovery
}

// String is the name of the case.
func (c testCase) String() string {
	words := []string{c.strike.String()}
	if c.scene != plain {
		words = append(words, string(c.scene))
	}
	return strings.Join(append(words, string(c.recovery)), ", ")
}

// occurrences of a call that are struck: the first, one in the middle of things, and one later.
var occurrences = []int{1, 2, 5}

// dataOf begins the name of what follows a request.
const dataOf = "data of "

// kafka begins the names of the requests to Kafka.
const kafka = "kafka "

// unstruck are the requests to Kafka that come when they come: a heartbeat may not be in a case at all, leaving is the end of it, and the
// versions are asked for on every new connection. Nobody waits for the client's own telemetry.
var unstruck = []string{kafka + "Heartbeat", kafka + "LeaveGroup", kafka + "ApiVersions", kafka + "GetTelemetrySubscriptions"}

// call is a call as a run without this fault has shown it.
type call struct {
	scene scene
	name  string
	count int
}

// table is every case: each call that was seen, at several of its occurrences, with every fault and every recovery. A row of it is one
// occurrence of a call.
func table(calls []call, provoked strike) [][]testCase {
	var rows [][]testCase
	for _, c := range calls {
		if slices.Contains(unstruck, c.name) {
			continue
		}
		possible := faults
		if strings.HasPrefix(c.name, dataOf) {
			possible = dataFaults
		}
		for _, nth := range occurrences {
			if nth > c.count || nth > 1 && c.scene != plain {
				break
			}
			var row []testCase
			for _, f := range possible {
				for _, r := range recoveries {
					row = append(row, testCase{c.scene, provoked, strike{c.name, nth, f}, r})
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// choose takes so many cases of every row, of one row in so many: another fault and recovery in each row, so that even one of each has all of
// them, and every row once before any comes again.
func choose(rows [][]testCase, each, thin int) []testCase {
	const step = 5 // it has no divisor in common with the number of cases in a row, so every case of a row comes in its turn
	var some []testCase
	for round := range each {
		for i := 0; i < len(rows); i += thin {
			if row := rows[i]; round < len(row) {
				some = append(some, row[(i/thin+round)*step%len(row)])
			}
		}
	}
	return some
}
