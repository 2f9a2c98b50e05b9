package postgres

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

const (
	batchBytes   = 1 << 20
	arenaReserve = 16 << 10 // a row that is longer makes the arena grow
	slabRecords  = 256
	// recordOverhead bounds what a record takes beside its key and value in a batch of one.
	recordOverhead = 512
)

// builder gathers records until they are a batch. Keys and values lie in one arena, records in slabs, so a row costs no allocation of its own.
type builder struct {
	target  producers.Target
	source  string
	arena   []byte
	slab    []kgo.Record
	records []*kgo.Record
	rows    []producers.RowCount
	bytes   int
	last    int // index in rows that was used last
}

func (b *builder) full() bool  { return b.bytes >= batchBytes }
func (b *builder) empty() bool { return len(b.records) == 0 }

// start makes room for the next row. Batches share an arena until it is used up, so that a small one does not cost a large piece of memory.
func (b *builder) start() {
	if cap(b.arena)-len(b.arena) < arenaReserve {
		b.arena = make([]byte, 0, batchBytes)
	}
}

// take hands over what was gathered.
func (b *builder) take() producers.Batch {
	out := producers.Batch{Records: b.records, Rows: b.rows}
	b.records, b.rows, b.bytes, b.last = nil, nil, 0, 0
	return out
}

func (b *builder) add(topic string, key, value []byte) {
	if len(b.slab) == 0 {
		b.slab = make([]kgo.Record, slabRecords)
	}
	r := &b.slab[0]
	b.slab = b.slab[1:]
	r.Topic, r.Key, r.Value = topic, key, value
	b.records = append(b.records, r)
	b.bytes += len(key) + len(value)
}

func (b *builder) count(dataset string, produced, rejected int64) {
	if b.last >= len(b.rows) || b.rows[b.last].Dataset != dataset {
		b.last = 0
		for b.last < len(b.rows) && b.rows[b.last].Dataset != dataset {
			b.last++
		}
		if b.last == len(b.rows) {
			b.rows = append(b.rows, producers.RowCount{Dataset: dataset})
		}
	}
	b.rows[b.last].Produced += produced
	b.rows[b.last].Rejected += rejected
}

// addChange adds one change of a table: the record or, where the key changes, a delete of the old one and a create of the new one. before is what
// the server sent of the old row, a key or a whole row. A change that has no Avro form, or is too large, goes to the dead letters as a whole.
func (b *builder) addChange(t *table, c *change, before, after *tuple, tombstones bool) {
	b.start()
	mark, records, bytes := len(b.arena), len(b.records), b.bytes
	err := b.appendChange(t, c, before, after, tombstones)
	if err == nil {
		b.count(t.dataset, int64(len(b.records)-records), 0)
		return
	}
	b.arena, b.records, b.bytes = b.arena[:mark], b.records[:records], bytes
	row := after
	if row == nil {
		row = before
	}
	b.reject(t, placeOf(t, c, row), appendCopyLine(nil, row), err)
}

func (b *builder) appendChange(t *table, c *change, before, after *tuple, tombstones bool) error {
	moved := c.op == schemas.OpUpdate && before != nil && !t.plan.sameKey(before, after)
	if !moved {
		keyed := after
		if keyed == nil {
			keyed = before
		}
		if err := b.appendRecord(t, c, keyed, before, before, after); err != nil {
			return err
		}
		if c.op == schemas.OpDelete && tombstones {
			return b.appendTombstone(t, before)
		}
		return nil
	}
	deleted, created := *c, *c
	deleted.op, created.op = schemas.OpDelete, schemas.OpCreate
	if err := b.appendRecord(t, &deleted, before, nil, before, nil); err != nil {
		return err
	}
	// The new row keeps `before`, the only record of a create that does: it names the row it was.
	if err := b.appendRecord(t, &created, after, before, before, after); err != nil {
		return err
	}
	if tombstones {
		return b.appendTombstone(t, before)
	}
	return nil
}

func (b *builder) appendRecord(t *table, c *change, keyed, old, before, after *tuple) (err error) {
	start := len(b.arena)
	if t.plan.key != nil {
		if b.arena, err = t.appendFramedKey(b.arena, keyed, old); err != nil {
			return err
		}
	}
	mid := len(b.arena)
	if b.arena, err = t.appendEnvelope(b.arena, c, before, after); err != nil {
		return err
	}
	return b.addRecord(t, start, mid)
}

// addRecord adds what lies at the end of the arena: a key from start to mid, if there is one, and a value behind it.
func (b *builder) addRecord(t *table, start, mid int) error {
	end := len(b.arena)
	if limit := b.target.MaxRecordBytes(); end-start+recordOverhead > limit {
		return fmt.Errorf("the record has %d bytes, the topic takes %d", end-start+recordOverhead, limit)
	}
	var key []byte
	if mid > start {
		key = b.arena[start:mid:mid]
	}
	b.add(t.topic, key, b.arena[mid:end:end])
	return nil
}

func (b *builder) appendTombstone(t *table, old *tuple) (err error) {
	if t.plan.key == nil {
		return nil
	}
	start := len(b.arena)
	if b.arena, err = t.appendFramedKey(b.arena, old, nil); err != nil {
		return err
	}
	b.add(t.topic, b.arena[start:len(b.arena):len(b.arena)], nil)
	return nil
}

// addMark adds a record without a key that says that the table is empty now: a TRUNCATE, or the start of a copy.
func (b *builder) addMark(t *table, c *change) {
	b.start()
	start := len(b.arena)
	b.arena, _ = t.appendEnvelope(b.arena, c, nil, nil) // only rows can have no Avro form
	b.add(t.topic, nil, b.arena[start:len(b.arena):len(b.arena)])
	b.count(t.dataset, 1, 0)
}

// reject puts a row into the dead letters. raw is the row as a line of COPY.
func (b *builder) reject(t *table, place string, raw []byte, reason error) {
	sum := sha256.Sum256(raw)
	b.records = append(b.records, b.target.DeadLetter(producers.DeadLetter{
		Dataset: t.dataset, Place: place, Raw: raw, Size: int64(len(raw)), SHA256: sum[:], Reason: reason.Error(), At: time.Now(),
	}))
	b.bytes += len(raw)
	b.count(t.dataset, 0, 1)
}

// placeOf says where a row is at its origin, for people.
func placeOf(t *table, c *change, row *tuple) string {
	s := t.schema + "." + t.name
	for _, i := range t.plan.keys {
		s += fmt.Sprintf(" %s=%.80s", t.plan.columns[i].name, row.text[i])
	}
	if c.snapshot {
		return s + fmt.Sprintf(", copied at LSN %s", c.commit)
	}
	return s + fmt.Sprintf(", op %s, LSN %s, transaction %d, commit LSN %s, change %d", c.op, c.lsn, c.xid, c.commit, c.number)
}

// appendCopyLine appends the row in the text format of COPY, without the line break: values parted by tabs, \N for null. A value that the
// server did not send is \U, which COPY does not have.
func appendCopyLine(dst []byte, t *tuple) []byte {
	for i := range t.state {
		if i > 0 {
			dst = append(dst, '\t')
		}
		switch t.state[i] {
		case valueNull:
			dst = append(dst, `\N`...)
		case valueUnchanged:
			dst = append(dst, `\U`...)
		default:
			dst = appendCopyValue(dst, t.text[i])
		}
	}
	return dst
}

func appendCopyValue(dst, text []byte) []byte {
	for _, c := range text {
		switch c {
		case '\t':
			dst = append(dst, `\t`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\\':
			dst = append(dst, `\\`...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
