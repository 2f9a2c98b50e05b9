package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// childVariable holds a childConfig as JSON; a test binary that finds it is no test but a producer in a process of its own, which can be killed.
const childVariable = "EXTRACT_TEST_PRODUCER"

type childConfig struct {
	Kafka    []string
	Registry string
	Prefix   string
	Postgres Config
}

// runChild runs the producer if this process is one, as the program does: until SIGTERM or its death.
func runChild() {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	var c childConfig
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err = c.run(ctx)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (c childConfig) run(ctx context.Context) error {
	reg, err := schemas.OpenRegistry(schemas.RegistryConfig{URLs: []string{c.Registry}})
	if err != nil {
		return err
	}
	defer reg.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return producers.Run(ctx, producers.Options{Kafka: []kgo.Opt{kgo.SeedBrokers(c.Kafka...)}, Registry: reg, Prefix: c.Prefix, Source: "sql", Log: log,
		Topics: producers.TopicConfig{Partitions: 3, ReplicationFactor: 1},
		New:    func(context.Context) (producers.Source, error) { return New("sql", c.Postgres, log) }})
}

// child is a producer in a process of its own.
type child struct {
	t       testing.TB
	cmd     *exec.Cmd
	started time.Time
	done    chan struct{}
	err     error // once done is closed

	mu  sync.Mutex
	log bytes.Buffer
}

func startChild(t testing.TB, c childConfig) *child {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &child{t: t, cmd: exec.Command(os.Args[0], "-test.run=^$"), done: make(chan struct{}), started: time.Now()}
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
		if t.Failed() {
			t.Logf("a producer said:\n%s", p.said())
		}
	})
	return p
}

// Write keeps what the process says.
func (p *child) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *child) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// end sends a signal and waits for the end, which is an error for a process that was not to be killed.
func (p *child) end(s syscall.Signal) {
	p.t.Helper()
	select {
	case <-p.done:
		p.t.Fatalf("the producer has ended by itself: %v\n%s", p.err, p.said())
	default:
	}
	if s != syscall.SIGKILL { // it dies of any signal until it has begun to listen
		for end := time.Now().Add(patience); p.said() == "" && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the producer does not end on %v\n%s", s, p.said())
	}
	if s != syscall.SIGKILL && (p.err != nil || strings.Contains(p.said(), "level=ERROR")) {
		p.t.Fatalf("the producer ended with %v\n%s", p.err, p.said())
	}
}
