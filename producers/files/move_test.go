package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adventureworks.example/extract/producers"
)

func TestPlacesInProcessed(t *testing.T) {
	f := newFolder(t)
	root, err := os.OpenRoot(f.path("."))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	taken := map[string]bool{}
	// A file, a folder of the same name, names that look like those the folder makes, and each of them again.
	for _, name := range []string{"a", "a", "a/b", "a/b", "~2/a", "~2/a", "~1", "~1", "~x/a", "a~2"} {
		to, err := freePlace(root, processedFolder, name)
		if err != nil {
			t.Fatal(err)
		}
		if taken[to] {
			t.Fatalf("%s is given twice", to)
		}
		taken[to] = true
		if back := originalPath(processedFolder, to); back != name {
			t.Errorf("%q went to %q, which reads as %q", name, to, back)
		}
		f.drop(to, nil)
	}
}

// TestCopyToAnotherDevice moves by copying, which a mount point at processed/ asks for.
func TestCopyToAnotherDevice(t *testing.T) {
	f := newFolder(t)
	content := []byte(header + "1,a,,\n")
	f.drop("reviews.csv", content)
	f.drop("out/x", nil)
	at := time.Unix(1_000_000_000, 123_456_789)
	if err := os.Chtimes(f.path("reviews.csv"), at, at); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(f.path("."))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := copyOver(root, "reviews.csv", "out/reviews.csv", "another hash"); err == nil || !f.exists("reviews.csv") {
		t.Fatalf("a copy that is not the file was taken for it: %v", err)
	}
	sum := sha256.Sum256(content)
	if err := copyOver(root, "reviews.csv", "out/reviews.csv", hex.EncodeToString(sum[:])); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.path("out/reviews.csv"))
	info, statErr := os.Stat(f.path("out/reviews.csv"))
	if err != nil || statErr != nil || string(got) != string(content) || !info.ModTime().Equal(at) || f.exists("reviews.csv") || f.exists("out/.extract-copy.part") {
		t.Errorf("%q, %v, %v", got, err, info.ModTime())
	}
}

func TestProcessedOnAnotherDevice(t *testing.T) {
	f := newFolder(t)
	f.drop("processed/x", nil)
	if err := unix.Mount("tmpfs", f.path("processed"), "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	defer unix.Unmount(f.path("processed"), 0)
	f.drop("reviews.csv", []byte(header+"1,a,,\n"))
	m := newMemory(t)
	m.run(f.source())
	if !f.exists("processed/reviews.csv") || f.exists("reviews.csv") {
		t.Error("the file is not in processed/")
	}
}

func TestDelete(t *testing.T) {
	f := newFolder(t)
	f.config.Processed = "delete"
	f.config.MaxBadRows = new(int64(0))
	f.drop("reviews.csv", []byte(header+"1,a,,\n"))
	f.drop("reviews bad.csv", []byte(header+"x,a,,\n"))
	m := newMemory(t)
	m.run(f.source())
	if f.exists("reviews.csv") || f.exists("processed") || !f.exists("failed/reviews bad.csv") {
		t.Error("the files are not where they belong")
	}
}

// TestMoveThatIsRefused has processed/ as a link out of the folder: nothing is moved there, and the rows are sent all the same.
func TestMoveThatIsRefused(t *testing.T) {
	f := newFolder(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, f.path("processed")); err != nil {
		t.Fatal(err)
	}
	f.drop("reviews.csv", []byte(header+"1,a,,\n"))
	s, m := f.source(), newMemory(t)
	defer s.Close(context.WithoutCancel(t.Context()))
	if err := s.Open(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	b, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.take(b)
	err = s.Commit(t.Context(), b.Positions)
	var e *producers.Error
	if !errors.As(err, &e) || e.Class != producers.Pause {
		t.Errorf("%v, want an error that asks for a person", err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 || !f.exists("reviews.csv") {
		t.Errorf("%v went outside", entries)
	}
}

func TestDoneFilesAreForgottenWithoutDedupe(t *testing.T) {
	f := newFolder(t)
	f.config.Dedupe = "none"
	m := newMemory(t)
	for range 3 {
		f.drop("reviews.csv", []byte(header+"1,a,,\n"))
		f.drop("reviews2.csv", []byte(header+"2,a,,\n"))
		m.run(f.source())
		f.drop("a_b.png", pngImage(1, 1))
		m.run(f.source())
	}
	if len(m.rows) != 9 || len(m.positions) > 2 {
		t.Errorf("%d rows, positions %v", len(m.rows), m.positions)
	}
}
