package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// Stored is what ClickHouse holds of one topic now.
type Stored struct {
	Topic string
	Table string // raw table, with its database
	// Rows counts the rows of the raw table, Offsets the distinct (topic, partition, offset) among them: the difference is stored twice.
	Rows    int64
	Offsets int64
	// Rejected counts the topic's records that this side put into the dead letters and that the raw table does not hold by now, Unproduced the rows
	// that the topic's producer put there, ever.
	Rejected   int64
	Unproduced int64
	// Changes tells that the topic carries changes of a table with a key, or that all of its changes are truncates, which have none. Then Current and
	// Digest are about the current rows, as the view shows them; Digest is that of the raw rows otherwise.
	Changes bool
	Current int64
	Digest  schemas.Digest
	// Unknown counts current rows with a value that no change has ever carried.
	Unknown int64
}

// Stored reads what ClickHouse holds of the topics, every row of it. A topic without a table is reported with no rows.
func (s *Sink) Stored(ctx context.Context, topics ...string) ([]Stored, error) {
	var all []Stored
	for _, topic := range topics {
		st := Stored{Topic: topic, Table: s.conf.Raw + "." + schemas.Table(s.conf.Prefix, topic)}
		if err := s.stored(ctx, &st); err != nil {
			return nil, classify(fmt.Errorf("read back topic %s: %w", topic, err))
		}
		all = append(all, st)
	}
	return all, nil
}

func (s *Sink) stored(ctx context.Context, st *Stored) error {
	name := schemas.Table(s.conf.Prefix, st.Topic)
	m, err := s.described(ctx, s.conf.Raw, name)
	if err != nil {
		return err
	}
	raw := ""
	if m != nil {
		raw = quoteName(s.conf.Raw) + "." + quoteName(name)
	}
	if err := s.rejected(ctx, st, raw); err != nil || m == nil {
		return err
	}
	counts, err := s.ints(ctx, "SELECT arrayJoin([toInt64(count()), toInt64(uniqExact(_topic, _partition, _offset))]) FROM "+raw)
	if err != nil {
		return err
	}
	st.Rows, st.Offsets = counts[0], counts[1]
	cm, err := s.described(ctx, s.conf.Current, rowsPrefix+name)
	if err != nil {
		return err
	}
	if cm == nil {
		if st.Changes, err = s.onlyTruncates(ctx, raw, m); err != nil || st.Changes {
			return err
		}
		_, st.Digest, err = s.digest(ctx, raw, m, nil)
		return err
	}
	st.Changes = true
	view := quoteName(s.conf.Current) + "." + quoteName(name)
	keys, err := s.keyColumns(ctx, rowsPrefix+name)
	if err != nil {
		return err
	}
	st.Current, st.Digest, err = s.digest(ctx, view, cm, keys)
	if err != nil {
		return err
	}
	unknown, err := s.ints(ctx, "SELECT toInt64(countIf(notEmpty(_unknown))) FROM "+quoteName(s.conf.Current)+"."+quoteName(rowsPrefix+name)+" FINAL")
	if err != nil {
		return err
	}
	st.Unknown = unknown[0]
	return nil
}

// onlyTruncates tells whether the records of a raw table are changes that leave no row: a source that began its first copy again says of every table that
// it was empty before, and then an empty table has no other record.
func (s *Sink) onlyTruncates(ctx context.Context, raw string, m *meta) (bool, error) {
	c, _, err := s.changesIn(&table{}, m)
	if err != nil || c == nil {
		return false, err
	}
	others, err := s.ints(ctx, "SELECT toInt64(count()) FROM "+raw+" WHERE "+dataChange)
	return err == nil && others[0] == 0, err
}

// rejected counts the dead letters of a topic. raw is its table's full name, empty where there is none.
func (s *Sink) rejected(ctx context.Context, st *Stored, raw string) error {
	there, err := s.ints(ctx, "SELECT toInt64(count()) FROM system.tables WHERE database = "+quoteText(s.conf.Raw)+" AND name = "+quoteText(deadName))
	if err != nil || there[0] == 0 {
		return err
	}
	source, dataset, _ := schemas.SplitTopic(s.conf.Prefix, st.Topic)
	own := quoteText(s.conf.Prefix + "." + deadName)
	count := "SELECT toInt64(uniqExact(_partition, _offset)) FROM " + s.dead.fullName() + " WHERE "
	for _, q := range []struct {
		n     *int64
		where string
	}{
		{&st.Rejected, s.dead.notStored(st.Topic, raw)},
		{&st.Unproduced, "_topic = " + own + " AND source = " + quoteText(source) + " AND dataset = " + quoteText(dataset)},
	} {
		n, err := s.ints(ctx, count+q.where)
		if err != nil {
			return err
		}
		*q.n = n[0]
	}
	return nil
}

func (s *Sink) keyColumns(ctx context.Context, name string) (map[string]bool, error) {
	rows, err := s.texts(ctx, "SELECT name FROM system.columns WHERE is_in_sorting_key AND database = "+quoteText(s.conf.Current)+" AND table = "+quoteText(name), 1)
	keys := map[string]bool{}
	for _, r := range rows {
		keys[r[0]] = true
	}
	return keys, err
}

// digest reads a table or view back and sums up its rows. keys are the columns without nulls although their fields may have them.
// A tombstone is no row.
func (s *Sink) digest(ctx context.Context, from string, m *meta, keys map[string]bool) (int64, schemas.Digest, error) {
	var sum schemas.Digest
	l, err := m.layout()
	if err != nil {
		return 0, sum, err
	}
	if l.tombstones {
		from += " WHERE _schema_id != 0"
	}
	var count int64
	var line []byte
	err = s.readBack(ctx, from, l, keys, func(cols *schemas.Columns) error {
		for row := range cols.Len() {
			line = cols.AppendCanonical(line[:0], row)
			sum.Add(line)
		}
		count += int64(cols.Len())
		return nil
	})
	return count, sum, err
}

// readBack reads a table or view block by block into rows, which are only good until each returns.
func (s *Sink) readBack(ctx context.Context, from string, l *layout, keys map[string]bool, each func(*schemas.Columns) error) error {
	cols := schemas.NewColumns(l.schema)
	var names []string
	var results proto.Results
	for _, c := range l.columns {
		if keys[c.name] {
			c.withoutNull()
		}
		names = append(names, c.selectText())
		results = append(results, proto.ResultColumn{Data: &output{col: c, cols: cols}})
	}
	if len(names) == 0 {
		return &consumers.Error{Class: consumers.Stop, Err: fmt.Errorf("table %s has no columns of its own", from)}
	}
	return s.pool.do(ctx, ch.Query{
		Body: "SELECT " + strings.Join(names, ", ") + " FROM " + from, Result: results,
		Settings: []ch.Setting{{Key: "max_block_size", Value: "8192"}},
		OnResult: eachBlock(cols, func(int) error { return each(cols) }),
	})
}

// eachBlock calls each with the number of rows of every block of an answer, which are in cols until it returns.
func eachBlock(cols *schemas.Columns, each func(rows int) error) func(context.Context, proto.Block) error {
	return func(_ context.Context, b proto.Block) error {
		if b.Rows == 0 {
			return nil
		}
		for _, f := range cols.Fields {
			endRecords(f, b.Rows)
		}
		if err := cols.SetLen(b.Rows); err != nil {
			return err
		}
		defer cols.Reset()
		return each(b.Rows)
	}
}
