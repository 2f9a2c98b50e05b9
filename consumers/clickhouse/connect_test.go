package clickhouse

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// A server whose answer nobody reads sees the connection end, and not reset.
func TestConnectionsEndWithoutAReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answered, seen := make(chan error, 1), make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			answered <- err
			return
		}
		defer conn.Close()
		_, err = conn.Write(make([]byte, 1000))
		answered <- err
		_, err = conn.Read(make([]byte, 1))
		seen <- err
	}()
	conn, err := dialer{}.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the rest of the answer is here, unread
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-seen; err != io.EOF {
		t.Errorf("the server sees %v, want the end", err)
	}
}

// A server that never ends its side does not hold up whoever closes.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // its backlog holds the connection, which nobody accepts
	conn, err := dialer{}.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- conn.Close() }()
	select {
	case <-closed:
	case <-time.After(20 * linger):
		t.Fatal("close does not end")
	}
}

// stopAt lets a query run until its first row and then cancels it.
type stopAt struct{ cancel context.CancelFunc }

func (stopAt) Columns(names, types []string) error { return nil }
func (s stopAt) Row([]*string) error               { s.cancel(); return errors.New("enough") }

// Queries that are cancelled while their answers come, as by somebody who has seen enough, leave the sink's connections usable.
func TestCancelledQueriesHarmNobody(t *testing.T) {
	b := newBenchAt(t, embeddedtest.StartClickHouse(t).Addr())
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := b.Query(ctx, "SELECT number, repeat('x', 100) FROM system.numbers LIMIT 20000000", stopAt{cancel}); err == nil {
			t.Error("a cancelled query ends without an error")
		}
		cancel()
		if err := b.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
