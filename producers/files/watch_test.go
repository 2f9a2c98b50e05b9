package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adventureworks.example/extract/producers"
)

// following opens a source that follows its folder.
func following(t *testing.T, f *folder, m *memory) *Source {
	t.Helper()
	f.config.Follow = new(true)
	s := f.source()
	if err := s.Open(t.Context(), m, m.positions); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.WithoutCancel(t.Context())) })
	return s
}

// takeUntil reads batches until done says so, within a bound.
func (m *memory) takeUntil(s *Source, done func() bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	for !done() {
		b, err := s.Next(ctx)
		if err != nil {
			m.t.Fatalf("after %d rows: %v", len(m.rows), err)
		}
		m.take(b)
		if err := s.Commit(ctx, b.Positions); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *memory) waitRows(s *Source, n int) {
	m.t.Helper()
	m.takeUntil(s, func() bool { return len(m.rows) >= n })
}

// stays tells that nothing is returned for a while in which scans happen.
func stays(t *testing.T, s *Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if b, err := s.Next(ctx); err == nil {
		t.Fatalf("it was read: %d records, %v", len(b.Records), b.Positions)
	}
}

// waitContext tells when a source has scanned and goes to sleep: only then does it ask for Done.
type waitContext struct {
	context.Context
	asleep chan struct{}
}

func (c waitContext) Done() <-chan struct{} {
	select {
	case c.asleep <- struct{}{}:
	default:
	}
	return c.Context.Done()
}

func TestFolderMadeAndFilledAtOnce(t *testing.T) {
	f := newFolder(t)
	f.config.ScanEvery = time.Hour // only the watcher wakes it
	m := newMemory(t)
	s := following(t, f, m)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	waiting := waitContext{ctx, make(chan struct{}, 1)}
	batches, errs := make(chan producers.Batch), make(chan error, 1)
	go func() {
		for {
			b, err := s.Next(waiting)
			if err != nil {
				errs <- err
				return
			}
			batches <- b
		}
	}()
	for i := range 50 {
		select {
		case <-waiting.asleep:
		case err := <-errs:
			t.Fatal(err)
		}
		dir := f.path(fmt.Sprintf("d%d/e/f", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "reviews.csv"), fmt.Appendf(nil, "%s%d,,,\n", header, i), 0o644); err != nil {
			t.Fatal(err)
		}
		for len(m.rows) <= i {
			select {
			case b := <-batches:
				m.take(b)
			case err := <-errs:
				t.Fatalf("folder %d was not seen: %v", i, err)
			}
		}
	}
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestManyFilesWithAPausedReader(t *testing.T) {
	const n = 5000
	f := newFolder(t)
	m := newMemory(t)
	s := following(t, f, m)
	stays(t, s) // it watches now, and then does not read
	for i := range n {
		if err := os.WriteFile(f.path(fmt.Sprintf("reviews%d.csv", i)), fmt.Appendf(nil, "%s%d,,,\n", header, i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.waitRows(s, n)
	seen := map[string]bool{}
	for _, r := range m.rows {
		seen[r] = true
	}
	if len(seen) != n || len(m.rows) != n {
		t.Errorf("%d rows, %d of them different", len(m.rows), len(seen))
	}
}

func TestRenamedInAndOut(t *testing.T) {
	f := newFolder(t)
	m := newMemory(t)
	s := following(t, f, m)
	outside := filepath.Join(f.base, "dir")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "reviews.csv"), []byte(header+"1,,,\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(outside, f.path("moved here")); err != nil { // a whole folder at once
		t.Fatal(err)
	}
	m.waitRows(s, 1)
	f.drop("moved here/reviews2.csv", []byte(header+"2,,,\n"))
	m.waitRows(s, 2)
	f.drop("reviews.csv.tmp", []byte(header+"3,,,\n"))
	stays(t, s)
	if err := os.Rename(f.path("reviews.csv.tmp"), f.path("reviews.csv")); err != nil {
		t.Fatal(err)
	}
	m.waitRows(s, 3)
}

func TestFileInTheMakingIsNotRead(t *testing.T) {
	f := newFolder(t)
	f.config.Settle = 20 * time.Millisecond
	m := newMemory(t)
	s := following(t, f, m)
	w, err := os.Create(f.path("reviews.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString(header + "1,a,,\n"); err != nil {
		t.Fatal(err)
	}
	stays(t, s) // at rest for longer than settle, but its writer is there
	if _, err := w.WriteString("2,b,,\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	m.waitRows(s, 2)
	// Without a line break at its end a file is complete after it was at rest.
	f.drop("reviews2.csv", []byte(header+"3,c,,"))
	m.waitRows(s, 3)
}

func TestMarker(t *testing.T) {
	f := newFolder(t)
	f.config.Marker = ".done"
	m := newMemory(t)
	s := following(t, f, m)
	f.drop("reviews.csv", []byte(header+"1,a,,\n"))
	stays(t, s)
	f.drop("reviews.csv.done", nil)
	m.waitRows(s, 1)
	if !f.exists("processed/reviews.csv.done") || f.exists("reviews.csv.done") {
		t.Error("the marker stayed behind")
	}
	f = newFolder(t)
	f.config.Marker = "_SUCCESS"
	m = newMemory(t)
	s = following(t, f, m)
	f.drop("a/reviews.csv", []byte(header+"1,a,,\n"))
	stays(t, s)
	f.drop("a/_SUCCESS", nil)
	m.waitRows(s, 1)
}

func TestOnlyPlainFilesAreRead(t *testing.T) {
	f := newFolder(t)
	secret := filepath.Join(f.base, "reviews secret.csv")
	if err := os.WriteFile(secret, []byte(header+"1,secret,,\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"link": os.Symlink(secret, f.path("reviews.csv")), "folder link": os.Symlink(f.base, f.path("dir")),
		"pipe": unix.Mkfifo(f.path("reviews2.csv"), 0o644), "dangling": os.Symlink("nowhere", f.path("reviews3.csv")),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	l, err := net.Listen("unix", f.path("reviews4.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f.drop(".reviews.csv", []byte(header+"1,hidden,,\n"))
	f.drop("unknown.xlsx", zipOf(entry{"reviews.csv", []byte(header + "1,inside,,\n")}))
	m := newMemory(t)
	m.run(f.source())
	m.wantRows()
	if !f.exists("unknown.xlsx") {
		t.Error("a file that no dataset matches was moved")
	}
}

func TestHostileNames(t *testing.T) {
	names := []string{"reviews \n two.csv", "reviews\xff\xfe.csv", `reviews\x00.csv`, "reviews (1), it's!.csv", "-reviews/" + strings.Repeat("r", 251) + ".csv", "reviews%2f..csv", "reviews~1.csv", "~1/reviews.csv"}
	f := newFolder(t)
	f.config.Datasets[0].Match = []string{"*.csv"}
	for i, n := range names {
		f.drop(n, fmt.Appendf(nil, "%s%d,,,\n", header, i))
	}
	f.drop("bad/"+strings.Repeat("b", 251)+".csv", []byte("no header that fits\n"))
	m := newMemory(t)
	m.run(f.source())
	if len(m.rows) != len(names) {
		t.Errorf("%d rows of %d files: %q", len(m.rows), len(names), m.rows)
	}
	for part, text := range m.positions {
		p, err := parsePosition(text)
		if err != nil || f.exists(p.path) || p.String() != text {
			t.Errorf("position %q of %q: %v", text, part, err)
		}
	}
}

// grow appends to a file as a slow writer does.
func grow(t *testing.T, name, text string) {
	t.Helper()
	w, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	w.Close()
}

func TestFileThatGrowsGoesOn(t *testing.T) {
	for _, how := range []string{"half read", "done"} {
		t.Run(how, func(t *testing.T) {
			f := newFolder(t)
			f.config.Processed = "leave"
			f.drop("reviews.csv", []byte(header+"1,a,,\n2,b,,\n3,c,,\n"))
			m := newMemory(t)
			s := following(t, f, m)
			s.batchRecords = 1
			n := 2
			if how == "done" {
				n = 3
			}
			m.waitRows(s, n)
			if how == "done" {
				m.takeUntil(s, func() bool { return strings.Contains(m.positions["file:reviews.csv"], " done ") })
			}
			grow(t, f.path("reviews.csv"), "4,d,,\n")
			m.takeUntil(s, func() bool { return strings.Contains(m.positions["file:reviews.csv"], " done ") && len(m.rows) >= 4 })
			stays(t, s)
			m.wantRows("reviews reviews.csv#1: 1|a|<nil>|<nil>", "reviews reviews.csv#2: 2|b|<nil>|<nil>", "reviews reviews.csv#3: 3|c|<nil>|<nil>", "reviews reviews.csv#4: 4|d|<nil>|<nil>")
		})
	}
}

func TestFileThatIsReplacedIsANewOne(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews.csv", []byte(header+"1,a,,\n2,b,,\n3,c,,\n"))
	m := newMemory(t)
	s := following(t, f, m)
	s.batchRecords = 1
	m.waitRows(s, 2)
	f.drop("reviews.csv", []byte(header+"7,x,,\n8,y,,\n9,z,,\n"))
	// What was opened is read to its end from the file that is no longer there by name; the new one is read after it.
	m.takeUntil(s, func() bool { return len(m.rows) >= 6 })
	if got := strings.Join(m.rows, " "); strings.Count(got, "7|x") != 1 || strings.Count(got, "9|z") != 1 || strings.Count(got, "1|a") != 1 {
		t.Errorf("rows %v", m.rows)
	}
	m.takeUntil(s, func() bool { return f.exists("processed/reviews.csv") })
}

func TestRenamedHalfWayGoesOnUnderTheNewName(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews.csv", []byte(header+"1,a,,\n2,b,,\n3,c,,\n"))
	m := newMemory(t)
	s := following(t, f, m)
	s.batchRecords = 1
	m.waitRows(s, 2)
	s.Close(t.Context()) // the process ends
	if err := os.Rename(f.path("reviews.csv"), f.path("reviews new.csv")); err != nil {
		t.Fatal(err)
	}
	m.run(f.sourceOnce())
	m.wantRows("reviews reviews.csv#1: 1|a|<nil>|<nil>", "reviews reviews.csv#2: 2|b|<nil>|<nil>", "reviews reviews new.csv#3: 3|c|<nil>|<nil>")
	if _, ok := m.positions["file:reviews.csv"]; ok {
		t.Error("the old name's position is still there")
	}
}

func (f *folder) sourceOnce() *Source {
	f.config.Follow = new(false)
	return f.source()
}

func TestCommitAfterCrashIsMadeUpFor(t *testing.T) {
	f := newFolder(t)
	f.drop("reviews.csv", []byte(header+"1,a,,\n"))
	m := newMemory(t)
	s := f.source()
	if err := s.Open(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	for {
		b, err := s.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		m.take(b) // durable, but the process dies before it is told
	}
	s.Close(t.Context())
	// A new file of the same name and size has come instead, in the meantime: it must not be moved unread.
	f.drop("other/reviews.csv", []byte(header+"2,b,,\n"))
	m.run(f.source())
	m.wantRows("reviews reviews.csv#1: 1|a|<nil>|<nil>", "reviews other/reviews.csv#1: 2|b|<nil>|<nil>")
	if f.exists("reviews.csv") || !f.exists("processed/reviews.csv") {
		t.Error("the move was not made up for")
	}
	var again []producers.Position
	for part, text := range m.positions {
		again = append(again, producers.Position{Part: part, Text: text})
	}
	s = f.source()
	defer s.Close(t.Context())
	if err := s.Commit(t.Context(), again); err != nil { // told once more
		t.Fatal(err)
	}
}
