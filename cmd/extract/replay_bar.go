package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"adventureworks.example/extract/consumers/clickhouse"
)

// replayBar shows how far a replay is: a bar that moves on a terminal, and elsewhere a line when the step is another one, and every two seconds.
type replayBar struct {
	screen *screen
	now    func() time.Time

	mu      sync.Mutex // guards what follows: several writers tell of their progress
	step    string
	note    string
	began   time.Time // of the reading
	printed time.Time
}

func newReplayBar(w io.Writer) *replayBar { return &replayBar{screen: newScreen(w), now: time.Now} }

// show takes the progress.
func (b *replayBar) show(p clickhouse.ReplayProgress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.began.IsZero() && p.Total > 0 {
		b.began = now
	}
	moved := p.Step != b.step || p.Note != b.note && p.Note != ""
	every := plainEvery
	if b.screen.terminal {
		every = 100 * time.Millisecond
	}
	if !moved && now.Sub(b.printed) < every {
		return
	}
	b.step, b.note, b.printed = p.Step, p.Note, now
	text := b.text(p, now)
	if !b.screen.terminal {
		fmt.Fprintln(b.screen.w, text)
		return
	}
	b.screen.busy = true
	columns, _ := b.screen.size()
	fmt.Fprintf(b.screen.w, "\r\x1b[K%s", cut(text, columns-1))
}

// text is the line: the step, the bar, what is read and how long it will take.
func (b *replayBar) text(p clickhouse.ReplayProgress, now time.Time) string {
	text := fmt.Sprintf("%-12s", p.Step)
	if p.Total > 0 {
		share := min(float64(p.Done)/float64(p.Total), 1)
		const width = 24
		full := int(share * width)
		text += fmt.Sprintf(" [%s%s] %3.0f %%  %s rows", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*share, thousands(p.Rows))
		if seconds := now.Sub(b.began).Seconds(); seconds > 0.5 && p.Done > 0 {
			text += fmt.Sprintf(", %s rows/s", thousands(int64(float64(p.Rows)/seconds)))
			if left := seconds * (1 - share) / share; share < 1 {
				text += fmt.Sprintf(", %s left", (time.Duration(left) * time.Second).String())
			}
		}
	}
	if p.Note != "" {
		text += "  " + p.Note
	}
	return strings.TrimRight(text, " ")
}

// end removes the bar.
func (b *replayBar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.screen.endProgress()
}
