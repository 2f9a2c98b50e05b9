package faults

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetOfAnyMinute(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBudget(10)
	b.clock = func() time.Time { return now }
	for i, step := range []struct {
		after time.Duration
		n     int64
		want  bool
	}{
		{0, 11, false}, // all or nothing
		{0, 6, true},
		{0, 5, false},
		{30 * time.Second, 4, true},
		{0, 1, false},
		{29 * time.Second, 1, false}, // 59 s after the first
		{time.Second, 6, true},       // the first six are over
		{0, 1, false},
		{29 * time.Second, 1, false},
		{time.Second, 4, true},
		{time.Hour, 10, true},
		{0, 0, true},
	} {
		now = now.Add(step.after)
		if got := b.Take(step.n); got != step.want {
			t.Errorf("step %d: take %d is %v", i, step.n, got)
		}
	}
}

func TestBudgetGivenBack(t *testing.T) {
	b := NewBudget(5)
	if !b.Take(5) || b.Take(1) {
		t.Error("five of five are not the bound")
	}
	b.Give(2)
	if b.Take(3) || !b.Take(2) {
		t.Error("two given back are not two to take")
	}
	b.Give(100)
	if b.Take(6) || !b.Take(5) {
		t.Error("more came back than was taken")
	}
}

// A budget that is taken from for ever holds a minute of it.
func TestBudgetIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1 << 40)
		for range 100_000 {
			b.Take(1)
			time.Sleep(50 * time.Millisecond)
		}
		if len(b.spent) > 61 {
			t.Errorf("%d entries", len(b.spent))
		}
	})
}

func TestBudgetOfSeveral(t *testing.T) {
	b := NewBudget(1000)
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if b.Take(1) {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if taken != 1000 {
		t.Errorf("%d taken of 1000", taken)
	}
}

func TestNoBudget(t *testing.T) {
	var b *Budget
	b.Give(3)
	if !b.Take(1 << 40) {
		t.Error("nothing is bounded, and yet it ends")
	}
	if NewBudget(0).Take(1) {
		t.Error("a budget of none has one")
	}
}

func TestBurst(t *testing.T) {
	err := NewBudget(7).Burst("source s", []string{"a: x", "b: y", "c: z", "d: w"})
	f, ok := Known(err)
	if !ok || f.Class != Pause || !strings.Contains(err.Error(), "more than 7 rows of source s") || !strings.Contains(err.Error(), "a: x; b: y; c: z; …") || !strings.Contains(err.Error(), "max_rejected") {
		t.Errorf("%v of %+v", err, f)
	}
}
