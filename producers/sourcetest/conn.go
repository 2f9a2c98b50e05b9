package sourcetest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// dial opens a connection that belongs to the process.
func (p *process) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.isDead() {
		return nil, errDead
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		c.Close()
		return nil, errDead
	}
	p.conns[c] = struct{}{}
	return &conn{Conn: c, p: p, in: bufio.NewReader(c)}, nil
}

// conn is a connection to a broker. The Kafka client writes a request in one Write, and the broker's answers come in the order of the requests, each with
// its request's correlation id.
type conn struct {
	net.Conn
	p *process

	mu     sync.Mutex // guards what follows
	waits  bool       // for the answer to the request that was struck
	answer int32      // its correlation id
	hung   bool       // nothing gets through any more

	in   *bufio.Reader // owned by the reader, as is left
	left int           // bytes of the answer that is being read
}

// Write sends a request, unless the fault says otherwise.
func (c *conn) Write(b []byte) (int, error) {
	c.p.mu.Lock()
	kind, correlation := c.p.open.classify(b, c.p.isProgress)
	c.p.mu.Unlock()
	v, err := c.p.before(kind)
	c.mu.Lock()
	switch v {
	case refuse:
		c.mu.Unlock()
		c.Close()
		return 0, fmt.Errorf("write to broker: %w", err)
	case swallow:
		c.hung = true
	case lose:
		c.waits, c.answer = true, correlation
	}
	hung := c.hung
	c.mu.Unlock()
	if hung {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read gives the answers. When one is to be lost, it waits until the broker has sent it: then the request has surely happened.
func (c *conn) Read(b []byte) (int, error) {
	if c.left == 0 {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// begin looks at the next answer before anybody else does.
func (c *conn) begin() error {
	header, err := c.in.Peek(8) // size and correlation id
	if err != nil {
		if len(header) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	c.mu.Lock()
	mine := c.waits && int32(binary.BigEndian.Uint32(header[4:])) == c.answer
	if mine {
		c.waits = false
	}
	c.mu.Unlock()
	if mine {
		v, err := c.p.answered()
		switch v {
		case refuse:
			c.Close()
			return fmt.Errorf("read from broker: %w", err)
		case swallow:
			c.mu.Lock()
			c.hung = true
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	hung := c.hung
	c.mu.Unlock()
	if hung {
		_, err := io.Copy(io.Discard, c.in) // until the client's deadline, or its end
		if err == nil {
			err = io.EOF
		}
		return err
	}
	c.left = 4 + int(binary.BigEndian.Uint32(header))
	return nil
}
