package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// fault is what goes wrong with a call.
type fault string

const (
	noFault        fault = "nothing"
	fails          fault = "fails"                // it fails and did not happen
	failsAfter     fault = "fails-but-happened"   // it fails and happened: the answer is lost
	hangs          fault = "hangs"                // it does not happen, and nothing says so until its deadline
	hangsAfter     fault = "hangs-but-happened"   // it happens, and nothing says so until its deadline
	ownDeadline          = 250 * time.Millisecond // of the calls of a source and of the registry that hang
	requestTimeout       = 250 * time.Millisecond // of a request to Kafka, beyond what the request itself asks for
)

var faults = []fault{fails, failsAfter, hangs, hangsAfter}

// recovery is how it goes on.
type recovery string

const (
	retry   recovery = "retry"   // the process goes on by itself
	restart recovery = "restart" // the process dies, another one starts
	zombie  recovery = "zombie"  // the process stands still, another one takes over, and it wakes up
	stop    recovery = "stop"    // the process is told to stop; nothing goes wrong beside
)

var recoveries = []recovery{retry, restart, zombie}

var (
	errInjected = errors.New("injected fault")
	errDead     = errors.New("the process is dead")
)

// plan is what happens to a process: a fault at the nth call of a kind, from 0 on. The zero plan is none.
type plan struct {
	call     call
	nth      int
	fault    fault
	recovery recovery
}

// process stands for an operating system's process: the calls it makes, and the one at which something happens to it.
type process struct {
	plan
	isProgress func(name string, id [16]byte) bool
	// durable tells what is wrong with positions that the source is told are durable.
	durable func(ctx context.Context, positions []producers.Position) error
	// struck is closed when the fault has happened, thaw by the suite to wake a process that stands still.
	struck, thaw chan struct{}

	mu     sync.Mutex // guards the rest
	counts map[call]int
	open   transactions
	frozen bool
	dead   bool
	conns  map[net.Conn]struct{}
	src    []producers.Source // that were made, the last one last
	broken error              // the first promise to the source that was not kept
}

func newProcess(p plan, isProgress func(string, [16]byte) bool) *process {
	return &process{plan: p, isProgress: isProgress, struck: make(chan struct{}), thaw: make(chan struct{}), counts: map[call]int{}, open: transactions{},
		conns: map[net.Conn]struct{}{}}
}

// made is how many calls of each kind were made.
func (p *process) made() map[call]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[call]int{}
	for c, n := range p.counts {
		out[c] = n
	}
	return out
}

// verdict is what becomes of a call.
type verdict int

const (
	goOn    verdict = iota
	refuse          // it is not made
	swallow         // it is not made, and has no answer
	lose            // it is made; when its answer is there, answered says what the caller gets
)

// before is called where a call begins.
func (p *process) before(c call) (verdict, error) {
	p.mu.Lock()
	n := p.counts[c]
	p.counts[c]++
	v, err := goOn, error(nil)
	switch {
	case p.dead:
		v, err = refuse, errDead
	case p.fault != "" && c == p.call && n == p.nth:
		v, err = p.strike()
	}
	frozen := p.frozen
	p.mu.Unlock()
	if frozen {
		<-p.thaw
	}
	return v, err
}

// strike begins the fault. The caller holds mu.
func (p *process) strike() (verdict, error) {
	if p.fault == failsAfter || p.fault == hangsAfter {
		return lose, nil
	}
	close(p.struck)
	switch {
	case p.fault == noFault:
		return goOn, nil
	case p.recovery == zombie:
		p.frozen = true
		if p.fault == hangs { // it is made late, after the awakening
			return goOn, nil
		}
		return refuse, errInjected
	case p.fault == hangs:
		return swallow, nil
	case p.recovery == restart:
		p.die()
		return refuse, errDead
	}
	return refuse, errInjected
}

// answered is called when the call that was struck has happened and its answer is there. It tells what the caller gets of it: the answer (goOn), an
// error (refuse) or nothing (swallow).
func (p *process) answered() (verdict, error) {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return refuse, errDead
	}
	close(p.struck)
	v, err := refuse, errInjected
	switch {
	case p.recovery == zombie:
		p.frozen = true
		if p.fault == hangsAfter {
			v, err = goOn, nil // the answer has only been late
		}
	case p.fault == hangsAfter:
		v, err = swallow, nil
	case p.recovery == restart:
		p.die()
		err = errDead
	}
	frozen := p.frozen
	p.mu.Unlock()
	if frozen {
		<-p.thaw
	}
	return v, err
}

// kill ends the process.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.die()
}

// die closes every connection and refuses everything from now on. The caller holds mu.
func (p *process) die() {
	p.dead = true
	select {
	case <-p.struck:
	default:
		close(p.struck)
	}
	for c := range p.conns {
		c.Close()
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// make makes a call that is not a request to Kafka. Where it hangs, it ends at a deadline of its own.
func (p *process) make(ctx context.Context, c call, do func() error) error {
	v, err := p.before(c)
	switch v {
	case refuse:
		return err
	case swallow:
		return hang(ctx)
	case goOn:
		return do()
	}
	err = do()
	v, fault := p.answered()
	switch v {
	case goOn:
		return err
	case swallow:
		return errors.Join(hang(ctx), err)
	}
	return errors.Join(fault, err)
}

// hang waits as long as a call that hangs does.
func hang(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ownDeadline)
	defer cancel()
	<-ctx.Done()
	return fmt.Errorf("no answer: %w", ctx.Err())
}

// watched is a source whose calls are those of the process.
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

// Open is one call of the process, which a fault may strike.
func (w *watched) Open(ctx context.Context, t producers.Target, positions map[string]string) error {
	return w.p.make(ctx, open, func() error { return w.src.Open(ctx, t, positions) })
}

// Next loses the batch where the call fails but has happened.
func (w *watched) Next(ctx context.Context) (b producers.Batch, err error) {
	ended := false
	err = w.p.make(ctx, next, func() (err error) {
		b, err = w.src.Next(ctx)
		ended = true
		return err
	})
	if err != nil && (!ended || errors.Is(err, errInjected) || errors.Is(err, errDead) || errors.Is(err, context.DeadlineExceeded)) {
		b = producers.Batch{}
	}
	return b, err
}

// Commit also looks whether the positions are durable. A zombie is not asked: another process may have gone on from there.
func (w *watched) Commit(ctx context.Context, positions []producers.Position) error {
	if w.p.recovery != zombie {
		w.p.note(w.p.durable(ctx, positions))
	}
	return w.p.make(ctx, acknowledge, func() error { return w.src.Commit(ctx, positions) })
}

// Close is not called on the source of a dead process.
func (w *watched) Close(ctx context.Context) error {
	if w.p.isDead() {
		return nil
	}
	return w.src.Close(ctx)
}

// note keeps the first promise that was not kept.
func (p *process) note(broken error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken = broken
	}
}

// promises is the first one to the source that was not kept.
func (p *process) promises() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// sources are the sources that were made, the last one last.
func (p *process) sources() []producers.Source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.src)
}

// registry is a registry whose calls are those of the process.
type registry struct {
	reg producers.Registry
	p   *process
}

func (r registry) Register(ctx context.Context, subject string, s *schemas.Schema) (id int, err error) {
	err = r.p.make(ctx, register, func() (err error) {
		id, err = r.reg.Register(ctx, subject, s)
		return err
	})
	return id, err
}
