package clickhouse

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// logged keeps what a consumer says.
type logged struct {
	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// lines are those that hold all the texts.
func (l *logged) lines(texts ...string) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.out.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		all = append(all, line)
	}
	return all
}

// listen runs a consumer whose words are kept.
func (f *flow) listen() *logged {
	l := &logged{}
	f.run(func(o *consumers.Options) { o.Log = slog.New(slog.NewTextHandler(l, nil)) })
	return l
}

// waits waits until topics wait for a fault, and sees that it was said once for each episode of it.
func (f *flow) waits(l *logged, name faults.Name, class consumers.Class, episodes int, topics ...string) {
	f.t.Helper()
	waiting := map[string]faults.Problem{}
	f.wait(func() bool {
		clear(waiting)
		for _, p := range f.status.Problems() {
			if p.Fault == name && p.Tries > 3 {
				for _, topic := range p.Waits {
					waiting[topic] = p
				}
			}
		}
		for _, topic := range topics {
			if _, ok := waiting[topic]; !ok {
				return false
			}
		}
		return len(l.lines("msg=waiting", "fault="+string(name))) >= episodes
	}, "%v to wait for %s; problems %+v", topics, name, f.status.Problems())
	line, _ := name.Lookup()
	for topic, p := range waiting {
		if p.Class != class || p.Place != faults.ClickHouse || p.Error == "" || p.Remedy != line.Remedy {
			f.t.Errorf("%s waits for %+v", topic, p)
		}
	}
	if said := l.lines("msg=waiting"); len(said) != episodes {
		f.t.Errorf("said %d times that something waits, want %d:\n%s", len(said), episodes, strings.Join(said, ""))
	}
	for _, t := range f.status.Topics() {
		for _, p := range t.Partitions {
			if p.Err != "" && (p.Fault != name || p.Class != class || p.ErrSince.IsZero() || p.ErrSince.After(p.ErrAt)) {
				f.t.Errorf("the status of %s/%d is %+v", p.Topic, p.Partition, p)
			}
		}
	}
}

// goesOn waits until nothing waits, and sees that every episode was said to be over, once.
func (f *flow) goesOn(l *logged, episodes int) {
	f.t.Helper()
	f.wait(func() bool { return len(f.status.Problems()) == 0 }, "nothing to wait")
	if said := l.lines(`msg="goes on"`); len(said) != episodes {
		f.t.Errorf("said %d times that something goes on, want %d:\n%s", len(said), episodes, strings.Join(said, ""))
	}
	for _, t := range f.status.Topics() {
		if t.Err != "" {
			f.t.Errorf("%s still has the error %s", t.Topic, t.Err)
		}
	}
}

// What one table does not take stops its topic alone, and is said once; mended, the topic goes on by itself with every row once.
func TestFaultsOfATablePass(t *testing.T) {
	for _, c := range []struct {
		name          faults.Name
		provoke, mend string // with the table for %s
	}{
		{"clickhouse-parts", "ALTER TABLE %[1]s MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1; SYSTEM STOP MERGES %[1]s",
			"ALTER TABLE %[1]s RESET SETTING parts_to_throw_insert, parts_to_delay_insert; SYSTEM START MERGES %[1]s"},
		{"clickhouse-read-only-table", "ALTER TABLE %[1]s MODIFY SETTING table_readonly = 1", "ALTER TABLE %[1]s MODIFY SETTING table_readonly = 0"},
		{faults.ClickHouseTableMissing, "RENAME TABLE %[1]s TO %[2]s", "RENAME TABLE %[2]s TO %[1]s"},
		{faults.ClickHouseRefusesAll, "ALTER TABLE %[1]s ADD CONSTRAINT never CHECK n < 0", "ALTER TABLE %[1]s DROP CONSTRAINT never"},
	} {
		t.Run(string(c.name), func(t *testing.T) {
			f := newFlow(newBench(t))
			broken, fine := f.topic("broken", 2), f.topic("fine", 2)
			l := f.listen()
			for _, topic := range []string{broken, fine} {
				f.produce(topic, 0, 400)
				f.arrive(topic, 400)
			}
			table, away := quoteName(f.conf.Raw)+"."+quoteName(schemas.Table(f.conf.Prefix, broken)), quoteName(f.conf.Raw)+".away"
			f.execAll(fmt.Sprintf(c.provoke+"%.0[2]s", table, away))
			f.produce(broken, 400, 400)
			f.waits(l, c.name, consumers.Pause, 1, broken)
			f.produce(fine, 400, 400)
			f.arrive(fine, 800)
			f.execAll(fmt.Sprintf(c.mend+"%.0[2]s", table, away))
			f.arrive(broken, 800)
			f.goesOn(l, 1)
			if st := f.status.Topics(); st[0].Rejected+st[1].Rejected != 0 {
				t.Errorf("rows were rejected: %+v", st)
			}
		})
	}
}

// execAll runs statements.
func (f *flow) execAll(statements string) {
	f.t.Helper()
	for _, sql := range strings.Split(statements, "; ") {
		if err := f.exec(context.Background(), sql); err != nil {
			f.t.Fatal(err)
		}
	}
}

