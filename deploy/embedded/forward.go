package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// The library serves as `clickhouse local` does, whose handler of errors ends the whole process for what ends one connection of a real server: a
// client's reset while its connection is idle, as kill -9 of a client makes it, and a login that is refused. So ClickHouse's child listens itself
// where the clients connect, and passes on to the library what it bears: the end of a connection is always an ordinary one, and a login is tried over
// HTTP first, whose errors harm nothing.

// forwardVariable tells the child what it forwards: pairs of addresses, of the native protocol and of HTTP.
const forwardVariable = "EXTRACT_CHILD_FORWARD"

// forwarder accepts clients in the server's place.
type forwarder struct {
	front, back string // host:port
	// greet reads and answers what comes before the bytes are passed on as they are, and returns what it has read, or an error for a client that is
	// sent away. It may be nil.
	greet func(client net.Conn) ([]byte, error)
}

func forwardText(pairs ...[2]string) string {
	var all []string
	for _, p := range pairs {
		all = append(all, p[0]+">"+p[1])
	}
	return strings.Join(all, ",")
}

// parseForward undoes forwardText for the child's two forwarders.
func parseForward(text string) ([]forwarder, error) {
	var all []forwarder
	for pair := range strings.SplitSeq(text, ",") {
		front, back, ok := strings.Cut(pair, ">")
		if !ok {
			return nil, fmt.Errorf("%s=%q: a pair of addresses is FRONT>BACK", forwardVariable, text)
		}
		all = append(all, forwarder{front: front, back: back})
	}
	if len(all) != 2 {
		return nil, fmt.Errorf("%s=%q: it names two pairs, of the native protocol and of HTTP", forwardVariable, text)
	}
	all[0].greet = (&login{http: all[1].back}).check
	return all, nil
}

// run waits until the server answers, so that clients are refused until then, and serves until ctx ends.
func (f forwarder) run(ctx context.Context) error {
	if err := f.awaitServer(ctx); err != nil {
		return err
	}
	l, err := net.Listen("tcp", f.front)
	if err != nil {
		return fmt.Errorf("listen for clickhouse's clients: %w", err)
	}
	return f.serve(ctx, l)
}

func (f forwarder) serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		client, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			time.Sleep(10 * time.Millisecond) // too many open files: it goes on when some are closed
			continue
		}
		wait.Go(func() { f.pass(ctx, client.(*net.TCPConn)) })
	}
}

func (f forwarder) awaitServer(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.back)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pass serves one client. However the client ends, the server sees the end of its stream, and is read to its own end: a connection that is closed
// with bytes unread would be reset.
func (f forwarder) pass(ctx context.Context, client *net.TCPConn) {
	defer client.Close()
	var greeting []byte
	if f.greet != nil {
		var err error
		if greeting, err = f.greet(client); err != nil {
			return
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.back)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		// Errors of either side mean its end, and that is what the other one is told.
		if _, err := server.Write(greeting); err == nil {
			_, _ = io.Copy(server, client) // in the kernel
		}
		_ = server.CloseWrite()
	})
	_, _ = io.Copy(client, server)
	_, _ = io.Copy(io.Discard, server)
	client.Close() // ends the other direction
}
