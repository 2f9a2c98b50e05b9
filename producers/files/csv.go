package files

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// dialect is how a CSV file is written.
type dialect struct {
	delimiter []byte
	quote     byte // 0: no quoting
	maxRecord int  // bytes of the longest record that is read whole
	blankRow  bool // a blank line is a row with one empty field, not nothing
}

// csvRecord is one record. Its slices share the reader's memory and hold until the next call of next.
type csvRecord struct {
	fields [][]byte
	quoted []bool // by field: it stood in quotes
	raw    []byte // all of it with its line break, or the start of it when it is longer than maxRecord
	offset int64  // of its first byte
	line   int64  // of its first byte, from 1
	size   int64  // bytes, with its line break
	sum    []byte // SHA-256 of the whole record, when raw is only its start
	err    error  // why it cannot be taken apart; its fields are then not to be used
}

var (
	errBareQuote = errors.New("a quote stands inside a field that does not start with one")
	errAfterEnd  = errors.New("text follows a closing quote")
	errOpenQuote = errors.New("a quote is opened and never closed")
)

// csvReader takes a stream of UTF-8 apart into records, as RFC 4180 describes them: a field in quotes may hold line breaks,
// delimiters and doubled quotes; a line ends with LF or CRLF. Bytes come out as they went in. Memory is bounded by maxRecord.
//
// A record that breaks the rules is returned whole, with its err, and the next record starts after its first line break outside quotes.
type csvReader struct {
	dialect
	src io.Reader
	buf []byte // buf[start:end] is read and not yet taken apart
	// nl and nq are cached: the first line feed and the first quote at or after the place they were looked for from; -1: look again.
	// They are indexes into buf, len of the data when there is none.
	start, end, nl, nq int
	eof                bool
	srcErr             error
	offset             int64 // of buf[start] in the stream
	line               int64
	rec                csvRecord
	sawQuote           bool   // in the record just parsed: it may hold more line breaks than the one at its end
	scratch            []byte // fields of rec without their doubled quotes
}

const csvBuffer = 256 << 10

// rawLimit is how many bytes a dead letter keeps of a record that was too long to be read whole.
const rawLimit = 1 << 20

// newCSVReader reads src, which stands at the byte offset and line given (0 and 1 at its start).
func newCSVReader(src io.Reader, d dialect, offset, line int64) *csvReader {
	return &csvReader{dialect: d, src: src, buf: make([]byte, csvBuffer), nl: -1, nq: -1, offset: offset, line: line}
}

// next returns the next record, or io.EOF after the last one. Any other error is the source's.
func (r *csvReader) next() (*csvRecord, error) {
	for {
		n, ok := r.parse(r.buf[r.start:r.end], r.eof)
		if ok {
			if n == 0 {
				return nil, io.EOF
			}
			if r.take(n) {
				return &r.rec, nil
			}
			continue
		}
		if r.end-r.start > r.maxRecord {
			if err := r.skipLong(); err != nil {
				return nil, err
			}
			return &r.rec, nil
		}
		if r.srcErr != nil {
			return nil, r.srcErr
		}
		r.fill()
	}
}

// take completes the record of n bytes and moves behind it; it tells whether there is a record: a blank line is none.
func (r *csvReader) take(n int) bool {
	raw := r.buf[r.start : r.start+n]
	rec := &r.rec
	rec.raw, rec.offset, rec.line, rec.size, rec.sum = raw, r.offset, r.line, int64(n), nil
	if n > r.maxRecord && rec.err == nil {
		rec.err = fmt.Errorf("the record has %d bytes, more than the %d that one may have", n, r.maxRecord)
	}
	blank := n <= 2 && len(bytes.TrimRight(raw, "\r\n")) == 0
	r.start += n
	r.offset += int64(n)
	if r.sawQuote {
		r.line += int64(bytes.Count(raw, newline))
	} else {
		r.line++
	}
	return !blank || r.blankRow
}

var newline = []byte{'\n'}

