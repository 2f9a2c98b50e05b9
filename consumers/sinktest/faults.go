package sinktest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// when says whether the call that fails has happened all the same. A late one happens when everything else is over.
type when string

const (
	before when = "not-happened"
	after  when = "happened"
	late   when = "late"
)

// next is what follows the fault.
type next string

const (
	restart   next = "restart"
	rebalance next = "rebalance"
	nothing   next = "nothing"
)

// fault makes one call fail: the nth request with the key to Kafka, or the nth packet to or from the sink's server where key is below zero.
// The zero value makes none fail.
type fault struct {
	key  int16
	nth  int
	when when
}

const sinkServer = -1

type testCase struct {
	fault fault
	then  next
}

func (c testCase) String() string {
	call := "sink"
	if c.fault.key >= 0 {
		call = kmsg.NameForKey(c.fault.key)
	}
	if c.fault.nth == 0 {
		call = "none"
	}
	return fmt.Sprintf("%s-%d-%s-then-%s", call, c.fault.nth, c.fault.when, c.then)
}

// cases are the cases, one in so many of them: every call that Run makes, at its first occurrences, failing in both ways, with everything that
// can follow.
func cases(every int) []testCase {
	keys := []struct {
		key int16
		nth []int
	}{
		{int16(kmsg.OffsetCommit), []int{1, 2, 3, 5}},
		{int16(kmsg.Fetch), []int{1, 2, 4}},
		{int16(kmsg.OffsetFetch), []int{1, 2}},
		{int16(kmsg.JoinGroup), []int{1}},
		{int16(kmsg.SyncGroup), []int{1}},
		{int16(kmsg.ListOffsets), []int{1}},
		{sinkServer, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 40}},
	}
	all := []testCase{{fault{}, nothing}, {fault{}, restart}, {fault{}, rebalance}}
	for _, k := range keys {
		for _, nth := range k.nth {
			for _, w := range []when{before, after, late} {
				if w == late && k.key >= 0 {
					continue // Kafka's side is fenced by the group's generation
				}
				for _, then := range []next{nothing, restart, rebalance} {
					all = append(all, testCase{fault{k.key, nth, w}, then})
				}
			}
		}
	}
	if every <= 1 {
		return all
	}
	var some []testCase
	for i := 0; i < len(all); i += every {
		some = append(some, all[i])
	}
	return some
}

var errCut = errors.New("the test cut the connection")

// cutter counts calls and says which of them fails.
type cutter struct {
	fault fault
	seen  atomic.Int64
	hit   atomic.Bool

	mu    sync.Mutex
	dead  bool                  // guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

func newCutter(f fault) *cutter { return &cutter{fault: f, conns: map[net.Conn]struct{}{}} }

func (c *cutter) struck() bool { return c.hit.Load() }

// cut counts one call and tells whether it is the one that fails.
func (c *cutter) cut(w when) bool {
	if f := c.fault.when; c.fault.nth == 0 || w != f && (w != before || f != late) || c.seen.Add(1) != int64(c.fault.nth) {
		return false
	}
	c.hit.Store(true)
	return true
}

// keep notes a connection, so that sever finds it; false when all is over.
func (c *cutter) keep(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dead {
		c.conns[conn] = struct{}{}
	}
	return !c.dead
}

// release forgets a connection, so that sever does not find it.
func (c *cutter) release(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

func (c *cutter) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for conn := range c.conns {
		conn.Close()
	}
}

// kafkaFaults makes requests to Kafka fail.
type kafkaFaults struct{ *cutter }

func newKafkaFaults(f fault) *kafkaFaults {
	if f.key < 0 {
		f = fault{}
	}
	return &kafkaFaults{newCutter(f)}
}

func (k *kafkaFaults) dial(ctx context.Context, network, host string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	if !k.keep(conn) {
		conn.Close()
		return nil, errCut
	}
	return &kafkaConn{Conn: conn, faults: k}, nil
}

// kafkaConn is a connection of kgo's, which writes a request at a time: its size, four bytes, and its key, two.
type kafkaConn struct {
	net.Conn
	faults *kafkaFaults
}

func (c *kafkaConn) Write(b []byte) (int, error) {
	if len(b) >= 6 && int16(binary.BigEndian.Uint16(b[4:])) == c.faults.fault.key && c.faults.cut(c.faults.fault.when) {
		defer c.Close()
		if c.faults.fault.when == before {
			return 0, errCut
		}
		n, err := c.Conn.Write(b)
		if err == nil {
			c.Conn.Read(make([]byte, 1)) // the broker answers, so it has done what it was asked for
		}
		return n, err
	}
	return c.Conn.Write(b)
}
