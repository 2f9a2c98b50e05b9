package sinktest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between one process and the sink's server, and does to the calls what the process's network says.
type proxy struct {
	*network
	h        Harness
	listener net.Listener
	closing  sync.WaitGroup // connections to the server that are ending
}

// link is one connection of the process's, and the call that is under way on it.
type link struct {
	proxy  *proxy
	client net.Conn
	server *serverConn

	mu   sync.Mutex // guards what follows
	name string     // of the call; empty between two
	data bool       // what follows the request has come
	todo fault      // what is to happen to the reply
	held bool       // the connection to the server is kept for a late request
	mute bool       // nothing passes any more, either way
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

func newProxy(t *testing.T, h Harness, n *network) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{network: n, h: h, listener: l}
	done := make(chan struct{})
	go func() { defer close(done); p.serve() }()
	t.Cleanup(func() {
		l.Close()
		n.sever()
		n.deliver() // what nobody wanted delivered comes too late for everybody
		p.closing.Wait()
		<-done
	})
	return p
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
		wg.Go(func() { p.connect(client, &wg) })
	}
}

// connect joins a connection of the process's to one of the server's.
func (p *proxy) connect(client net.Conn, wg *sync.WaitGroup) {
	if !p.pass() {
		client.Close()
		return
	}
	dialed, err := net.Dial("tcp", p.h.Server)
	if err != nil {
		client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: &serverConn{TCPConn: dialed.(*net.TCPConn), proxy: p}}
	if !p.keep(l.client) || !p.keep(l.server) {
		l.cut()
		return
	}
	wg.Go(func() { l.pipe(l.client, l.request) })
	wg.Go(func() { l.pipe(l.server, l.reply) })
}

// pipe passes packets on until the link is cut.
func (l *link) pipe(from net.Conn, packet func([]byte) bool) {
	b := make([]byte, 1<<20)
	for {
		n, err := from.Read(b)
		if n > 0 && (!l.proxy.pass() || !packet(b[:n])) || err != nil {
			l.cut()
			return
		}
	}
}

// cut ends both connections, but for one to the server that is kept for a late request.
func (l *link) cut() {
	l.client.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held {
		l.server.Close()
	}
}

// request passes on a packet to the server; false when the link is to be cut.
func (l *link) request(b []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := l.proxy.h.Call(b)
	switch {
	case l.mute:
		return true
	case l.server.closed.Load():
		return false
	case name != "":
		l.name, l.data = name, false
	case l.name != "" && !l.data:
		l.data, name = true, dataOf+l.name
	default:
		_, err := l.server.Write(b)
		return err == nil
	}
	pass, cut := b, false
	switch f := l.proxy.call(name); f {
	case "":
	case beforeRequest:
		pass, cut = nil, true
	case withinRequest:
		pass, cut = b[:len(b)/2], true
	case hangRequest:
		pass, l.mute = nil, true
	case late:
		l.hold(append([]byte(nil), b...))
		pass, cut = nil, true
	default:
		l.todo = f
	}
	_, err := l.server.Write(pass)
	if cut || l.mute {
		l.proxy.strike(name)
	}
	return err == nil && !cut
}

// hold keeps a request, and the connection to the server, until the request is delivered. The caller holds mu.
func (l *link) hold(request []byte) {
	l.held = true
	l.server.SetReadDeadline(time.Now())
	l.proxy.hold(l.server, func() {
		defer l.server.Close()
		l.server.SetDeadline(time.Now().Add(lateAnswer))
		if _, err := l.server.Write(request); err != nil {
			return
		}
		b := make([]byte, 1<<16)
		for {
			n, err := l.server.Read(b)
			if err != nil || l.proxy.h.Done(b[:n]) {
				return
			}
		}
	})
}

// reply passes on a packet of the server's; false when the link is to be cut. A fault strikes at the packet that ends the reply: then the call has
// surely happened.
func (l *link) reply(b []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mute {
		return true
	}
	if l.held || l.server.closed.Load() {
		return false
	}
	pass, name, f := b, l.name, l.todo
	if l.proxy.h.Done(b) {
		l.name, l.todo = "", ""
	} else {
		f = ""
	}
	switch f {
	case beforeReply:
		pass = nil
	case withinReply:
		pass = b[:len(b)/2]
	case hangReply:
		pass, l.mute = nil, true
	}
	_, err := l.client.Write(pass)
	if f != "" {
		l.proxy.strike(name)
	}
	return err == nil && (f == "" || l.mute)
}
