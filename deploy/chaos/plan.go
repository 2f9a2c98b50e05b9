package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// action is what is done to a member.
type action string

const (
	kill   action = "kill"   // kill -9, and a start a little later
	freeze action = "freeze" // SIGSTOP, and SIGCONT later: what it was about to do is then out of date
	stop   action = "stop"   // SIGTERM, as an operator stops it, and a start a little later
)

// event is one step of the plan.
type event struct {
	at     time.Duration // since the beginning
	member string
	action action
	pause  time.Duration // how long the member is down or frozen
}

// String is the event as it is logged.
func (e event) String() string {
	return fmt.Sprintf("%s %s %s for %s", e.at.Round(10*time.Millisecond), e.action, e.member, e.pause.Round(10*time.Millisecond))
}

// The longest pauses. A consumer that is frozen for longer than its session (8 s) has lost its partitions when it wakes up.
const (
	longestDown         = 1500 * time.Millisecond
	longestFreeze       = 12 * time.Second
	longestFreezeServer = 3 * time.Second
)

// makePlan spreads so many kills over the time, and a freeze or a clean stop after every third. Members are drawn as cards are dealt: nobody comes twice before
// everybody has come once. The same seed makes the same plan.
func makePlan(seed uint64, members []string, total time.Duration, kills int) []event {
	d := rand.New(rand.NewPCG(seed, 1))
	var deck []int
	draw := func() string {
		if len(deck) == 0 {
			deck = d.Perm(len(members))
		}
		m := members[deck[0]]
		deck = deck[1:]
		return m
	}
	actions := make([]action, 0, kills*4/3)
	for n := range kills {
		actions = append(actions, kill)
		if n%3 == 2 {
			actions = append(actions, []action{freeze, stop}[n/3%2])
		}
	}
	var plan []event
	gap := total / time.Duration(len(actions))
	for n, a := range actions {
		e := event{at: time.Duration(n)*gap + time.Duration(d.Int64N(int64(gap))), member: draw(), action: a}
		longest := longestDown
		if a == freeze && isServer(e.member) {
			longest = longestFreezeServer
		} else if a == freeze {
			longest = longestFreeze
		}
		e.pause = time.Duration(d.Int64N(int64(longest)))
		plan = append(plan, e)
	}
	return plan
}

// isServer tells the servers from the program's own processes.
func isServer(member string) bool {
	return !strings.HasPrefix(member, "produce") && !strings.HasPrefix(member, "consume")
}
