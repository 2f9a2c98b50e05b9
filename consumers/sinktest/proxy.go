package sinktest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands before the sink's server and cuts connections: before a packet to the server is passed on, or before one from the server is.
type proxy struct {
	*cutter
	listener net.Listener
	server   string
	late     chan func() // holds what delivers the late packet
	held     atomic.Bool // there is one: connections to the server stay open for it
	closing  sync.WaitGroup
}

// serverConn is a connection to the server. The server sees it end, and never sees it reset: ClickHouse's embedded engine (libchdb 26.7) as a whole
// ends of a reset that comes while it waits for the next query, which a server of its own does not.
type serverConn struct {
	*net.TCPConn
	proxy  *proxy
	closed atomic.Bool
}

// Close ends the connection's sending at once, so that nothing passes any more, and reads what the server still sends.
func (c *serverConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	err := c.CloseWrite()
	c.proxy.closing.Go(func() {
		defer c.TCPConn.Close()
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		io.Copy(io.Discard, c.TCPConn)
	})
	return err
}

// over tells of a connection that nothing is to be passed from any more.
func over(conn net.Conn) bool {
	c, ok := conn.(*serverConn)
	return ok && c.closed.Load()
}

func newProxy(t *testing.T, server string, f fault) *proxy {
	t.Helper()
	if f.key >= 0 {
		f = fault{}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{cutter: newCutter(f), listener: l, server: server, late: make(chan func(), 1)}
	done := make(chan struct{})
	go func() { defer close(done); p.serve() }()
	t.Cleanup(func() { p.close(); <-done })
	return p
}

// close ends the proxy; a packet that nobody wanted delivered is dropped.
func (p *proxy) close() {
	p.listener.Close()
	p.sever()
	p.deliver()
	p.closing.Wait()
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		dialed, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		server := &serverConn{TCPConn: dialed.(*net.TCPConn), proxy: p}
		if !p.keep(client) || !p.keep(server) {
			client.Close()
			server.Close()
			continue
		}
		wg.Go(func() { p.pipe(server, client, before) })
		wg.Go(func() { p.pipe(client, server, after) })
	}
}

// deliver lets the late packet reach the server, if there is one, and waits until the server has dealt with it.
func (p *proxy) deliver() {
	select {
	case late := <-p.late:
		late()
	default:
	}
}

func deliver(server net.Conn, packet []byte) {
	defer server.Close()
	if _, err := server.Write(packet); err != nil {
		return
	}
	server.SetReadDeadline(time.Now().Add(2 * time.Second))
	b := make([]byte, 1<<16)
	for {
		if _, err := server.Read(b); err != nil {
			return
		}
	}
}

// pipe passes packets on until one is to be cut.
func (p *proxy) pipe(to, from net.Conn, w when) {
	defer func() {
		if w == before || !p.held.Load() {
			from.Close()
		}
	}()
	keep := false
	defer func() {
		if !keep {
			to.Close()
		}
	}()
	b := make([]byte, 1<<20)
	for {
		n, err := from.Read(b)
		if over(from) {
			return
		}
		if n > 0 {
			if p.cut(w) {
				if keep = p.fault.when == late; keep {
					p.held.Store(true)
					p.release(to)
					p.late <- func() { deliver(to, b[:n]) }
				}
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
