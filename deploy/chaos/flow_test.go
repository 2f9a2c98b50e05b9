package chaos

import (
	"strings"
	"testing"
	"time"
)

// TestRowsFlowAgain says when a kill counts as overcome: for what serves all, when every partition has a row that was produced after the member was gone.
func TestRowsFlowAgain(t *testing.T) {
	gone := time.UnixMilli(1000)
	all := func(ms int64) newest {
		return newest{"sql 0": ms, "sql 1": ms, "sql 2": ms, "sql 3": ms, "files 0": ms, "lake 0": ms}
	}
	one := func(key string, ms int64) newest {
		n := all(5000)
		n[key] = ms
		return n
	}
	for _, c := range []struct {
		member string
		n      newest
		want   bool
	}{
		{"consume 1", all(1001), true}, {"consume 1", all(1000), false}, {"consume 1", newest{}, false}, {"consume 1", one("sql 2", 900), false},
		{"consume 1", one("lake 0", 900), true}, {"kafka", one("sql 0", 1000), false}, {"produce postgres", one("sql 3", 999), false},
		{"produce lake", one("lake 0", 999), false}, {"produce lake", one("sql 1", 999), true}, {"produce files", one("files 0", 1000), false},
	} {
		if got := c.n.sees(killed{member: c.member, gone: gone}); got != c.want {
			t.Errorf("after a kill of %s at 1000, %v says %v", c.member, c.n, got)
		}
	}
	f := newFlow("")
	f.killed(killed{"kafka", time.UnixMilli(900), gone})
	f.saw(all(1000), time.UnixMilli(2000))
	if got := f.recoveries(); len(got) != 0 || !strings.Contains(f.String(), "for kafka") {
		t.Errorf("%v, %s", got, f)
	}
	if f.rest(t.Context(), 0, time.Millisecond) < time.Millisecond || f.rest(t.Context(), 1, time.Hour) > time.Minute {
		t.Error("it rests otherwise than for a kill that is not overcome")
	}
	f.saw(all(1500), time.UnixMilli(2400))
	if got := f.recoveries(); len(got) != 1 || got[0] != (Recovery{"kafka", 1500 * time.Millisecond}) {
		t.Errorf("%v", got)
	}
}
