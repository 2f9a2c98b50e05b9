package clickhouse

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// maxRefused is how many rows of one batch the server may refuse one by one. More are not bad rows but a bad table.
const maxRefused = 100

// reject is a record that can never be stored, and why.
type reject struct {
	rec    *kgo.Record
	reason string
}

// write is one batch on its way into the tables.
type write struct {
	sink    *Sink
	table   *table
	batch   consumers.Batch
	ids     []int // schema id of each record, 0 where it has none
	bad     []reject
	apart   map[int]bool // by index in the batch: bad ones and tombstones
	tombs   []*kgo.Record
	records []*kgo.Record
	schema  []int32 // of records
	cols    *schemas.Columns
	refused int
	bytes   int
}

// Write stores a batch: first the dead letters and the current rows, then the raw rows, so that an offset the raw table holds is one of which
// everything is held. Every piece that reaches the server has a token made of its offsets, and pieces are cut the same way every time, so a
// repeat of any of it changes nothing.
func (s *Sink) Write(ctx context.Context, b consumers.Batch) (consumers.Written, error) {
	if len(b.Records) == 0 {
		return consumers.Written{}, nil
	}
	t, err := s.table(b.Topic)
	if err != nil {
		return consumers.Written{}, err
	}
	w := &write{sink: s, table: t, batch: b, apart: map[int]bool{}}
	if err := w.run(ctx); err != nil {
		if isStale(err) {
			t.forget()
			s.dead.forget()
		}
		return consumers.Written{}, classify(err)
	}
	return consumers.Written{Stored: len(b.Records) - len(w.bad), Rejected: len(w.bad), Bytes: w.bytes}, nil
}

func (w *write) run(ctx context.Context) error {
	if err := w.sink.dead.ensure(ctx); err != nil {
		return err
	}
	writers, keys, err := w.readSchemas(ctx)
	if err != nil {
		return err
	}
	var st *tableState
	if w.table.isDead() {
		st, err = w.sink.dead.ready(w.batch, writers)
	} else {
		st, err = w.table.ready(ctx, w.batch, writers, keys, len(w.tombs) > 0)
	}
	if err != nil {
		return err
	}
	if st == nil {
		for _, rec := range w.tombs { // nothing says what their table would be
			w.bad = append(w.bad, reject{rec, "a record without a value, and none with a value was there before it"})
		}
	} else {
		w.cols = st.takeColumns()
		defer st.giveBack(w.cols)
		if err := w.decode(st); err != nil {
			return err
		}
	}
	if err := w.sink.dead.write(ctx, w, w.bad); err != nil {
		return err
	}
	if st == nil {
		return nil
	}
	if st.current != nil {
		if err := st.current.write(ctx, w); err != nil {
			return err
		}
	}
	if err := w.writeRaw(ctx, st); err != nil {
		return err
	}
	return w.writeTombstones(ctx, st)
}

// writeTombstones inserts the records that have a key and no value, as Debezium writes them after a delete and compacted topics want them: rows
// with what every raw row begins with, and NULLs. The current rows know of the delete already.
func (w *write) writeTombstones(ctx context.Context, st *tableState) error {
	if len(w.tombs) == 0 {
		return nil
	}
	t := &write{sink: w.sink, table: w.table, batch: w.batch, records: w.tombs, schema: make([]int32, len(w.tombs))}
	err := t.writeRaw(ctx, &tableState{layout: &layout{}, prefix: st.prefix + ".tombstones"})
	w.bad, w.bytes = append(w.bad, t.bad...), w.bytes+t.bytes
	return err
}

// maxSpare is the size of rows above which their memory is not kept for the next batch.
const maxSpare = 32 << 20

func (st *tableState) takeColumns() *schemas.Columns {
	if c, ok := st.spare.Get().(*schemas.Columns); ok {
		return c
	}
	return schemas.NewColumns(st.layout.schema)
}

func (st *tableState) giveBack(c *schemas.Columns) {
	if c.Bytes() <= maxSpare {
		st.spare.Put(c)
	}
}

func (w *write) rejectAt(i int, reason string) {
	if !w.apart[i] {
		w.apart[i] = true
		w.bad = append(w.bad, reject{w.batch.Records[i], reason})
	}
}

// readSchemas finds the schemas of the values, and that of the first key.
func (w *write) readSchemas(ctx context.Context) (writers map[int]*schemas.Schema, keys *schemas.Schema, err error) {
	writers = map[int]*schemas.Schema{}
	unknown := map[int]string{}
	w.ids = make([]int, len(w.batch.Records))
	for i, rec := range w.batch.Records {
		if rec.Value == nil && len(rec.Key) > 0 && !w.table.isDead() {
			w.apart[i] = true
			w.tombs = append(w.tombs, rec)
			continue
		}
		id, _, err := schemas.ParseFrame(rec.Value)
		if err != nil {
			w.rejectAt(i, err.Error())
			continue
		}
		w.ids[i] = id
		if writers[id] == nil && unknown[id] == "" {
			writers[id], err = w.sink.schemas.ByID(ctx, id)
			switch {
			case isUnknownSchema(err):
				delete(writers, id)
				unknown[id] = err.Error()
			case err != nil:
				return nil, nil, registryError(id, err)
			case writers[id].Root.Kind != schemas.Record:
				delete(writers, id)
				unknown[id] = fmt.Sprintf("schema %d is no record but a %s", id, writers[id].Root.Kind)
			}
		}
		if reason := unknown[id]; reason != "" {
			w.rejectAt(i, reason)
		}
		if keys == nil && len(rec.Key) > 0 {
			if keyID, _, err := schemas.ParseFrame(rec.Key); err == nil {
				if keys, err = w.sink.schemas.ByID(ctx, keyID); err != nil && !isUnknownSchema(err) {
					return nil, nil, registryError(keyID, err)
				}
			}
		}
	}
	return writers, keys, nil
}

