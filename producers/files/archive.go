package files

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// kind is a container that a file can be, told by its content.
type kind uint8

const (
	kindOther kind = iota
	kindZip
	kindTar
	kindGzip
	kindBzip2
	kindZstd
	kindXz
)

// sniff tells what a file is by its first 300 bytes or more.
func sniff(head []byte) kind {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return kindZip
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return kindGzip
	case bytes.HasPrefix(head, []byte("BZh")) && len(head) > 9 && (bytes.Equal(head[4:10], []byte("1AY&SY")) || bytes.Equal(head[4:10], []byte("\x17\x72\x45\x38\x50\x90"))):
		return kindBzip2
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return kindZstd
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return kindXz
	case len(head) >= 262 && bytes.Equal(head[257:262], []byte("ustar")):
		return kindTar
	}
	return kindOther
}

// refusal is why a file cannot be read as the archive it is: it is broken, or it is beyond a limit. The whole file becomes one dead letter.
type refusal struct{ reason string }

// Error is the reason.
func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error {
	return &refusal{reason: fmt.Sprintf(format, args...)}
}

// leaf is what is read in the end: a plain file, or an entry of an archive that is none itself.
type leaf struct {
	number  int      // from 0, in the order of the archive
	entries []string // the entry's name in each archive, outermost first; none for a plain file
	src     *bufio.Reader
}

// entry is the chain of entries as it is stored, joined by an exclamation mark.
func (l leaf) entry() string { return pathText(strings.Join(l.entries, "!")) }

// container is one archive that is open: its entries come one after the other.
type container interface {
	// next returns the next plain file in it, or io.EOF.
	next() (name string, src io.Reader, err error)
	close() error
}

// level is a container in the stack of open ones.
type level struct {
	container
	entries []string
	hops    int  // archives around it and itself
	single  bool // a compressed file: it holds one entry, which is the file itself
}

// leaves walks through a file and everything packed in it, without ever writing an unpacked byte to disk.
type leaves struct {
	ctx    context.Context // of the call of Next that reads now
	limits Limits
	size   int64 // of the file
	path   string
	stack  []level
	seen   int   // entries met
	read   int64 // bytes unpacked, at all levels
	number int
	file   io.Reader
	plain  bool // the file is no archive, and not yet returned
	skip   func(entries []string) bool
}

// openLeaves starts at the file's first byte. skip tells which entries need not even be looked at; nil looks at all.
func openLeaves(ctx context.Context, name string, file interface {
	io.ReadSeeker
	io.ReaderAt
}, size int64, limits Limits, skip func(entries []string) bool) (*leaves, error) {
	l := &leaves{ctx: ctx, limits: limits, size: size, path: name, file: file, skip: skip}
	var head [300]byte
	n, err := file.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	k := sniff(head[:n])
	if k == kindOther {
		l.plain = true
		return l, nil
	}
	return l, l.push(k, nil, path.Base(name), file, file, size, 0)
}

// push opens an archive of kind k that src streams. at serves where it can be read at any place, else it is nil.
func (l *leaves) push(k kind, entries []string, name string, src io.Reader, at io.ReaderAt, size int64, hops int) error {
	if hops >= l.limits.Depth {
		return refuse("%s is the archive number %d in one another, and %d are allowed", name, hops+1, l.limits.Depth)
	}
	lv := level{entries: entries, hops: hops + 1}
	var err error
	switch k {
	case kindZip:
		lv.container, err = l.openZip(name, src, at, size)
	case kindTar:
		lv.container = &tarContainer{r: tar.NewReader(src)}
	default:
		lv.single = true
		if k == kindGzip && at != nil {
			err = l.checkGzipSize(at, size)
		}
		if err == nil {
			lv.container, err = l.openCompressed(k, name, src)
		}
	}
	if err != nil {
		return broken(name, err)
	}
	l.stack = append(l.stack, lv)
	return nil
}

