// Package latency measures how long rows take through the whole chain, from their commit in Postgres until a query sees them, stage by stage. The
// measurements themselves are the benchmarks of its tests; docs/latency.md says how to run them and what they showed.
package latency

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Stage is a moment in the life of a row.
type Stage int

// The stages, in their order.
const (
	Committed Stage = iota // the client knows that Postgres has committed the row
	Produced               // the producer knows that Kafka has committed the transaction that carries it
	Fetched                // the consumer has it, as any read_committed reader could
	Intended               // the offset commit that announces the write is done, and the write begins
	Queryable              // ClickHouse has acknowledged it: every query that begins now sees it
	stages
)

// String is the stage's name as the table has it.
func (s Stage) String() string {
	return [stages]string{"committed", "produced", "fetched", "intended", "queryable"}[s]
}

// Record holds when rows reached the stages. The zero value is ready; its methods may be called by several goroutines at once.
type Record struct {
	mu sync.Mutex
	at map[int64]*[stages]time.Time // by row, guarded by mu
}

// Mark notes that rows have reached a stage. Only the first time counts.
func (r *Record) Mark(s Stage, at time.Time, rows ...int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[int64]*[stages]time.Time{}
	}
	for _, row := range rows {
		times := r.at[row]
		if times == nil {
			times = new([stages]time.Time)
			r.at[row] = times
		}
		if times[s].IsZero() {
			times[s] = at
		}
	}
}

// Reached counts the rows that have reached a stage.
func (r *Record) Reached(s Stage) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.at {
		if !times[s].IsZero() {
			n++
		}
	}
	return n
}

// Reset forgets all rows.
func (r *Record) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = nil
}

// Between is the sorted times from one stage to another, of the rows that have reached both.
func (r *Record) Between(from, to Stage) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var took []time.Duration
	for _, times := range r.at {
		if !times[from].IsZero() && !times[to].IsZero() {
			took = append(took, times[to].Sub(times[from]))
		}
	}
	slices.Sort(took)
	return took
}

// Quantile is the value below which the part q, from 0 to 1, of the sorted durations lies; 0 when there are none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// Table shows for every stage how long rows take to it from the stage before, and from their commit in Postgres.
func (r *Record) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %8s | %10s %10s | %10s %10s %10s\n", "", "", "stage p50", "p99", "since p50", "p99", "max")
	for s := Produced; s < stages; s++ {
		step, since := r.Between(s-1, s), r.Between(Committed, s)
		fmt.Fprintf(&b, "%-10s %8d | %10s %10s | %10s %10s %10s\n", s, len(since), millis(Quantile(step, 0.5)), millis(Quantile(step, 0.99)),
			millis(Quantile(since, 0.5)), millis(Quantile(since, 0.99)), millis(Quantile(since, 1)))
	}
	return b.String()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
