package clickhouse

import (
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/twmb/franz-go/pkg/kgo"
)

// timestamps are milliseconds since 1970 on their way into a DateTime64(3).
type timestamps []int64

var _ proto.ColInput = timestamps{}

func (t timestamps) Type() proto.ColumnType      { return "DateTime64(3, 'UTC')" }
func (t timestamps) Rows() int                   { return len(t) }
func (t timestamps) WriteColumn(w *proto.Writer) { w.ChainBuffer(t.EncodeColumn) }
func (t timestamps) EncodeColumn(b *proto.Buffer) {
	b.Buf = appendInt64s(b.Buf, t, false)
}

// keys are the records' keys as they came, NULL where there is none.
type keys []*kgo.Record

var _ proto.ColInput = keys{}

func (k keys) Type() proto.ColumnType      { return "Nullable(String)" }
func (k keys) Rows() int                   { return len(k) }
func (k keys) WriteColumn(w *proto.Writer) { w.ChainBuffer(k.EncodeColumn) }
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

// topics are the names of the records' topics.
type topics []*kgo.Record

var _ proto.ColInput = topics{}

func (t topics) Type() proto.ColumnType      { return "String" }
func (t topics) Rows() int                   { return len(t) }
func (t topics) WriteColumn(w *proto.Writer) { w.ChainBuffer(t.EncodeColumn) }
func (t topics) EncodeColumn(b *proto.Buffer) {
	for _, rec := range t {
		b.Buf = appendText(b.Buf, rec.Topic)
	}
}
