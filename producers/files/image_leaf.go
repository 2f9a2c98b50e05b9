package files

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// imageLeaf reads one image.
type imageLeaf struct {
	job     *job
	dataset int
	leaf    leaf
	origin  origin
}

// fill implements leafReader. An image is one row.
func (i *imageLeaf) fill(b *batch) error {
	j, r := i.job, i.job.reader
	d := r.datasets[i.dataset]
	var buf bytes.Buffer
	if len(i.leaf.entries) == 0 {
		buf.Grow(int(min(j.pos.gen.size, int64(r.recordLimit()))) + bytes.MinRead)
	}
	if _, err := io.Copy(&buf, io.LimitReader(i.leaf.src, int64(r.recordLimit())+1)); err != nil {
		return broken(i.place(), err)
	}
	j.pos.rows++
	j.pos.row++
	info, err := readImageInfo(buf.Bytes())
	if buf.Len() > r.recordLimit() {
		err = fmt.Errorf("the image does not fit in a record: its topic takes %d bytes", r.recordLimit())
	}
	if err == nil {
		name := j.pos.path
		if n := len(i.leaf.entries); n > 0 {
			name = i.leaf.entries[n-1]
		}
		arena := b.space(buf.Len() + 1024 + len(i.origin.before) + len(name))
		before := len(arena)
		arena = appendImage(schemas.AppendFrame(arena, r.topics[i.dataset].ValueID), name, buf.Bytes(), info, d.pattern)
		if arena = i.origin.append(arena, j.pos.row); len(arena)-before <= r.recordLimit() {
			b.keep(i.dataset, arena)
			b.count(d.Name, 1, 0)
			return io.EOF
		}
		err = fmt.Errorf("the image makes a record of %d bytes, and its topic takes %d", len(arena)-before, r.recordLimit())
	}
	letter := producers.DeadLetter{Dataset: d.Name, Place: i.place(), Reason: err.Error(), At: time.Now(), Context: i.context()}
	h := sha256.New()
	h.Write(buf.Bytes())
	more, err := io.Copy(h, i.leaf.src)
	if err != nil {
		return broken(i.place(), err)
	}
	letter.Size, letter.SHA256, letter.Raw = int64(buf.Len())+more, h.Sum(nil), buf.Bytes()
	b.add(r.target.DeadLetter(letter))
	b.count(d.Name, 0, 1)
	j.pos.rejected++
	return io.EOF
}

// place implements leafReader.
func (i *imageLeaf) place() string { return placeOf(i.job.pos.path, i.leaf) }

// rest implements leafReader.
func (i *imageLeaf) rest() []byte { return nil }
