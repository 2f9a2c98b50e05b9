package sinktest

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

// late requests wait so long for an answer.
const lateAnswer = 2 * time.Second

// kafkaConn is a connection of kgo's to a broker. kgo writes a request at a time: its size, four bytes, its key and its version, two each, and its
// number, four. A reply begins with its size and the request's number.
type kafkaConn struct {
	*net.TCPConn
	net *network

	mu      sync.Mutex
	replies map[uint32]reply // that something is to happen to, by the request's number; guarded by mu
	held    bool             // the connection is kept for a late request; guarded by mu
	mute    bool             // nothing passes any more, either way; guarded by mu

	in  []byte // read and not yet given; the reader's
	end error  // what Read says once in is given; the reader's
}

// reply is what is to happen to one.
type reply struct {
	call  string
	fault fault
}

// Write sends a request, unless something happens to it.
func (c *kafkaConn) Write(b []byte) (int, error) {
	if !c.net.pass() {
		return 0, errCut
	}
	if len(b) < 12 {
		return c.TCPConn.Write(b)
	}
	if c.muted() {
		return len(b), nil
	}
	name := kafkaCall(int16(binary.BigEndian.Uint16(b[4:])))
	switch f := c.net.call(name); f {
	case "":
	case beforeRequest:
		c.net.strike(name)
		c.TCPConn.Close()
		return 0, errCut
	case hangRequest:
		c.silence()
		c.net.strike(name)
		return len(b), nil
	case late:
		c.holdLate(append([]byte(nil), b...))
		c.net.strike(name)
		return 0, errCut
	default:
		c.mu.Lock()
		c.replies[binary.BigEndian.Uint32(b[8:])] = reply{name, f}
		c.mu.Unlock()
	}
	return c.TCPConn.Write(b)
}

func (c *kafkaConn) holdLate(request []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
	c.SetReadDeadline(time.Now())
	c.net.hold(c.TCPConn, func() {
		defer c.TCPConn.Close()
		c.SetDeadline(time.Now().Add(lateAnswer))
		if _, err := c.TCPConn.Write(request); err == nil {
			c.TCPConn.Read(make([]byte, 1))
		}
	})
}

// Read gives the replies, whole frames at a time.
func (c *kafkaConn) Read(b []byte) (int, error) {
	for len(c.in) == 0 {
		if c.end != nil {
			return 0, c.end
		}
		if err := c.readFrame(); err != nil {
			return 0, err
		}
		if !c.net.pass() {
			return 0, errCut
		}
	}
	n := copy(b, c.in)
	c.in = c.in[n:]
	return n, nil
}

// readFrame reads a reply and does to it what is to happen.
func (c *kafkaConn) readFrame() error {
	head := make([]byte, 8)
	if _, err := io.ReadFull(c.TCPConn, head); err != nil {
		return err
	}
	frame := make([]byte, 4+binary.BigEndian.Uint32(head))
	copy(frame, head)
	if _, err := io.ReadFull(c.TCPConn, frame[8:]); err != nil {
		return err
	}
	if c.muted() {
		return nil
	}
	c.in = frame
	c.mu.Lock()
	r, ok := c.replies[binary.BigEndian.Uint32(frame[4:])]
	c.mu.Unlock()
	if !ok {
		return nil
	}
	switch r.fault {
	case beforeReply:
		c.in = nil
	case withinReply:
		c.in = frame[:len(frame)/2]
	case hangReply:
		c.in = nil
		c.silence()
		c.net.strike(r.call)
		return nil
	}
	c.end = errCut
	c.TCPConn.Close()
	c.net.strike(r.call)
	return nil
}

func (c *kafkaConn) silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = true
}

func (c *kafkaConn) muted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mute
}

// Close ends the connection, unless it is kept for a late request.
func (c *kafkaConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		return nil
	}
	return c.TCPConn.Close()
}
