package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"adventureworks.example/extract/deploy/apachekafka"
	"adventureworks.example/extract/deploy/embedded"
)

// life is a process that can be killed and started again: embedded.Server, embedded.ClickHouse, embedded.Postgres, apachekafka.Broker.
type life interface {
	PID() int
	Alive() bool
	Kill() error                       // with SIGKILL; it returns when the process is gone
	Stop(ctx context.Context) error    // cleanly, or with SIGKILL when ctx ends
	Restart(ctx context.Context) error // it returns when the process answers
}

var (
	_ life = (*embedded.Server)(nil)
	_ life = (*embedded.ClickHouse)(nil)
	_ life = (*embedded.Postgres)(nil)
	_ life = (*apachekafka.Broker)(nil)
)

// member is one process of the trial.
type member struct {
	name string
	mu   sync.Mutex // held while something is done to it
	life life
}

// stopGrace is how long a member may take to stop: its grace of ten seconds, some moments for what ends after it where Kafka does not answer (twelve were seen), and
// what a busy machine adds.
const stopGrace = 20 * time.Second

// kill ends the member as kill -9 does, and starts it again after the pause. struck is called when it is gone, with the time of the kill.
func (m *member) kill(ctx context.Context, pause time.Duration, struck func(at time.Time)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := time.Now()
	if err := m.life.Kill(); err != nil {
		return err
	}
	struck(at)
	return m.startAfter(ctx, pause)
}

// freeze stops the member's clock for the pause.
func (m *member) freeze(ctx context.Context, pause time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	pid := m.life.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("freeze %s: %w", m.name, err)
	}
	rest(ctx, pause)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("wake %s: %w", m.name, err)
	}
	return nil
}

// stop asks the member to end, and starts it again after the pause. The program must end within its grace and say that all is well.
func (m *member) stop(ctx context.Context, pause time.Duration) (took time.Duration, problem string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	took, problem, err = m.end(ctx)
	if err != nil {
		return took, problem, err
	}
	return took, problem, m.startAfter(ctx, pause)
}

// end asks the member to end. The caller holds mu.
func (m *member) end(ctx context.Context) (took time.Duration, problem string, err error) {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	alive, began := m.life.Alive(), time.Now()
	if err := m.life.Stop(grace); err != nil {
		return 0, "", err
	}
	took = time.Since(began)
	server, ours := m.life.(*embedded.Server)
	switch {
	case !ours || isServer(m.name) || !alive:
	case grace.Err() != nil:
		problem = fmt.Sprintf("%s had not stopped %s after SIGTERM", m.name, stopGrace)
	case server.ExitCode() != 0:
		problem = fmt.Sprintf("%s ended with code %d after SIGTERM", m.name, server.ExitCode())
	}
	return took, problem, nil
}

// startGrace is how long a member may take to come up again: one that ends because another is down is started again and again, as a supervisor does.
const startGrace = 2 * time.Minute

func (m *member) startAfter(ctx context.Context, pause time.Duration) error {
	rest(ctx, pause)
	deadline := time.Now().Add(startGrace)
	for {
		err := m.life.Restart(context.WithoutCancel(ctx))
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		rest(ctx, 200*time.Millisecond)
	}
}

// revive starts a member that has ended by itself, and tells whether it had. One that something is being done to is left alone.
func (m *member) revive(ctx context.Context) (ended bool, code int, err error) {
	if !m.mu.TryLock() {
		return false, 0, nil
	}
	defer m.mu.Unlock()
	if m.life.Alive() {
		return false, 0, nil
	}
	code = -1
	if server, ok := m.life.(*embedded.Server); ok {
		code = server.ExitCode()
	}
	return true, code, m.startAfter(ctx, 0)
}

// rest waits for a while, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
