package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"adventureworks.example/extract/schemas"
)

// place is a row of a set of rows.
type place struct {
	fields  []*schemas.Column // of the row's own columns
	row     int
	unknown map[string]bool // columns whose value nobody has seen
}

// fill writes the changes that leave columns out because the server did not send what had not changed (TOAST). Their values are those of the row
// before: an earlier change of the batch, or the current row. A replayed old change loses to the current row by its version, so it does not
// matter what it is filled with. A value that nobody has ever seen is null and listed in `_unknown`.
func (c *current) fill(ctx context.Context, w *write, ch changes, incomplete []int) error {
	before, err := c.lookUp(ctx, ch, incomplete)
	if err != nil {
		return err
	}
	full := schemas.NewColumns(c.layout.schema)
	unknown := new(unknownColumn)
	var chosen []int
	next := 0
	for row := range ch.cols.Len() {
		op := schemas.Op(ch.op.Bytes(row))
		if op == schemas.OpDelete {
			delete(before, c.key(ch.before, row))
		}
		if op != schemas.OpRead && op != schemas.OpCreate && op != schemas.OpUpdate {
			continue
		}
		key := c.key(ch.after, row)
		if next == len(incomplete) || incomplete[next] != row {
			before[key] = place{fields: ch.after.Children, row: row}
			continue
		}
		next++
		last, known := before[key]
		missing := ch.unchangedNames(row)
		now := map[string]bool{}
		for i, f := range full.Fields {
			switch {
			case !missing[f.Name]:
				f.AppendFrom(ch.after.Children[i], row)
			case known:
				f.AppendFrom(last.fields[i], last.row)
				if last.unknown[f.Name] {
					now[f.Name] = true
				}
			default:
				f.AppendNull()
				now[f.Name] = true
			}
		}
		before[key] = place{fields: full.Fields, row: len(chosen), unknown: now}
		unknown.append(now)
		chosen = append(chosen, row)
	}
	if err := full.SetLen(len(chosen)); err != nil {
		return fmt.Errorf("fill current rows: %w", err)
	}
	var in proto.Input
	for _, col := range c.layout.columns {
		in = append(in, proto.InputColumn{Name: col.name, Data: input{col, full, rows{hi: len(chosen)}}})
	}
	in = append(in, c.marks(w, ch, chosen, 0)...)
	return c.send(ctx, append(in, proto.InputColumn{Name: "_unknown", Data: unknown}))
}

func (ch changes) unchangedNames(row int) map[string]bool {
	names := map[string]bool{}
	for i := ch.unchanged.Offsets[row]; i < ch.unchanged.Offsets[row+1]; i++ {
		names[string(ch.unchanged.Children[0].Bytes(i))] = true
	}
	return names
}

// key is the canonical bytes of the row's key.
func (c *current) key(image *schemas.Column, row int) string {
	var b []byte
	for _, k := range c.keys {
		b = image.Children[k.path[0]].AppendCanonical(b, row)
	}
	return string(b)
}

// lookUp reads the current rows of the keys.
func (c *current) lookUp(ctx context.Context, change changes, chosen []int) (map[string]place, error) {
	var names []string
	var external proto.Input
	for _, k := range c.keys {
		names = append(names, quoteName(k.name))
		k.path = append([]int{c.after}, k.path...)
		external = append(external, proto.InputColumn{Name: k.name, Data: input{k, change.cols, rows{index: chosen}}})
	}
	found := schemas.NewColumns(c.layout.schema)
	unknown := proto.NewArray[string](new(proto.ColStr))
	var selects []string
	var results proto.Results
	for _, col := range c.layout.columns {
		selects = append(selects, col.selectText())
		results = append(results, proto.ResultColumn{Name: col.name, Data: &output{col: col, cols: found}})
	}
	results = append(results, proto.ResultColumn{Name: "_unknown", Data: unknown})
	var unknowns [][]string
	err := c.sink.pool.do(ctx, ch.Query{
		Body: "SELECT " + strings.Join(selects, ", ") + ", _unknown FROM " + c.rowsTable() + " FINAL WHERE (" + strings.Join(names, ", ") + ") IN (SELECT " +
			strings.Join(names, ", ") + " FROM _data)",
		ExternalData: external, Result: results,
		OnResult: func(_ context.Context, b proto.Block) error {
			for i := range b.Rows {
				unknowns = append(unknowns, unknown.Row(i))
			}
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("look up current rows in %s: %w", c.rowsTable(), err)
	}
	for _, f := range found.Fields {
		endRecords(f, len(unknowns))
	}
	if err := found.SetLen(len(unknowns)); err != nil {
		return nil, fmt.Errorf("look up current rows in %s: %w", c.rowsTable(), err)
	}
	places := map[string]place{}
	for i, names := range unknowns {
		p := place{fields: found.Fields, row: i, unknown: map[string]bool{}}
		for _, n := range names {
			p.unknown[n] = true
		}
		places[c.key(found.Root, i)] = p
	}
	return places, nil
}

// unknownColumn is a column of Array(String).
type unknownColumn struct {
	names []byte // each with its length before it
	ends  []uint64
}

var _ proto.ColInput = (*unknownColumn)(nil)

func (u *unknownColumn) append(names map[string]bool) {
	for name := range names {
		u.names = appendText(u.names, name)
	}
	last := uint64(0)
	if len(u.ends) > 0 {
		last = u.ends[len(u.ends)-1]
	}
	u.ends = append(u.ends, last+uint64(len(names)))
}

// Type is ClickHouse's type of the column.
func (u *unknownColumn) Type() proto.ColumnType { return "Array(String)" }

// Rows is how many values the column has.
func (u *unknownColumn) Rows() int { return len(u.ends) }

// WriteColumn hands the values to a connection, as EncodeColumn writes them.
func (u *unknownColumn) WriteColumn(w *proto.Writer) { w.ChainBuffer(u.EncodeColumn) }

// EncodeColumn appends the values in ClickHouse's native format.
func (u *unknownColumn) EncodeColumn(b *proto.Buffer) {
	for _, end := range u.ends {
		b.PutUInt64(end)
	}
	b.Buf = append(b.Buf, u.names...)
}
