//go:build unix

package embedded

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestServerTellsHowItEnded gives a server a variable and stops it: it ends by itself, with a code of its own.
func TestServerTellsHowItEnded(t *testing.T) {
	dir := t.TempDir()
	s, err := StartServer(within(t, time.Minute), ServerOptions{Name: "shell", Path: "/bin/sh", Dir: dir, Env: []string{"EXTRACT_TEST_CODE=7"}, Log: filepath.Join(dir, "said"),
		Args:    []string{"-c", `trap 'exit $EXTRACT_TEST_CODE' TERM; echo ready; touch ready; while :; do sleep 0.05; done`},
		Answers: func(context.Context) error { _, err := os.Stat(filepath.Join(dir, "ready")); return err }})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Alive() || s.ExitCode() != -1 {
		t.Errorf("alive %v with code %d", s.Alive(), s.ExitCode())
	}
	if err := s.Stop(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if s.Alive() || s.ExitCode() != 7 {
		t.Errorf("after SIGTERM alive %v with code %d", s.Alive(), s.ExitCode())
	}
	if text, err := os.ReadFile(filepath.Join(dir, "said")); err != nil || string(text) != "ready\n" {
		t.Errorf("its log holds %q, %v", text, err)
	}
	if err := s.Restart(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil || s.Alive() || s.ExitCode() != -1 {
		t.Errorf("after SIGKILL %v, alive %v with code %d", err, s.Alive(), s.ExitCode())
	}
}
