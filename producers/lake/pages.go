package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/format"
)

const (
	maxPageBytes    = 128 << 20 // of one page, decompressed
	maxPageValues   = 16 << 20  // of one page, nulls among them
	maxHeaderBytes  = 16 << 20  // of a page's header, statistics among it
	maxHeaderMemory = 1 << 20   // of a header's lists, decoded: a sound one has none
)

// plainDictionary is the name that older writers give to the encoding RLE_DICTIONARY.
const plainDictionary format.Encoding = 2

// pageError says what is wrong with a page. Rows is how many rows the page ends, counted from the first that was asked of it; 0 when that
// cannot be known.
type pageError struct {
	column string
	raw    []byte // the page as it is in the file
	rows   int64
	reason error
}

// Error names the column and why its page cannot be read.
func (e *pageError) Error() string { return fmt.Sprintf("column %s: %v", e.column, e.reason) }

// Unwrap is why the page cannot be read.
func (e *pageError) Unwrap() error { return e.reason }

// chunk reads the pages of one column of one row group, one after the other. One goroutine owns it.
type chunk struct {
	field  *field
	meta   *format.ColumnMetaData
	values leafPlan
	codecs *codecs

	in     window
	unread int64 // values, nulls among them, in the pages that have not been read

	// The page at hand.
	n, pos  int      // its levels, and the next of them
	defs    []uint8  // nil where every value is there
	reps    []uint8  // nil where the column repeats nowhere
	indexes []uint32 // of a page that refers to the dictionary
	at      int      // the next index, or the next boolean
	plain   []byte   // else its values from the next on, as PLAIN has them
	data    []byte   // the page's memory
	scratch []byte   // the values' memory where they had to be decoded

	dict dictionary
}

// dictionary holds a column's distinct values as Avro.
type dictionary struct {
	there   bool
	avro    []byte
	ends    []uint32
	invalid map[uint32]error
}

// open puts c at the start of its pages.
func (c *chunk) open(r io.ReaderAt, windowSize int) {
	start, length := chunkRange(c.meta)
	c.in.open(r, start, start+length, windowSize)
	c.unread = c.meta.NumValues
	c.n, c.pos = 0, 0
	c.dict = dictionary{avro: c.dict.avro[:0], ends: c.dict.ends[:0]}
}

// load reads the next page that holds values.
func (c *chunk) load() error {
	for {
		h, size, err := c.head()
		if err != nil {
			return err
		}
		if h == nil {
			continue
		}
		if err := c.body(h, size); err != nil || c.n > 0 {
			return err
		}
	}
}

// bad is the error of a page whose header was read.
func (c *chunk) bad(h *format.PageHeader, body []byte, reason error) error {
	rows, known := c.pageRows(h)
	if !known {
		rows = 0
	}
	c.n, c.pos = 0, 0
	return &pageError{column: c.field.path, raw: slices.Clone(body), rows: rows, reason: reason}
}

// head reads the next page's header and returns it with the size of the page's body, which comes next. A dictionary is read and any page
// without values passed over: h is nil then.
func (c *chunk) head() (*format.PageHeader, int, error) {
	fail := func(layout string, args ...any) (*format.PageHeader, int, error) {
		return nil, 0, &pageError{column: c.field.path, reason: fmt.Errorf(layout, args...)}
	}
	if c.unread <= 0 {
		return fail("its pages hold fewer values than the footer says")
	}
	h := new(format.PageHeader)
	if err := c.in.header(h); err != nil {
		return nil, 0, c.unreadable(err)
	}
	size := int(h.CompressedPageSize)
	if size < 0 || size > maxPageBytes || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPageBytes || int64(size) > c.in.left() {
		return fail("a page of %d bytes, %d decompressed, where %d are left and %d are the most that is read",
			h.CompressedPageSize, h.UncompressedPageSize, c.in.left(), maxPageBytes)
	}
	values, isData, err := pageValues(h)
	switch {
	case err != nil:
		return fail("%w", err)
	case int64(values) > c.unread:
		return fail("a page of %d values where %d are left", values, c.unread)
	case isData:
		c.unread -= int64(values)
		return h, size, nil
	case h.Type != format.DictionaryPage:
		return nil, 0, c.unreadable(c.in.skip(size))
	}
	return nil, 0, c.dictionaryPage(h, size)
}