// fill reads more, making room first.
func (r *csvReader) fill() {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	r.nl, r.nq = -1, -1
	// The buffer is filled whole, so that a record which does not fit is looked through only once for every doubling.
	for idle := 0; r.end < len(r.buf); {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if err == io.EOF {
			r.eof = true
			return
		}
		if idle++; n > 0 {
			idle = 0
		}
		if err == nil && idle > 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			r.srcErr = err
			return
		}
	}
}

// parse takes the first record of b apart. ok is false when b holds only a part of it; n is 0 when there is nothing left.
func (r *csvReader) parse(b []byte, final bool) (n int, ok bool) {
	rec := &r.rec
	rec.fields, rec.quoted, rec.err = rec.fields[:0], rec.quoted[:0], nil
	r.scratch, r.sawQuote = r.scratch[:0], false
	if len(b) == 0 {
		return 0, final
	}
	pos := 0
	for {
		value, inQuotes := []byte(nil), false
		if r.quote != 0 && pos < len(b) && b[pos] == r.quote {
			inQuotes, r.sawQuote = true, true
			var closed bool
			value, pos, closed = r.quotedField(b, pos+1)
			if !closed {
				if !final {
					return 0, false
				}
				rec.err = errOpenQuote
				return len(b), true
			}
			rec.fields, rec.quoted = append(rec.fields, value), append(rec.quoted, true)
			next, end, state := r.afterQuote(b, pos, final)
			switch state {
			case needMore:
				return 0, false
			case fieldEnds:
				pos = next
				continue
			case recordEnds:
				return end, true
			}
			if rec.err == nil {
				rec.err = errAfterEnd
			}
		}
		nl := r.lineEnd(b, pos)
		if nl == len(b) && !final {
			return 0, false
		}
		rest := b[pos:nl]
		i := r.indexDelimiter(rest)
		value = rest
		if i >= 0 {
			value = rest[:i]
		} else if k := len(rest); k > 0 && rest[k-1] == '\r' {
			value = rest[:k-1]
		}
		if rec.err == nil && r.quote != 0 && r.hasQuote(b, pos, pos+len(value)) {
			rec.err = errBareQuote
		}
		if !inQuotes {
			rec.fields, rec.quoted = append(rec.fields, value), append(rec.quoted, false)
		}
		if i < 0 {
			return min(nl+1, len(b)), true
		}
		pos += i + len(r.delimiter)
	}
}

type afterState uint8

const (
	textFollows afterState = iota
	needMore
	fieldEnds
	recordEnds
)

// afterQuote tells what follows a closing quote at b[pos]: next is where the next field starts, end where the next record does.
func (r *csvReader) afterQuote(b []byte, pos int, final bool) (next, end int, state afterState) {
	rest := b[pos:]
	switch {
	case len(rest) == 0:
		if final {
			return 0, pos, recordEnds
		}
		return 0, 0, needMore
	case bytes.HasPrefix(rest, r.delimiter):
		return pos + len(r.delimiter), 0, fieldEnds
	case rest[0] == '\n':
		return 0, pos + 1, recordEnds
	case rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n':
		return 0, pos + 2, recordEnds
	case rest[0] == '\r' && len(rest) == 1 && final:
		return 0, pos + 1, recordEnds
	case !final && (rest[0] == '\r' && len(rest) == 1 || len(rest) < len(r.delimiter) && bytes.HasPrefix(r.delimiter, rest)):
		return 0, 0, needMore
	}
	return 0, 0, textFollows
}

// quotedField reads from behind an opening quote; after is the index behind the closing one.
func (r *csvReader) quotedField(b []byte, pos int) (value []byte, after int, closed bool) {
	doubled := false
	i := pos
	for {
		j := bytes.IndexByte(b[i:], r.quote)
		if j < 0 {
			return nil, 0, false
		}
		i += j + 1
		if i < len(b) && b[i] == r.quote {
			doubled = true
			i++
			continue
		}
		if i == len(b) && !r.eof {
			return nil, 0, false // the next byte may be the other half of a doubled quote
		}
		break
	}
	value = b[pos : i-1]
	if doubled {
		value = r.undouble(value)
	}
	return value, i, true
}

