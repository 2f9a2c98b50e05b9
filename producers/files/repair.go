package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

var _ producers.Repairer = (*Source)(nil)

// letterContext is what a dead letter needs, beside its bytes, to become the row that it was to be. It is kept as JSON.
type letterContext struct {
	Format   string   `json:"format"` // csv or images
	Path     string   `json:"path"`   // below the folder, as text (pathText)
	Entries  []string `json:"entries,omitempty"`
	Row      int64    `json:"row"`
	Modified int64    `json:"modified"` // nanoseconds since 1970
	Columns  []string `json:"columns,omitempty"`
	Charset  string   `json:"charset,omitempty"`
}

// text is the context as a dead letter keeps it; empty when it cannot be kept as it is.
func (c letterContext) text() string {
	b, err := json.Marshal(c)
	var back letterContext
	if err != nil || json.Unmarshal(b, &back) != nil || !slices.Equal(back.Columns, c.Columns) || !slices.Equal(back.Entries, c.Entries) {
		return "" // a name that is not UTF-8
	}
	return string(b)
}

// origin is that of the row.
func (c letterContext) origin() (origin, error) {
	path, err := parsePathText(c.Path)
	return newOrigin(path, leaf{entries: c.Entries}, c.Modified), err
}

// context is that of the row just read.
func (c *csvLeaf) context() string {
	return letterContext{Format: "csv", Path: pathText(c.job.pos.path), Entries: c.entries, Row: c.job.pos.row, Modified: c.job.pos.gen.modified,
		Columns: c.mapping.names, Charset: c.charset.String()}.text()
}

func (i *imageLeaf) context() string {
	return letterContext{Format: "images", Path: pathText(i.job.pos.path), Entries: i.leaf.entries, Row: i.job.pos.row, Modified: i.job.pos.gen.modified}.text()
}

// Repair makes the record of a row that was rejected, from the bytes of its dead letter or from others in their place, by the schema and the
// configuration as they are now. It has the origin of the row that was rejected and goes to its file's partition. An error of the class
// Reject says why the row still cannot be produced.
func (s *Source) Repair(ctx context.Context, target producers.Target, d producers.DeadLetter) (producers.Repaired, error) {
	var c letterContext
	if d.Context == "" {
		return producers.Repaired{}, notRepairable(d)
	}
	if err := json.Unmarshal([]byte(d.Context), &c); err != nil {
		return producers.Repaired{}, reject(fmt.Errorf("read the context of the dead letter: %w", err))
	}
	i := slices.IndexFunc(s.datasets, func(x *dataset) bool { return x.Name == d.Dataset })
	if i < 0 {
		return producers.Repaired{}, reject(fmt.Errorf("the configuration has no dataset %s any more", d.Dataset))
	}
	set := s.datasets[i]
	if set.Format != c.Format {
		return producers.Repaired{}, reject(fmt.Errorf("the dataset %s is now %s, and this was %s", d.Dataset, set.Format, c.Format))
	}
	from, err := c.origin()
	if err != nil {
		return producers.Repaired{}, reject(err)
	}
	topic, err := target.Dataset(ctx, set.Name, nil, set.value)
	if err != nil {
		return producers.Repaired{}, fmt.Errorf("dataset %s: %w", set.Name, err)
	}
	value := schemas.AppendFrame(nil, topic.ValueID)
	if c.Format == "images" {
		value, err = set.appendImageAgain(value, c, d.Raw)
	} else {
		value, err = set.appendRowAgain(value, c, d.Raw)
	}
	if err != nil {
		return producers.Repaired{}, reject(err)
	}
	value = from.append(value, c.Row)
	if limit := max(0, target.MaxRecordBytes()-1024); len(value) > limit {
		return producers.Repaired{}, reject(fmt.Errorf("the record has %d bytes, and its topic takes %d", len(value), limit))
	}
	digest, err := set.digest(value)
	if err != nil {
		return producers.Repaired{}, err
	}
	path, _ := parsePathText(c.Path) // checked by origin
	rec := &kgo.Record{Topic: topic.Topic, Value: value, Partition: partition(path)}
	return producers.Repaired{Records: []*kgo.Record{rec}, Digest: digest}, nil
}

func reject(err error) error { return &producers.Error{Class: producers.Reject, Err: err} }

// notRepairable says what to do about a dead letter that is no row: a file that was given up, or one of an earlier version of the program.
func notRepairable(producers.DeadLetter) error {
	return &producers.Error{Class: producers.Reject, Err: errors.New("this dead letter is no single row that could be made again"),
		Remedy: "repair the file or the configuration and drop the file again: the same content goes on where it stopped, another one is read from its start; then discard this one"}
}

// appendRowAgain appends the fields of the one row that raw holds, in the file's own encoding, by the columns that the file had.
func (d *dataset) appendRowAgain(dst []byte, c letterContext, raw []byte) ([]byte, error) {
	at := slices.Index(charsetNames[:], c.Charset)
	if at < 0 {
		return dst, fmt.Errorf("the encoding %q is not known", c.Charset)
	}
	m, err := d.plan.mapColumns(c.Columns)
	if err != nil {
		return dst, err
	}
	r := newCSVReader(newDecoder(bytes.NewReader(raw), charset(at)), d.dialect(max(len(raw), csvBuffer)), 0, 1)
	rec, err := r.next()
	switch {
	case err == io.EOF:
		return dst, errors.New("there is no row in the bytes")
	case err != nil:
		return dst, err
	case rec.err != nil:
		return dst, rec.err
	}
	if dst, err = d.plan.appendRow(dst, &m, rec); err != nil {
		return dst, err
	}
	if _, err := r.next(); err != io.EOF {
		return dst, errors.New("there is more than one row in the bytes")
	}
	return dst, nil
}

// appendImageAgain appends the fields of the image.
func (d *dataset) appendImageAgain(dst []byte, c letterContext, raw []byte) ([]byte, error) {
	info, err := readImageInfo(raw)
	if err != nil {
		return dst, err
	}
	name, err := parsePathText(c.Path)
	if err != nil {
		return dst, err
	}
	if n := len(c.Entries); n > 0 {
		name = c.Entries[n-1]
	}
	return appendImage(dst, name, raw, info, d.pattern), nil
}

// digest is that of one framed row, as the inventory counts it.
func (d *dataset) digest(framed []byte) (schemas.Digest, error) {
	var sum schemas.Digest
	decoder, err := schemas.NewDecoder(d.value, d.value)
	if err != nil {
		return sum, fmt.Errorf("dataset %s: %w", d.Name, err)
	}
	cols := schemas.NewColumns(d.value)
	if err := decoder.Decode(framed[schemas.FrameSize:], cols); err != nil {
		return sum, fmt.Errorf("decode own row: %w", err)
	}
	sum.Add(cols.AppendCanonical(nil, 0))
	return sum, nil
}