// next returns the next leaf, or io.EOF. A *refusal is final.
func (l *leaves) next() (leaf, error) {
	if l.plain {
		l.plain = false
		return leaf{src: bufio.NewReaderSize(&fileReader{l: l, r: l.file}, headSize)}, nil
	}
	for len(l.stack) > 0 {
		top := &l.stack[len(l.stack)-1]
		name, src, err := top.next()
		if err == io.EOF {
			err = top.close()
			l.stack = l.stack[:len(l.stack)-1]
			if err != nil {
				return leaf{}, broken(l.path, err)
			}
			continue
		}
		if err != nil {
			return leaf{}, broken(l.path, err)
		}
		if l.seen++; l.seen > l.limits.Entries {
			return leaf{}, refuse("the archive has more than %d entries", l.limits.Entries)
		}
		found, ok, err := l.enter(*top, name, src)
		if ok || err != nil {
			return found, err
		}
	}
	return leaf{}, io.EOF
}

// enter looks into an entry: an archive is opened in its turn, a leaf returned.
func (l *leaves) enter(in level, name string, src io.Reader) (leaf, bool, error) {
	buffered := bufio.NewReaderSize(src, headSize)
	head, err := buffered.Peek(300)
	if err != nil && err != io.EOF {
		return leaf{}, false, broken(name, err)
	}
	k := sniff(head)
	entries, hops := append(in.entries[:len(in.entries):len(in.entries)], name), in.hops
	if k == kindTar && in.single {
		entries, hops = in.entries, in.hops-1 // a .tgz is one archive, not two
	}
	if k != kindOther && !wholeName(name) {
		return leaf{}, false, l.push(k, entries, name, buffered, nil, 0, hops)
	}
	if l.skip != nil && l.skip(entries) {
		return leaf{}, false, nil
	}
	number := l.number
	l.number++
	return leaf{number: number, entries: entries, src: buffered}, true, nil
}

// wholeName tells of entries that are archives inside and one thing outside.
func wholeName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".xlsx", ".docx", ".pptx", ".ods", ".odt", ".odp", ".jar", ".epub", ".apk":
		return true
	}
	return false
}

// close releases what is open.
func (l *leaves) close() error {
	var errs []error
	for _, lv := range l.stack {
		errs = append(errs, lv.close())
	}
	l.stack = nil
	return errors.Join(errs...)
}

// broken tells what unpacking reports about the archive's own bytes from what is no fault of theirs.
func broken(name string, err error) error {
	var r *refusal
	var outer *ioError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &outer):
		return outer.err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse("the archive is cut short: %s ends in the middle", name)
	}
	return refuse("the archive is broken: %s: %v", name, err)
}

// ioError marks an error of reading the file itself, so that it is not taken for a broken archive.
type ioError struct{ err error }

// Error is the text of the error of reading.
func (e *ioError) Error() string { return e.err.Error() }

// Unwrap is the error of reading.
func (e *ioError) Unwrap() error { return e.err }

// fileReader reads the file itself, until the context ends.
type fileReader struct {
	l *leaves
	r io.Reader
}

// Read reads the file, and ends with the context.
func (f *fileReader) Read(p []byte) (int, error) {
	if err := f.l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.r.Read(p)
	var path *fs.PathError
	if errors.As(err, &path) {
		err = &ioError{err}
	}
	return n, err
}

// meter counts what is unpacked and stops at the limits. A bomb is recognized by its ratio, long before it has filled anything.
type meter struct {
	l *leaves
	r io.Reader
}

// ratioFrom is how much is unpacked before the ratio counts: small files may be all blanks.
const ratioFrom = 16 << 20

// Read counts what is unpacked and refuses more than an archive may hold.
func (m *meter) Read(p []byte) (int, error) {
	if err := m.l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.l.read += int64(n)
	if e := m.l.check(m.l.read); e != nil {
		return 0, e
	}
	return n, err
}

func (l *leaves) check(unpacked int64) error {
	switch {
	case unpacked > l.limits.TotalBytes:
		return refuse("the archive unpacks to more than %d bytes", l.limits.TotalBytes)
	case unpacked > ratioFrom && unpacked/l.limits.Ratio > l.size:
		return refuse("the archive unpacks to more than %d times its %d bytes", l.limits.Ratio, l.size)
	}
	return nil
}
