package clickhouse

import (
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/twmb/franz-go/pkg/kgo"
)

// timestamps are milliseconds since 1970 on their way into a DateTime64(3).
type timestamps []int64

var _ proto.ColInput = timestamps{}

// Type is ClickHouse's type of the column.
func (t timestamps) Type() proto.ColumnType { return "DateTime64(3, 'UTC')" }

// Rows is how many values the column has.
func (t timestamps) Rows() int { return len(t) }

// WriteColumn hands the values to a connection, as EncodeColumn writes them.
func (t timestamps) WriteColumn(w *proto.Writer) { w.ChainBuffer(t.EncodeColumn) }

// EncodeColumn appends the values in ClickHouse's native format.
func (t timestamps) EncodeColumn(b *proto.Buffer) {
	b.Buf = appendInt64s(b.Buf, t, false)
}

// keys are the records' keys as they came, NULL where there is none.
type keys []*kgo.Record

var _ proto.ColInput = keys{}

// Type is ClickHouse's type of the column.
func (k keys) Type() proto.ColumnType { return "Nullable(String)" }

// Rows is how many values the column has.
func (k keys) Rows() int { return len(k) }

// WriteColumn hands the values to a connection, as EncodeColumn writes them.
func (k keys) WriteColumn(w *proto.Writer) { w.ChainBuffer(k.EncodeColumn) }

// EncodeColumn appends the values in ClickHouse's native format.
func (k keys) EncodeColumn(b *proto.Buffer) {
	for _, rec := range k {
		null := byte(0)
		if rec.Key == nil {
			null = 1
		}
		b.Buf = append(b.Buf, null)
	}
	for _, rec := range k {
		b.Buf = append(binary.AppendUvarint(b.Buf, uint64(len(rec.Key))), rec.Key...)
	}
}

// topics are the names of the records' topics on their way into a LowCardinality(String): each name once, and for every row which of them it is.
type topics []*kgo.Record

var (
	_ proto.ColInput     = topics{}
	_ proto.StateEncoder = topics{}
)

// The form of a LowCardinality column in the native protocol: keys of 32 bits that refer to a dictionary which comes along.
const (
	sharedDictionaries = 1
	keysOf32Bits       = 2
	ownDictionary      = 1<<9 | 1<<10
)

// Type is ClickHouse's type of the column.
func (t topics) Type() proto.ColumnType { return "LowCardinality(String)" }

// Rows is how many values the column has.
func (t topics) Rows() int { return len(t) }

// WriteColumn hands the values to a connection, as EncodeColumn writes them.
func (t topics) WriteColumn(w *proto.Writer) { w.ChainBuffer(t.EncodeColumn) }

// EncodeState appends what comes before the values in ClickHouse's native format.
func (t topics) EncodeState(b *proto.Buffer) { b.PutInt64(sharedDictionaries) }

// EncodeColumn appends the values in ClickHouse's native format.
func (t topics) EncodeColumn(b *proto.Buffer) {
	if len(t) == 0 {
		return
	}
	places, names, keys := map[string]uint32{}, []byte(nil), make([]uint32, len(t))
	for i, rec := range t {
		if i > 0 && rec.Topic == t[i-1].Topic { // nearly always
			keys[i] = keys[i-1]
			continue
		}
		place, ok := places[rec.Topic]
		if !ok {
			place = uint32(len(places))
			places[rec.Topic] = place
			names = appendText(names, rec.Topic)
		}
		keys[i] = place
	}
	b.PutInt64(keysOf32Bits | ownDictionary)
	b.PutInt64(int64(len(places)))
	b.Buf = append(b.Buf, names...)
	b.PutInt64(int64(len(t)))
	for _, key := range keys {
		b.PutUInt32(key)
	}
}
