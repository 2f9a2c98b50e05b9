package files

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// compressed is a container of one.
type compressed struct {
	name string
	src  io.Reader
	end  func()
	read bool
}

func (c *compressed) next() (string, io.Reader, error) {
	if c.read {
		// The checksum of a compressed file is behind its last byte: what was not read of it is read now.
		if _, err := io.Copy(io.Discard, c.src); err != nil {
			return "", nil, err
		}
		return "", nil, io.EOF
	}
	c.read = true
	return c.name, c.src, nil
}

func (c *compressed) close() error {
	if c.end != nil {
		c.end()
	}
	return nil
}

func (l *leaves) openCompressed(k kind, name string, src io.Reader) (container, error) {
	c := &compressed{name: innerName(name)}
	buffered := bufio.NewReaderSize(&fileReader{l: l, r: src}, 256<<10)
	var r io.Reader
	var err error
	switch k {
	case kindGzip:
		r, err = gzip.NewReader(buffered)
	case kindBzip2:
		r = bzip2.NewReader(buffered)
	case kindXz:
		r, err = xz.ReaderConfig{DictCap: 64 << 20}.NewReader(buffered)
	case kindZstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
		if err == nil {
			r, c.end = d, d.Close
		}
	}
	if err != nil {
		return nil, err
	}
	c.src = &meter{l: l, r: r}
	return c, nil
}

// deflateRatio is more than deflate can ever pack.
const deflateRatio = 1040

// checkGzipSize reads the size that ends a gzip file, modulo 4 GiB, so that a bomb that admits to be one is refused at once. (RFC 1952, 2.3.1) A size that the
// format cannot reach is no size: the file is cut short, which reading it will say.
func (l *leaves) checkGzipSize(at io.ReaderAt, size int64) error {
	var b [4]byte
	if _, err := at.ReadAt(b[:], max(0, size-4)); err != nil && err != io.EOF {
		return fmt.Errorf("read file: %w", err)
	}
	said := int64(binary.LittleEndian.Uint32(b[:]))
	if said/deflateRatio <= size && l.check(said) != nil {
		return refuse("the archive says that it unpacks to %d bytes, more than %d times its %d; or it is cut short, and says nothing", said, l.limits.Ratio, size)
	}
	return nil
}

// innerName is the name of what a compressed file holds.
func innerName(name string) string {
	ext := path.Ext(name)
	switch strings.ToLower(ext) {
	case ".gz", ".bz2", ".xz", ".zst":
		return path.Base(strings.TrimSuffix(name, ext))
	case ".tgz", ".tbz", ".tbz2", ".txz", ".tzst":
		return path.Base(strings.TrimSuffix(name, ext)) + ".tar"
	}
	return path.Base(name)
}

type tarContainer struct{ r *tar.Reader }

func (t *tarContainer) next() (string, io.Reader, error) {
	for {
		h, err := t.r.Next()
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return "", nil, err
		}
		// Links, devices and pipes are passed over: there is nothing in them.
		if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeGNUSparse {
			return h.Name, t.r, nil
		}
	}
}

func (t *tarContainer) close() error { return nil }

type zipContainer struct {
	l     *leaves
	files []*zip.File
	open  io.ReadCloser
}

// openZip reads the directory at the zip's end. A zip that is an entry itself can only be read whole, so it is held in memory.
func (l *leaves) openZip(name string, src io.Reader, at io.ReaderAt, size int64) (container, error) {
	if at == nil {
		b, err := io.ReadAll(io.LimitReader(src, l.limits.NestedBytes+1))
		if err != nil {
			return nil, err
		}
		if int64(len(b)) > l.limits.NestedBytes {
			return nil, refuse("%s is a zip inside another archive and has more than %d bytes; unpack the outer one", name, l.limits.NestedBytes)
		}
		at, size = bytes.NewReader(b), int64(len(b))
	}
	if err := checkZipEntries(at, size, l.limits.Entries); err != nil {
		return nil, err
	}
	r, err := zip.NewReader(at, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, err
	}
	var total uint64
	for _, f := range r.File {
		if f.UncompressedSize64 > 1<<62 || total > 1<<62 {
			return nil, refuse("%s says that it unpacks to more than any disk holds", name)
		}
		total += f.UncompressedSize64
	}
	if err := l.check(l.read + int64(total)); err != nil {
		return nil, err
	}
	return &zipContainer{l: l, files: r.File}, nil
}

func (z *zipContainer) next() (string, io.Reader, error) {
	if err := z.close(); err != nil {
		return "", nil, err
	}
	for len(z.files) > 0 {
		f := z.files[0]
		z.files = z.files[1:]
		if !f.Mode().IsRegular() || strings.HasSuffix(f.Name, "/") {
			continue
		}
		if f.Flags&1 != 0 {
			return "", nil, refuse("the entry %s is encrypted", f.Name)
		}
		r, err := f.Open()
		if err != nil {
			return "", nil, fmt.Errorf("entry %s: %w", f.Name, err)
		}
		z.open = r
		return f.Name, &meter{l: z.l, r: r}, nil
	}
	return "", nil, io.EOF
}

func (z *zipContainer) close() error {
	if z.open == nil {
		return nil
	}
	err := z.open.Close()
	z.open = nil
	return err
}
