// Package embeddedtest gives tests real servers: Kafka, the schema registry, ClickHouse and Postgres, from package embedded or, where the
// environment names some, from there.
//
// A test binary that uses it has
//
//	func TestMain(m *testing.M) { embeddedtest.Main(m) }
//
// The environment variables KAFKA_BROKERS (host:port, comma between two), SCHEMA_REGISTRY_URL, CLICKHOUSE_ADDR (host:port of the native protocol),
// CLICKHOUSE_HTTP (http://host:port) and POSTGRES_URL (of a superuser) name servers to use instead. A server that cannot be had skips the
// test, or fails it where REQUIRE_SERVICES is 1.
package embeddedtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"adventureworks.example/extract/deploy/embedded"
)

// shared are the servers of this test binary: one ClickHouse and one Postgres, started by the first test that asks for them.
var shared servers

type servers struct {
	mu         sync.Mutex // guards what follows
	dir        string
	clickhouse lazy[*embedded.ClickHouse]
	postgres   lazy[*embedded.Postgres]
}

// lazy is a server that is started once. A start that failed is not tried again: every test says why.
type lazy[T any] struct {
	server  T
	err     error
	started bool
}

func (l *lazy[T]) get(start func() (T, error)) (T, error) {
	if !l.started {
		l.server, l.err = start()
		l.started = true
	}
	return l.server, l.err
}

// Main runs the tests, stops the servers they have started, and calls what is to be done after that. In ClickHouse's child it is that child.
// It never returns.
func Main(m *testing.M, after ...func() error) {
	embedded.RunChild()
	code := m.Run()
	for _, f := range append([]func() error{shared.stop}, after...) {
		if err := f(); err != nil {
			fmt.Fprintln(os.Stderr, "after the tests:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func (s *servers) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var errs []error
	if s.clickhouse.server != nil {
		errs = append(errs, s.clickhouse.server.Stop(ctx))
	}
	if s.postgres.server != nil {
		errs = append(errs, s.postgres.server.Stop(ctx))
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// folder is a folder for the servers' data. Everybody may pass through it, since root's Postgres runs as nobody.
func (s *servers) folder(name string) (string, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "extract-test-")
		if err != nil {
			return "", err
		}
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", err
		}
		s.dir = dir
	}
	return filepath.Join(s.dir, name), nil
}

// missing skips the test for want of a server, or fails it where servers are required.
func missing(t testing.TB, server string, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_SERVICES") == "1" {
		t.Fatalf("%s is required and cannot be had: %v", server, err)
	}
	t.Skipf("%s cannot be had: %v", server, err)
}

// startup bounds how long a server may take to start, the installation of the engines included.
func startup(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 5*time.Minute)
}
