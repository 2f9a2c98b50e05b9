package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"adventureworks.example/extract/schemas/faults"
)

// object is one file of a lake as a listing shows it. ETag changes whenever its content does.
type object struct {
	Key      string // path below the lake's folder, with slashes
	ETag     string
	Size     int64
	Modified time.Time
}

// store is where a lake's objects are. Its methods may be called by several goroutines.
//
// List calls each for every object below the prefix, in any order, until each returns an error.
//
// Open opens one version of an object: when the object is gone or its tag is no longer etag, the error is errChanged. Every read of the
// reader is of that version, or fails with errChanged.
type store interface {
	List(ctx context.Context, prefix string, each func(object) error) error
	Open(ctx context.Context, key, etag string) (objectReader, error)
}

// objectReader reads one version of an object. Check tells whether all that was read was of that version.
type objectReader interface {
	io.ReaderAt
	io.Closer
	Check() error
}

// errChanged means that the version of an object that was asked for is no longer there.
var errChanged = errors.New("the object was overwritten or removed after it was listed")

// folder is a store in the local file system. An object's tag is its size and the time it was modified, to the nanosecond, so that a lake
// that was copied with its times is the same lake. Links are followed to files and not to folders.
type folder struct{ root string }

var _ store = folder{}

// List calls each for every file below the prefix, in the order of their names.
func (f folder) List(ctx context.Context, prefix string, each func(object) error) error {
	start := filepath.Join(f.root, filepath.FromSlash(prefix))
	if _, err := os.Stat(f.root); errors.Is(err, fs.ErrNotExist) {
		return faults.FileMissing.With(fmt.Errorf("list the lake: %w", err), "make the folder, or correct `folder` in the configuration")
	} else if err != nil {
		return fmt.Errorf("list the lake: %w", err)
	}
	return filepath.WalkDir(start, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed while it was listed, or a prefix that is not there yet
		case err != nil:
			return fmt.Errorf("list the lake: %w", err)
		case d.IsDir():
			if hidden(d.Name()) && path != start {
				return filepath.SkipDir
			}
			return nil
		case hidden(d.Name()):
			return nil
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the lake: %w", err)
		}
		key, err := filepath.Rel(f.root, path)
		if err != nil {
			return fmt.Errorf("list the lake: %w", err)
		}
		return each(object{Key: filepath.ToSlash(key), ETag: fileTag(info), Size: info.Size(), Modified: info.ModTime()})
	})
}

// hidden names are those that engines keep for themselves: _SUCCESS, _temporary, _delta_log, .crc files.
func hidden(name string) bool { return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") }

func fileTag(info fs.FileInfo) string {
	return strconv.FormatInt(info.Size(), 10) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 16)
}

// Open opens the file as it was listed: one that was changed since is errChanged.
func (f folder) Open(_ context.Context, key, etag string) (objectReader, error) {
	file, err := os.Open(filepath.Join(f.root, filepath.FromSlash(key)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errChanged
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	o := &openFile{File: file, etag: etag}
	if err := o.Check(); err != nil {
		file.Close()
		return nil, err
	}
	return o, nil
}

// openFile holds the file itself, so one put in its place is never seen; Check finds one that was written into.
type openFile struct {
	*os.File
	etag string
}

// Check is errChanged when the file has been written into since it was listed.
func (o *openFile) Check() error {
	info, err := o.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", o.Name(), err)
	}
	if fileTag(info) != o.etag {
		return errChanged
	}
	return nil
}
