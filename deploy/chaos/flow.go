package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"adventureworks.example/extract/deploy/oracle"
)

// flow watches what arrives in ClickHouse, to tell how long after a kill rows flow again: until a row is stored that was produced after the kill, in
// every partition of the table that is written all the time, or in the tables of the source whose producer was killed.
type flow struct {
	clickhouse string // http://host:port

	mu      sync.Mutex // guards what follows
	waiting []killed
	done    []Recovery
}

type killed struct {
	member   string
	at, gone time.Time // a row that was produced before it was gone says nothing
}

func newFlow(clickhouse string) *flow { return &flow{clickhouse: clickhouse} }

// flowSQL asks for the newest row of every partition that is watched: kind, partition, and milliseconds since 1970.
const flowSQL = "SELECT 'sql', _partition, toUnixTimestamp64Milli(max(_timestamp)) FROM raw.sql_chaos_probe GROUP BY 2" +
	" UNION ALL SELECT 'files', 0, toUnixTimestamp64Milli(max(_timestamp)) FROM raw.files_reviews" +
	" UNION ALL SELECT 'lake', 0, toUnixTimestamp64Milli(max(_timestamp)) FROM raw.lake_sales_history FORMAT TSV"

// newest is the newest row by kind and partition.
type newest map[string]int64

func (f *flow) look(ctx context.Context) (newest, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	text, err := oracle.Ask(ctx, f.clickhouse, flowSQL)
	if err != nil {
		return nil, err
	}
	n := newest{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		if len(cells) != 3 {
			return nil, fmt.Errorf("clickhouse answers %q", line)
		}
		ms, err := strconv.ParseInt(cells[2], 10, 64)
		if err != nil {
			return nil, err
		}
		n[cells[0]+" "+cells[1]] = ms
	}
	return n, nil
}

// partitions is how many partitions the topics have.
const partitions = 4

// sees tells whether all that a member works for is newer than the kill.
func (n newest) sees(k killed) bool {
	kind, many := "sql", partitions
	for _, source := range []string{"files", "lake"} {
		if k.member == "produce "+source {
			kind, many = source, 1
		}
	}
	for p := range many {
		if n[kind+" "+strconv.Itoa(p)] <= k.gone.UnixMilli() {
			return false
		}
	}
	return true
}

// await waits until rows of every source are stored.
func (f *flow) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	all := []killed{{member: "consume 1"}, {member: "produce files"}, {member: "produce lake"}}
	for {
		n, err := f.look(ctx)
		if err == nil && n.sees(all[0]) && n.sees(all[1]) && n.sees(all[2]) {
			return nil
		}
		if rest(ctx, 200*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("wait for the first rows of every source: %w: %v (stored so far: %v)", ctx.Err(), err, n)
		}
	}
}

// watch looks until ctx ends.
func (f *flow) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if n, err := f.look(ctx); err == nil {
			f.saw(n, time.Now())
		}
		rest(ctx, 100*time.Millisecond)
	}
}

func (f *flow) saw(n newest, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var still []killed
	for _, k := range f.waiting {
		if n.sees(k) {
			f.done = append(f.done, Recovery{k.member, now.Sub(k.at)})
		} else {
			still = append(still, k)
		}
	}
	f.waiting = still
}

// killed says that a member was killed.
func (f *flow) killed(k killed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, k)
}

// settled waits until rows flow again after every kill.
func (f *flow) settled(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	f.rest(ctx, 0, most)
	if f.open() > 0 {
		return fmt.Errorf("rows do not flow again within %s: %w: %s", most, ctx.Err(), f)
	}
	return nil
}

// rest waits until no more than so many kills are not yet overcome, for a time at most, and returns how long it has waited.
func (f *flow) rest(ctx context.Context, open int, most time.Duration) time.Duration {
	began := time.Now()
	for f.open() > open && time.Since(began) < most && ctx.Err() == nil {
		rest(ctx, 50*time.Millisecond)
	}
	return time.Since(began)
}

// open is how many kills are not yet overcome.
func (f *flow) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting)
}

func (f *flow) recoveries() []Recovery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// String says how it goes.
func (f *flow) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	median, longest := recoveryOf(f.done, "")
	text := fmt.Sprintf("rows flow again after %d kills, median %s, longest %s", len(f.done), median, longest)
	for _, k := range f.waiting {
		text += fmt.Sprintf(", waiting %s for %s", round(time.Since(k.at)), k.member)
	}
	return text
}
