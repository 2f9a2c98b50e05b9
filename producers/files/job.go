package files

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// job reads one file into batches.
type job struct {
	reader *reader
	file   *os.File
	leaves *leaves
	plain  bool         // the file is no archive
	repeat map[int]bool // leaves of an archive whose content an earlier one has
	pos    position     // behind the last row of the last batch
	open   leafReader   // the leaf that is being read, or nil
	refuse error        // why the file as a whole is not read, found before its first row
}

// leafReader adds the rows of one leaf to a batch until that is full. It returns io.EOF after the last row.
type leafReader interface {
	fill(b *batch) error
	place() string // where it is, for people
	rest() []byte  // some of what was not read
}

// begin opens a file for reading from pos. An archive is first read through, so that a broken one or a bomb is refused before its first row is sent.
func (r *reader) begin(ctx context.Context, file *os.File, at string, pos position) (*job, error) {
	j := &job{reader: r, file: file, pos: pos}
	var err error
	if j.repeat, err = j.inspect(ctx); err == nil {
		j.leaves, err = j.openLeaves(ctx, at)
	}
	if err == nil {
		j.plain = j.leaves.plain
	}
	var refused *refusal
	if errors.As(err, &refused) {
		j.refuse, err = refused, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", at, err)
	}
	return j, nil
}

func (j *job) openLeaves(ctx context.Context, name string) (*leaves, error) {
	skip := func(entries []string) bool {
		return hiddenEntry(entries) || j.reader.datasetOf(j.pos.path, entries) < 0
	}
	return openLeaves(ctx, name, j.file, j.pos.gen.size, j.reader.config.Limits, skip)
}

// next returns the next batch; the last one ends at a position that is not `reading`.
func (j *job) next(ctx context.Context) (producers.Batch, error) {
	b := &batch{reader: j.reader, partition: partition(j.pos.path)}
	pos := j.pos
	err := j.refuse
	if err == nil {
		j.leaves.ctx = ctx
		err = j.fill(b)
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		j.giveUp(b, refused.reason)
	case err == io.EOF:
		j.pos.state = done
	case err != nil:
		j.pos = pos
		return producers.Batch{}, fmt.Errorf("read %s: %w", pos.path, err)
	}
	if now, err := statFile(j.file); err != nil || !now.sameFile(j.pos.gen) {
		j.pos = pos
		return producers.Batch{}, errors.Join(err, errChanged)
	}
	b.out.Positions = []producers.Position{{Part: part(j.pos.path), Text: j.pos.String()}}
	return b.out, nil
}

// fill reads until the batch is full or the file ends (io.EOF).
func (j *job) fill(b *batch) error {
	for !b.full() {
		if j.open == nil {
			l, err := j.leaves.next()
			if err != nil {
				return err
			}
			if l.number < j.pos.leaf || j.repeat[l.number] {
				continue
			}
			if err := j.enter(l); err != nil {
				return err
			}
		}
		err := j.open.fill(b)
		if limit := *j.reader.config.MaxBadRows; limit >= 0 && j.pos.rejected > limit {
			return refuse("more than %d rows are bad", limit)
		}
		if err == io.EOF && j.plain {
			return io.EOF // the position stays at the end, where a file that grows goes on
		}
		if err == io.EOF {
			j.open = nil
			j.pos.leaf, j.pos.offset, j.pos.line, j.pos.row = j.pos.leaf+1, 0, 1, 0
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enter opens a leaf where the position says.
func (j *job) enter(l leaf) error {
	if l.number > j.pos.leaf {
		j.pos.leaf, j.pos.offset, j.pos.line, j.pos.row = l.number, 0, 1, 0
	}
	i := j.reader.datasetOf(j.pos.path, l.entries)
	if i < 0 {
		return refuse("no dataset matches it")
	}
	o := newOrigin(j.pos.path, l, j.pos.gen.modified)
	d := j.reader.datasets[i]
	if d.Format == "images" {
		j.open = &imageLeaf{job: j, dataset: i, leaf: l, origin: o}
		return nil
	}
	c, err := openCSV(j, d, i, l, o)
	if err != nil {
		return err
	}
	j.open = c
	return nil
}

// giveUp ends the file: what was not read of it is one dead letter, with the start of it.
func (j *job) giveUp(b *batch, reason string) {
	j.pos.state, j.pos.reason = failed, reason
	place, raw, name := pathText(j.pos.path), []byte(nil), ""
	if j.open != nil {
		place, raw = j.open.place()+" and what follows", j.open.rest()
	}
	if i := j.reader.datasetOf(j.pos.path, nil); i >= 0 {
		name = j.reader.datasets[i].Name
	}
	if raw == nil {
		raw = make([]byte, headSize)
		n, _ := j.file.ReadAt(raw, 0)
		raw = raw[:n]
	}
	sum, _ := hex.DecodeString(j.pos.gen.hash)
	b.add(j.reader.target.DeadLetter(producers.DeadLetter{
		Dataset: name, Place: place, Raw: raw, Size: j.pos.gen.size, SHA256: sum,
		Reason: "the file was not read to its end: " + reason, At: time.Now(),
	}))
	b.count(name, 0, 1)
	j.pos.rows++
	j.pos.rejected++
}

// close closes the file.
func (j *job) close() error {
	var err error
	if j.leaves != nil {
		err = j.leaves.close()
	}
	return errors.Join(err, j.file.Close())
}

// origin is the `_origin` of a leaf's rows, encoded but for the row.
type origin struct{ before, after []byte }

func newOrigin(path string, l leaf, modified int64) origin {
	o := origin{before: schemas.AppendString(nil, pathText(path))}
	if len(l.entries) == 0 {
		o.before = schemas.AppendBranch(o.before, 0)
	} else {
		o.before = schemas.AppendString(schemas.AppendBranch(o.before, 1), l.entry())
	}
	o.after = schemas.AppendLong(nil, time.Unix(0, modified).UnixMicro())
	return o
}

func (o *origin) append(dst []byte, row int64) []byte {
	return append(schemas.AppendLong(append(dst, o.before...), row), o.after...)
}

// placeOf names a leaf for people.
func placeOf(path string, l leaf) string {
	if len(l.entries) == 0 {
		return pathText(path)
	}
	return pathText(path) + "!" + l.entry()
}
