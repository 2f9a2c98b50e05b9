package faults

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Budget bounds how many rows go to the dead letters within any minute. More than that at once is not bad rows but a bad feed: what reads it pauses before
// they are written. A nil Budget is without bound. It is safe for concurrent use.
type Budget struct {
	perMinute int64
	clock     func() time.Time

	mu    sync.Mutex // guards spent
	spent []spending // the oldest first, at most one a second
}

type spending struct {
	at time.Time
	n  int64
}

// window is how long what was spent counts.
const window = time.Minute

// NewBudget makes a budget of so many rows a minute; 0 allows none.
func NewBudget(perMinute int64) *Budget { return &Budget{perMinute: perMinute, clock: time.Now} }

// Take spends n rows, all or nothing, and tells whether the budget had them.
func (b *Budget) Take(n int64) bool {
	if b == nil || n <= 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	used := int64(0)
	kept := b.spent[:0]
	for _, s := range b.spent {
		if now.Sub(s.at) < window {
			kept = append(kept, s)
			used += s.n
		}
	}
	b.spent = kept
	if used+n > b.perMinute {
		return false
	}
	if last := len(kept) - 1; last >= 0 && now.Sub(kept[last].at) < time.Second {
		b.spent[last].n += n
		return true
	}
	b.spent = append(b.spent, spending{now, n})
	return true
}

// Give gives back n rows of what was taken last, since they were not written after all.
func (b *Budget) Give(n int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.spent) - 1; i >= 0 && n > 0; i-- {
		back := min(n, b.spent[i].n)
		b.spent[i].n -= back
		n -= back
	}
}

// shownRejects is how many rows of a burst its error names.
const shownRejects = 3

// Burst is the error of rows that the budget does not have. of says whose rows they are, first the places and reasons of the first of them.
func (b *Budget) Burst(of string, first []string) error {
	if len(first) > shownRejects {
		first = append(first[:shownRejects:shownRejects], "…")
	}
	return InputBurst.Of(fmt.Errorf("more than %d rows of %s within a minute would go to the dead letters, so none of these was written: %s", b.perMinute, of, strings.Join(first, "; ")))
}
