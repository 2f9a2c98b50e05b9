package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas/faults"
)

// liveStatus is what a process knows of its running parts. Its methods may be called from any goroutine.
type liveStatus struct {
	prefix  string
	started time.Time

	mu        sync.Mutex // guards everything below
	producers map[string]*producers.Status
	consuming *consumers.Status
	failed    map[string]error // parts that ended or paused with an error
}

func newLiveStatus(prefix string) *liveStatus {
	return &liveStatus{prefix: prefix, started: time.Now(), producers: map[string]*producers.Status{}, failed: map[string]error{}}
}

// producer is the status of a source, made at the first call.
func (l *liveStatus) producer(source string) *producers.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.producers[source] == nil {
		l.producers[source] = &producers.Status{}
	}
	return l.producers[source]
}

// consumer is the status of the consumer, made at the first call.
func (l *liveStatus) consumer() *consumers.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.consuming == nil {
		l.consuming = &consumers.Status{}
	}
	return l.consuming
}

// ended notes the error that a part has ended or paused with; nil when it goes on or is done.
func (l *liveStatus) ended(part string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		delete(l.failed, part)
		return
	}
	l.failed[part] = err
}

// processStatus is the answer of /status.
type processStatus struct {
	Version   string                  `json:"version"`
	Started   time.Time               `json:"started"`
	Sources   []producers.Snapshot    `json:"sources"`
	Topics    []consumers.TopicStatus `json:"topics"`
	Problems  []faults.Problem        `json:"problems"` // errors that last now, the oldest first
	Failed    map[string]string       `json:"failed"`   // parts that ended or paused with an error
	Unhealthy string                  `json:"unhealthy,omitempty"`
}

func (l *liveStatus) report() processStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := processStatus{Version: version(), Started: l.started, Failed: map[string]string{}}
	for _, p := range l.producers {
		s.Sources = append(s.Sources, p.Snapshot())
	}
	slices.SortFunc(s.Sources, func(a, b producers.Snapshot) int { return cmp.Compare(a.Source, b.Source) })
	for _, src := range s.Sources {
		s.Problems = append(s.Problems, src.Problems...)
	}
	if l.consuming != nil {
		s.Topics = l.consuming.Topics()
		s.Problems = append(s.Problems, l.consuming.Problems()...)
	}
	slices.SortStableFunc(s.Problems, func(a, b faults.Problem) int { return a.Since.Compare(b.Since) })
	for part, err := range l.failed {
		s.Failed[part] = err.Error()
	}
	if err := unhealthy(s); err != nil {
		s.Unhealthy = err.Error()
	}
	return s
}

// health is nil while everything works, else the first reason why not.
func (l *liveStatus) health() error { return unhealthy(l.report()) }

func unhealthy(s processStatus) error {
	for _, part := range slices.Sorted(maps.Keys(s.Failed)) {
		return fmt.Errorf("%s does not work: %s", part, s.Failed[part])
	}
	for _, p := range s.Problems {
		return errors.New(problemLine(p))
	}
	for _, src := range s.Sources {
		if src.State == producers.Paused || src.State == producers.Retrying {
			return fmt.Errorf("source %s is %s: %s", src.Source, src.State, src.Error)
		}
	}
	for _, t := range s.Topics {
		if t.Err != "" {
			return fmt.Errorf("topic %s: %s", t.Topic, t.Err)
		}
	}
	return nil
}

// lastError is the newest error of any part for people, empty when all is well.
func (s processStatus) lastError() string {
	if err := unhealthy(s); err != nil {
		return err.Error()
	}
	return ""
}
