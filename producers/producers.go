// Package producers turns anything into Kafka records. A Source reads; Run writes what it reads, together with the position that
// was reached, in one Kafka transaction, and only then tells the source to commit. So a row enters Kafka once, whatever dies when.
package producers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// Position says how far one part of a source has got. Parts are what a source resumes separately: a stream, a table's first copy,
// a file. The text is the source's own (its Position type's String); Run stores it and gives it back unread. An empty Text
// forgets the part.
type Position struct {
	Part string
	Text string
}

// Batch is what a Source has read: ready records and, where the source could resume behind them, the positions that say so.
type Batch struct {
	// Records are framed Avro with Topic set. A record with a key goes to the partition of its key (murmur2, as Java's); one
	// without goes to Partition modulo the topic's partitions.
	Records []*kgo.Record
	// Positions become durable in the transaction that carries Records. A batch without any cannot end a transaction: the
	// records up to it and after it, until the next batch that has one, are visible together or not at all.
	Positions []Position
	// Open asks Run not to end the transaction here though it could, because what was committed together at the source goes on.
	// Past Limits.MaxBytes or Limits.MaxTime Run ends it all the same.
	Open bool
	// Rows counts source rows by dataset and Rejected those of them that went to the dead letters; for metrics and status.
	Rows []RowCount
}

// RowCount is how many rows of one dataset a batch holds. Produced rows are in its topic, Rejected ones in the dead letters.
type RowCount struct {
	Dataset  string
	Produced int64
	Rejected int64
}

// Source is one origin of records. Run calls Open, then Next and Commit, then Close once both have returned. Next runs in one goroutine
// and Commit in another, so that what is durable is acknowledged at once though Next waits for more: one call of each at a time, and the
// two may overlap. What they share needs a mutex.
//
// Open resumes behind the positions, which are all that were ever committed for this source, by part; none at the first start. It is
// called once. A Source is used for one run; after an error Run makes a new one.
//
// Next blocks until something is ready, ctx ends (it then returns ctx.Err()) or the source is at its end (io.EOF; a source that
// follows never is). It returns batches of about a megabyte, so that memory stays bounded. The batch belongs to the caller.
// Next runs ahead of Commit: what it has returned may not be durable yet.
//
// A part has a name: an empty Part is Run's own.
//
// Commit is told the positions that are durable in Kafka, in order, once their transaction has committed. It acknowledges them at the
// origin (confirms an LSN, moves a file) and may be called again with the same positions after a crash, or never: Open must cope
// with a commit that did not happen.
//
// Close releases everything, without acknowledging anything that Commit was not told.
type Source interface {
	Open(ctx context.Context, target Target, positions map[string]string) error
	Next(ctx context.Context) (Batch, error)
	Commit(ctx context.Context, positions []Position) error
	Close(ctx context.Context) error
}

// Target is where a source's records go, as far as the source must know: it makes topics and schema ids ready before the first
// record that needs them, and forms dead letters. It is safe for concurrent use.
type Target interface {
	// Dataset creates the topic `<prefix>.<source>.<dataset>` if it is not there, registers the schemas under `<topic>-key` and
	// `<topic>-value`, and returns the ids to frame with. key may be nil. It is cheap for schemas it has seen. A schema that is
	// not backward compatible is an *schemas.IncompatibleError.
	Dataset(ctx context.Context, dataset string, key, value *schemas.Schema) (Dataset, error)
	// DeadLetter is the record that keeps a row which could not be produced. Put it in Batch.Records.
	DeadLetter(d DeadLetter) *kgo.Record
	// MaxRecordBytes is the largest record a topic takes, in bytes: rows above it are dead letters.
	MaxRecordBytes() int
}

// Dataset is a topic that is ready for records.
type Dataset struct {
	Topic   string
	KeyID   int // 0 without a key schema
	ValueID int
}

// Class says what is done about an error. The vocabulary is that of faults.
type Class = faults.Class

// The classes, see faults.Class.
const (
	Retry  = faults.Retry
	Pause  = faults.Pause
	Reject = faults.Reject
	Stop   = faults.Stop
)

// DeadLetter is a row that could not be produced or stored, with everything needed to repair it.
type DeadLetter struct {
	Dataset string    // without prefix and source; empty when it is not known
	Place   string    // where it is, for people: file, entry, line and byte; LSN and transaction; object, row group and row
	Raw     []byte    // the row's bytes as they were at the origin, cut to what a record holds
	Size    int64     // bytes of the whole row
	SHA256  []byte    // of the whole row
	Reason  string    // a sentence
	At      time.Time // when it was rejected
	// Context is what the source needs to make the row of Raw again, in its own words; empty when Raw is not enough. At most 4 KiB are kept.
	Context string
}

// Held is what a source holds of one dataset now: how many rows and their digest (schemas.Digest).
type Held struct {
	Dataset string
	Rows    int64
	Digest  schemas.Digest
	// Changes tells that the topic carries changes, so that Rows compares with the current table and not with the raw one.
	Changes bool
	// Rejected rows are among Rows but cannot be produced.
	Rejected int64
}

// Holder is a Source's inventory, for `extract reconcile`. It reads the origin again and touches nothing.
type Holder interface {
	Held(ctx context.Context, report func(Held)) error
}
