package clickhouse

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// linger bounds how long the end of a connection waits for the server's end of it.
const linger = 500 * time.Millisecond

// dialer opens the connections of both clients.
type dialer struct{ tls *tls.Config }

// DialContext connects within dialTimeout, TLS included.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialed, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := dialed.(*net.TCPConn)
	if !ok {
		return dialed, nil
	}
	conn := net.Conn(gentleConn{tcp})
	if d.tls == nil {
		return conn, nil
	}
	secured := tls.Client(conn, tlsFor(d.tls, address))
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// gentleConn ends its sending before it is closed and reads what the server still has to say, so that the server sees the connection's end
// and no reset. A query that was cancelled leaves an answer on its way, and ClickHouse's embedded engine (libchdb 26.7) ends as a whole of a
// reset that comes while it waits for the next query.
type gentleConn struct{ *net.TCPConn }

// Close returns when the server has closed its side too, after linger at the latest.
func (c gentleConn) Close() error {
	if err := c.CloseWrite(); err != nil {
		return c.TCPConn.Close()
	}
	timer := time.AfterFunc(linger, func() { c.TCPConn.Close() })
	io.Copy(io.Discard, c.TCPConn)
	if timer.Stop() {
		return c.TCPConn.Close()
	}
	return nil
}
