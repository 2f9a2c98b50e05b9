package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The folders that the source itself fills. A scan does not enter them.
const (
	processedFolder = "processed"
	failedFolder    = "failed"
	duplicateFolder = "duplicates"
)

// found is a file that a scan saw.
type found struct {
	path string
	gen  generation // without its hash
}

// scanner reads a folder whole. It follows no link and enters no folder of the source's own.
type scanner struct {
	root    *os.Root
	ignore  []glob
	marker  string
	entered func(dir string)              // told every folder before it is read, so that a watch on it misses nothing
	refused func(path string, why string) // told what is neither a file nor a folder
}

// scan returns the files below dir ("." for all), oldest first.
func (s *scanner) scan(dir string) ([]found, error) {
	var all []found
	err := s.walk(dir, &all)
	slices.SortFunc(all, func(a, b found) int {
		if a.gen.modified != b.gen.modified {
			if a.gen.modified < b.gen.modified {
				return -1
			}
			return 1
		}
		return strings.Compare(a.path, b.path)
	})
	return all, err
}

func (s *scanner) walk(dir string, all *[]found) error {
	if s.entered != nil {
		s.entered(dir)
	}
	f, err := s.root.Open(dir)
	if err != nil {
		switch {
		case dir == ".":
			return fmt.Errorf("scan folder: %w", err)
		case !errors.Is(err, fs.ErrNotExist): // else it is gone since its parent was read
			s.refused(dir, err.Error())
		}
		return nil
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if err := s.visit(f, dir, e, all); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("scan folder %q: %w", dir, err)
		}
	}
}

func (s *scanner) visit(dir *os.File, in string, e fs.DirEntry, all *[]found) error {
	name := path.Join(in, e.Name())
	if s.passesOver(name) {
		return nil
	}
	switch {
	case e.IsDir():
		return s.walk(name, all)
	case !e.Type().IsRegular():
		s.refused(name, "it is not a plain file: links, devices and pipes are not read")
		return nil
	}
	gen, err := statAt(int(dir.Fd()), e.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at file %q: %w", name, err)
	}
	*all = append(*all, found{path: name, gen: gen})
	return nil
}

// passesOver tells whether a name says that the file is not meant to be read, or not yet.
func (s *scanner) passesOver(name string) bool {
	base := path.Base(name)
	if ownFolder(name) || strings.HasPrefix(base, ".") || base == "__MACOSX" {
		return true
	}
	for _, end := range []string{".tmp", ".part", ".filepart", ".crdownload"} {
		if strings.HasSuffix(base, end) {
			return true
		}
	}
	if s.marker != "" && strings.HasSuffix(base, s.marker) {
		return true
	}
	return slices.ContainsFunc(s.ignore, func(g glob) bool { return g.match(name, nil) })
}

func ownFolder(name string) bool {
	return name == processedFolder || name == failedFolder || name == duplicateFolder
}

// statAt looks at a name in an open folder, without following a link.
func statAt(dir int, name string) (generation, error) {
	var st unix.Statx_t
	err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_SYNC_AS_STAT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	if err != nil {
		return generation{}, &fs.PathError{Op: "statx", Path: name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return generation{}, &fs.PathError{Op: "statx", Path: name, Err: errNotPlain}
	}
	g := generation{size: int64(st.Size), modified: nanoseconds(st.Mtime)}
	if st.Mask&unix.STATX_BTIME != 0 {
		g.born = nanoseconds(st.Btime)
	}
	return g, nil
}

var errNotPlain = errors.New("it is not a plain file")

func nanoseconds(t unix.StatxTimestamp) int64 { return t.Sec*int64(time.Second) + int64(t.Nsec) }

// statFile looks at an open file.
func statFile(f *os.File) (generation, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return generation{}, fmt.Errorf("look at file %q: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return generation{}, fmt.Errorf("look at file %q: %w", f.Name(), errNotPlain)
	}
	g := generation{size: int64(st.Size), modified: nanoseconds(st.Mtime)}
	if st.Mask&unix.STATX_BTIME != 0 {
		g.born = nanoseconds(st.Btime)
	}
	return g, nil
}

// openPlain opens a file below root for reading. It neither follows a link nor waits for a pipe's other end.
func openPlain(root *os.Root, name string) (*os.File, generation, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, generation{}, err
	}
	gen, err := statFile(f)
	if err != nil {
		f.Close()
		return nil, generation{}, err
	}
	return f, gen, nil
}
