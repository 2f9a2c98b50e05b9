package files

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
)

// A batch ends at whichever comes first, unless a test sets its own.
const (
	batchBytes   = 1 << 20
	batchRecords = 8192
)

// batch collects records. Their values lie one after the other in arenas, so that a row costs no allocation of its own.
type batch struct {
	reader    *reader
	partition int32
	out       producers.Batch
	arena     []byte
	chunk     []kgo.Record
	bytes     int
}

func (b *batch) full() bool {
	return b.bytes >= b.reader.batchBytes || len(b.out.Records) >= b.reader.batchRecords
}

// space returns the arena to append a value to, with at least n bytes free; keep takes what was appended.
func (b *batch) space(n int) []byte {
	if cap(b.arena)-len(b.arena) < n {
		b.arena = make([]byte, 0, max(n, batchBytes/4))
	}
	return b.arena
}

// keep makes a record for a dataset of what was appended to the arena.
func (b *batch) keep(dataset int, arena []byte) {
	value := arena[len(b.arena):len(arena):len(arena)]
	b.arena = arena
	if len(b.chunk) == cap(b.chunk) {
		b.chunk = make([]kgo.Record, 0, min(1024, max(16, 2*cap(b.chunk))))
	}
	b.chunk = b.chunk[:len(b.chunk)+1]
	r := &b.chunk[len(b.chunk)-1]
	r.Topic, r.Value, r.Partition = b.reader.topics[dataset].Topic, value, b.partition
	b.add(r)
}

func (b *batch) add(r *kgo.Record) {
	b.out.Records = append(b.out.Records, r)
	b.bytes += len(r.Value) + len(r.Key)
}

func (b *batch) count(dataset string, produced, rejected int64) {
	for i := range b.out.Rows {
		if c := &b.out.Rows[i]; c.Dataset == dataset {
			c.Produced += produced
			c.Rejected += rejected
			return
		}
	}
	b.out.Rows = append(b.out.Rows, producers.RowCount{Dataset: dataset, Produced: produced, Rejected: rejected})
}
