package clickhouse

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// deadName is the table of what could not be stored: the records of the topic `<prefix>.deadletters`, which producers write, and the records of
// any topic that this sink could not store. `_topic`, `_partition` and `_offset` say which.
const deadName = "deadletters"

type deadLetters struct {
	sink *Sink

	mu    sync.Mutex // guards what follows
	seen  bool       // the table was there in the life of this process
	state *tableState
}

func (d *deadLetters) fullName() string {
	return quoteName(d.sink.conf.Raw) + "." + quoteName(deadName)
}

func (d *deadLetters) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = nil
}

// ensure creates the table when the process first needs it. One that goes missing later is not made again.
func (d *deadLetters) ensure(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen {
		return nil
	}
	l, err := newLayout(schemas.DeadLetter)
	if err != nil {
		return err
	}
	sql := "CREATE TABLE IF NOT EXISTS " + d.fullName() + " (\n" + systemColumns("")
	for _, c := range l.columns {
		sql += ",\n" + quoteName(c.name) + " " + c.typ
	}
	sql += ")\nENGINE = MergeTree ORDER BY (_topic, _partition, _offset) SETTINGS " + dedupWindow +
		"\nCOMMENT " + quoteText("What could not be stored, with its bytes and the reason.")
	if err := d.sink.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(d.sink.conf.Raw)); err != nil {
		return fmt.Errorf("create database %s: %w", d.sink.conf.Raw, err)
	}
	if err := d.sink.exec(ctx, sql); err != nil {
		return fmt.Errorf("create table %s: %w", d.fullName(), err)
	}
	if err := d.widen(ctx, l); err != nil {
		return err
	}
	d.seen = true
	return nil
}

// widen adds the columns that a table of an earlier version of the program lacks.
func (d *deadLetters) widen(ctx context.Context, l *layout) error {
	rows, err := d.sink.texts(ctx, "SELECT name FROM system.columns WHERE database = "+quoteText(d.sink.conf.Raw)+" AND table = "+quoteText(deadName), 1)
	if err != nil {
		return fmt.Errorf("look at table %s: %w", d.fullName(), err)
	}
	var steps []string
	for _, c := range l.columns {
		if !slices.ContainsFunc(rows, func(r []string) bool { return r[0] == c.name }) {
			steps = append(steps, "ADD COLUMN IF NOT EXISTS "+quoteName(c.name)+" "+c.typ)
		}
	}
	if len(steps) == 0 {
		return nil
	}
	if err := d.sink.exec(ctx, "ALTER TABLE "+d.fullName()+" "+strings.Join(steps, ", ")); err != nil {
		return fmt.Errorf("alter table %s: %w", d.fullName(), err)
	}
	return nil
}

// ready is the state for records of the dead letters' topic itself.
func (d *deadLetters) ready(b consumers.Batch, writers map[int]*schemas.Schema) (*tableState, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := &tableState{decoders: map[int]*schemas.Decoder{}, prefix: tokenPrefix(b)}
	if d.state != nil {
		st.layout, st.limits = d.state.layout, d.state.limits
	} else {
		l, err := newLayout(schemas.DeadLetter)
		if err != nil {
			return nil, err
		}
		st.layout, st.limits = l, limitsOf(l)
	}
	for id, w := range writers {
		dec, err := schemas.NewDecoder(w, st.layout.schema)
		if err != nil {
			return nil, faults.ClickHouseSchema.Of(fmt.Errorf("read schema %d of the dead letters: %w", id, err))
		}
		st.decoders[id] = dec
	}
	d.state = st
	return st, nil
}

func tokenPrefix(b consumers.Batch) string { return fmt.Sprintf("%x", b.TopicID) }

// write stores rejected records of a batch that are not held.
func (d *deadLetters) write(ctx context.Context, w *write, bad []reject) error {
	bad, err := w.table.replay.refuse(ctx, w, bad)
	if err != nil {
		return err
	}
	if w.retry {
		return nil
	}
	var records []*kgo.Record
	cols := schemas.NewColumns(schemas.DeadLetter)
	source, dataset, _ := schemas.SplitTopic(d.sink.conf.Prefix, w.batch.Topic)
	bad = slices.Clone(bad)
	slices.SortFunc(bad, func(a, b reject) int { return int(a.rec.Offset - b.rec.Offset) })
	now := time.Now().UnixMicro()
	for _, r := range bad {
		if _, held := slices.BinarySearch(w.batch.Held, r.rec.Offset); held {
			continue
		}
		sum := sha256.Sum256(r.rec.Value)
		cols.Field("source").AppendString(source)
		cols.Field("dataset").AppendString(dataset)
		cols.Field("place").AppendString(fmt.Sprintf("topic %s partition %d offset %d", r.rec.Topic, r.rec.Partition, r.rec.Offset))
		cols.Field("raw").AppendBytes(r.rec.Value)
		cols.Field("size").AppendInt64(int64(len(r.rec.Value)))
		cols.Field("sha256").AppendBytes(sum[:])
		cols.Field("class").AppendString(string(consumers.Reject))
		cols.Field("reason").AppendString(r.reason)
		cols.Field("at").AppendInt64(now)
		cols.Field("context").AppendNull() // the bytes are the whole record
		records = append(records, r.rec)
	}
	if len(records) == 0 {
		return nil
	}
	if err := w.takeRejects(records, bad); err != nil {
		return err
	}
	if err := cols.SetLen(len(records)); err != nil {
		return fmt.Errorf("make dead letters: %w", err)
	}
	l, err := newLayout(schemas.DeadLetter)
	if err != nil {
		return err
	}
	in := (&write{records: records, schema: make([]int32, len(records))}).systemInput(0, len(records))
	for _, c := range l.columns {
		in = append(in, proto.InputColumn{Name: c.name, Data: input{c, cols, rows{hi: len(records)}}})
	}
	if err := w.insert(ctx, d.fullName(), in, records, tokenPrefix(w.batch)+".dead"); err != nil {
		return err
	}
	d.sink.log.Warn("rows went to the dead letters", "topic", w.batch.Topic, "partition", w.batch.Partition.Partition,
		"offset", records[0].Offset, "rows", len(records), "reason", bad[0].reason)
	return nil
}

// takeRejects takes the records that are about to become dead letters from the batch's budget.
func (w *write) takeRejects(records []*kgo.Record, bad []reject) error {
	n := int64(len(records))
	if w.batch.Rejects.Take(n) {
		w.taken += n
		return nil
	}
	var first []string
	for _, r := range bad[:min(len(bad), 4)] {
		first = append(first, fmt.Sprintf("offset %d: %s", r.rec.Offset, r.reason))
	}
	return w.batch.Rejects.Burst(fmt.Sprintf("topic %s (partition %d)", w.batch.Topic, w.batch.Partition.Partition), first)
}
