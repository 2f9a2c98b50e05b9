package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/format"
)

const (
	maxFooterBytes  = 64 << 20  // of the footer in the file
	maxFooterMemory = 192 << 20 // of its lists, decoded
	tailBytes       = 64 << 10  // read at once from the end of a file: most footers are in it
)

// BadFileError says why an object is not a Parquet file that can be read. Incomplete tells that its end is missing, as it is while
// somebody is writing it.
type BadFileError struct {
	Reason     string
	Incomplete bool
}

// Error is the reason.
func (e *BadFileError) Error() string { return e.Reason }

func badFile(layout string, args ...any) error {
	return &BadFileError{Reason: fmt.Sprintf(layout, args...)}
}

// footer is what the end of a Parquet file says about it, checked: whatever is in it may be trusted to lie within the file.
type footer struct {
	meta   format.FileMetaData
	root   *field
	leaves []*field
}

// readFooter reads and checks the footer of a file of so many bytes. What is wrong with the file is a *BadFileError; any other error is
// the reader's. The format is https://github.com/apache/parquet-format.
func readFooter(r io.ReaderAt, size int64) (*footer, error) {
	if size < 12 {
		return nil, &BadFileError{Reason: fmt.Sprintf("truncated Parquet file: it has %d bytes, fewer than its frame alone", size), Incomplete: true}
	}
	tail := make([]byte, min(size, tailBytes))
	if err := readAt(r, tail, size-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("read the footer: %w", err)
	}
	switch magic := string(tail[len(tail)-4:]); magic {
	case "PAR1":
	case "PARE":
		return nil, badFile("the Parquet file is encrypted")
	default:
		return nil, &BadFileError{Reason: fmt.Sprintf("truncated Parquet file: it ends with %q where PAR1 belongs", magic), Incomplete: true}
	}
	length := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if length > size-12 || length > maxFooterBytes {
		return nil, badFile("damaged Parquet file: a footer of %d bytes in a file of %d", length, size)
	}
	text := tail[:len(tail)-8]
	if length > int64(len(text)) {
		text = make([]byte, length)
		if err := readAt(r, text, size-8-length); err != nil {
			return nil, fmt.Errorf("read the footer: %w", err)
		}
	}
	return parseFooter(text[int64(len(text))-length:], size)
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func parseFooter(text []byte, size int64) (f *footer, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = nil, badFile("damaged Parquet file: its footer cannot be decoded: %v", p)
		}
	}()
	f = new(footer)
	n, err := decodeThrift(text, maxFooterMemory, &f.meta)
	if err != nil {
		return nil, badFile("damaged Parquet file: its footer cannot be decoded: %v", err)
	}
	if n != len(text) {
		return nil, badFile("the Parquet file is encrypted or damaged: its footer has %d bytes more than it says", len(text)-n)
	}
	if f.root, f.leaves, err = parseTree(f.meta.Schema); err != nil {
		return nil, badFile("damaged Parquet file: %v", err)
	}
	if err := f.check(size); err != nil {
		return nil, badFile("damaged Parquet file: %v", err)
	}
	return f, nil
}

func (f *footer) check(size int64) error {
	var rows int64
	for g := range f.meta.RowGroups {
		group := &f.meta.RowGroups[g]
		if group.NumRows < 0 {
			return fmt.Errorf("row group %d has %d rows", g, group.NumRows)
		}
		if rows += group.NumRows; rows < 0 {
			return errors.New("its row groups have more rows than can be counted")
		}
		if len(group.Columns) != len(f.leaves) {
			return fmt.Errorf("row group %d has %d columns, the schema %d", g, len(group.Columns), len(f.leaves))
		}
		for c := range group.Columns {
			if err := f.checkChunk(&group.Columns[c], f.leaves[c], group.NumRows, size); err != nil {
				return fmt.Errorf("row group %d, column %s: %w", g, f.leaves[c].path, err)
			}
		}
	}
	if f.meta.NumRows != rows && f.meta.NumRows != 0 { // some writers leave it out
		return fmt.Errorf("it says %d rows and its row groups hold %d", f.meta.NumRows, rows)
	}
	f.meta.NumRows = rows
	return nil
}

func (f *footer) checkChunk(c *format.ColumnChunk, leaf *field, rows, size int64) error {
	m := &c.MetaData
	start, length := chunkRange(m)
	switch {
	case c.FilePath != "":
		return fmt.Errorf("its data is in another file, %q", c.FilePath)
	case len(c.EncryptedColumnMetadata) > 0 || c.CryptoMetadata.Value != nil:
		return errors.New("it is encrypted")
	case m.Type != leaf.physical:
		return fmt.Errorf("its data is of type %s, the schema says %s", m.Type, leaf.physical)
	case start < 4 && m.NumValues > 0, length < 0, length > size, start > size-length:
		return fmt.Errorf("its data would be at bytes %d to %d of %d", start, start+length, size)
	case m.NumValues < 0, leaf.maxRep == 0 && m.NumValues != rows, m.NumValues < rows:
		return fmt.Errorf("it has %d values for %d rows", m.NumValues, rows)
	}
	return nil
}

// chunkRange is where a column chunk's pages are: the dictionary first, where there is one.
func chunkRange(m *format.ColumnMetaData) (start, length int64) {
	start = m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < start {
		start = d
	}
	return start, m.TotalCompressedSize
}
