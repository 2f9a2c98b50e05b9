package chaos

import (
	"reflect"
	"testing"
	"time"
)

var members = []string{"kafka", "registry", "clickhouse", "postgres", "produce files", "produce postgres", "produce lake", "consume 1", "consume 2"}

func TestThePlanIsTheSeeds(t *testing.T) {
	plan := makePlan(7, members, time.Minute, 18)
	if again := makePlan(7, members, time.Minute, 18); !reflect.DeepEqual(plan, again) {
		t.Error("the same seed makes another plan")
	}
	if other := makePlan(8, members, time.Minute, 18); reflect.DeepEqual(plan, other) {
		t.Error("another seed makes the same plan")
	}
}

func TestThePlanSparesNobody(t *testing.T) {
	const kills = 200
	plan := makePlan(1, members, 20*time.Minute, kills)
	by := map[action]int{}
	of := map[string]int{}
	last := time.Duration(0)
	for _, e := range plan {
		by[e.action]++
		of[e.member]++
		if e.at < last || e.at >= 20*time.Minute {
			t.Errorf("%s comes at the wrong time", e)
		}
		last = e.at
		longest := map[bool]time.Duration{true: longestFreezeServer, false: longestFreeze}[isServer(e.member)]
		if e.action != freeze {
			longest = longestDown
		}
		if e.pause < 0 || e.pause > longest {
			t.Errorf("%s takes too long", e)
		}
	}
	if by[kill] != kills || by[freeze] != kills/6 || by[stop] != kills/6 {
		t.Errorf("%d kills, %d freezes and %d stops of %d kills", by[kill], by[freeze], by[stop], kills)
	}
	for _, m := range members {
		if n := of[m]; n < len(plan)/len(members) || n > len(plan)/len(members)+1 {
			t.Errorf("%s has %d of %d events", m, n, len(plan))
		}
	}
}
