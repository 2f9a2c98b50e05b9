package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// liveRow is one dataset in the live table. Negative figures are not known.
type liveRow struct {
	Source   string `json:"source"`
	Dataset  string `json:"dataset"`
	Held     int64  `json:"held"`
	Produced int64  `json:"produced"`
	Stored   int64  `json:"stored"`
	Rejected int64  `json:"rejected"`
	Lag      int64  `json:"lag"`
}

// liveView repaints a table of what flows in place on a terminal, or prints plain lines where there is none.
type liveView struct {
	w        io.Writer
	terminal bool
	height   func() int // lines of the terminal

	painted int // lines to go back up before painting again
	last    map[string]liveRow
	at      time.Time
}

// show paints the lines above, the rows, and the lines below them. Elsewhere than on a terminal it prints one line for each source and the
// lines below. No line may be wider than the terminal: one that wraps would take two.
func (v *liveView) show(now time.Time, rows []liveRow, above, below []string) {
	rates := v.rates(now, rows)
	if !v.terminal {
		v.plain(now, rows, rates, below)
		return
	}
	lines := slices.Concat(above, v.table(rows, rates, len(above)+len(below)), below)
	var b strings.Builder
	if v.painted > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.painted)
	}
	b.WriteString("\r\x1b[J")
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	v.painted = len(lines)
	_, _ = io.WriteString(v.w, b.String()) // a terminal that went away ends the program by its signal
}

// rates are the rows stored a second by dataset since the last call.
func (v *liveView) rates(now time.Time, rows []liveRow) map[string]float64 {
	rates := make(map[string]float64, len(rows))
	seconds := now.Sub(v.at).Seconds()
	next := make(map[string]liveRow, len(rows))
	for _, r := range rows {
		key := r.Source + "." + r.Dataset
		if before, ok := v.last[key]; ok && seconds > 0 {
			rates[key] = float64(r.Stored-before.Stored) / seconds
		}
		next[key] = r
	}
	v.last, v.at = next, now
	return rates
}

// leastRows is how many datasets are shown in the smallest terminal.
const leastRows = 5

func (v *liveView) table(rows []liveRow, rates map[string]float64, others int) []string {
	room := max(v.height()-others-5, leastRows) // the head, its line, the total, and a free line at either end
	shown, hidden := rows, []liveRow(nil)
	if len(rows) > room {
		// The busiest datasets are shown, in their order; the others are one line.
		busiest := slices.Clone(rows)
		slices.SortStableFunc(busiest, func(a, b liveRow) int { return int(min(max(b.Produced-a.Produced, -1), 1)) })
		keep := map[string]bool{}
		for _, r := range busiest[:room-1] {
			keep[r.Source+"."+r.Dataset] = true
		}
		shown = nil
		for _, r := range rows {
			if keep[r.Source+"."+r.Dataset] {
				shown = append(shown, r)
			} else {
				hidden = append(hidden, r)
			}
		}
	}
	g := grid{
		columns: []string{"source", "dataset", "held", "produced", "stored", "rejected", "lag", "rows/s"},
		numbers: []bool{false, false, true, true, true, true, true, true},
	}
	for _, r := range shown {
		g.rows = append(g.rows, liveCells(r.Source, r.Dataset, r, rates[r.Source+"."+r.Dataset]))
	}
	if len(hidden) > 0 {
		sum, rate := total(hidden, rates)
		g.rows = append(g.rows, liveCells("…", fmt.Sprintf("%d more datasets", len(hidden)), sum, rate))
	}
	sum, rate := total(rows, rates)
	g.rows = append(g.rows, liveCells("total", fmt.Sprintf("%d datasets", len(rows)), sum, rate))
	var b strings.Builder
	if err := writeGrid(&b, g, "table"); err != nil {
		return []string{err.Error()}
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

func liveCells(source, dataset string, r liveRow, rate float64) []string {
	cell := func(n int64) string {
		if n < 0 {
			return "?"
		}
		return thousands(n)
	}
	return []string{source, dataset, cell(r.Held), cell(r.Produced), cell(r.Stored), cell(r.Rejected), cell(r.Lag), thousands(int64(rate + 0.5))}
}

func total(rows []liveRow, rates map[string]float64) (sum liveRow, rate float64) {
	for _, r := range rows {
		sum.Held += max(r.Held, 0)
		sum.Produced += max(r.Produced, 0)
		sum.Stored += max(r.Stored, 0)
		sum.Rejected += max(r.Rejected, 0)
		sum.Lag += max(r.Lag, 0)
		rate += rates[r.Source+"."+r.Dataset]
	}
	return sum, rate
}

func (v *liveView) plain(now time.Time, rows []liveRow, rates map[string]float64, below []string) {
	bySource := map[string][]liveRow{}
	var order []string
	for _, r := range rows {
		if bySource[r.Source] == nil {
			order = append(order, r.Source)
		}
		bySource[r.Source] = append(bySource[r.Source], r)
	}
	for _, source := range order {
		sum, rate := total(bySource[source], rates)
		fmt.Fprintf(v.w, "%s %s: held %s, produced %s, stored %s, rejected %s, lag %s, %s rows/s\n", now.Format(time.TimeOnly), source,
			thousands(sum.Held), thousands(sum.Produced), thousands(sum.Stored), thousands(sum.Rejected), thousands(sum.Lag), thousands(int64(rate+0.5)))
	}
	for _, line := range below {
		fmt.Fprintln(v.w, line)
	}
}
