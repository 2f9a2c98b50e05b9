//go:build unix

package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// helperVariable makes this binary a parent that starts a stack in the folder it names, says where it listens, and waits for the end of
// its standard input.
const helperVariable = "EXTRACT_TEST_PARENT"

func TestMain(m *testing.M) {
	RunChild()
	if dir := os.Getenv(helperVariable); dir != "" {
		if err := beParent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beParent(dir string) error {
	s, err := Start(context.Background(), Options{Dir: dir})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(s.Endpoints()); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return s.Stop(context.Background())
}

// folder is a temporary folder that every user may pass through.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), d)
	t.Cleanup(cancel)
	return ctx
}

// needEngines skips the test where the engines cannot be had.
func needEngines(t *testing.T) Engines {
	t.Helper()
	e, err := Install(within(t, 5*time.Minute), "", nil)
	if err != nil && os.Getenv("REQUIRE_SERVICES") != "1" {
		t.Skipf("the engines cannot be had: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	return e
}

func start(t *testing.T, o Options) *Stack {
	t.Helper()
	needEngines(t)
	began := time.Now()
	s, err := Start(within(t, 3*time.Minute), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := s.Stop(within(t, 30*time.Second)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fill writes something into every part and returns the id of the schema it registers.
func fill(t *testing.T, e Endpoints) int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(e.Kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "kept", Value: []byte("a record")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	clickhouse(t, e, "CREATE DATABASE d")
	clickhouse(t, e, "CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	clickhouse(t, e, "INSERT INTO d.t SELECT number FROM numbers(1000)")
	postgres(t, e, "CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 1000) g")
	s, err := registryClient(t, e.Registry).CreateSchema(t.Context(), "kept-value", sr.Schema{Schema: `"long"`})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// check looks for what fill has written.
func check(t *testing.T, e Endpoints, id int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(e.Kafka...), kgo.ConsumeTopics("kept"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records := client.PollFetches(within(t, 20*time.Second)).Records()
	if len(records) != 1 || string(records[0].Value) != "a record" {
		t.Errorf("kafka holds %d records, want the one", len(records))
	}
	if got := clickhouse(t, e, "SELECT count(), sum(a) FROM d.t"); got != "1000\t499500" {
		t.Errorf("clickhouse holds %q", got)
	}
	if got := postgres(t, e, "SELECT count(*)::text FROM t"); got != "1000" {
		t.Errorf("postgres holds %s rows", got)
	}
	s, err := registryClient(t, e.Registry).SchemaByID(t.Context(), id)
	if err != nil || s.Schema != `"long"` {
		t.Errorf("schema %d is %q (%v)", id, s.Schema, err)
	}
}

func clickhouse(t *testing.T, e Endpoints, sql string) string {
	t.Helper()
	resp, err := http.Post(e.ClickHouseHTTP+"/?query="+url.QueryEscape(sql), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", sql, resp.Status, body, err)
	}
	return strings.TrimSpace(string(body))
}

// postgres runs a statement and returns its first column's first value, empty for none.
func postgres(t *testing.T, e Endpoints, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), e.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return value
}

func TestStackKeepsEverything(t *testing.T) {
	dir := folder(t)
	s := start(t, Options{Dir: dir})
	first := s.Endpoints()
	id := fill(t, first)

	info, err := os.Stat(filepath.Join(dir, endpointsFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("endpoints.json: %v %v, want mode 0600 for the password's sake", info, err)
	}
	if read, err := ReadEndpoints(dir); err != nil || read.Postgres != first.Postgres || read.PID != os.Getpid() {
		t.Errorf("ReadEndpoints = %+v, %v", read, err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrRunning) {
		t.Errorf("a second stack: %v", err)
	}
	if err := s.Stop(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadEndpoints(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the stop: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, endpointsFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("endpoints.json, with the password in it, outlives the stack: %v", err)
	}

	again := start(t, Options{Dir: dir}).Endpoints()
	if fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("the second start listens on\n%+v, the first on\n%+v", again, first)
	}
	check(t, again, id)
}

func TestParentKilled(t *testing.T) {
	needEngines(t)
	dir := folder(t)
	parent, first := startParent(t, os.Args[0], dir, nil)
	id := fill(t, first)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if _, err := ReadEndpoints(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("endpoints of a killed stack: %v", err)
	}
	s := start(t, Options{Dir: dir})
	check(t, s.Endpoints(), id)
	if s.Endpoints().ClickHouse != first.ClickHouse || s.Endpoints().Postgres != first.Postgres {
		t.Errorf("it listens on %+v, before on %+v", s.Endpoints(), first)
	}
}

// startParent runs this binary as a parent and returns when its stack answers.
func startParent(t *testing.T, binary, dir string, as *credential, env ...string) (*exec.Cmd, Endpoints) {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = append(append(os.Environ(), helperVariable+"="+dir), env...)
	cmd.Stderr = os.Stderr
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the parent did not start: %v", err)
	}
	var e Endpoints
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatal(err)
	}
	return cmd, e
}

func TestOrdinaryUser(t *testing.T) {
	needEngines(t)
	user, err := standIn()
	if err != nil {
		t.Fatal(err)
	}
	if user == nil {
		t.Skip("every other test runs as an ordinary user already")
	}
	// A cache of nobody's own, which shares root's packages; and this binary where nobody can run it.
	real, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	cache := filepath.Join(dir, "cache", "embedded-"+lockHash())
	for _, d := range []string{cache, filepath.Join(dir, "stack")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"node_modules", sizesFile} {
		if err := os.Symlink(filepath.Join(real, "embedded-"+lockHash(), name), filepath.Join(cache, name)); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "binary")
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, content, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{filepath.Dir(cache), cache, filepath.Join(dir, "stack")} {
		if err := chown(d, user); err != nil {
			t.Fatal(err)
		}
	}
	_, e := startParent(t, binary, filepath.Join(dir, "stack"), user, cacheVariable+"="+filepath.Dir(cache))
	check(t, e, fill(t, e))
}

func TestChildKilled(t *testing.T) {
	s := start(t, Options{Dir: folder(t), PostgresUnsafe: true})
	id := fill(t, s.Endpoints())
	ended := make(chan error, 1)
	go func() { ended <- s.Wait(within(t, time.Minute)) }()

	for name, part := range map[string]interface {
		PID() int
		Kill() error
		Restart(context.Context) error
	}{"clickhouse": s.ClickHouse, "postgres": s.Postgres} {
		before := part.PID()
		if err := part.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(before, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s is still there: %v", name, err)
		}
		began := time.Now()
		if err := part.Restart(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s answers %v after kill -9", name, time.Since(began).Round(time.Millisecond))
		if part.PID() == before {
			t.Errorf("%s has process id %d still", name, before)
		}
	}
	if err := s.Kafka.Restart(); err != nil {
		t.Fatal(err)
	}
	check(t, s.Endpoints(), id)

	select {
	case err := <-ended:
		t.Fatalf("Wait has returned %v after kills that were asked for", err)
	default:
	}
	if err := syscall.Kill(s.ClickHouse.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "clickhouse") || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Wait = %v, want that clickhouse was killed", err)
	}
}

// The number in a pid file that a killed server has left may be another program's by the next start, above all in containers.
func TestPidFileNamesAnotherProgram(t *testing.T) {
	engines := needEngines(t)
	user, err := standIn()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartPostgres(within(t, time.Minute), engines, PostgresOptions{Dir: folder(t), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
	})
	other := exec.Command("cat")
	other.Dir, other.SysProcAttr = "/", attributes(user)
	input, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { input.Close(); _ = other.Wait() })

	pidFile := filepath.Join(p.file("data"), "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s", other.Process.Pid, rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
}
