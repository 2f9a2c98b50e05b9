package embedded

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// ClickHouseOptions say how ClickHouse is started.
type ClickHouseOptions struct {
	// Dir keeps its data, its lock and its log.
	Dir string
	// Port and HTTPPort ask for ports; LastPort and LastHTTPPort are taken when they are free.
	Port, HTTPPort         int
	LastPort, LastHTTPPort int
}

// ClickHouse is the real engine in a child process, on the loopback interface, without a password for its user default. Its database
// `default` is a view of the file system: use databases of your own. There is no Keeper, so Replicated tables cannot be made.
type ClickHouse struct {
	engines  Engines
	dir      string
	tcp      int
	http     int
	mu       sync.Mutex // guards process
	process  *process
	lockPath string
}

// startGrace is how long a part may take to start, the recovery after a crash and the end of a predecessor included.
const startGrace = 2 * time.Minute

// StartClickHouse starts ClickHouse and returns when it answers. A predecessor in the same folder that is still ending is waited for.
func StartClickHouse(ctx context.Context, engines Engines, o ClickHouseOptions) (*ClickHouse, error) {
	c := &ClickHouse{engines: engines, dir: o.Dir, lockPath: filepath.Join(o.Dir, "lock")}
	if err := os.MkdirAll(filepath.Join(o.Dir, "files"), 0o755); err != nil {
		return nil, fmt.Errorf("start clickhouse: %w", err)
	}
	choose := func() (err error) {
		if c.tcp, err = port(o.Port, o.LastPort); err == nil {
			c.http, err = port(o.HTTPPort, o.LastHTTPPort)
		}
		return err
	}
	err := untilItListens(ctx, func() error { return c.start(ctx, choose) })
	if err != nil {
		return nil, fmt.Errorf("start clickhouse: %w", err)
	}
	return c, nil
}

// waitForPredecessor takes the lock that a child holds as long as it lives.
func waitForPredecessor(ctx context.Context, path string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	return lockWait(ctx, path)
}

// start starts the child on the ports that choose chooses, once a predecessor has left them.
func (c *ClickHouse) start(ctx context.Context, choose func() error) error {
	lock, err := waitForPredecessor(ctx, c.lockPath)
	if err != nil {
		return err
	}
	defer lock.Close() // the child keeps it
	if err := choose(); err != nil {
		return err
	}
	path, env := c.engines.clickhouse, []string(nil)
	tcp, web := c.tcp, c.http // where the engine itself listens
	if c.engines.library {
		inner, err := FreePorts(2)
		if err != nil {
			return err
		}
		tcp, web = inner[0], inner[1]
	}
	args := []string{
		"--path=" + filepath.Join(c.dir, "data"),
		"--tcp_port=" + strconv.Itoa(tcp),
		"--http_port=" + strconv.Itoa(web),
		"--listen_host=127.0.0.1",
		// It reads standard input until that closes, which the parent's end brings about.
		"--query=SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT count() FROM file('-', 'LineAsString') FORMAT Null",
	}
	if c.engines.library {
		env = []string{childVariable + "=" + c.engines.clickhouse,
			forwardVariable + "=" + forwardText([2]string{c.Addr(), loopback(tcp)}, [2]string{loopback(c.http), loopback(web)})}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		path = self
	} else {
		args = append([]string{"local"}, args...)
	}
	p, err := startProcess(spec{name: "clickhouse", path: path, args: args, env: env, dir: filepath.Join(c.dir, "files"),
		attributes: attributes(nil), lock: lock, log: filepath.Join(c.dir, "log"), stdin: true})
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.process != nil {
		close(c.process.replaced)
	}
	c.process = p
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	if err := p.ready(ctx, c.answers); err != nil {
		_ = p.kill()
		return err
	}
	return nil
}

// answers asks the HTTP port for /ping and opens the native port.
func (c *ClickHouse) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.HTTP()+"/ping", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(io.LimitReader(resp.Body, 64)); err != nil || string(body) != "Ok.\n" {
		return fmt.Errorf("%s answers %q", req.URL, body)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.Addr())
	if err != nil {
		return err
	}
	return conn.Close()
}

// Addr is the address of the native protocol, host:port.
func (c *ClickHouse) Addr() string { return loopback(c.tcp) }

// HTTP is the address of the HTTP interface, http://host:port.
func (c *ClickHouse) HTTP() string { return "http://" + loopback(c.http) }

func (c *ClickHouse) ended() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

// PID is the process id of the child.
func (c *ClickHouse) PID() int { return c.ended().pid() }

// Kill ends the child as kill -9 does and returns when it is gone. Restart starts it again.
func (c *ClickHouse) Kill() error { return c.ended().kill() }

// Stop ends the child; one that has not ended by itself when ctx ends is killed.
func (c *ClickHouse) Stop(ctx context.Context) error {
	p := c.ended()
	if p == nil {
		return nil
	}
	return p.stop(ctx, func() { p.stdin.Close() })
}

// Restart stops the child if it runs and starts it again, on the same ports.
func (c *ClickHouse) Restart(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	same := func() error { return nil }
	if err := untilItListens(ctx, func() error { return c.start(ctx, same) }); err != nil {
		return fmt.Errorf("restart clickhouse: %w", err)
	}
	return nil
}
