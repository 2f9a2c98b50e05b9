package faults

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Quiet is how long an error of the class Retry is not spoken of: most are over by then. The other classes are said at once.
const Quiet = 2 * time.Second

// Problem is an error that lasts, for status and people.
type Problem struct {
	Fault  Name      `json:"fault"` // empty when it is not in the table
	Place  Place     `json:"place,omitempty"`
	Class  Class     `json:"class"`
	Error  string    `json:"error"`            // the last one, without the remedy
	Remedy string    `json:"remedy,omitempty"` // what a person does
	Since  time.Time `json:"since"`
	Last   time.Time `json:"last"`
	Tries  int       `json:"tries"`
	// Waits are the topics or sources that wait for it, in order.
	Waits []string `json:"waits"`
}

// Episodes keep the errors that come again and again apart: what begins is said once, and once when it is over. The zero value is ready and
// says nothing; its methods may be called from any goroutine, and on nil.
type Episodes struct {
	mu   sync.Mutex // guards everything below
	log  *slog.Logger
	kind string // the log's key of what waits: topic or source
	open map[string]*episode
	of   map[Waiter]string // key of the episode that each waits for
}

// Waiter is what waits: one partition of a topic, one reader of a source.
type Waiter struct {
	Name string // of the topic or source, for people
	Part string // which one of those that share the name
}

type episode struct {
	Problem
	waits map[Waiter]struct{}
	all   map[string]bool // names of whatever waited for it, for the last word
	said  bool
}

// Tell sets where episodes are told and the key under which the log says what waits.
func (e *Episodes) Tell(log *slog.Logger, kind string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log, e.kind = log, kind
}

// Failed notes an error that w waits for. An error that ended a wait of another kind ends that one.
func (e *Episodes) Failed(w Waiter, err error, class Class) { e.FailedSince(w, err, class, time.Now()) }

// FailedSince is Failed for an error that began to last earlier.
func (e *Episodes) FailedSince(w Waiter, err error, class Class, since time.Time) {
	if e == nil {
		return
	}
	key, f := keyOf(w, err, class)
	text, remedy := Split(err)
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if old, ok := e.of[w]; ok && old != key {
		e.leave(w, old)
	}
	if e.open == nil {
		e.open, e.of = map[string]*episode{}, map[Waiter]string{}
	}
	p := e.open[key]
	if p == nil {
		p = &episode{Problem: Problem{Fault: f.Name, Place: f.Place, Since: since}, waits: map[Waiter]struct{}{}, all: map[string]bool{}}
		e.open[key] = p
	}
	p.Class, p.Error, p.Remedy, p.Last = class, text, remedy, now
	p.Tries++
	p.waits[w] = struct{}{}
	p.all[w.Name] = true
	e.of[w] = key
	if !p.said && (class != Retry || now.Sub(p.Since) >= Quiet) {
		p.said = true
		level := slog.LevelError
		if class == Retry {
			level = slog.LevelWarn
		}
		e.say(level, "waiting", "class", string(class), "fault", string(f.Name), e.kind, w.Name, "err", err)
	}
}

// Passed notes that w waits no more: what failed has worked. It tells whether w was waiting.
func (e *Episodes) Passed(w Waiter) bool { return e.end(w, true) }

// Forget ends w's waiting without a word, because w itself is at its end.
func (e *Episodes) Forget(w Waiter) { e.end(w, false) }

func (e *Episodes) end(w Waiter, say bool) bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	key, ok := e.of[w]
	if ok {
		if p := e.open[key]; !say && len(p.waits) == 1 {
			p.said = false
		}
		e.leave(w, key)
	}
	return ok
}

// Keep ends the waits of those that keep does not want, because they are no longer the caller's business.
func (e *Episodes) Keep(keep func(Waiter) bool) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for w, key := range e.of {
		if !keep(w) {
			e.leave(w, key)
		}
	}
}

// leave takes w out of an episode, which is over when it was the last one. e.mu is held.
func (e *Episodes) leave(w Waiter, key string) {
	delete(e.of, w)
	p := e.open[key]
	delete(p.waits, w)
	if len(p.waits) > 0 {
		return
	}
	delete(e.open, key)
	if p.said {
		e.say(slog.LevelInfo, "goes on", "class", string(p.Class), "fault", string(p.Fault), e.kind, names(p.all), "after", time.Since(p.Since).Round(time.Millisecond), "tries", p.Tries)
	}
}

func (e *Episodes) say(level slog.Level, message string, args ...any) {
	if e.log != nil {
		e.log.Log(context.Background(), level, message, args...)
	}
}

// Problems are the episodes that last now, the oldest first.
func (e *Episodes) Problems() []Problem {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]Problem, 0, len(e.open))
	for _, p := range e.open {
		problem, waits := p.Problem, map[string]bool{}
		for w := range p.waits {
			waits[w.Name] = true
		}
		problem.Waits = sorted(waits)
		all = append(all, problem)
	}
	slices.SortFunc(all, func(a, b Problem) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Fault, b.Fault), slices.Compare(a.Waits, b.Waits))
	})
	return all
}

// keyOf tells one episode from another: by the fault, and unless it is of a whole server by who waits. What is not in the table goes by its innermost
// text, figures aside.
func keyOf(w Waiter, err error, class Class) (string, Fault) {
	f, ok := Known(err)
	switch {
	case ok && f.Wide:
		return string(f.Name), f
	case ok:
		return string(f.Name) + " " + w.Name, f
	}
	return string(class) + " " + w.Name + " " + withoutFigures(innermost(err).Error()), f
}

func innermost(err error) error {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if e.Unwrap() == nil {
				return err
			}
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			all := e.Unwrap()
			if len(all) == 0 {
				return err
			}
			err = all[len(all)-1]
		default:
			return err
		}
	}
}

func withoutFigures(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}

func sorted(set map[string]bool) []string {
	all := make([]string, 0, len(set))
	for name := range set {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// mostNames are listed in one line of the log.
const mostNames = 5

func names(set map[string]bool) string {
	all := sorted(set)
	if len(all) > mostNames {
		return strings.Join(all[:mostNames], ", ") + ", …"
	}
	return strings.Join(all, ", ")
}
