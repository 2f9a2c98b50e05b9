package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// checkZipEntries reads the number of entries in a zip's end record (APPNOTE.TXT 4.3.16, and 4.3.14 for zip64) before archive/zip reads them all into memory. It
// holds only a hint of the truth; what the directory's bytes could hold at most, 46 an entry, bounds it.
func checkZipEntries(at io.ReaderAt, size int64, limit int) error {
	tail := make([]byte, min(size, 22+65535+20))
	if _, err := at.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return fmt.Errorf("read zip directory: %w", err)
	}
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if i < 0 || len(tail)-i < 22 {
		return refuse("the archive is cut short: the directory that ends a zip is not there")
	}
	directory := int64(binary.LittleEndian.Uint32(tail[i+12:]))
	if directory == 0xffffffff { // zip64: the directory lies somewhere before its end
		directory = size
	}
	entries := int64(binary.LittleEndian.Uint16(tail[i+10:]))
	if entries == 0xffff {
		entries = directory / 46
		// A long directory has names in it, too: only one that would not fit in memory is refused by its length alone.
		if entries <= 64*int64(limit) {
			return nil
		}
	}
	if entries > int64(limit) {
		return refuse("the archive has more than %d entries", limit)
	}
	return nil
}
