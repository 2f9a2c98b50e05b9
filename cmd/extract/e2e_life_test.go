//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDemoOnce runs the demo to its report, runs it again on what is there, and then with a row taken away, which the report names unless the audit has
// brought it back. (TestAuditRepairs switches the audit off and sees reconcile name every damage.)
func TestDemoOnce(t *testing.T) {
	dir := folder(t)
	once := []string{"demo", "--once", "--dir", dir, "--rows", "7000"}
	code, out, errs := extract(t, once...)
	if code != exitOK || !strings.Contains(out, "Complete: 28 datasets") || !strings.Contains(out, "3 in the dead letters") {
		t.Fatalf("demo --once: code %d:\n%s\n%s", code, out, errs)
	}
	noProcessLeft(t, dir)

	code, again, errs := extract(t, once...)
	if code != exitOK {
		t.Fatalf("demo --once again: code %d:\n%s\n%s", code, again, errs)
	}
	if strings.Contains(again, "writing the Adventure Works sample") {
		t.Errorf("the sample was made again:\n%s", again)
	}
	if a, b := complete(out), complete(again); a != b {
		t.Errorf("first %q, then %q", a, b)
	}

	demo := launch(t, "demo", "--dir", dir, "--rate", "0")
	demo.until("Ready after")
	first := query(t, dir, "SELECT min(_offset) FROM raw.files_reviews WHERE _partition = 0")
	query(t, dir, "ALTER TABLE raw.files_reviews DELETE WHERE _partition = 0 AND _offset = "+first+" SETTINGS mutations_sync = 1")
	demo.stop()

	code, out, errs = extract(t, append(once, "--wait", "3s")...)
	switch {
	case code == exitFailed && strings.Contains(out, "GAP files.reviews: 1 records of the topic are not stored"):
	case code == exitOK && complete(out) == complete(again):
		t.Log("the consumer's audit has put the missing row back")
	default:
		t.Errorf("demo --once with a row missing: code %d:\n%s\n%s", code, out, errs)
	}
}

// complete is the line of a report that says how much there is.
func complete(out string) string {
	at := strings.Index(out, "Complete: ")
	if at < 0 {
		return ""
	}
	line, _, _ := strings.Cut(out[at:], "\n")
	return line
}

// TestDemoStopsGoesOnAndStartsOver stops the demo with Ctrl-C while everything flows, starts it again, and then from scratch.
func TestDemoStopsGoesOnAndStartsOver(t *testing.T) {
	dir := folder(t)
	args := []string{"demo", "--dir", dir, "--rows", "7000", "--rate", "100"}
	first := launch(t, args...)
	first.until("stored")
	first.rest(time.Second)
	first.stop()
	if out := first.out.String(); !strings.Contains(out, "Everything is kept in "+dir) {
		t.Errorf("the demo did not say where everything is:\n%s", out)
	}
	noProcessLeft(t, dir)

	second := launch(t, args...)
	second.until("stored")
	if out := second.out.String(); strings.Contains(out, "writing the Adventure Works sample") {
		t.Errorf("the sample was made again:\n%s", out)
	}
	stored := mustBeComplete(t, dir)
	code, _, errs := extract(t, "demo", "--reset", "--dir", dir)
	if code != exitUsage || !strings.Contains(errs, "a demo is running in "+dir) {
		t.Errorf("reset of a running demo: code %d: %s", code, errs)
	}
	second.stop()

	third := launch(t, append(args, "--reset", "--rate", "0")...)
	third.until("Ready after")
	if out := third.out.String(); !strings.Contains(out, "writing the Adventure Works sample") {
		t.Errorf("the sample was not made again:\n%s", out)
	}
	if fresh := mustBeComplete(t, dir); fresh >= stored {
		t.Errorf("%d records after the reset, %d before", fresh, stored)
	}
	third.stop()
}

// TestDemoInterruptedEarly stops the demo before it streams: while servers start and while the sample is made.
func TestDemoInterruptedEarly(t *testing.T) {
	dir := folder(t)
	for _, moment := range []string{"starting Kafka", "writing the Adventure Works sample"} {
		demo := launch(t, "demo", "--dir", dir, "--rows", "50000")
		demo.until(moment)
		demo.stop()
		noProcessLeft(t, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
		t.Error(err)
	}
}
