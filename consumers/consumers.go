// Package consumers takes records out of Kafka and into anything. A Sink stores; Run reads, and sees to it that every record is stored
// once, whatever dies when: it commits the range it is about to write before it writes it, so that whoever comes after knows what to
// ask the sink for.
package consumers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas/faults"
)

// Partition is one partition of one topic. The topic's id tells a topic from another that was made later under the same name.
type Partition struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
}

// String is the topic and the partition, as people write them.
func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Partition) }

// Range is the offsets from Start up to, not including, End. The zero value holds none. Not every offset in it is a record: the marks of
// transactions take offsets too.
type Range struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// Empty tells whether the range holds no offset.
func (r Range) Empty() bool { return r.End <= r.Start }

// Batch is what a Sink stores in one go: the records of one range of one partition, in the order of their offsets. Its range is written
// down in Kafka before the sink sees it, and never changes: whoever comes to it again brings the same records.
type Batch struct {
	Partition
	Range
	Records []*kgo.Record
	// First tells that nothing of this partition was ever stored, so that a table which is not there may be created. In any other
	// batch a missing table is one that somebody took away.
	First bool
	// Again tells that part of the batch may be stored already: it was tried before, by this process or by a dead one.
	Again bool
	// Held are the offsets of the range that the sink said it holds, ascending, asked for after the batch was known to be Again.
	Held []int64
	// Rejects is what the sink takes the records from that it puts into the dead letters. Where it does not have them the sink puts none there and
	// returns the budget's error. What it took for a write that failed it gives back.
	Rejects *faults.Budget

	audit bool // the range was committed as stored
}

// Written is what became of a batch's records.
type Written struct {
	Stored   int // in the table of the topic, now or earlier
	Rejected int // in the dead letters, now or earlier
	Bytes    int // sent to the sink
}

// Sink stores batches. Its methods are called by several goroutines at once. For one partition Run calls them one after the other; a call
// whose context has ended may still be under way when the next one begins, as it may be in another process that does not know yet that it
// lost the partition.
//
// Next says where to go on in a partition of which Kafka holds no offset: one past the highest offset the sink holds, 0 when it holds none.
//
// Held says which offsets of the range the sink holds, ascending, whether as rows or as dead letters.
//
// Write makes the batch durable and queryable before it returns nil. It is idempotent: called again with the same batch, by this process or
// by another, even while an earlier call is still under way somewhere, it stores every record once. Records it can never store go to
// the dead letters; they are no error. An error says by its Class (see Classify) what is to be done about it.
type Sink interface {
	Next(ctx context.Context, p Partition) (int64, error)
	Held(ctx context.Context, p Partition, r Range) ([]int64, error)
	Write(ctx context.Context, b Batch) (Written, error)
}
