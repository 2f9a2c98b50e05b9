package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// PostgresOptions say how Postgres is started.
type PostgresOptions struct {
	// Dir keeps its data, its lock, its password and its log.
	Dir string
	// Port asks for a port; LastPort is taken when it is free.
	Port, LastPort int
	// Unsafe switches fsync off.
	Unsafe bool
	// Settings are further settings of the server, by name.
	Settings map[string]string
}

// Postgres is the real server in a child process, on the loopback interface, with wal_level=logical and room for 20 replication slots. Its
// superuser is postgres, with a random password that only the owner of the folder can read.
//
// Postgres refuses to run as root. In root's place it runs as nobody, and where nobody cannot reach the folder, the data lies in a new one
// below /var/tmp, to which the folder's `data` is a link.
type Postgres struct {
	engines  Engines
	o        PostgresOptions
	port     int
	password string
	mu       sync.Mutex // guards process
	process  *process
}

const postgresUser = "postgres"

// StartPostgres starts Postgres, makes its data folder the first time, and returns when it takes connections. A predecessor in the same
// folder that is still ending is waited for.
func StartPostgres(ctx context.Context, engines Engines, o PostgresOptions) (*Postgres, error) {
	p := &Postgres{engines: engines, o: o}
	if err := untilItListens(ctx, func() error { return p.open(ctx) }); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return p, nil
}

func (p *Postgres) open(ctx context.Context) error {
	if err := os.MkdirAll(p.o.Dir, 0o755); err != nil {
		return err
	}
	lock, err := waitForPredecessor(ctx, p.file("lock"))
	if err != nil {
		return err
	}
	defer lock.Close() // the child keeps it
	if p.port, err = port(p.o.Port, p.o.LastPort); err != nil {
		return err
	}
	if p.password, err = p.readPassword(); err != nil {
		return err
	}
	if err := p.initialize(ctx, lock); err != nil {
		return err
	}
	return p.start(ctx, lock)
}

func (p *Postgres) file(name string) string { return filepath.Join(p.o.Dir, name) }

// readPassword reads the password, or makes one the first time.
func (p *Postgres) readPassword() (string, error) {
	text, err := os.ReadFile(p.file("password"))
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	password := rand.Text()
	return password, writeFile(p.file("password"), []byte(password+"\n"), 0o600)
}

// initialize makes the data folder unless it is whole. initdb writes global/pg_control before its end, so a mark of our own says that it got
// to its end. It holds the lock as the server does: when its parent is killed it removes what it has made, which must not meet a successor's.
func (p *Postgres) initialize(ctx context.Context, lock *os.File) error {
	if _, err := os.Stat(p.file("initialized")); err == nil {
		return nil
	}
	user, err := standIn()
	if err != nil {
		return err
	}
	data, err := p.makeData(user)
	if err != nil {
		return err
	}
	args := []string{"--pgdata=" + data, "--username=" + postgresUser, "--pwfile=/dev/fd/3", "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C.UTF-8"}
	if p.o.Unsafe {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.engines.postgresBin, "initdb"), args...)
	cmd.Dir, cmd.SysProcAttr = "/", attributes(user)
	return p.runInitdb(cmd, user, lock)
}

// runInitdb gives initdb the password through a pipe, so that it is in no file that the user can read.
func (p *Postgres) runInitdb(cmd *exec.Cmd, user *credential, lock *os.File) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	if user != nil { // initdb opens it again by name
		if err := r.Chown(int(user.Uid), int(user.Gid)); err != nil {
			return err
		}
	}
	if _, err := w.WriteString(p.password + "\n"); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{r, lock}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(lastBytes(out.String(), 800)))
	}
	return writeFile(p.file("initialized"), nil, 0o600)
}

// Where the data goes when the stack's folder lies below one that the user may not pass through, such as root's home.
const (
	outsideDir    = "/var/tmp"
	outsidePrefix = "extract-postgres-"
)

