package embeddedtest

import (
	"context"
	"os"
	"testing"
	"time"

	"adventureworks.example/extract/deploy/embedded"
)

// CH says where a ClickHouse listens.
type CH struct {
	// Addr is host:port of the native protocol.
	Addr string
	// HTTP is http://host:port.
	HTTP string
	// Suffix is different for every test: put it at the end of the names of databases, since all tests of a binary share the server.
	Suffix string
	// Server is the embedded server; nil when the environment names another.
	Server *embedded.ClickHouse
}

// ClickHouse returns the ClickHouse that the tests of this binary share. The user is default, without a password. The database default is not
// an ordinary one there: make databases with CH.Suffix at the end of their names.
func ClickHouse(t testing.TB) CH {
	t.Helper()
	if addr := os.Getenv("CLICKHOUSE_ADDR"); addr != "" {
		return CH{Addr: addr, HTTP: os.Getenv("CLICKHOUSE_HTTP"), Suffix: suffix()}
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	c, err := shared.clickhouse.get(func() (*embedded.ClickHouse, error) {
		dir, err := shared.folder("clickhouse")
		if err != nil {
			return nil, err
		}
		return startClickHouse(t, embedded.ClickHouseOptions{Dir: dir})
	})
	if err != nil {
		missing(t, "clickhouse", err)
	}
	return CH{Addr: c.Addr(), HTTP: c.HTTP(), Suffix: suffix(), Server: c}
}

// StartClickHouse starts a ClickHouse of the test's own, which may be killed and restarted. It ends with the test.
func StartClickHouse(t testing.TB) *embedded.ClickHouse {
	t.Helper()
	return StartClickHouseWith(t, embedded.ClickHouseOptions{Dir: t.TempDir()})
}

// StartClickHouseWith is StartClickHouse in a folder of the test's own.
func StartClickHouseWith(t testing.TB, o embedded.ClickHouseOptions) *embedded.ClickHouse {
	t.Helper()
	c, err := startClickHouse(t, o)
	if err != nil {
		missing(t, "clickhouse", err)
	}
	t.Cleanup(func() {
		ctx, cancel := grace(10 * time.Second)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func startClickHouse(t testing.TB, o embedded.ClickHouseOptions) (*embedded.ClickHouse, error) {
	ctx, cancel := startup(t)
	defer cancel()
	engines, err := embedded.Install(ctx, "", nil)
	if err != nil {
		return nil, err
	}
	return embedded.StartClickHouse(ctx, engines, o)
}

func grace(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
