package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Report is what a trial has found.
type Report struct {
	Seed     uint64                   `json:"seed"`
	Kafka    string                   `json:"kafka"`
	Took     time.Duration            `json:"took"`    // the killing
	Drained  time.Duration            `json:"drained"` // until reconcile found nothing missing
	ByMember map[string]*MemberReport `json:"members"`
	Fed      map[string]int64         `json:"fed"` // what was done to the sources, by kind
	Recovery []Recovery               `json:"recovery"`
	Ends     []string                 `json:"ended_by_itself"`

	Datasets  int   `json:"datasets"`
	Records   int64 `json:"records"`   // committed in Kafka, dead letters included
	Stored    int64 `json:"stored"`    // rows in the raw tables
	Missing   int64 `json:"missing"`   // offsets of Kafka that no table holds
	Twice     int64 `json:"twice"`     // rows beyond the first of an offset
	Strange   int64 `json:"strange"`   // rows at offsets that Kafka does not have
	Different int64 `json:"different"` // rows whose hash is not the record's
	Current   int64 `json:"current"`   // rows compared with Postgres, value by value
	Files     int64 `json:"files"`     // rows of files and objects compared, read by ClickHouse itself

	Problems []string `json:"problems"` // empty when every promise was kept

	labelled int64      // rows that were written into archives
	mu       sync.Mutex // guards what is counted while members are killed
}

// MemberReport is what was done to one member.
type MemberReport struct {
	Kills       int           `json:"kills"`
	Freezes     int           `json:"freezes"`
	Stops       int           `json:"stops"`
	Ended       int           `json:"ended_by_itself"`
	LongestStop time.Duration `json:"longest_stop"`
}

// Recovery is how long after a kill rows were stored again that were produced after it: in every partition, of a source that the member works for.
type Recovery struct {
	Member string        `json:"member"`
	Took   time.Duration `json:"took"`
}

func (r *Report) count(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// stopped counts a clean stop. The caller holds mu.
func (r *Report) stopped(name string, took time.Duration, problem string) {
	m := r.ByMember[name]
	m.Stops++
	m.LongestStop = max(m.LongestStop, took)
	if problem != "" {
		r.Problems = append(r.Problems, problem)
	}
}

func (r *Report) problem(format string, args ...any) {
	r.count(func() { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) })
}

// Kills is how many times members were killed.
func (r *Report) Kills() (n int) {
	r.count(func() {
		for _, m := range r.ByMember {
			n += m.Kills
		}
	})
	return n
}

// Kept tells whether every promise was kept.
func (r *Report) Kept() bool { return len(r.Problems) == 0 }

// WriteText writes the report for a person.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, Kafka %s: %d kills in %s, drained and complete %s later\n\n", r.Seed, r.Kafka, r.Kills(), round(r.Took), round(r.Drained))
	fmt.Fprintf(&b, "  %-18s %6s %8s %6s %13s %10s %10s %10s\n", "member", "kills", "freezes", "stops", "longest stop", "ended", "median", "longest")
	for _, name := range sortedKeys(r.ByMember) {
		m := r.ByMember[name]
		median, most := recoveryOf(r.Recovery, name)
		fmt.Fprintf(&b, "  %-18s %6d %8d %6d %13s %10d %10s %10s\n", name, m.Kills, m.Freezes, m.Stops, round(m.LongestStop), m.Ended, median, most)
	}
	median, most := recoveryOf(r.Recovery, "")
	fmt.Fprintf(&b, "\n  from a kill to rows flowing again: median %s, longest %s (of %d)\n", median, most, len(r.Recovery))
	var fed []string
	for _, kind := range sortedKeys(r.Fed) {
		fed = append(fed, fmt.Sprintf("%s %d", kind, r.Fed[kind]))
	}
	fmt.Fprintf(&b, "  sources: %s\n", strings.Join(fed, ", "))
	fmt.Fprintf(&b, "  Kafka holds %d records of %d topics, ClickHouse %d rows: missing %d, twice %d, strange %d, different %d\n",
		r.Records, r.Datasets, r.Stored, r.Missing, r.Twice, r.Strange, r.Different)
	fmt.Fprintf(&b, "  compared without the program: %d rows with Postgres, %d with the files and objects themselves\n", r.Current, r.Files)
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "  PROBLEM %s\n", p)
	}
	verdict := "\nEvery row is stored once, as its source holds it.\n"
	if !r.Kept() {
		verdict = fmt.Sprintf("\n%d problems. --seed %d makes the same plan again.\n", len(r.Problems), r.Seed)
	}
	_, err := io.WriteString(w, b.String()+verdict)
	return err
}

// WriteJSON writes the report for a program.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// recoveryOf is the median and the longest recovery from kills of a member, of all when it is empty.
func recoveryOf(all []Recovery, member string) (median, longest string) {
	var took []time.Duration
	for _, r := range all {
		if member == "" || r.Member == member {
			took = append(took, r.Took)
		}
	}
	if len(took) == 0 {
		return "-", "-"
	}
	slices.Sort(took)
	return round(took[len(took)/2]), round(took[len(took)-1])
}

func round(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
