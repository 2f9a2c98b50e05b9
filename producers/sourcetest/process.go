package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"adventureworks.example/extract/producers"
)

// kind is what happens at a step.
type kind string

const (
	noFault    kind = ""
	failBefore kind = "fail-before" // it fails and did not happen
	failAfter  kind = "fail-after"  // it fails but happened
	killBefore kind = "kill-before" // the process dies
	killAfter  kind = "kill-after"
	cancel     kind = "cancel" // the caller's context ends
	freeze     kind = "freeze" // nothing moves until another process has taken over
)

var kinds = []kind{failBefore, failAfter, killBefore, killAfter, cancel, freeze}

var (
	errInjected = errors.New("injected fault")
	errDead     = errors.New("the process is dead")
)

// process stands for an operating system's process: the steps it takes, and the one at which something happens to it.
type process struct {
	kind kind
	at   int
	// struck is closed when the fault has happened, thaw by the suite to wake a frozen process.
	struck, thaw chan struct{}

	mu     sync.Mutex // guards the rest
	steps  int
	frozen bool
	dead   bool
	conns  map[net.Conn]struct{}
	src    []producers.Source // that were made, the last one last
}

func newProcess(k kind, at int) *process {
	return &process{kind: k, at: at, struck: make(chan struct{}), thaw: make(chan struct{}), conns: map[net.Conn]struct{}{}}
}

func (p *process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.steps
}

// before is called where a step begins. last tells that the fault strikes once the step has happened: the caller then calls after.
func (p *process) before() (last bool, err error) {
	p.mu.Lock()
	n := p.steps
	p.steps++
	if n == p.at {
		switch p.kind {
		case failBefore:
			close(p.struck)
			err = errInjected
		case killBefore:
			p.die()
		case cancel:
			close(p.struck)
		case freeze:
			p.frozen = true
			close(p.struck)
		case failAfter, killAfter:
			last = true
		}
	}
	if p.dead {
		err = errDead
	}
	frozen := p.frozen
	p.mu.Unlock()
	if frozen {
		<-p.thaw
	}
	return last, err
}

// after strikes once the step has happened.
func (p *process) after() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kind == killAfter {
		p.die()
		return errDead
	}
	close(p.struck)
	return errInjected
}

// die closes every connection and refuses everything from now on. The caller holds mu.
func (p *process) die() {
	p.dead = true
	close(p.struck)
	for c := range p.conns {
		c.Close()
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// dial opens a connection that belongs to the process.
func (p *process) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.isDead() {
		return nil, errDead
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		c.Close()
		return nil, errDead
	}
	p.conns[c] = struct{}{}
	return &conn{Conn: c, p: p}, nil
}

// conn is a connection to a broker. The Kafka client writes a request in one Write, so a Write is a step.
type conn struct {
	net.Conn
	p *process

	mu   sync.Mutex
	lose bool // the next reply is lost
}

// Write sends a request, unless the fault says otherwise.
func (c *conn) Write(b []byte) (int, error) {
	last, err := c.p.before()
	if err != nil {
		c.Close()
		return 0, fmt.Errorf("write to broker: %w", err)
	}
	if last {
		c.mu.Lock()
		c.lose = true
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// Read gives the replies. When one is to be lost, it waits until the broker has sent it: then the request has surely happened.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	lose := c.lose
	c.lose = false
	c.mu.Unlock()
	if lose && n > 0 {
		err := c.p.after()
		c.Close()
		return 0, fmt.Errorf("read from broker: %w", err)
	}
	return n, err
}

// watched is a source whose calls are steps of the process.
type watched struct {
	src producers.Source
	p   *process
}

func (p *process) watch(src producers.Source) producers.Source {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.src = append(p.src, src)
	return &watched{src: src, p: p}
}

func (w *watched) step(call func() error) error {
	last, err := w.p.before()
	if err != nil {
		return err
	}
	err = call()
	if last {
		return errors.Join(w.p.after(), err)
	}
	return err
}

func (w *watched) Open(ctx context.Context, t producers.Target, positions map[string]string) error {
	return w.step(func() error { return w.src.Open(ctx, t, positions) })
}

func (w *watched) Next(ctx context.Context) (b producers.Batch, err error) {
	last, err := w.p.before()
	if err != nil {
		return b, err
	}
	b, err = w.src.Next(ctx)
	if last {
		return producers.Batch{}, w.p.after()
	}
	return b, err
}

func (w *watched) Commit(ctx context.Context, positions []producers.Position) error {
	return w.step(func() error { return w.src.Commit(ctx, positions) })
}

// Close is not called on the source of a dead process.
func (w *watched) Close(ctx context.Context) error {
	if w.p.isDead() {
		return nil
	}
	return w.src.Close(ctx)
}
