package clickhouse

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas/faults"
)

// insertPiece inserts the rows from lo up to hi that are not held. It cuts the piece in halves where the server refuses a row of it, or where
// part of it is held because an earlier try had to cut it. It returns the rows that the server refuses.
func (w *write) insertPiece(ctx context.Context, st *tableState, lo, hi int, held []int64) ([]reject, error) {
	have := 0
	for _, rec := range w.records[lo:hi] {
		if _, ok := slices.BinarySearch(held, rec.Offset); ok {
			have++
		}
	}
	if have == hi-lo {
		return nil, nil
	}
	var refusal error
	if have == 0 {
		err := w.insertRaw(ctx, st, lo, hi)
		if err == nil {
			return nil, nil
		}
		if refusal = classify(err); consumers.Classify(refusal) != consumers.Reject {
			return nil, refusal
		}
		if hi-lo == 1 {
			w.refused++
			if w.refused > maxRefused {
				return nil, faults.ClickHouseRefusesAll.Of(fmt.Errorf("the server refuses more than %d rows of a batch: %w", maxRefused, err))
			}
			return []reject{{w.records[lo], "refused by the server: " + errorText(err)}}, nil
		}
	}
	mid := lo + (hi-lo)/2
	left, err := w.insertPiece(ctx, st, lo, mid, held)
	if err != nil {
		return nil, err
	}
	right, err := w.insertPiece(ctx, st, mid, hi, held)
	return append(left, right...), err
}

func errorText(err error) string {
	if code, message, ok := exception(err); ok {
		return fmt.Sprintf("%s (code %d)", message, code)
	}
	return err.Error()
}

func (w *write) insertRaw(ctx context.Context, st *tableState, lo, hi int) error {
	in := w.systemInput(lo, hi)
	for _, c := range st.layout.columns {
		in = append(in, proto.InputColumn{Name: c.name, Data: input{c, w.cols, rows{lo: lo, hi: hi}}})
	}
	return w.insert(ctx, w.table.fullName(), in, w.records[lo:hi], st.prefix)
}

// systemInput is the columns that every raw row begins with. The topic goes along though it is the column's default, because the server takes longer to
// work the default out for each insert.
func (w *write) systemInput(lo, hi int) proto.Input {
	n := hi - lo
	partitions, offsets := make(proto.ColInt32, n), make(proto.ColInt64, n)
	times, ids := make(proto.ColInt64, n), make(proto.ColInt32, n)
	for i, rec := range w.records[lo:hi] {
		partitions[i], offsets[i], times[i], ids[i] = rec.Partition, rec.Offset, rec.Timestamp.UnixMilli(), w.schema[lo+i]
	}
	return proto.Input{
		{Name: "_topic", Data: topics(w.records[lo:hi])}, {Name: "_partition", Data: partitions}, {Name: "_offset", Data: offsets},
		{Name: "_timestamp", Data: timestamps(times)}, {Name: "_schema_id", Data: ids}, {Name: "_key", Data: keys(w.records[lo:hi])},
	}
}

// token names the rows of a piece, whoever inserts them and however often.
func token(prefix string, records []*kgo.Record) string {
	h := xxhash.New()
	var b [8]byte
	for _, rec := range records {
		binary.LittleEndian.PutUint64(b[:], uint64(rec.Offset))
		h.Write(b[:])
	}
	first, last := records[0], records[len(records)-1]
	return fmt.Sprintf("%s.%d.%d-%d.%d.%x", prefix, first.Partition, first.Offset, last.Offset, len(records), h.Sum64())
}

// insert sends one block. When the server says that it knows the token already, the rows must be there; where they are not, because
// somebody removed them, the block goes again under a token of its own.
func (w *write) insert(ctx context.Context, table string, in proto.Input, records []*kgo.Record, prefix string) error {
	tok := token(prefix, records)
	duplicate, err := w.sendBlock(ctx, table, in, tok)
	if err != nil || !duplicate {
		return err
	}
	missing, err := w.missing(ctx, records)
	if err != nil || missing == 0 {
		return err
	}
	if missing < len(records) {
		return faults.ClickHouseTableHoles.Of(fmt.Errorf("table %s has lost %d of the %d rows from offset %d to %d that it once took",
			table, missing, len(records), records[0].Offset, records[len(records)-1].Offset))
	}
	w.sink.log.Warn("rows were removed from the table, writing them again", "topic", w.batch.Topic, "partition", w.batch.Partition.Partition,
		"offset", records[0].Offset, "rows", len(records))
	for n := 1; duplicate && err == nil; n++ { // they may have been removed before, and written again under the first of these tokens
		duplicate, err = w.sendBlock(ctx, table, in, fmt.Sprintf("%s.again%d", tok, n))
	}
	return err
}

func (w *write) missing(ctx context.Context, records []*kgo.Record) (int, error) {
	held, err := w.sink.heldIn(ctx, w.table, w.batch.Partition, w.batch.Range)
	if err != nil {
		return 0, err
	}
	missing := 0
	for _, rec := range records {
		if _, ok := slices.BinarySearch(held, rec.Offset); !ok {
			missing++
		}
	}
	return missing, nil
}

// sendBlock inserts one native block and tells whether the server dropped it as a repeat.
func (w *write) sendBlock(ctx context.Context, table string, in proto.Input, tok string) (duplicate bool, err error) {
	names := make([]byte, 0, 32*len(in))
	for i, c := range in {
		if i > 0 {
			names = append(names, ", "...)
		}
		names = append(names, quoteName(c.Name)...)
	}
	err = w.sink.pool.do(ctx, ch.Query{
		Body:     "INSERT INTO " + table + " (" + string(names) + ") VALUES",
		Input:    in,
		Settings: insertSettings(tok),
		OnProfileEvents: func(_ context.Context, events []ch.ProfileEvent) error {
			for _, e := range events {
				if e.Name == "DuplicatedInsertedBlocks" && e.Value > 0 {
					duplicate = true
				}
			}
			return nil
		},
	})
	if err != nil {
		return false, fmt.Errorf("insert %d rows into %s: %w", in[0].Data.Rows(), table, err)
	}
	w.bytes += blockBytes(in)
	return duplicate, nil
}

func blockBytes(in proto.Input) int {
	n := 0
	for _, c := range in {
		if c, ok := c.Data.(input); ok {
			n = max(n, c.cols.Bytes())
		}
	}
	return n
}
