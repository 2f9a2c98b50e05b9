package sourcetest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	// sharedCases bounds Harness.Cases on a Kafka of its own process, where a case takes a second and more, shortCases with go test -short.
	sharedCases = 36
	shortCases  = 26
)

// limit is how many cases are run; 0 means all of them.
func (s *suite) limit() int {
	limit := s.h.Cases
	if os.Getenv("EXTRACT_TEST_FULL") == "1" {
		return 0
	}
	for bound, holds := range map[int]bool{sharedCases: s.cluster == nil, shortCases: testing.Short()} {
		if holds && (limit == 0 || limit > bound) {
			limit = bound
		}
	}
	return limit
}

// plans are the cases of the table: each fault with each recovery at each place of each call that the plain run has made.
func plans(made map[call]int, places int) []plan {
	var out []plan
	for _, c := range calls {
		for _, nth := range spread(made[c], places) {
			for _, f := range faults {
				for _, r := range recoveries {
					out = append(out, plan{c, nth, f, r})
				}
			}
			out = append(out, plan{c, nth, noFault, stop})
		}
	}
	return out
}

// table runs the cases and logs how many there were.
func (s *suite) table(t *testing.T) {
	all := plans(s.made, s.h.Places)
	ran, struck := map[call]int{}, 0
	for _, i := range spread(len(all), s.limit()) {
		p := all[i]
		t.Run(fmt.Sprintf("%s/%s/%s/%d", p.call, p.fault, p.recovery, p.nth), func(t *testing.T) {
			ran[p.call]++
			if s.fault(t, p) {
				struck++
			}
		})
	}
	var each []string
	n := 0
	for _, c := range calls {
		if s.made[c] > 0 {
			each = append(each, fmt.Sprintf("%s %d", c, ran[c]))
			n += ran[c]
		}
	}
	t.Logf("fault table: %d calls × (%d faults × %d recoveries + 1 stop), at up to %d places each = %d cases, %d run, %d struck before the end of the run: %s",
		len(each), len(faults), len(recoveries), s.h.Places, len(all), n, struck, strings.Join(each, ", "))
}

// fault runs one case: one process to which the plan happens, and after it another where the first one did not survive. It tells whether the fault came
// before the end of the run.
func (s *suite) fault(t *testing.T, p plan) (struck bool) {
	c := s.newCase(t)
	first := c.start(t, c.process(p))
	select {
	case <-first.p.struck:
	case <-first.done: // the fault lies behind the end
	case <-c.everything(t):
	}
	select {
	case <-first.p.struck:
		struck = true
	default:
	}
	switch p.recovery {
	case retry:
		c.complete(t, first)
	case zombie:
		c.origin.Add(t)
		c.kill(first)
		c.complete(t, c.start(t, c.process(plan{})))
		close(first.p.thaw)
		first.cancelIf(s.h.Follows)
		first.wait(t)
		c.complete(t, c.start(t, c.process(plan{})))
	default:
		if p.recovery == restart {
			first.p.kill()
		}
		first.cancel()
		first.wait(t)
		c.kill(first)
		c.origin.Add(t)
		c.complete(t, c.start(t, c.process(plan{})))
	}
	c.check(t)
	return struck
}
