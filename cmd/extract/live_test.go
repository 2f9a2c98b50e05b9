package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLiveViewRepaintsInPlace(t *testing.T) {
	var b bytes.Buffer
	v := liveView{w: &b, terminal: true, height: func() int { return 40 }}
	start := time.Unix(0, 0)
	row := liveRow{Source: "files", Dataset: "reviews", Held: 10, Produced: 10, Stored: 1000, Lag: -1}
	v.show(start, []liveRow{row}, nil, nil)
	first := strings.Count(b.String(), "\n")
	b.Reset()
	row.Stored = 4000
	v.show(start.Add(2*time.Second), []liveRow{row}, nil, []string{"clickhouse is down"})
	out := b.String()
	if !strings.HasPrefix(out, fmt.Sprintf("\x1b[%dA\r\x1b[J", first)) {
		t.Errorf("the second painting does not start %d lines up: %q", first, out[:20])
	}
	for _, want := range []string{"4,000", "1,500", "?", "clickhouse is down"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestLiveViewFitsTheTerminal(t *testing.T) {
	var b bytes.Buffer
	v := liveView{w: &b, terminal: true, height: func() int { return 24 }}
	var rows []liveRow
	for i := range 60 {
		rows = append(rows, liveRow{Source: "sql", Dataset: fmt.Sprintf("table%d", i), Produced: int64(i)})
	}
	v.show(time.Unix(0, 0), rows, nil, []string{"a hint", "another"})
	out := b.String()
	if lines := strings.Count(out, "\n"); lines != 22 {
		t.Errorf("%d lines, want 22", lines)
	}
	if !strings.Contains(out, "table59 ") || strings.Contains(out, "table3 ") || !strings.Contains(out, "44 more datasets") || !strings.Contains(out, "60 datasets") {
		t.Errorf("the busiest are not shown, or the others not summed:\n%s", out)
	}
}

func TestLiveViewWithoutATerminalPrintsLines(t *testing.T) {
	var b bytes.Buffer
	v := liveView{w: &b}
	v.show(time.Unix(0, 0), []liveRow{{Source: "sql", Dataset: "a", Held: 1}, {Source: "sql", Dataset: "b", Held: 2}, {Source: "lake", Dataset: "c"}}, []string{"above"}, []string{"a note"})
	if out := b.String(); strings.ContainsRune(out, 0x1b) || strings.Count(out, "\n") != 3 || !strings.Contains(out, "sql: held 3,") {
		t.Errorf("printed %q", out)
	}
}
