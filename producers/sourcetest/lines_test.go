package sourcetest

import "testing"

func TestLines(t *testing.T) {
	Run(t, Harness{New: func(*testing.T) Origin { return NewLines(12, 2, "a", "b.c") }, Places: 3})
}
