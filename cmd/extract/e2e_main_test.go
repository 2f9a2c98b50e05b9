//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// The end-to-end tests start the program as a user would: the executable, its flags, its folder, its signals. EXTRACT_E2E_LONG=1 makes
// them longer; nothing is left out without it.

func TestMain(m *testing.M) { embeddedtest.Main(m, removeProgram) }

// patience is how long a test waits for something that takes seconds on an idle machine.
const patience = 3 * time.Minute

func long() bool { return os.Getenv("EXTRACT_E2E_LONG") == "1" }

// built is the program under test, built by the first test that asks for it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// program is the path of the program under test.
func program(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "extract-program-"); built.err != nil {
			return
		}
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "extract"), ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "extract")
}

func removeProgram() error {
	if built.dir == "" {
		return nil
	}
	return os.RemoveAll(built.dir)
}

// folder is a new folder that any user may pass through, since root's Postgres runs as nobody. When the test ends no process may be left
// that works in it.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "extract-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		noProcessLeft(t, dir)
		if t.Failed() && os.Getenv("EXTRACT_E2E_KEEP") != "" {
			t.Logf("kept %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// noProcessLeft waits until no process works in the folder or names it on its command line, and fails the test when one goes on.
func noProcessLeft(t testing.TB, dir string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	var left []string
	ok := poll(20*time.Second, func() bool {
		left = processesIn(dir)
		return len(left) == 0
	})
	if !ok {
		t.Errorf("processes left: %s", strings.Join(left, "; "))
	}
}

// processesIn lists the processes that work in a folder or name it.
func processesIn(dir string) (found []string) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return []string{err.Error()}
	}
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Errors are of processes that have just ended, which is what is hoped for, or of other users, which ours are not.
		cwd, _ := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		line, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if strings.HasPrefix(cwd, dir) || bytes.Contains(line, []byte(dir)) {
			found = append(found, fmt.Sprintf("%d %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// poll asks again and again until the condition holds, and tells whether it came to that in time.
func poll(most time.Duration, holds func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(most)
	for {
		if holds() {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline:
			return holds()
		}
	}
}

// eventually is poll with the test's patience.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !poll(patience, holds) {
		t.Fatalf("waited in vain until %s", what)
	}
}

// output is what a program prints, readable while it runs.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write takes a piece of what is printed.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is what was printed so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a started program.
type running struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  output // standard output and error
	done chan struct{}
}

// launch starts the program. Whatever the test does, it is killed at its end.
func launch(t testing.TB, args ...string) *running { return launchAs(t, nil, nil, args...) }

// launchAs is launch with further variables of the environment, and as another user.
func launchAs(t testing.TB, env []string, user *syscall.Credential, args ...string) *running {
	t.Helper()
	r := &running{t: t, name: "extract " + strings.Join(args, " "), cmd: exec.Command(program(t), args...), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	// A group of its own, as a shell gives: a signal to the test is not one to the program. If the test is killed the program goes too.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: user}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait() // the exit code is what counts, see end
		close(r.done)
	}()
	t.Cleanup(r.kill)
	return r
}

// ended tells whether the program has ended.
func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// until waits until the program has printed a text.
func (r *running) until(text string) {
	r.t.Helper()
	poll(patience, func() bool { return strings.Contains(r.out.String(), text) || r.ended() })
	if !strings.Contains(r.out.String(), text) {
		r.quit()
		r.t.Fatalf("%s did not print %q but:\n%s", r.name, text, r.out.String())
	}
}

// rest lets the program run for a while, unless it ends before.
func (r *running) rest(d time.Duration) {
	select {
	case <-r.done:
	case <-time.After(d):
	}
}

// end waits for the program's end and returns its exit code, -1 for a signal.
func (r *running) end(most time.Duration) int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(most):
		r.quit()
		r.t.Fatalf("%s has not ended within %s; it printed:\n%s", r.name, most, r.out.String())
	}
	return r.cmd.ProcessState.ExitCode()
}

// quit has a program that hangs print what its goroutines are waiting for, and end.
func (r *running) quit() {
	_ = r.cmd.Process.Signal(syscall.SIGQUIT) // an error is of one that has ended
	r.rest(10 * time.Second)
}

// interrupt is Ctrl-C.
func (r *running) interrupt() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Fatal(err)
	}
}

// kill is kill -9. It returns when the program is gone.
func (r *running) kill() {
	_ = r.cmd.Process.Kill() // an error is of one that has ended
	<-r.done
}

// stop is Ctrl-C, after which the program must end well within 15 seconds, as many as are promised.
func (r *running) stop() {
	r.t.Helper()
	r.interrupt()
	if code := r.end(15 * time.Second); code != exitOK {
		r.t.Fatalf("%s ended with code %d after an interrupt:\n%s", r.name, code, r.out.String())
	}
}

// extract runs the program to its end.
func extract(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("extract %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// query is what `extract query` prints as CSV, without the header.
func query(t testing.TB, dir, sql string) string {
	t.Helper()
	code, out, errs := extract(t, "query", "--dir", dir, "--format", "csv", sql)
	if code != exitOK {
		t.Fatalf("extract query %q: code %d: %s", sql, code, errs)
	}
	_, rows, _ := strings.Cut(out, "\n")
	return strings.TrimRight(rows, "\n")
}

// freePort is a port that is free now.
func freePort(t testing.TB) int {
	t.Helper()
	ports, err := embedded.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}
