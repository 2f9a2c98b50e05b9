package embedded

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := listen(portOf(taken), 0); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("a port that is asked for and taken: %v", err)
	}
	next, err := listen(0, portOf(taken))
	if err != nil {
		t.Fatal(err)
	}
	if portOf(next) == portOf(taken) {
		t.Error("the port of the last run is taken twice")
	}
	last := portOf(next)
	next.Close()
	again, err := listen(0, last)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if portOf(again) != last {
		t.Errorf("port %d, though the last run's, %d, is free", portOf(again), last)
	}
}

// A child whose port is taken before it listens is started again: on another port, or on its own as soon as that is free.
func TestPortTakenBeforeTheChildListens(t *testing.T) {
	e := needEngines(t)
	c, err := StartClickHouse(t.Context(), e, ClickHouseOptions{Dir: folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartPostgres(t.Context(), e, PostgresOptions{Dir: folder(t), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, server := range map[string]interface {
		Stop(context.Context) error
		Restart(context.Context) error
	}{c.Addr(): c, loopback(p.port): p} {
		t.Cleanup(func() {
			if err := server.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		if err := server.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		taken, err := net.Listen("tcp", name)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(500*time.Millisecond, func() { taken.Close() })
		if err := server.Restart(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestPortIn(t *testing.T) {
	for address, want := range map[string]int{"127.0.0.1:9092": 9092, "http://127.0.0.1:8123": 8123, "postgres://u:p@h:5432/d?sslmode=disable": 5432, "nothing": 0, "": 0} {
		if got := portIn(address); got != want {
			t.Errorf("portIn(%q) = %d, want %d", address, got, want)
		}
	}
}
