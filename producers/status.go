package producers

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"adventureworks.example/extract/schemas/faults"
)

// State is what a source does now.
type State string

// The states: connecting and opening; reading; waiting to try again after a transient error; waiting for a person; at its end; stopped.
const (
	Starting State = "starting"
	Running  State = "running"
	Retrying State = "retrying"
	Paused   State = "paused"
	Ended    State = "ended"
	Stopped  State = "stopped"
)

// Status is what is known of a running source, for the live table and /status. The zero value is ready; all methods may be called from
// any goroutine.
type Status struct {
	mu       sync.Mutex // guards everything below
	s        Snapshot
	datasets map[string]DatasetStatus

	episodes faults.Episodes // errors that last; guards itself
}

// Snapshot is a Status at one moment. The counts are of what this process has committed.
type Snapshot struct {
	Source       string          `json:"source"`
	State        State           `json:"state"`
	Since        time.Time       `json:"since"` // of the state
	Datasets     []DatasetStatus `json:"datasets"`
	Records      int64           `json:"records"`
	Bytes        int64           `json:"bytes"` // of keys and values, before compression
	Transactions int64           `json:"transactions"`
	Position     Position        `json:"position"` // the last that was committed and not forgotten
	Committed    time.Time       `json:"committed"`
	Restarts     int64           `json:"restarts"`
	Error        string          `json:"error,omitempty"` // the last one, though it may be over
	ErrorClass   Class           `json:"error_class,omitempty"`
	ErrorFault   faults.Name     `json:"error_fault,omitempty"` // its line in docs/errors.md
	ErrorRemedy  string          `json:"error_remedy,omitempty"`
	ErrorAt      time.Time       `json:"error_at,omitzero"`
	// Problems are the errors that last now, the oldest first; empty when Error is over.
	Problems []faults.Problem `json:"problems,omitempty"`
}

// DatasetStatus counts the rows of one dataset.
type DatasetStatus struct {
	Dataset  string `json:"dataset"`
	Produced int64  `json:"produced"`
	Rejected int64  `json:"rejected"`
}

// Snapshot copies the status. Datasets are in the order of their names.
func (s *Status) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.s
	out.Problems = s.episodes.Problems()
	out.Datasets = slices.SortedFunc(maps.Values(s.datasets), func(a, b DatasetStatus) int { return cmp.Compare(a.Dataset, b.Dataset) })
	return out
}

func (s *Status) state(source string, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Source = source
	if s.s.State != state {
		s.s.State, s.s.Since = state, time.Now()
	}
}

func (s *Status) failed(err error, class Class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, _ := faults.Known(err)
	s.s.ErrorClass, s.s.ErrorFault, s.s.ErrorAt = class, f.Name, time.Now()
	s.s.Error, s.s.ErrorRemedy = faults.Split(err)
	s.s.Restarts++
}

// committed counts a transaction that is durable.
func (s *Status) committed(c counts, positions []Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Transactions++
	s.s.Records += c.records
	s.s.Bytes += c.bytes
	s.s.Committed = time.Now()
	for _, p := range positions {
		if p.Text != "" {
			s.s.Position = p
		}
	}
	if s.datasets == nil {
		s.datasets = map[string]DatasetStatus{}
	}
	for dataset, rows := range c.rows {
		d := s.datasets[dataset]
		d.Dataset = dataset
		d.Produced += rows.Produced
		d.Rejected += rows.Rejected
		s.datasets[dataset] = d
	}
}
