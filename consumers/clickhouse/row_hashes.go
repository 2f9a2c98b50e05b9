package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/cespare/xxhash/v2"

	"adventureworks.example/extract/schemas"
)

// RowHash is what a raw table holds at one offset: the hash of the row's canonical bytes (see HashRow), 0 for a tombstone.
type RowHash struct {
	Partition int32
	Offset    int64
	Hash      uint64
}

// HashRow is the hash of a row's canonical bytes, those of schemas.Columns.AppendCanonical.
func HashRow(canonical []byte) uint64 { return xxhash.Sum64(canonical) }

// RowHashes reads every row of a topic's raw table, in no order. A topic without a table has no rows. An offset that is stored twice comes twice.
func (s *Sink) RowHashes(ctx context.Context, topic string, each func(RowHash) error) error {
	name := schemas.Table(s.conf.Prefix, topic)
	m, err := s.described(ctx, s.conf.Raw, name)
	if err != nil || m == nil {
		return err
	}
	l, err := m.layout()
	if err != nil {
		return err
	}
	if err := s.rowHashes(ctx, quoteName(s.conf.Raw)+"."+quoteName(name), l, each); err != nil {
		return classify(fmt.Errorf("read back topic %s: %w", topic, err))
	}
	return nil
}

func (s *Sink) rowHashes(ctx context.Context, table string, l *layout, each func(RowHash) error) error {
	var partitions, ids proto.ColInt32
	var offsets proto.ColInt64
	names := []string{"_partition", "_offset", "_schema_id"}
	results := proto.Results{{Data: &partitions}, {Data: &offsets}, {Data: &ids}}
	cols := schemas.NewColumns(l.schema)
	for _, c := range l.columns {
		names = append(names, c.selectText())
		results = append(results, proto.ResultColumn{Data: &output{col: c, cols: cols}})
	}
	var line []byte
	return s.pool.do(ctx, ch.Query{
		Body: "SELECT " + strings.Join(names, ", ") + " FROM " + table, Result: results,
		Settings: []ch.Setting{{Key: "max_block_size", Value: "8192"}},
		OnResult: eachBlock(cols, func(rows int) error {
			for row := range rows {
				h := RowHash{Partition: partitions[row], Offset: offsets[row]}
				if ids[row] != 0 {
					line = cols.AppendCanonical(line[:0], row)
					h.Hash = HashRow(line)
				}
				if err := each(h); err != nil {
					return err
				}
			}
			return nil
		}),
	})
}