func (c *chunk) dictionaryPage(h *format.PageHeader, size int) error {
	body, err := c.in.take(size)
	if err != nil {
		return c.unreadable(err)
	}
	if err = c.verify(h, body); err == nil {
		err = c.readDictionary(h, body)
	}
	if err != nil {
		return &pageError{column: c.field.path, raw: slices.Clone(body), reason: fmt.Errorf("dictionary: %w", err)}
	}
	return nil
}

// body reads and decodes a data page.
func (c *chunk) body(h *format.PageHeader, size int) error {
	body, err := c.in.take(size)
	if err != nil {
		return c.unreadable(err)
	}
	if err = c.verify(h, body); err == nil {
		err = c.decode(h, body)
	}
	if err != nil {
		return c.bad(h, body, err)
	}
	return nil
}

func (c *chunk) verify(h *format.PageHeader, body []byte) error {
	if h.CRC != 0 && uint32(h.CRC) != crc32.ChecksumIEEE(body) {
		return errors.New("the page's checksum does not match")
	}
	return nil
}

// unreadable tells a damaged header from a reader that fails.
func (c *chunk) unreadable(err error) error {
	if err == nil {
		return nil
	}
	var damaged *headerError
	if errors.As(err, &damaged) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &pageError{column: c.field.path, reason: err}
	}
	return err
}

// pageValues is the number of values of a data page; isData is false for any other page.
func pageValues(h *format.PageHeader) (values int32, isData bool, err error) {
	switch {
	case h.Type == format.DataPage && h.DataPageHeader.Valid:
		values = h.DataPageHeader.V.NumValues
	case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
		values = h.DataPageHeaderV2.V.NumValues
	case h.Type == format.DataPage || h.Type == format.DataPageV2:
		return 0, true, errors.New("a data page without its header")
	default:
		return 0, false, nil
	}
	if values < 0 || values > maxPageValues {
		return 0, true, fmt.Errorf("a page of %d values; %d are the most that is read", values, maxPageValues)
	}
	return values, true, nil
}

func (c *chunk) decode(h *format.PageHeader, body []byte) error {
	c.n, c.pos, c.at = 0, 0, 0
	c.indexes, c.plain = c.indexes[:0], nil
	if h.Type == format.DataPageV2 {
		return c.decodeV2(&h.DataPageHeaderV2.V, body, int(h.UncompressedPageSize))
	}
	v := &h.DataPageHeader.V
	data, err := c.codecs.decode(c.meta.Codec, c.data, body, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	c.data = data
	n := int(v.NumValues)
	if data, err = c.levelsV1(&c.reps, c.field.maxRep, v.RepetitionLevelEncoding, data, n); err != nil {
		return fmt.Errorf("repetition levels: %w", err)
	}
	if data, err = c.levelsV1(&c.defs, c.field.maxDef, v.DefinitionLevelEncoding, data, n); err != nil {
		return fmt.Errorf("definition levels: %w", err)
	}
	return c.pageOf(n, v.Encoding, data)
}

func (c *chunk) levelsV1(levels *[]uint8, most uint8, enc format.Encoding, data []byte, n int) ([]byte, error) {
	if most == 0 {
		return data, nil
	}
	if enc == format.BitPacked { // deprecated: packed from the highest bit, without a length
		width := bits.Len8(most)
		size := (n*width + 7) / 8
		if size > len(data) {
			return nil, errPageShort
		}
		*levels = appendPackedHigh((*levels)[:0], data, width, n)
		return data[size:], checkLevels(*levels, most)
	}
	if enc != format.RLE {
		return nil, fmt.Errorf("levels encoded as %s", enc)
	}
	if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
		return nil, errPageShort
	}
	size := int(binary.LittleEndian.Uint32(data))
	return data[4+size:], decodeLevels(levels, most, data[4:4+size], n)
}