// undouble appends v to the scratch with every doubled quote made single. Growing the scratch leaves earlier fields their own memory.
func (r *csvReader) undouble(v []byte) []byte {
	from := len(r.scratch)
	for {
		i := bytes.IndexByte(v, r.quote)
		if i < 0 {
			r.scratch = append(r.scratch, v...)
			return r.scratch[from:len(r.scratch):len(r.scratch)]
		}
		r.scratch = append(r.scratch, v[:i+1]...)
		v = v[i+2:]
	}
}

// lineEnd is the index in b of the first line feed at or after pos, len(b) when there is none.
func (r *csvReader) lineEnd(b []byte, pos int) int {
	if r.nl < r.start+pos {
		i := bytes.IndexByte(b[pos:], '\n')
		if i < 0 {
			r.nl = r.end
		} else {
			r.nl = r.start + pos + i
		}
	}
	return r.nl - r.start
}

// hasQuote tells whether there is a quote in b[from:to].
func (r *csvReader) hasQuote(b []byte, from, to int) bool {
	if r.nq < r.start+from {
		i := bytes.IndexByte(b[from:], r.quote)
		if i < 0 {
			r.nq = r.end
		} else {
			r.nq = r.start + from + i
		}
	}
	return r.nq-r.start < to
}

func (r *csvReader) indexDelimiter(b []byte) int {
	if len(r.delimiter) == 1 {
		return bytes.IndexByte(b, r.delimiter[0])
	}
	return bytes.Index(b, r.delimiter)
}

// skipLong passes over a record that is longer than maxRecord, keeping its start, its size and its hash.
func (r *csvReader) skipLong() error {
	rec := &r.rec
	rec.fields, rec.quoted = rec.fields[:0], rec.quoted[:0]
	rec.offset, rec.line, rec.size = r.offset, r.line, 0
	rec.raw = bytes.Clone(r.buf[r.start:min(r.end, r.start+rawLimit)])
	hash := sha256.New()
	scan := longScan{delimiter: r.delimiter, quote: r.quote, fieldStart: true}
	for {
		n, ended := scan.step(r.buf[r.start:r.end])
		part := r.buf[r.start : r.start+n]
		hash.Write(part)
		r.start += n
		r.offset += int64(n)
		rec.size += int64(n)
		r.line += int64(bytes.Count(part, newline))
		if ended || r.eof {
			break
		}
		if r.srcErr != nil {
			return r.srcErr
		}
		r.fill()
	}
	r.nl, r.nq = -1, -1
	rec.sum = hash.Sum(nil)
	rec.err = fmt.Errorf("the record has %d bytes, more than the %d that one may have", rec.size, r.maxRecord)
	return nil
}

// longScan finds the end of a record byte by byte, for records that do not fit in memory. It follows the same rules as parse.
type longScan struct {
	delimiter  []byte
	quote      byte
	fieldStart bool
	inQuotes   bool
	wasQuote   bool   // the last byte was a quote inside quotes: it closed the field or is the first half of a doubled one
	tail       []byte // the field's last bytes outside quotes, to find a delimiter of several
}

// step consumes b up to the record's end and tells whether that was reached.
func (s *longScan) step(b []byte) (n int, ended bool) {
	for i, c := range b {
		if s.inQuotes && !s.wasQuote {
			s.wasQuote = c == s.quote
			continue
		}
		if s.wasQuote {
			s.wasQuote = false
			if c == s.quote {
				continue
			}
			s.inQuotes = false
			s.tail = s.tail[:0]
		}
		if s.fieldStart && s.quote != 0 && c == s.quote {
			s.inQuotes, s.fieldStart = true, false
			continue
		}
		s.fieldStart = false
		if c == '\n' {
			return i + 1, true
		}
		if s.tail = append(s.tail, c); bytes.HasSuffix(s.tail, s.delimiter) {
			s.tail, s.fieldStart = s.tail[:0], true
		} else if len(s.tail) > 4*len(s.delimiter) {
			s.tail = append(s.tail[:0], s.tail[len(s.tail)-len(s.delimiter):]...)
		}
	}
	return len(b), false
}
