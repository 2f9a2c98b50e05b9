package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"adventureworks.example/extract/schemas/faults"
)

// writeProblems says what does not work now: the fault, since when, who waits, the error, and what to do.
func writeProblems(w io.Writer, problems []faults.Problem, now time.Time) error {
	for _, p := range problems {
		var b strings.Builder
		fmt.Fprintf(&b, "\n%s (%s) for %v, tried %s times; waiting: %s\n", problemName(p), p.Class, now.Sub(p.Since).Round(time.Second), thousands(int64(p.Tries)), waiting(p.Waits))
		fmt.Fprintf(&b, "  error: %s\n", p.Error)
		if p.Remedy != "" {
			fmt.Fprintf(&b, "  to do: %s; it goes on by itself\n", p.Remedy)
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return fmt.Errorf("write status: %w", err)
		}
	}
	return nil
}

// problemLine is a problem in one line.
func problemLine(p faults.Problem) string {
	line := fmt.Sprintf("%s (%s), waiting: %s: %s", problemName(p), p.Class, waiting(p.Waits), p.Error)
	if p.Remedy != "" {
		line += "; " + p.Remedy
	}
	return line
}

func problemName(p faults.Problem) string {
	if p.Fault == "" {
		return "an error without a name"
	}
	return string(p.Fault)
}

// mostWaiting are named of those that wait.
const mostWaiting = 4

func waiting(names []string) string {
	if len(names) > mostWaiting {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostWaiting], ", "), len(names)-mostWaiting)
	}
	return strings.Join(names, ", ")
}
