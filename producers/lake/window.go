package lake

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/format"
)

// window is the part of a column chunk that is in memory: it moves forward only, and grows to hold a page.
type window struct {
	r    io.ReaderAt
	end  int64  // of the chunk in the file
	next int64  // in the file, of the first byte after buf
	buf  []byte // what has been read and not been taken
	mem  []byte
	size int
}

// headerError is a page header that cannot be decoded.
type headerError struct{ reason error }

// Error says that it was a page header that could not be decoded, and why.
func (e *headerError) Error() string { return "page header: " + e.reason.Error() }

// Unwrap is why the header cannot be decoded.
func (e *headerError) Unwrap() error { return e.reason }

func (w *window) open(r io.ReaderAt, start, end int64, size int) {
	w.r, w.next, w.end, w.size, w.buf = r, start, end, size, nil
}

// left is how many bytes of the chunk have not been taken.
func (w *window) left() int64 { return w.end - w.next + int64(len(w.buf)) }

// fill makes at least n bytes ready, or all that are left of the chunk.
func (w *window) fill(n int) error {
	if len(w.buf) >= n || w.next >= w.end {
		return nil
	}
	want := int(min(int64(max(n, w.size)), w.left()))
	if cap(w.mem) < want {
		grown := make([]byte, want+want/4)
		copy(grown, w.buf)
		w.mem = grown
	} else {
		copy(w.mem[:want], w.buf)
	}
	have := len(w.buf)
	w.buf = w.mem[:want]
	if err := readAt(w.r, w.buf[have:], w.next); err != nil {
		w.buf = w.buf[:have]
		return fmt.Errorf("read %d bytes at %d: %w", want-have, w.next, err)
	}
	w.next += int64(want - have)
	return nil
}

// take returns the next n bytes, which stay valid until the next call.
func (w *window) take(n int) ([]byte, error) {
	if err := w.fill(n); err != nil {
		return nil, err
	}
	if len(w.buf) < n {
		return nil, io.ErrUnexpectedEOF
	}
	b := w.buf[:n:n]
	w.buf = w.buf[n:]
	return b, nil
}

// skip passes over n bytes without reading those that are not in memory.
func (w *window) skip(n int) error {
	if int64(n) > w.left() {
		return io.ErrUnexpectedEOF
	}
	if n <= len(w.buf) {
		w.buf = w.buf[n:]
		return nil
	}
	w.next += int64(n - len(w.buf))
	w.buf = nil
	return nil
}

// header decodes the page header that comes next.
func (w *window) header(h *format.PageHeader) error {
	for want := 256; ; want *= 4 {
		if err := w.fill(want); err != nil {
			return err
		}
		n, err := decodeThrift(w.buf, maxHeaderMemory, h)
		switch {
		case err == nil:
			return w.skip(n)
		case errors.Is(err, errShort) && w.next < w.end && want <= maxHeaderBytes:
			continue
		}
		return &headerError{err}
	}
}
