package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// spec says how a child is started.
type spec struct {
	name       string // for messages
	path       string
	args       []string
	env        []string // beside the parent's
	dir        string
	attributes *syscall.SysProcAttr
	lock       *os.File // given to the child, and to its children, so that it is held as long as any of them lives
	log        string   // file that receives standard output and error
	stdin      bool     // whether the child's standard input is a pipe that the parent holds open
}

// process is one life of a child.
type process struct {
	name     string
	cmd      *exec.Cmd
	log      string
	stdin    io.Closer     // nil without a pipe
	done     chan struct{} // closed when the child has ended and err is set
	err      error
	asked    atomic.Bool   // whether we have asked it to end
	replaced chan struct{} // closed when another life of the same part has started
}

// logLimit is the size from which a log is set aside, as .1, when a child starts.
const logLimit = 16 << 20

func startProcess(s spec) (*process, error) {
	if info, err := os.Stat(s.log); err == nil && info.Size() > logLimit {
		if err := os.Rename(s.log, s.log+".1"); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(s.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.path, s.args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.dir, append(os.Environ(), s.env...), s.attributes
	cmd.Stdout, cmd.Stderr = log, log
	if s.lock != nil {
		cmd.ExtraFiles = []*os.File{s.lock}
	}
	p := &process{name: s.name, cmd: cmd, log: s.log, done: make(chan struct{}), replaced: make(chan struct{})}
	if s.stdin {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		cmd.Stdin, p.stdin = r, w
	}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		if p.stdin != nil {
			p.stdin.Close()
		}
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	return p, nil
}

// run lives as long as the child. It keeps the thread that started the child: the kernel takes that thread's end for the parent's.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	if p.stdin != nil {
		p.stdin.Close()
	}
	close(p.done)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the child as `kill -9` does and waits until it is gone.
func (p *process) kill() error {
	p.asked.Store(true)
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s (process %d): %w", p.name, p.pid(), err)
	}
	<-p.done
	return nil
}

// stop asks the child to end and waits for it. When ctx ends first, the child is killed.
func (p *process) stop(ctx context.Context, ask func()) error {
	p.asked.Store(true)
	if !p.alive() {
		return nil
	}
	ask()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return p.kill()
	}
}

// unexpected is the error of a child that has ended without being asked to, nil for one that was asked.
func (p *process) unexpected() error {
	if p.asked.Load() {
		return nil
	}
	return fmt.Errorf("%s (process %d) has ended: %w%s", p.name, p.pid(), p.exit(), p.logEnd())
}

func (p *process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// logEnd is the end of the log as part of an error's text.
func (p *process) logEnd() string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	const n = 800
	if info, err := f.Stat(); err == nil && info.Size() > n {
		if _, err := f.Seek(-n, io.SeekEnd); err != nil {
			return ""
		}
	}
	end, err := io.ReadAll(f)
	if text := strings.TrimSpace(strings.ToValidUTF8(string(end), "")); err == nil && text != "" {
		return "; its log " + p.log + " ends: " + text
	}
	return ""
}

// ready asks again and again until the child answers, ends or ctx ends.
func (p *process) ready(ctx context.Context, answers func(context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended while starting: %w%s", p.name, p.exit(), p.logEnd())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w: %w%s", p.name, err, ctx.Err(), p.logEnd())
		case <-tick.C:
		}
	}
}
