package files

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rest remembers since when a file has not changed.
type rest struct {
	gen   generation
	since time.Time
}

// judge decides whether a file is written to its end. Its rest entries belong to the source and are dropped when the file is taken up.
type judge struct {
	root   *os.Root
	settle time.Duration
	marker string
	rests  map[string]rest
}

// complete tells whether the file can be read, and if not, how long to wait before asking again; 0 leaves that to the next event or scan.
//
// A configured marker decides alone. Else a file is not complete while somebody has it open for writing; when the kernel says that nobody has, and it ends as its
// format does, it is complete at once. Otherwise (no leases here, or no line break at the end) it must have been at rest for the settle time.
func (j *judge) complete(f found, now time.Time) (ok bool, again time.Duration, err error) {
	if j.marker != "" {
		_, err := j.root.Lstat(markerOf(j.marker, f.path))
		if errors.Is(err, fs.ErrNotExist) {
			return false, 0, nil
		}
		return err == nil, 0, err
	}
	r, seen := j.rests[f.path]
	if !seen || !r.gen.sameFile(f.gen) {
		r = rest{gen: f.gen, since: now}
		if modified := time.Unix(0, f.gen.modified); !seen && modified.Before(now) {
			r.since = modified
		}
		j.rests[f.path] = r
	}
	writer, ended, err := inspectEnd(j.root, f)
	if err != nil {
		return false, 0, err
	}
	if writer == writerOpen {
		return false, j.settle, nil
	}
	if writer == writerNone && ended {
		return true, 0, nil
	}
	if wait := j.settle - now.Sub(r.since); wait > 0 {
		return false, wait, nil
	}
	return true, 0, nil
}

// markerOf is the path of the file that says that another is complete.
func markerOf(marker, name string) string {
	if strings.HasPrefix(marker, ".") {
		return name + marker
	}
	return path.Join(path.Dir(name), marker)
}

type writerState uint8

const (
	writerUnknown writerState = iota // the file system or our rights do not let us know
	writerNone
	writerOpen
)

// inspectEnd tells whether somebody is writing a file and whether it ends as a whole file of its kind does.
func inspectEnd(root *os.Root, at found) (w writerState, ended bool, err error) {
	f, gen, err := openPlain(root, at.path)
	if err != nil {
		return 0, false, fmt.Errorf("open file: %w", err)
	}
	defer f.Close()
	if !gen.sameFile(at.gen) {
		return writerOpen, false, nil
	}
	w = leased(f)
	if gen.size == 0 {
		return w, false, nil // most writers create first and write later
	}
	var head [300]byte
	n, _ := f.ReadAt(head[:], 0)
	switch k := sniff(head[:n]); {
	case k == kindZip:
		return w, hasZipEnd(f, gen.size), nil
	case k != kindOther:
		return w, true, nil // these formats check their own end, and reading says so
	case printable(head[:n]):
		var last [2]byte
		n, _ := f.ReadAt(last[:], max(0, gen.size-2))
		return w, bytes.IndexByte(last[:n], '\n') >= 0, nil
	}
	return w, true, nil
}

// leased asks the kernel for a read lease, which it grants only while no one has the file open for writing. See fcntl(2), F_SETLEASE.
func leased(f *os.File) writerState {
	fd := f.Fd()
	_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK) // closing the file gives it back all the same
		return writerNone
	case errors.Is(err, unix.EAGAIN):
		return writerOpen
	}
	return writerUnknown
}

// hasZipEnd looks for the record that ends a zip file, which a comment of up to 65,535 bytes may follow.
func hasZipEnd(f *os.File, size int64) bool {
	tail := make([]byte, min(size, 22+65535))
	n, _ := f.ReadAt(tail, size-int64(len(tail)))
	return bytes.Contains(tail[:n], []byte("PK\x05\x06"))
}

// printable tells whether a head looks like text, of which a line break is the proper end.
func printable(head []byte) bool {
	for _, c := range head {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != 0 && c != '\f' && c != 0x1b {
			return false
		}
	}
	return true
}
