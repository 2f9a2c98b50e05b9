package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// listen takes the port that is asked for, or else the last run's, or else the next free one after it, or else any. The last run's is
// preferred so that the addresses that clients have stored stay valid.
func listen(asked, last int) (net.Listener, error) {
	if asked != 0 {
		l, err := net.Listen("tcp", loopback(asked))
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("port %d is in use by another program: stop that or choose another port", asked)
		}
		return l, err
	}
	if last != 0 {
		for port := last; port < last+20 && port < 65536; port++ {
			if l, err := net.Listen("tcp", loopback(port)); err == nil {
				return l, nil
			}
		}
	}
	for range 100 {
		if l, err := net.Listen("tcp", loopback(firstPort+rand.IntN(portCount))); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", loopback(0))
}

// The ports that are taken where none is asked for lie below those that systems give to outgoing connections: one of these would hold the port of a server
// that is down for a moment, or has yet to listen.
const (
	firstPort = 15_000
	portCount = 17_000
)

// startTries is how often a child is started whose port is taken by another program, or by a connection, before the child listens on it.
const startTries = 5

// untilItListens calls start again while it fails because a port is taken that was free when it was chosen.
func untilItListens(ctx context.Context, start func() error) error {
	for try := 1; ; try++ {
		err := start()
		if err == nil || try == startTries || !strings.Contains(strings.ToLower(err.Error()), "address already in use") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try) * 200 * time.Millisecond):
		}
	}
}

// port is listen for a child, which will listen itself: the port is free when port returns. See untilItListens.
func port(asked, last int) (int, error) {
	l, err := listen(asked, last)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return portOf(l), nil
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

const portsFile = "ports.json"

// readPorts returns the ports of the last run in the folder, zeros for none.
func readPorts(dir string) (p Ports) {
	text, err := os.ReadFile(filepath.Join(dir, portsFile))
	if err != nil || json.Unmarshal(text, &p) != nil {
		return Ports{}
	}
	return p
}