// A full disk, by the server's own limit on a table and by a file system that has no room: the topics wait, and go on once there is room.
func TestFullDiskPasses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256m,mode=0755"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	server := embeddedtest.StartClickHouseWith(t, embedded.ClickHouseOptions{Dir: dir})
	f := newFlow(newBenchAt(t, server.Addr()))
	topics := []string{f.topic("first", 2), f.topic("second", 2)}
	l := f.listen()
	for _, topic := range topics {
		f.produce(topic, 0, 400)
		f.arrive(topic, 400)
	}
	ballast := filepath.Join(dir, "ballast")
	crowd(t, ballast)
	for _, topic := range topics {
		f.produce(topic, 400, 400)
	}
	f.waits(l, faults.ClickHouseDiskFull, consumers.Pause, 1, topics...)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		f.arrive(topic, 800)
	}
	f.goesOn(l, 1)
}

// crowd writes a file until the file system is full.
func crowd(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, piece := range [][]byte{make([]byte, 1<<20), make([]byte, 4096)} {
		for err = nil; err == nil; {
			_, err = file.Write(piece)
		}
	}
	if name, _ := faults.Known(faults.RecognizeFile(err)); name.Name != faults.FilesFull {
		t.Fatalf("fill %s: %v", path, err)
	}
}

// A server that is gone makes one episode for all topics; when it is back every row is there once.
func TestServerThatIsDownIsSaidOnce(t *testing.T) {
	server := embeddedtest.StartClickHouse(t)
	f := newFlow(newBenchAt(t, server.Addr()))
	topics := []string{f.topic("first", 3), f.topic("second", 3)}
	l := f.listen()
	for _, topic := range topics {
		f.produce(topic, 0, 600)
		f.arrive(topic, 600)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		f.produce(topic, 600, 600)
	}
	f.waits(l, faults.ClickHouseDown, consumers.Retry, 1, topics...)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		f.arrive(topic, 1200)
	}
	f.goesOn(l, 1)
}

// gatekeeper stands before a server. While it refuses, it ends every connection and answers each new one with an exception, as the server answers a
// login that it refuses.
type gatekeeper struct {
	addr, server string

	mu    sync.Mutex
	code  int // 0 lets through; guarded by mu
	conns map[net.Conn]struct{}
	all   sync.WaitGroup
}

func keepGate(t *testing.T, server string) *gatekeeper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gatekeeper{addr: l.Addr().String(), server: server, conns: map[net.Conn]struct{}{}}
	g.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.all.Go(func() { g.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); g.refuse(0); g.all.Wait() })
	return g
}

// refuse refuses with a code from now on; 0 lets through. Every connection ends.
func (g *gatekeeper) refuse(code int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.code = code
	for conn := range g.conns {
		conn.(*net.TCPConn).CloseWrite()
		conn.(*net.TCPConn).CloseRead()
	}
}

func (g *gatekeeper) serve(conn net.Conn) {
	defer conn.Close()
	g.mu.Lock()
	code := g.code
	if code == 0 {
		g.conns[conn] = struct{}{}
	}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, conn)
	}()
	if code != 0 {
		if _, err := conn.Read(make([]byte, 4096)); err == nil {
			conn.Write(exceptionPacket(code))
			io.Copy(io.Discard, conn)
		}
		return
	}
	server, err := net.Dial("tcp", g.server)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() { defer close(done); io.Copy(conn, server); conn.(*net.TCPConn).CloseWrite() }()
	io.Copy(server, conn)
	server.(*net.TCPConn).CloseWrite()
	<-done
}

// exceptionPacket is packet 2 of the native protocol: the code, a name, a message, a stack trace, and that no other follows.
func exceptionPacket(code int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{2}, uint32(code))
	b = appendText(b, "DB::Exception")
	b = appendText(b, fmt.Sprintf("DB::Exception: refused with %d", code))
	return append(appendText(b, ""), 0)
}

// What the server as a whole refuses is one episode for all topics, whatever its code.
func TestFaultsOfTheServerPass(t *testing.T) {
	gate := keepGate(t, embeddedtest.ClickHouse(t).Addr)
	f := newFlow(newBenchAt(t, gate.addr))
	topics := []string{f.topic("first", 2), f.topic("second", 2)}
	l := f.listen()
	n := 0
	more := func() {
		for _, topic := range topics {
			f.produce(topic, n, 200)
		}
		n += 200
	}
	all := func() {
		for _, topic := range topics {
			f.arrive(topic, n)
		}
	}
	more()
	all()
	for _, c := range []struct {
		code  int
		name  faults.Name
		class consumers.Class
	}{
		{516, "clickhouse-login", consumers.Pause}, {201, "clickhouse-quota", consumers.Pause}, {241, "clickhouse-memory", consumers.Pause},
		{164, "clickhouse-read-only-user", consumers.Pause}, {202, "clickhouse-busy", consumers.Retry}, {81, "clickhouse-database-missing", consumers.Pause},
	} {
		l.clear()
		gate.refuse(c.code)
		more()
		f.waits(l, c.name, c.class, 1, topics...)
		gate.refuse(0)
		all()
		f.goesOn(l, 1)
	}
}

func (l *logged) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.Reset()
}

// The real server refuses a user that it does not know, and goes on serving others.
func TestUnknownUserIsRefused(t *testing.T) {
	b := newBench(t)
	conf := b.conf
	conf.User, conf.Password = "nobody", "pw"
	s, err := Open(t.Context(), conf, b.registry)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if f, _ := faults.Known(s.Ping(ctx)); f.Name != "clickhouse-login" {
		t.Errorf("ping is %q", f.Name)
	}
	if err := b.Ping(ctx); err != nil {
		t.Errorf("the server is gone for others: %v", err)
	}
}
