package lake

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// codecs decompresses pages, of every codec of the format. It keeps what the codecs can use again and serves one goroutine.
type codecs struct {
	zstd   *zstd.Decoder
	gzip   *gzip.Reader
	brotli *brotli.Reader
}

func (c *codecs) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
}

// decode decompresses src, which must become exactly size bytes, into dst's memory where it is large enough. It never writes more.
func (c *codecs) decode(codec format.CompressionCodec, dst, src []byte, size int) ([]byte, error) {
	if codec == format.Uncompressed {
		if len(src) != size {
			return nil, fmt.Errorf("a page of %d bytes says it has %d", len(src), size)
		}
		return append(dst[:0], src...), nil
	}
	if size == 0 {
		return dst[:0], nil
	}
	if codec == format.Snappy { // it says its own size, so a wrong one is found before there is memory for it
		if n, err := snappy.DecodedLen(src); err != nil || n != size {
			return nil, fmt.Errorf("decompress %s: %d bytes where the page says %d", codec, n, size)
		}
	}
	if cap(dst) < size {
		dst = make([]byte, size+size/4) // pages differ little in size
	}
	dst = dst[:size]
	n, err := c.into(codec, dst, src)
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", codec, err)
	}
	if n != size {
		return nil, fmt.Errorf("decompress %s: %d bytes where the page says %d", codec, n, size)
	}
	return dst, nil
}

func (c *codecs) into(codec format.CompressionCodec, dst, src []byte) (int, error) {
	switch codec {
	case format.Snappy:
		out, err := snappy.Decode(dst, src)
		return len(out), err
	case format.Gzip:
		return c.intoGzip(dst, src)
	case format.Zstd:
		return c.intoZstd(dst, src)
	case format.Brotli:
		if c.brotli == nil {
			c.brotli = brotli.NewReader(nil)
		}
		if err := c.brotli.Reset(bytes.NewReader(src)); err != nil {
			return 0, err
		}
		return readExactly(c.brotli, dst)
	case format.Lz4Raw:
		return lz4.UncompressBlock(src, dst)
	case format.Lz4:
		return intoLZ4(dst, src)
	}
	return 0, errors.New("this codec is not supported")
}

func (c *codecs) intoGzip(dst, src []byte) (int, error) {
	var err error
	if c.gzip == nil {
		c.gzip, err = gzip.NewReader(bytes.NewReader(src))
	} else {
		err = c.gzip.Reset(bytes.NewReader(src))
	}
	if err != nil {
		c.gzip = nil
		return 0, err
	}
	return readExactly(c.gzip, dst)
}

func (c *codecs) intoZstd(dst, src []byte) (int, error) {
	var err error
	if c.zstd == nil {
		c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPageBytes), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return 0, err
		}
	}
	out, err := c.zstd.DecodeAll(src, dst[:0:len(dst)])
	return len(out), err
}

// readExactly fills dst and makes sure that nothing follows.
func readExactly(r io.Reader, dst []byte) (int, error) {
	n, err := io.ReadFull(r, dst)
	if err != nil {
		return n, err
	}
	var more [1]byte
	extra, err := io.ReadFull(r, more[:])
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n + extra, err
}

// intoLZ4 reads the deprecated codec LZ4: Hadoop's frames, each with the sizes before it as four bytes, big endian; or, from some
// writers, one bare block.
func intoLZ4(dst, src []byte) (int, error) {
	done, rest := 0, src
	for len(rest) > 8 {
		whole, packed := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
		if uint64(packed) > uint64(len(rest)-8) || uint64(whole) > uint64(len(dst)-done) {
			return lz4.UncompressBlock(src, dst)
		}
		n, err := lz4.UncompressBlock(rest[8:8+packed], dst[done:done+int(whole)])
		if err != nil || n != int(whole) {
			return lz4.UncompressBlock(src, dst)
		}
		done, rest = done+n, rest[8+packed:]
	}
	return done, nil
}
