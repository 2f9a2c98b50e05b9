package sinktest

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var errCut = errors.New("the test cut the connection")

// network is all that one process has of the world: its connections to Kafka and to the sink's server. It counts the calls, makes some of
// them fail, and can freeze or cut off the process as a whole.
type network struct {
	struck chan struct{} // closed when every strike has happened

	mu      sync.Mutex // guards what follows
	moved   *sync.Cond // on mu: frozen or dead has changed
	strikes []strike   // that are still to come
	freezes bool       // the process freezes with the last strike
	seen    map[string]int
	order   []string // of the names in seen
	frozen  bool
	dead    bool
	conns   map[net.Conn]struct{}
	undone  []func() // late requests
}

func newNetwork(freezes bool, strikes ...strike) *network {
	n := &network{struck: make(chan struct{}), strikes: strikes, freezes: freezes, seen: map[string]int{}, conns: map[net.Conn]struct{}{}}
	n.moved = sync.NewCond(&n.mu)
	if len(strikes) == 0 {
		close(n.struck)
	}
	return n
}

// call counts a call and says what is to happen to it; "" for nothing. Whoever does it says so by strike.
func (n *network) call(name string) fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[name] == 0 {
		n.order = append(n.order, name)
	}
	n.seen[name]++
	for _, s := range n.strikes {
		if s.call == name && s.nth == n.seen[name] {
			return s.fault
		}
	}
	return ""
}

// strike notes that the fault of a call has happened.
func (n *network) strike(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, s := range n.strikes {
		if s.call != name {
			continue
		}
		n.strikes = append(n.strikes[:i:i], n.strikes[i+1:]...)
		if len(n.strikes) == 0 {
			n.frozen = n.freezes
			close(n.struck)
		}
		return
	}
}

// disarm takes back the strikes that have not happened.
func (n *network) disarm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strikes = nil
}

// count is how often a call was made.
func (n *network) count(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen[name]
}

// calls are the calls that were made, in the order of their first.
func (n *network) calls(s scene) []call {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []call
	for _, name := range n.order {
		all = append(all, call{s, name, n.seen[name]})
	}
	return all
}

// pass waits while the process is frozen; false when it is cut off.
func (n *network) pass() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.frozen && !n.dead {
		n.moved.Wait()
	}
	return !n.dead
}

func (n *network) freeze(frozen bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen = frozen
	n.moved.Broadcast()
}

// keep notes a connection, so that sever finds it; false when the process is cut off.
func (n *network) keep(conn net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.dead {
		n.conns[conn] = struct{}{}
	}
	return !n.dead
}

// hold keeps a late request until deliver. Its connection is no longer sever's.
func (n *network) hold(conn net.Conn, send func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, conn)
	n.undone = append(n.undone, send)
}

// deliver lets the late requests reach their servers, and waits until those have dealt with them.
func (n *network) deliver() {
	n.mu.Lock()
	undone := n.undone
	n.undone = nil
	n.mu.Unlock()
	for _, send := range undone {
		send()
	}
}

// sever cuts the process off from everything at once, as death does. What is left of it cannot reach anybody any more.
func (n *network) sever() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	for conn := range n.conns {
		conn.Close()
	}
	n.moved.Broadcast()
}

// dial opens a connection to a broker.
func (n *network) dial(ctx context.Context, _, host string) (net.Conn, error) {
	if !n.pass() {
		return nil, errCut
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	c := &kafkaConn{TCPConn: conn.(*net.TCPConn), net: n, replies: map[uint32]reply{}}
	if !n.keep(conn) {
		conn.Close()
		return nil, errCut
	}
	return c, nil
}

func kafkaCall(key int16) string { return kafka + kmsg.NameForKey(key) }
