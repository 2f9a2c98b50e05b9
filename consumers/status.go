package consumers

import (
	"sort"
	"sync"
	"time"

	"adventureworks.example/extract/schemas/faults"
)

// Status is a snapshot of the consumers that any goroutine may read while Run writes it. The zero value is ready.
type Status struct {
	mu    sync.Mutex
	parts map[statusKey]*PartitionStatus // assigned to this process; guarded by mu
	gone  map[statusKey]*PartitionStatus // what the process did in those it has no more; guarded by mu
	rates map[string]*rate               // by topic, guarded by mu

	episodes faults.Episodes // errors that last; guards itself
}

type statusKey struct {
	topic     string
	partition int32
}

// PartitionStatus is how far one partition has got.
type PartitionStatus struct {
	Topic     string
	Partition int32
	Position  int64 // everything below it is stored
	End       int64 // of the topic, as the broker last said
	Stored    int64 // rows since the process started, by this process
	Rejected  int64 // rows that went to the dead letters since the process started, by this process
	State     string
	Err       string // of the state, without the remedy; empty when all is well
	ErrAt     time.Time
	ErrSince  time.Time
	Fault     faults.Name // of Err, in docs/errors.md; empty when it is not there
	Class     Class       // of Err
	Remedy    string      // what a person does about Err
	// What the last audit found, and when it was; Finding is empty while nothing is missing or there twice.
	Audited        time.Time
	Missing, Twice int64
	Finding        string
}

// fail notes an error. ErrSince stays that of the first since all was well.
func (p *PartitionStatus) fail(state string, err error, class Class) {
	now := time.Now()
	if p.Err == "" {
		p.ErrSince = now
	}
	f, _ := faults.Known(faults.Recognize(err))
	p.State, p.Fault, p.Class, p.ErrAt = state, f.Name, class, now
	p.Err, p.Remedy = faults.Split(err)
}

// pass notes that all is well.
func (p *PartitionStatus) pass() {
	p.State, p.Err, p.Fault, p.Class, p.Remedy = "running", "", "", "", ""
	p.ErrAt, p.ErrSince = time.Time{}, time.Time{}
}

// Lag is how many offsets are behind End.
func (p PartitionStatus) Lag() int64 { return max(0, p.End-p.Position) }

// TopicStatus sums the partitions of a topic.
type TopicStatus struct {
	Topic            string
	Lag              int64
	Stored, Rejected int64
	RowsPerSecond    float64           // over the last seconds
	Err              string            // of any partition
	Partitions       []PartitionStatus // assigned to this process
}

// Problems are the errors that last now, each once however many partitions wait for its end.
func (s *Status) Problems() []faults.Problem { return s.episodes.Problems() }

// Topics returns what is known of every topic that is or was assigned to this process, by name.
func (s *Status) Topics() []TopicStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	byTopic := map[string]*TopicStatus{}
	count := func(p *PartitionStatus) *TopicStatus {
		t := byTopic[p.Topic]
		if t == nil {
			t = &TopicStatus{Topic: p.Topic, RowsPerSecond: s.rates[p.Topic].perSecond(time.Now())}
			byTopic[p.Topic] = t
		}
		t.Stored += p.Stored
		t.Rejected += p.Rejected
		return t
	}
	for _, p := range s.gone {
		count(p)
	}
	for _, p := range s.parts {
		t := count(p)
		t.Lag += p.Lag()
		if p.Err != "" {
			t.Err = p.Err
		} else if p.Finding != "" && t.Err == "" {
			t.Err = p.Finding
		}
		t.Partitions = append(t.Partitions, *p)
	}
	all := make([]TopicStatus, 0, len(byTopic))
	for _, t := range byTopic {
		sort.Slice(t.Partitions, func(i, j int) bool { return t.Partitions[i].Partition < t.Partitions[j].Partition })
		all = append(all, *t)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Topic < all[j].Topic })
	return all
}

// set changes what is known of one partition; a nil Status knows nothing.
func (s *Status) set(p Partition, change func(*PartitionStatus)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts == nil {
		s.parts, s.gone, s.rates = map[statusKey]*PartitionStatus{}, map[statusKey]*PartitionStatus{}, map[string]*rate{}
	}
	key := statusKey{p.Topic, p.Partition}
	st := s.parts[key]
	if st == nil {
		st = &PartitionStatus{Topic: p.Topic, Partition: p.Partition}
		if old := s.gone[key]; old != nil { // it is back, as after every rebalance
			st.Stored, st.Rejected = old.Stored, old.Rejected
			delete(s.gone, key)
		}
		s.parts[key] = st
	}
	if s.rates[p.Topic] == nil {
		s.rates[p.Topic] = &rate{}
	}
	before := st.Stored
	change(st)
	s.rates[p.Topic].add(time.Now(), st.Stored-before)
}

// forget drops a partition that another process has now, but for what this process did in it.
func (s *Status) forget(p Partition) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := statusKey{p.Topic, p.Partition}
	if st := s.parts[key]; st != nil {
		delete(s.parts, key)
		s.gone[key] = &PartitionStatus{Topic: st.Topic, Partition: st.Partition, Stored: st.Stored, Rejected: st.Rejected}
	}
}

// rate counts rows in one-second cells of the last rateSeconds seconds.
type rate struct {
	cells [rateSeconds]int64
	at    int64 // second of the newest cell
}

const rateSeconds = 4

func (r *rate) add(now time.Time, n int64) {
	r.turn(now.Unix())
	r.cells[r.at%rateSeconds] += n
}

func (r *rate) turn(second int64) {
	if second-r.at >= rateSeconds {
		r.cells = [rateSeconds]int64{}
		r.at = second
	}
	for r.at < second {
		r.at++
		r.cells[r.at%rateSeconds] = 0
	}
}

// perSecond is the mean of the complete cells.
func (r *rate) perSecond(now time.Time) float64 {
	if r == nil {
		return 0
	}
	r.turn(now.Unix())
	var sum int64
	for i, n := range r.cells {
		if int64(i) != r.at%rateSeconds {
			sum += n
		}
	}
	return float64(sum) / (rateSeconds - 1)
}
