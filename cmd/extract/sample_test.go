package main

import (
	"bytes"
	"strings"
	"testing"

	"adventureworks.example/extract/deploy/adventureworks"
)

func TestSampleWantsAllItsPlaces(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"sample"},
		{"sample", "--files", dir, "--lake", dir},
		{"sample", "--postgres", "postgres://127.0.0.1:1/x", "--lake", dir},
		{"sample", "--postgres", "postgres://127.0.0.1:1/x", "--files", dir},
		{"sample", "--postgres", "postgres://127.0.0.1:1/x", "--files", dir, "--lake", dir, "--rows", "0"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, env(), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "--postgres") {
			t.Errorf("%v: exit %d, %s", args, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	args := []string{"sample", "--postgres", "postgres://127.0.0.1:1/x?connect_timeout=5", "--files", dir, "--lake", dir}
	if code := run(t.Context(), args, env(), &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "connect to postgres") {
		t.Errorf("no server: exit %d, %s", code, errs.String())
	}
}

// TestADatabaseThatHasTheSampleIsReadPast shows that every row that is made for it is taken, so that nothing waits.
func TestADatabaseThatHasTheSampleIsReadPast(t *testing.T) {
	rows := 0
	err := adventureworks.Generate(t.Context(), adventureworks.Options{Seed: 1, Rows: 1, Dir: t.TempDir(), LakeDir: t.TempDir(), DB: noDatabase{},
		Progress: func(done, total int) { rows = total - done }})
	if err != nil || rows != 0 {
		t.Errorf("%d rows were not made: %v", rows, err)
	}
}