// decode turns the good records into rows. A row with a value that ClickHouse cannot hold is found once all are rows, which is quick, and
// the rows are made again without it, which is rare.
func (w *write) decode(st *tableState) error {
	for {
		w.cols.Reset()
		w.records, w.schema = w.records[:0], w.schema[:0]
		var places []int
		for i, rec := range w.batch.Records {
			if w.apart[i] {
				continue
			}
			if err := st.decoders[w.ids[i]].Decode(rec.Value[schemas.FrameSize:], w.cols); err != nil {
				w.rejectAt(i, err.Error())
				continue
			}
			w.records = append(w.records, rec)
			w.schema = append(w.schema, int32(w.ids[i]))
			places = append(places, i)
		}
		outside := st.limits.outside(w.cols)
		if st.current != nil && len(outside) == 0 {
			outside = st.current.outside(w.cols)
		}
		if len(outside) == 0 {
			return nil
		}
		for row, reason := range outside {
			w.rejectAt(places[row], reason)
		}
	}
}

// writeRaw inserts the rows as one block, in the good case.
func (w *write) writeRaw(ctx context.Context, st *tableState) error {
	if len(w.records) == 0 {
		return nil
	}
	refused, err := w.insertPiece(ctx, st, 0, len(w.records), w.batch.Held)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		w.bad = append(w.bad, refused...)
		if err := w.sink.dead.write(ctx, w, refused); err != nil {
			return err
		}
	}
	return nil
}

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
				return nil, &consumers.Error{Class: consumers.Pause, Err: fmt.Errorf("the server refuses more than %d rows of a batch: %w", maxRefused, err),
					Remedy: "look at the table's constraints and materialized views"}
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
	in := w.systemInput(lo, hi, w.table.isDead())
	for _, c := range st.layout.columns {
		in = append(in, proto.InputColumn{Name: c.name, Data: input{c, w.cols, rows{lo: lo, hi: hi}}})
	}
	return w.insert(ctx, w.table.fullName(), in, w.records[lo:hi], st.prefix)
}

// systemInput is the columns that every raw row begins with.
func (w *write) systemInput(lo, hi int, topic bool) proto.Input {
	n := hi - lo
	partitions, offsets := make(proto.ColInt32, n), make(proto.ColInt64, n)
	times, ids := make(proto.ColInt64, n), make(proto.ColInt32, n)
	for i, rec := range w.records[lo:hi] {
		partitions[i], offsets[i], times[i], ids[i] = rec.Partition, rec.Offset, rec.Timestamp.UnixMilli(), w.schema[lo+i]
	}
	in := proto.Input{
		{Name: "_partition", Data: partitions}, {Name: "_offset", Data: offsets}, {Name: "_timestamp", Data: timestamps(times)},
		{Name: "_schema_id", Data: ids}, {Name: "_key", Data: keys(w.records[lo:hi])},
	}
	if topic {
		in = append(proto.Input{{Name: "_topic", Data: topics(w.records[lo:hi])}}, in...)
	}
	return in
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
		return &consumers.Error{Class: consumers.Pause, Err: fmt.Errorf("table %s has lost %d of the %d rows from offset %d to %d that it once took",
			table, missing, len(records), records[0].Offset, records[len(records)-1].Offset), Remedy: "delete the rest of them, or replay the topic into a new table"}
	}
	w.sink.log.Warn("rows were removed from the table, writing them again", "topic", w.batch.Topic, "partition", w.batch.Partition.Partition,
		"offset", records[0].Offset, "rows", len(records))
	_, err = w.sendBlock(ctx, table, in, tok+".again")
	return err
}

func (w *write) missing(ctx context.Context, records []*kgo.Record) (int, error) {
	held, err := w.sink.Held(ctx, w.batch.Partition, w.batch.Range)
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
		Body:  "INSERT INTO " + table + " (" + string(names) + ") VALUES",
		Input: in,
		Settings: []ch.Setting{
			{Key: "async_insert", Value: "0", Important: true},
			{Key: "insert_deduplicate", Value: "1", Important: true},
			{Key: "insert_deduplication_token", Value: tok, Important: true},
		},
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

func sortedIDs[T any](m map[int]T) []int {
	ids := make([]int, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	sort.Ints(ids)
	return ids
}