// makeData makes an empty data folder that the user owns, and returns its path.
func (p *Postgres) makeData(user *credential) (string, error) {
	data := p.file("data")
	if old, err := filepath.EvalSymlinks(data); err == nil { // of an initdb that was cut short
		if err := os.RemoveAll(old); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(data); err != nil {
		return "", err
	}
	if user == nil || reachable(p.o.Dir) {
		if err := os.Mkdir(data, 0o700); err != nil {
			return "", err
		}
		return data, chown(data, user)
	}
	outside, err := os.MkdirTemp(outsideDir, outsidePrefix)
	if err != nil {
		return "", err
	}
	if err := chown(outside, user); err != nil {
		return "", err
	}
	return outside, os.Symlink(outside, data)
}

// reachable tells whether every user may pass through the folder and those above it.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

func (p *Postgres) start(ctx context.Context, lock *os.File) error {
	user, err := standIn()
	if err != nil {
		return err
	}
	data, err := filepath.EvalSymlinks(p.file("data"))
	if err != nil {
		return err
	}
	// The lock says that no server of this folder lives. A pid file that is left must go: its number may be another program's by now, which
	// Postgres would take for a server.
	pidFile := filepath.Join(data, "postmaster.pid")
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	child, err := startProcess(spec{name: "postgres", path: filepath.Join(p.engines.postgresBin, "postgres"), args: p.arguments(data), dir: "/",
		attributes: attributes(user), lock: lock, log: p.file("log")})
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.process != nil {
		close(p.process.replaced)
	}
	p.process = child
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	if err := child.ready(ctx, func(context.Context) error { return readyLine(pidFile, child.pid()) }); err != nil {
		_ = child.kill()
		return err
	}
	return nil
}

func (p *Postgres) arguments(data string) []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": "",
		"wal_level":               "logical",
		"max_wal_senders":         "20",
		"max_replication_slots":   "20",
		"max_connections":         "200",
		"timezone":                "UTC",
		"logging_collector":       "off",
	}
	if p.o.Unsafe {
		settings["fsync"] = "off"
	}
	for name, value := range p.o.Settings {
		settings[name] = value
	}
	args := []string{"-D", data}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// readyLine reads the state that the server keeps in the eighth line of its pid file, as pg_ctl does. The first line is its process id.
func readyLine(pidFile string, pid int) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || lines[0] != strconv.Itoa(pid) || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("it is starting up")
	}
	return nil
}

// URL is the address of a database for the superuser, password included; empty for the database postgres.
func (p *Postgres) URL(database string) string {
	if database == "" {
		database = postgresUser
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(postgresUser, p.password), Host: loopback(p.port), Path: "/" + database,
		RawQuery: "sslmode=disable"}
	return u.String()
}

func (p *Postgres) ended() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// PID is the process id of the postmaster.
func (p *Postgres) PID() int { return p.ended().pid() }

// Kill ends the postmaster as kill -9 does and returns when it is gone. Its own children notice and end too. Restart starts it again.
func (p *Postgres) Kill() error { return p.ended().kill() }

// Stop shuts the server down: fast, and at once where that takes until 5 s before ctx's end, since a replication client that does not read holds a
// fast shutdown up. The next start recovers from either.
func (p *Postgres) Stop(ctx context.Context) error {
	child := p.ended()
	if child == nil {
		return nil
	}
	fast, cancel := context.WithCancel(ctx)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		fast, cancel = context.WithDeadline(ctx, deadline.Add(-5*time.Second))
		defer cancel()
	}
	if !child.alive() {
		return nil
	}
	child.asked.Store(true)
	_ = child.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-child.done:
		return nil
	case <-fast.Done():
	}
	return child.stop(ctx, func() { _ = child.cmd.Process.Signal(syscall.SIGQUIT) })
}

// Restart stops the server if it runs and starts it again, on the same port.
func (p *Postgres) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	err := untilItListens(ctx, func() error {
		lock, err := waitForPredecessor(ctx, p.file("lock"))
		if err != nil {
			return err
		}
		defer lock.Close()
		return p.start(ctx, lock)
	})
	if err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	return nil
}
