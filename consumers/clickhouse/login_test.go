package clickhouse

import (
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/ch-go"

	"adventureworks.example/extract/consumers"
)

// refusal is what ClickHouse 26.7 answers to the hello of a user whose password is wrong: an exception (packet 2) with its code, name, message, stack
// trace and whether another one follows.
func refusal() []byte {
	b := binary.LittleEndian.AppendUint32([]byte{2}, 516)
	b = appendText(b, "DB::Exception")
	b = appendText(b, "DB::Exception: default: Authentication failed: password is incorrect, or there is no user with such name.")
	return append(appendText(b, ""), 0)
}

// refuse listens and refuses every login as ClickHouse does, without reading more than the hello.
func refuse(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		var conns []net.Conn // until the end: who closes first is the client's affair
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
			if _, err := conn.Read(make([]byte, 4096)); err == nil {
				conn.Write(refusal())
			}
		}
		for _, conn := range conns {
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// A refused login pauses and says what to look at, for statements and for blocks. The server is a listener with ClickHouse's answer: the embedded
// library gives it too, but ends of it (libchdb 26.7).
func TestWrongPasswordPauses(t *testing.T) {
	b := newBench(t)
	conf := b.conf
	conf.Addresses, conf.Password = []string{refuse(t)}, "wrong"
	s, err := Open(t.Context(), conf, b.registry)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, nextErr := s.Next(t.Context(), consumers.Partition{Topic: "aw.files.login"})
	for what, err := range map[string]error{"ping": s.Ping(t.Context()), "next": nextErr, "block": classify(s.pool.do(t.Context(), ch.Query{Body: "SELECT 1"}))} {
		if consumers.Classify(err) != consumers.Pause || !strings.Contains(err.Error(), "check user and password") {
			t.Errorf("%s: error is %v", what, err)
		}
	}
}
