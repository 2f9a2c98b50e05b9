package files

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// flowing is a folder that is streamed into Kafka, with what the source says.
type flowing struct {
	*folder
	brokers []string
	topic   string
	status  producers.Status

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

func (f *flowing) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Write(p)
}

func (f *flowing) said(text string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Count(f.out.String(), text)
}

// flow streams a folder until the test ends.
func flow(t *testing.T, f *folder) *flowing {
	t.Helper()
	f.config.Follow = new(true)
	fl := &flowing{folder: f, brokers: embeddedtest.Kafka(t)}
	prefix := embeddedtest.Prefix(t, fl.brokers)
	fl.topic = schemas.Topic(prefix, "files", "reviews")
	log := slog.New(slog.NewTextHandler(fl, nil))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- producers.Run(ctx, producers.Options{Kafka: []kgo.Opt{kgo.SeedBrokers(fl.brokers...)}, Registry: sourcetest.NewRegistry(), Prefix: prefix, Source: "files",
			Status: &fl.status, Log: log, Backoff: producers.Backoff{Min: 20 * time.Millisecond, Max: 100 * time.Millisecond, Pause: 200 * time.Millisecond},
			Topics: producers.TopicConfig{Partitions: 1, ReplicationFactor: 1},
			New:    func(context.Context) (producers.Source, error) { return New(f.config, f.base, log) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return fl
}

// until waits until something holds.
func (f *flowing) until(what string, holds func() bool) {
	f.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("waited in vain until %s; status %+v", what, f.status.Snapshot())
		}
	}
}

// arrived waits until n rows were committed and sees that the topic holds as many.
func (f *flowing) arrived(n int64) {
	f.t.Helper()
	f.until(fmt.Sprintf("%d rows have arrived", n), func() bool {
		for _, d := range f.status.Snapshot().Datasets {
			if d.Dataset == "reviews" {
				return d.Produced >= n
			}
		}
		return false
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.ConsumeTopics(f.topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		f.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(f.t.Context(), f.topic)
	if err != nil {
		f.t.Fatal(err)
	}
	end, _ := ends.Lookup(f.topic, 0)
	var rows int64
	for at := int64(0); at < end.Offset; {
		fetches := cl.PollFetches(f.t.Context())
		if err := fetches.Err(); err != nil {
			f.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if !r.Attrs.IsControl() {
				rows++
			}
		})
	}
	if rows != n {
		f.t.Errorf("the topic holds %d rows, want %d", rows, n)
	}
}

// waits waits until the source, or one of its files, waits for a fault, and sees that this was said once.
func (f *flowing) waits(name faults.Name, text string) {
	f.t.Helper()
	var p faults.Problem
	f.until("it waits for "+string(name), func() bool {
		for _, p = range f.status.Snapshot().Problems {
			if p.Fault == name && p.Tries > 2 {
				return true
			}
		}
		return false
	})
	if p.Class != producers.Pause || p.Place != faults.Files || p.Remedy == "" || !strings.Contains(p.Error, text) {
		f.t.Errorf("the problem is %+v, want %q", p, text)
	}
	if n := f.said("msg=waiting"); n != 1 {
		f.t.Errorf("said %d times that it waits", n)
	}
}

func (f *flowing) goesOn() {
	f.t.Helper()
	f.until("it goes on", func() bool { return len(f.status.Snapshot().Problems) == 0 })
	if n := f.said(`msg="goes on"`); n != 1 {
		f.t.Errorf("said %d times that it goes on", n)
	}
}

func rowsFrom(first, n int) []byte {
	text := header
	for i := first; i < first+n; i++ {
		text += fmt.Sprintf("%d,row,,\n", i)
	}
	return []byte(text)
}

// A folder that is taken away is named; one that is made in its place is read.
func TestFolderThatIsGoneIsAwaited(t *testing.T) {
	f := flow(t, newFolder(t))
	f.drop("reviews1.csv", rowsFrom(0, 100))
	f.arrived(100)
	if err := os.RemoveAll(f.path("")); err != nil {
		t.Fatal(err)
	}
	f.waits(faults.FileMissing, "inbox")
	f.drop("reviews2.csv", rowsFrom(100, 100))
	f.arrived(200)
	f.goesOn()
}

// smallDisk mounts a file system in place of the folder.
func smallDisk(t *testing.T, f *folder, options string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	if err := unix.Mount("tmpfs", f.path(""), "tmpfs", 0, options); err != nil {
		t.Skipf("mount a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(f.path(""), unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// A file that cannot be put away, because the disk is read-only or full, is sent once all the same, and put away when that can be done.
func TestFilesThatCannotBePutAway(t *testing.T) {
	for _, c := range []struct {
		fault         faults.Name
		start         string
		provoke, mend func(path string) error
	}{
		{faults.FileRefused, "size=1m", func(path string) error { return unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") },
			func(path string) error { return unix.Mount("", path, "", unix.MS_REMOUNT, "") }},
		{faults.FilesFull, "nr_inodes=2", func(string) error { return nil }, func(path string) error { return unix.Mount("", path, "", unix.MS_REMOUNT, "nr_inodes=100") }},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			f := newFolder(t)
			smallDisk(t, f, c.start)
			f.drop("reviews.csv", rowsFrom(0, 100))
			if err := c.provoke(f.path("")); err != nil {
				t.Skipf("remount: %v", err)
			}
			fl := flow(t, f)
			fl.waits(c.fault, `put file "reviews.csv" away`)
			if err := c.mend(f.path("")); err != nil {
				t.Fatal(err)
			}
			fl.until("the file is put away", func() bool { return f.exists("processed/reviews.csv") })
			fl.goesOn()
			f.drop("reviews2.csv", rowsFrom(100, 100))
			fl.arrived(200)
		})
	}
}

// A file that may not be read waits alone, and is read when it may be.
func TestUnreadableFileWaitsAlone(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	f := flow(t, newFolder(t))
	f.drop("reviews0.csv", rowsFrom(0, 1))
	f.arrived(1)
	if err := os.WriteFile(f.path("reviews1.csv"), rowsFrom(1, 100), 0); err != nil {
		t.Fatal(err)
	}
	f.waits(faults.FileRefused, `file "reviews1.csv" is not read`)
	f.drop("reviews2.csv", rowsFrom(101, 100))
	f.arrived(101)
	if err := os.Chmod(f.path("reviews1.csv"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.arrived(201)
	f.goesOn()
}
