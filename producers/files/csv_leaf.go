package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// csvLeaf reads the rows of one table.
type csvLeaf struct {
	job     *job
	dataset int
	plan    *csvPlan
	mapping mapping
	csv     *csvReader
	charset charset
	skipped int64 // bytes of the byte order mark
	where   string
	entries []string // of the archive, see leaf
	origin  origin
}

// openCSV reads a table's header and goes to the position.
func openCSV(j *job, d *dataset, index int, l leaf, o origin) (*csvLeaf, error) {
	head, err := l.src.Peek(headSize)
	if err != nil && err != io.EOF {
		return nil, broken(placeOf(j.pos.path, l), err)
	}
	limit := j.reader.recordLimit()
	c := &csvLeaf{job: j, dataset: index, plan: d.plan, where: placeOf(j.pos.path, l), entries: l.entries, origin: o}
	var skip int
	c.charset, skip = detect(d.CSV.Encoding, head)
	c.skipped = int64(skip)
	if c.csv, c.mapping, err = readHeader(d, l.src, head, limit); err == io.EOF {
		return c, nil // nothing in it, not even a header: the first read says so again
	} else if err != nil {
		return nil, describe(c.where, err)
	}
	if at := j.pos.offset; at > c.csv.offset && len(l.entries) == 0 && c.charset == utf8Text {
		if _, err := j.file.Seek(c.skipped+at, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		c.csv = newCSVReader(&fileReader{l: j.leaves, r: j.file}, d.dialect(limit), at, j.pos.line)
	}
	for c.csv.offset < j.pos.offset { // an archive and a charset cannot be entered in the middle
		if _, err := c.csv.next(); err == io.EOF {
			break
		} else if err != nil {
			return nil, broken(c.where, err)
		}
	}
	return c, nil
}

// readHeader starts to read a table: it returns the reader behind the header, and what the columns are. A table without a byte is io.EOF.
func readHeader(d *dataset, src io.Reader, head []byte, limit int) (*csvReader, mapping, error) {
	charset, skip := detect(d.CSV.Encoding, head)
	if _, err := io.CopyN(io.Discard, src, int64(skip)); err != nil {
		return nil, mapping{}, fmt.Errorf("read file: %w", err)
	}
	r := newCSVReader(newDecoder(src, charset), d.dialect(limit), 0, 1)
	names := d.CSV.Columns
	if *d.CSV.Header {
		rec, err := r.next()
		switch {
		case err == io.EOF:
			return r, mapping{}, io.EOF
		case err != nil:
			return nil, mapping{}, err
		case rec.err != nil:
			return nil, mapping{}, refuse("the header cannot be read: %v", rec.err)
		case len(names) > 0 && len(names) != len(rec.fields):
			return nil, mapping{}, refuse("the header has %d columns, and %d are configured", len(rec.fields), len(names))
		case len(names) == 0:
			for _, f := range rec.fields {
				names = append(names, string(f))
			}
		}
	}
	m, err := d.plan.mapColumns(names)
	if err != nil {
		return nil, m, refuse("%v", err)
	}
	return r, m, nil
}

// fill implements leafReader.
func (c *csvLeaf) fill(b *batch) (err error) {
	j, r := c.job, c.job.reader
	topic, limit := r.topics[c.dataset], r.recordLimit()
	var produced, rejected int64
	defer func() { b.count(r.datasets[c.dataset].Name, produced, rejected) }()
	room := 64 + 16*len(c.plan.fields) + len(c.origin.before) + len(c.origin.after)
	for !b.full() {
		rec, err := c.csv.next()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return broken(c.where, err)
		}
		j.pos.rows++
		j.pos.row++
		why := rec.err
		if why == nil {
			arena := b.space(len(rec.raw) + room)
			before := len(arena)
			if arena, why = c.plan.appendRow(schemas.AppendFrame(arena, topic.ValueID), &c.mapping, rec); why == nil {
				arena = c.origin.append(arena, j.pos.row)
				if n := len(arena) - before; n > limit {
					why = fmt.Errorf("the record has %d bytes, and its topic takes %d", n, limit)
				} else {
					b.keep(c.dataset, arena)
					produced++
				}
			}
		}
		j.pos.offset, j.pos.line = c.csv.offset, c.csv.line
		if why != nil {
			b.add(r.target.DeadLetter(c.deadLetter(rec, why)))
			rejected++
			if j.pos.rejected++; *r.config.MaxBadRows >= 0 && j.pos.rejected > *r.config.MaxBadRows {
				return refuse("more than %d rows are bad, the last one since %v", *r.config.MaxBadRows, why)
			}
		}
	}
	return nil
}

// deadLetter keeps a row as its bytes were in the file.
func (c *csvLeaf) deadLetter(rec *csvRecord, why error) producers.DeadLetter {
	d := producers.DeadLetter{
		Dataset: c.job.reader.datasets[c.dataset].Name, Place: c.placeOf(rec),
		Raw: c.charset.appendOriginal(nil, rec.raw), Size: rec.size, SHA256: rec.sum, Reason: why.Error(), At: time.Now(), Context: c.context(),
	}
	var column *columnError
	if errors.As(why, &column) {
		d.Place += fmt.Sprintf(" column %d", column.column+1)
	}
	if rec.sum == nil {
		sum := sha256.Sum256(d.Raw)
		d.Size, d.SHA256 = int64(len(d.Raw)), sum[:]
	}
	return d
}

func (c *csvLeaf) placeOf(rec *csvRecord) string {
	if c.charset == utf8Text {
		return fmt.Sprintf("%s row %d line %d byte %d", c.where, c.job.pos.row, rec.line, c.skipped+rec.offset)
	}
	return fmt.Sprintf("%s row %d line %d byte %d of its text as UTF-8", c.where, c.job.pos.row, rec.line, rec.offset)
}

// place implements leafReader.
func (c *csvLeaf) place() string {
	return fmt.Sprintf("%s row %d line %d", c.where, c.job.pos.row+1, c.job.pos.line)
}

// rest implements leafReader.
func (c *csvLeaf) rest() []byte {
	b := c.csv.buf[c.csv.start:c.csv.end]
	return c.charset.appendOriginal(nil, b[:min(len(b), headSize)])
}
