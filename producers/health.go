package producers

import (
	"time"

	"adventureworks.example/extract/schemas/faults"
)

// health says once when a source, or one reader of it, begins to wait for something, and once when it goes on. Attempts follow each other, so it
// belongs to one goroutine at a time.
type health struct {
	waiter   faults.Waiter
	episodes *faults.Episodes
	// patience is how long an open source must do well until an error that came after it was open counts as over, where no transaction shows it.
	patience time.Duration

	open       bool // this attempt has opened the source
	failedOpen bool // the last error came after that
	timer      *time.Timer
}

func newHealth(o Options, part string) *health {
	o.Status.episodes.Tell(o.Log, "source")
	return &health{waiter: faults.Waiter{Name: o.Source, Part: part}, episodes: &o.Status.episodes, patience: o.Backoff.Pause}
}

// opened notes that the source is open: what kept it from that is over.
func (h *health) opened() {
	h.open = true
	if !h.failedOpen {
		h.passed()
		return
	}
	h.timer = time.AfterFunc(h.patience, h.passed)
}

func (h *health) passed() { h.episodes.Passed(h.waiter) }

// failed notes the error of an attempt.
func (h *health) failed(err error, class Class) {
	h.ended()
	h.episodes.Failed(h.waiter, err, class)
}

// slow notes that a call takes long: it has been on its way since a moment ago.
func (h *health) slow(err error, since time.Time) {
	h.episodes.FailedSince(h.waiter, err, Classify(err), since)
}

// forget ends the waiting of a source that ends.
func (h *health) forget() {
	h.ended()
	h.episodes.Forget(h.waiter)
}

// ended notes the end of an attempt.
func (h *health) ended() {
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	h.failedOpen, h.open = h.open, false
}
