package embedded

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// ServerOptions describe a server that another package runs as this one runs its own.
type ServerOptions struct {
	Name string   // for messages
	Path string   // of the program
	Args []string // of the program
	Env  []string // of the program, beside this process's
	// Dir keeps its data; the lock and the log are put there too. It is made when it is not there.
	Dir string
	// Answers returns nil once the server serves. It is asked again and again while the server starts.
	Answers func(ctx context.Context) error
	// Log is the file that receives what it prints; empty for the file log in Dir.
	Log string
}

// Server is a child process that does not outlive its parent: on Linux the kernel kills it then. One folder has one at a time.
type Server struct {
	o        ServerOptions
	lockPath string
	mu       sync.Mutex // guards process
	process  *process
}

// StartServer starts a server and returns when it answers. A predecessor in the same folder that is still ending is waited for.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	s := &Server{o: o, lockPath: filepath.Join(o.Dir, "lock")}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	lock, err := waitForPredecessor(ctx, s.lockPath)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.o.Name, err)
	}
	defer lock.Close() // the child keeps it
	own := attributes(nil)
	killAtDeath(own)
	p, err := startProcess(spec{name: s.o.Name, path: s.o.Path, args: s.o.Args, env: s.o.Env, dir: s.o.Dir, attributes: own, lock: lock,
		log: cmp.Or(s.o.Log, filepath.Join(s.o.Dir, "log"))})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	if err := p.ready(ctx, s.o.Answers); err != nil {
		_ = p.kill()
		return err
	}
	return nil
}

func (s *Server) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// PID is the process id of the child.
func (s *Server) PID() int { return s.current().pid() }

// Kill ends the child as kill -9 does and returns when it is gone. Restart starts it again.
func (s *Server) Kill() error { return s.current().kill() }

// Stop asks the child to end with SIGTERM; one that has not ended when ctx ends is killed.
func (s *Server) Stop(ctx context.Context) error {
	p := s.current()
	return p.stop(ctx, func() { _ = p.cmd.Process.Signal(syscall.SIGTERM) })
}

// Restart stops the child if it runs and starts it again, with the same arguments.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// FreePorts are so many ports of the loopback interface that were free a moment ago, each another one.
func FreePorts(n int) ([]int, error) {
	ports, held := make([]int, n), make([]net.Listener, 0, n)
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for i := range ports {
		l, err := listen(0, 0)
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		held, ports[i] = append(held, l), portOf(l)
	}
	return ports, nil
}
