package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go"
)

const (
	dialTimeout = 5 * time.Second
	maxIdle     = 8
	// idleTimeout is below every common idle timeout of servers and proxies.
	idleTimeout = 30 * time.Second
)

// pool keeps connections for blocks of rows that are not in use. A connection that has seen an error is not used again.
type pool struct {
	conf Config

	mu     sync.Mutex
	idle   []idleConn // the last used last; guarded by mu
	closed bool       // guarded by mu
}

type idleConn struct {
	*ch.Client
	since time.Time
}

func newPool(conf Config) *pool { return &pool{conf: conf} }

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, c := range p.idle {
		errs = append(errs, c.Close())
	}
	p.idle = nil
	return errors.Join(errs...)
}

func (p *pool) take() *ch.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !c.IsClosed() && time.Since(c.since) < idleTimeout {
			return c.Client
		}
		c.Close()
	}
	return nil
}

func (p *pool) put(c *ch.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		c.Close()
		return
	}
	p.idle = append(p.idle, idleConn{c, time.Now()})
}

// dial connects to the first address that answers.
func (p *pool) dial(ctx context.Context) (*ch.Client, error) {
	var errs []error
	for _, address := range p.conf.Addresses {
		opt := ch.Options{
			Address: address, User: p.conf.User, Password: p.conf.Password, ClientName: "extract",
			Dialer: dialer{p.conf.TLS}, HandshakeTimeout: dialTimeout, ReadTimeout: ch.NoTimeout,
		}
		if p.conf.Compress {
			opt.Compression = ch.CompressionLZ4
		}
		c, err := ch.Dial(ctx, opt)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("connect to clickhouse at %s: %w", address, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func tlsFor(conf *tls.Config, address string) *tls.Config {
	conf = conf.Clone()
	if host, _, err := net.SplitHostPort(address); err == nil && conf.ServerName == "" {
		conf.ServerName = host
	}
	return conf
}

// do runs one query on a connection of its own. A connection from the pool that turns out to be dead before the server can have seen the
// query is not told apart from one that dies later: whoever calls tries again as the error's class says.
func (p *pool) do(ctx context.Context, q ch.Query) error {
	c := p.take()
	if c == nil {
		var err error
		if c, err = p.dial(ctx); err != nil {
			return err
		}
	}
	if err := c.Do(ctx, q); err != nil {
		c.Close()
		return err
	}
	p.put(c)
	return nil
}
