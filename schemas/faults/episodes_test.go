package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told are episodes and what they said.
func told() (*Episodes, func() []string) {
	var out bytes.Buffer
	e := &Episodes{}
	e.Tell(slog.New(slog.NewTextHandler(&out, nil)), "topic")
	return e, func() []string {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
	}
}

// A fault of the whole server is one episode for all topics; it is over when the last of them goes on.
func TestWideFaultIsSaidOnce(t *testing.T) {
	e, lines := told()
	a, b := Waiter{"t.a", "0"}, Waiter{"t.b", "0"}
	for i := range 10 {
		for _, w := range []Waiter{a, b} {
			e.Failed(w, fmt.Errorf("write %s from %d: %w", w.Name, i, ClickHouseDiskFull.Of(io.EOF)), Pause)
		}
	}
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], "fault=clickhouse-disk-full") || !strings.Contains(got[0], "free disk space") {
		t.Errorf("said %q", got)
	}
	p := e.Problems()
	if len(p) != 1 || p[0].Tries != 20 || !slices.Equal(p[0].Waits, []string{"t.a", "t.b"}) || p[0].Error != "write t.b from 9: EOF" || p[0].Remedy != "free disk space on the server" {
		t.Errorf("problems are %+v", p)
	}
	if !e.Passed(a) || e.Passed(a) {
		t.Error("the end of a wait is not told right")
	}
	if got := lines(); len(got) != 1 {
		t.Errorf("over too early: %q", got)
	}
	e.Passed(b)
	if got := lines(); len(got) != 2 || !strings.Contains(got[1], `"goes on"`) || !strings.Contains(got[1], `topic="t.a, t.b"`) || !strings.Contains(got[1], "tries=20") {
		t.Errorf("said %q", got)
	}
	if p := e.Problems(); len(p) != 0 {
		t.Errorf("problems are %+v", p)
	}
}

// A fault of one topic is an episode of that topic; its partitions share it.
func TestFaultsOfTopicsAreApart(t *testing.T) {
	e, lines := told()
	for _, w := range []Waiter{{"t.a", "0"}, {"t.a", "1"}, {"t.b", "0"}} {
		e.Failed(w, ClickHouseTableMissing.Of(errors.New("table of "+w.Name)), Pause)
	}
	if got := lines(); len(got) != 2 {
		t.Errorf("said %q", got)
	}
	if p := e.Problems(); len(p) != 2 || len(p[0].Waits) != 1 {
		t.Errorf("problems are %+v", p)
	}
	e.Keep(func(w Waiter) bool { return w.Name == "t.b" })
	if p := e.Problems(); len(p) != 1 || p[0].Waits[0] != "t.b" {
		t.Errorf("problems are %+v", p)
	}
}

// An error that is not in the table is told from another by its innermost text, whose figures do not count.
func TestUnknownErrorsAreApart(t *testing.T) {
	e, lines := told()
	w := Waiter{"t", "0"}
	for _, text := range []string{"odd thing 1", "odd thing 2", "strange thing", "strange thing"} {
		e.Failed(w, fmt.Errorf("write t/0: %w", errors.New(text)), Pause)
	}
	if got := lines(); len(got) != 3 || !strings.Contains(got[1], "goes on") {
		t.Errorf("said %q", got)
	}
}

// What passes by itself is only spoken of when it lasts.
func TestRetryIsQuietAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, lines := told()
		w := Waiter{"t", "0"}
		e.Failed(w, ClickHouseDown.Of(io.EOF), Retry)
		e.Passed(w)
		e.Failed(w, ClickHouseDown.Of(io.EOF), Retry)
		time.Sleep(Quiet - time.Millisecond)
		e.Failed(w, ClickHouseDown.Of(io.EOF), Retry)
		if got := lines(); len(got) != 0 {
			t.Errorf("said %q", got)
		}
		time.Sleep(time.Millisecond)
		e.Failed(w, ClickHouseDown.Of(io.EOF), Retry)
		e.Failed(w, ClickHouseDown.Of(io.EOF), Retry)
		e.Passed(w)
		if got := lines(); len(got) != 2 || !strings.Contains(got[0], "level=WARN") || !strings.Contains(got[1], "after=2s") {
			t.Errorf("said %q", got)
		}
	})
}

func TestNilEpisodesSayNothing(t *testing.T) {
	var e *Episodes
	e.Failed(Waiter{}, io.EOF, Retry)
	e.Keep(nil)
	if e.Passed(Waiter{}) || e.Problems() != nil {
		t.Error("nil knows something")
	}
	(&Episodes{}).Failed(Waiter{"t", ""}, io.EOF, Pause)
}