func (c *chunk) decodeV2(v *format.DataPageHeaderV2, body []byte, size int) error {
	reps, defs := int(v.RepetitionLevelsByteLength), int(v.DefinitionLevelsByteLength)
	if reps < 0 || defs < 0 || reps > len(body) || defs > len(body)-reps || reps+defs > size {
		return errPageShort
	}
	n := int(v.NumValues)
	if c.field.maxRep > 0 {
		if err := decodeLevels(&c.reps, c.field.maxRep, body[:reps], n); err != nil {
			return fmt.Errorf("repetition levels: %w", err)
		}
	}
	if c.field.maxDef > 0 {
		if err := decodeLevels(&c.defs, c.field.maxDef, body[reps:reps+defs], n); err != nil {
			return fmt.Errorf("definition levels: %w", err)
		}
	}
	codec := c.meta.Codec
	if v.IsCompressed.Valid && !v.IsCompressed.V {
		codec = format.Uncompressed
	}
	data, err := c.codecs.decode(codec, c.data, body[reps+defs:], size-reps-defs)
	if err != nil {
		return err
	}
	c.data = data
	return c.pageOf(n, v.Encoding, data)
}

func decodeLevels(levels *[]uint8, most uint8, data []byte, n int) error {
	out, largest, err := appendHybrid((*levels)[:0], data, uint(bits.Len8(most)), n)
	*levels = out
	if err == nil && largest > most {
		err = fmt.Errorf("a level of %d where %d is the highest", largest, most)
	}
	return err
}

func checkLevels(levels []uint8, most uint8) error {
	for _, l := range levels {
		if l > most {
			return fmt.Errorf("a level of %d where %d is the highest", l, most)
		}
	}
	return nil
}

func appendPackedHigh(dst []uint8, src []byte, width, n int) []uint8 {
	bit := 0
	for range n {
		var v uint8
		for range width {
			v = v<<1 | src[bit>>3]>>(7-bit&7)&1
			bit++
		}
		dst = append(dst, v)
	}
	return dst
}

// pageOf makes ready the n values, nulls among them, whose levels have been read.
func (c *chunk) pageOf(n int, enc format.Encoding, data []byte) error {
	there := n
	if c.field.maxDef > 0 {
		there = 0
		for _, d := range c.defs {
			if d == c.field.maxDef {
				there++
			}
		}
	}
	if enc == plainDictionary || enc == format.RLEDictionary {
		if err := c.indexesOf(data, there); err != nil {
			return err
		}
	} else {
		plain, err := c.plainOf(enc, data, there)
		if err != nil {
			return fmt.Errorf("%s: %w", enc, err)
		}
		c.plain = plain
	}
	c.n = n
	return nil
}

func (c *chunk) indexesOf(data []byte, there int) error {
	if there == 0 {
		c.indexes = c.indexes[:0]
		return nil
	}
	if !c.dict.there {
		return errors.New("a page refers to a dictionary that is not there")
	}
	if len(data) == 0 {
		return errPageShort
	}
	indexes, largest, err := appendHybrid(c.indexes[:0], data[1:], uint(data[0]), there)
	c.indexes = indexes
	if err == nil && int64(largest) >= int64(len(c.dict.ends)) {
		err = fmt.Errorf("a page refers to entry %d of a dictionary of %d", largest, len(c.dict.ends))
	}
	return err
}

func (c *chunk) readDictionary(h *format.PageHeader, body []byte) error {
	n := int(h.DictionaryPageHeader.V.NumValues)
	if !h.DictionaryPageHeader.Valid || n < 0 || n > maxPageValues || c.dict.there {
		return fmt.Errorf("a dictionary of %d values that does not belong here", n)
	}
	data, err := c.codecs.decode(c.meta.Codec, c.data, body, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	c.data = data
	if c.plain, err = c.plainOf(format.Plain, data, n); err != nil {
		return err
	}
	c.at = 0
	for i := range n {
		var wrong error
		c.dict.avro, wrong = c.appendPlain(c.dict.avro)
		if len(c.dict.avro) > 4*maxPageBytes/3 {
			return errors.New("the dictionary is larger than what is read")
		}
		if wrong != nil {
			if c.dict.invalid == nil {
				c.dict.invalid = map[uint32]error{}
			}
			c.dict.invalid[uint32(i)] = wrong
		}
		c.dict.ends = append(c.dict.ends, uint32(len(c.dict.avro)))
	}
	c.dict.there = true
	return nil
}
