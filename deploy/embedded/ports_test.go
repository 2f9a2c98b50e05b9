package embedded

import (
	"net"
	"strings"
	"testing"
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

func TestPortIn(t *testing.T) {
	for address, want := range map[string]int{"127.0.0.1:9092": 9092, "http://127.0.0.1:8123": 8123, "postgres://u:p@h:5432/d?sslmode=disable": 5432, "nothing": 0, "": 0} {
		if got := portIn(address); got != want {
			t.Errorf("portIn(%q) = %d, want %d", address, got, want)
		}
	}
}
