package clickhouse

import (
	"context"
	"fmt"
	"sort"

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
	retry   bool  // of a dead letter: what is bad has its letter already
	taken   int64 // dead letters, as taken from the batch's budget
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
	return s.writeTo(ctx, t, b)
}

// writeTo stores a batch in a table of its topic.
func (s *Sink) writeTo(ctx context.Context, t *table, b consumers.Batch) (consumers.Written, error) {
	w := &write{sink: s, table: t, batch: b, apart: map[int]bool{}}
	if err := w.run(ctx); err != nil {
		b.Rejects.Give(w.taken)
		if isStale(err) {
			t.forget()
			s.dead.forget()
			s.afterRefusal(ctx, b.Topic, err)
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
	if st.envelope != nil {
		if err := st.envelope.markTruncated(ctx, w); err != nil {
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

func sortedIDs[T any](m map[int]T) []int {
	ids := make([]int, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	sort.Ints(ids)
	return ids
}
