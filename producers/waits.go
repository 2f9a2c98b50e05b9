package producers

import (
	"sync"

	"adventureworks.example/extract/schemas/faults"
)

// Reporter is what a Target may be besides: a source tells it what one of its parts waits for while the others go on, such as a file that it may not
// read. The same error may be told again; nil ends the wait.
type Reporter interface {
	Waits(part string, err error)
}

var _ Reporter = (*target)(nil)

// waits are the parts of a source that wait, during one attempt.
type waits struct {
	mu    sync.Mutex
	parts map[string]bool // guarded by mu
}

// Waits notes that a part waits, for the status, the metrics and the log.
func (t *target) Waits(part string, err error) {
	h := t.o.health
	if h == nil {
		return
	}
	t.waits.mu.Lock()
	defer t.waits.mu.Unlock()
	w := faults.Waiter{Name: t.o.Source, Part: h.waiter.Part + "/" + part}
	if err == nil {
		delete(t.waits.parts, part)
		h.episodes.Passed(w)
		return
	}
	err = explain(err)
	class := Classify(err)
	if t.waits.parts == nil {
		t.waits.parts = map[string]bool{}
	}
	if !t.waits.parts[part] {
		t.waits.parts[part] = true
		t.o.Metrics.failed(t.o.Source, err, class)
	}
	h.episodes.Failed(w, err, class)
}

// forgetWaits ends the waits of an attempt, whose parts the next one tells anew.
func (t *target) forgetWaits() {
	t.waits.mu.Lock()
	defer t.waits.mu.Unlock()
	for part := range t.waits.parts {
		t.o.health.episodes.Forget(faults.Waiter{Name: t.o.Source, Part: t.o.health.waiter.Part + "/" + part})
	}
	t.waits.parts = nil
}
