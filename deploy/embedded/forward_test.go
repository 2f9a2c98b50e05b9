//go:build unix

package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// helloPacket is the first packet of a client of the native protocol.
func helloPacket(database, user, password string) []byte {
	b := []byte{clientHello}
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text("a test")
	b = append(b, 24, 1)
	b = binary.AppendUvarint(b, 54401) // the last revision without an addendum
	text(database)
	text(user)
	text(password)
	return b
}

// reset ends a connection as kill -9 of a client does that has not read everything.
func reset(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(within(t, 30*time.Second), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// greeted connects, says hello and returns the connection and the number of the answering packet.
func greeted(t *testing.T, address string, hello []byte) (net.Conn, byte) {
	t.Helper()
	conn := dial(t, address)
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	return conn, answer[0]
}

// TestClickHouseBearsItsClients has clients reset their connections at every stage, be refused, and speak another protocol. The server must be the
// same process afterwards, and answer.
func TestClickHouseBearsItsClients(t *testing.T) {
	engines := needEngines(t)
	if !engines.library {
		t.Skip("this platform runs ClickHouse's own program")
	}
	c, err := StartClickHouse(within(t, 3*time.Minute), engines, ClickHouseOptions{Dir: folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(within(t, 30*time.Second)); err != nil {
			t.Error(err)
		}
	})
	native, web := c.Addr(), strings.TrimPrefix(c.HTTP(), "http://")
	query := "POST /?query=" + "SELECT+number+FROM+numbers(100000000)" + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
	cases := []struct {
		name string
		once func()
	}{
		{"reset while idle", func() {
			conn, kind := greeted(t, native, helloPacket("", "default", ""))
			if kind != 0 {
				t.Fatalf("hello is answered by packet %d", kind)
			}
			reset(t, conn)
		}},
		{"reset before hello", func() { reset(t, dial(t, native)) }},
		{"reset within hello", func() {
			conn := dial(t, native)
			if _, err := conn.Write(helloPacket("", "default", "")[:9]); err != nil {
				t.Fatal(err)
			}
			reset(t, conn)
		}},
		{"a packet cut off", func() {
			conn, _ := greeted(t, native, helloPacket("", "default", ""))
			if _, err := conn.Write([]byte{1, 4, 'a', 'b'}); err != nil { // a query whose id goes on
				t.Fatal(err)
			}
			reset(t, conn)
		}},
		{"refused login", func() {
			if _, kind := greeted(t, native, helloPacket("", "nobody", "wrong")); kind != serverException {
				t.Fatalf("a login that is refused is answered by packet %d", kind)
			}
		}},
		{"missing database", func() {
			if _, kind := greeted(t, native, helloPacket("no_such_database", "default", "")); kind != serverException {
				t.Fatalf("a database that is missing is answered by packet %d", kind)
			}
		}},
		{"another protocol", func() {
			conn := dial(t, native)
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(conn); len(b) > 0 {
				t.Fatalf("HTTP is answered %q, %v", b, err)
			}
		}},
		{"reset within an answer over HTTP", func() {
			conn := dial(t, web)
			if _, err := io.WriteString(conn, query); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, conn, 1<<20); err != nil {
				t.Fatal(err)
			}
			reset(t, conn)
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			for range 5 {
				tc.once()
			}
			if got := ask(t, c.HTTP(), "SELECT 1"); got != "1\n" {
				t.Errorf("afterwards SELECT 1 is %q", got)
			}
			if conn, kind := greeted(t, native, helloPacket("", "default", "")); kind != 0 {
				t.Errorf("afterwards hello is answered by packet %d", kind)
			} else {
				conn.Close()
			}
			if !c.ended().alive() {
				t.Fatalf("the server has ended: %v", c.ended().exit())
			}
		})
	}
}

func ask(t *testing.T, address, sql string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, time.Minute), http.MethodPost, address, strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExceptionPacket(t *testing.T) {
	got := exceptionPacket(516, "Code: 516. DB::Exception: refused\n")
	if want := "\x02\x04\x02\x00\x00\x0dDB::Exception\x16DB::Exception: refused\x00\x00"; string(got) != want {
		t.Errorf("packet %q, want %q", got, want)
	}
}

func TestParseHello(t *testing.T) {
	packet := helloPacket("db", "anna", "secret")
	h, err := parseHello(packet)
	if err != nil || h != (hello{"db", "anna", "secret"}) {
		t.Errorf("hello %+v, %v", h, err)
	}
	for n := range len(packet) {
		if _, err := parseHello(packet[:n]); err != errShort {
			t.Errorf("%d bytes of it: %v", n, err)
		}
	}
	for _, other := range [][]byte{[]byte("GET / HTTP/1.1"), {22, 3, 1}, append([]byte{0}, binary.AppendUvarint(nil, 1<<40)...)} {
		if _, err := parseHello(other); err != errNotHello {
			t.Errorf("%q: %v", other, err)
		}
	}
	// It comes in pieces, with what follows.
	read, h, err := readHello(io.MultiReader(bytes.NewReader(packet[:5]), bytes.NewReader(packet[5:7]), bytes.NewReader(append(packet[7:], "more"...))))
	if err != nil || h.user != "anna" || string(read) != string(packet)+"more" {
		t.Errorf("read %q, %+v, %v", read, h, err)
	}
	if _, _, err := readHello(bytes.NewReader(packet[:5])); err != io.EOF {
		t.Errorf("a hello that ends early: %v", err)
	}
}

func TestParseForward(t *testing.T) {
	all, err := parseForward(forwardText([2]string{"127.0.0.1:1", "127.0.0.1:2"}, [2]string{"127.0.0.1:3", "127.0.0.1:4"}))
	if err != nil || len(all) != 2 || all[0].front != "127.0.0.1:1" || all[1].back != "127.0.0.1:4" || all[0].greet == nil || all[1].greet != nil {
		t.Errorf("%+v, %v", all, err)
	}
	for _, text := range []string{"", "127.0.0.1:1", "127.0.0.1:1>127.0.0.1:2"} {
		if _, err := parseForward(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestForwarderEndsOrdinarily passes bytes both ways and sees that a client's reset reaches the server as the end of its stream, after all that was sent, and
// that the server's end reaches the client.
func TestForwarderEndsOrdinarily(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- forwarder{front: front.Addr().String(), back: server.Addr().String()}.serve(ctx, front)
	}()
	accept := func() net.Conn {
		t.Helper()
		conn, err := server.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	client := dial(t, front.Addr().String())
	back := accept()
	if _, err := io.WriteString(client, "question"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("question"))
	if _, err := io.ReadFull(back, got); err != nil {
		t.Fatal(err)
	}
	reset(t, client)
	if rest, err := io.ReadAll(back); err != nil || len(rest) > 0 {
		t.Errorf("the server reads %q, %v behind the reset", rest, err)
	}
	// Whatever the server still has to say harms nobody.
	if _, err := back.Write(make([]byte, 1<<20)); err != nil {
		t.Errorf("the server writes behind the reset: %v", err)
	}
	back.Close()

	client = dial(t, front.Addr().String())
	back = accept()
	if _, err := io.WriteString(back, "answer"); err != nil {
		t.Fatal(err)
	}
	back.Close()
	if text, err := io.ReadAll(client); err != nil || string(text) != "answer" {
		t.Errorf("the client reads %q, %v", text, err)
	}
	client.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
