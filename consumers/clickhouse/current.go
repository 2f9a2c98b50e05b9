package clickhouse

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"adventureworks.example/extract/schemas"
)

// rowsPrefix begins the names of the tables behind the views of current rows.
const rowsPrefix = "_rows_"

// truncations is the table of the marks that truncated tables leave: rows of a version below the mark are gone.
const truncations = "_truncations"

// current is the table of the rows that a database table has now, made from its changes, and the view that people query. Every row has a version
// that is (generation of the source, commit LSN, number in the transaction), so the last one wins in whatever order they come, and
// writing one twice changes nothing.
type current struct {
	sink   *Sink
	name   string // of the view
	rows   string // the table of the rows
	hidden bool   // a replay builds the rows: they have no view
	after  int    // index of the field in the envelope
	before int
	layout *layout // of the rows; nil as long as no key is known
	keys   []column
}

// version is a UInt128, the higher half first.
type version struct{ hi, lo uint64 }

func (v version) less(o version) bool { return v.hi < o.hi || v.hi == o.hi && v.lo < o.lo }

// changes are the rows of a batch, as what they do to the current rows.
type changes struct {
	cols      *schemas.Columns
	op        *schemas.Column
	source    *schemas.Column
	after     *schemas.Column
	before    *schemas.Column
	unchanged *schemas.Column // nil in an envelope of Debezium's
}

func (c *current) changes(cols *schemas.Columns) changes {
	return changes{cols: cols, op: cols.Field("op"), source: cols.Field("source"), after: cols.Fields[c.after], before: cols.Fields[c.before],
		unchanged: cols.Field("unchanged")}
}

func (ch changes) number(name string, row int) uint64 {
	f := ch.source.Child(name)
	if f == nil || f.Form != schemas.FormInt64 || f.IsNull(row) {
		return 0
	}
	return uint64(f.Int64[row])
}

// version is generation<<96 | commit LSN<<32 | number. Debezium has no commit LSN: there the LSN of the change itself orders.
func (ch changes) version(row int) version {
	lsn := ch.number("commit_lsn", row)
	if lsn == 0 {
		lsn = ch.number("lsn", row)
	}
	return version{ch.number("generation", row)<<32 | lsn>>32, lsn<<32 | ch.number("number", row)&0xffffffff}
}

func (ch changes) incomplete(row int) bool {
	u := ch.unchanged
	return u != nil && u.Form == schemas.FormList && u.Offsets[row+1] > u.Offsets[row]
}

// outside finds changes that cannot be made: without the row they are about, or with a null in its key.
func (c *current) outside(cols *schemas.Columns) map[int]string {
	found := map[int]string{}
	ch := c.changes(cols)
	for row := range cols.Len() {
		img, name := ch.after, "after"
		switch schemas.Op(ch.op.Bytes(row)) {
		case schemas.OpRead, schemas.OpCreate, schemas.OpUpdate:
		case schemas.OpDelete:
			img, name = ch.before, "before"
		default:
			continue
		}
		if img.IsNull(row) {
			found[row] = fmt.Sprintf("a change with op %s has no %s", ch.op.Bytes(row), name)
			continue
		}
		for _, k := range c.keys {
			if img.Children[k.path[0]].IsNull(row) {
				found[row] = fmt.Sprintf("the key's field %s is null in %s", k.name, name)
			}
		}
	}
	return found
}

// write brings the rows of a batch to the current rows.
func (c *current) write(ctx context.Context, w *write) error {
	ch := c.changes(w.cols)
	var written, deleted, incomplete []int
	for row := range w.cols.Len() {
		switch schemas.Op(ch.op.Bytes(row)) {
		case schemas.OpRead, schemas.OpCreate, schemas.OpUpdate:
			if ch.incomplete(row) {
				incomplete = append(incomplete, row)
			} else {
				written = append(written, row)
			}
		case schemas.OpDelete:
			deleted = append(deleted, row)
		}
	}
	if len(incomplete) > 0 {
		if err := c.fill(ctx, w, ch, incomplete); err != nil {
			return err
		}
	}
	if err := c.insert(ctx, w, ch, written, c.after, 0); err != nil {
		return err
	}
	return c.insert(ctx, w, ch, deleted, c.before, 1)
}

// insert writes one image of the chosen rows.
func (c *current) insert(ctx context.Context, w *write, ch changes, chosen []int, image int, deleted byte) error {
	if len(chosen) == 0 {
		return nil
	}
	var in proto.Input
	for _, col := range c.layout.columns {
		col.path = append([]int{image}, col.path...)
		in = append(in, proto.InputColumn{Name: col.name, Data: input{col, ch.cols, rows{index: chosen}}})
	}
	in = append(in, proto.InputColumn{Name: "_unknown", Data: &unknownColumn{ends: make([]uint64, len(chosen))}})
	return c.send(ctx, append(in, c.marks(w, ch, chosen, deleted)...))
}

// marks are the columns beside the row's own, but for `_unknown`.
func (c *current) marks(w *write, ch changes, chosen []int, deleted byte) proto.Input {
	versions := make(versionColumn, len(chosen))
	deletes := make(proto.ColUInt8, len(chosen))
	partitions, offsets := make(proto.ColInt32, len(chosen)), make(proto.ColInt64, len(chosen))
	for i, row := range chosen {
		versions[i], deletes[i] = ch.version(row), deleted
		partitions[i], offsets[i] = w.records[row].Partition, w.records[row].Offset
	}
	return proto.Input{{Name: "_version", Data: versions}, {Name: "_deleted", Data: deletes}, {Name: "_partition", Data: partitions}, {Name: "_offset", Data: offsets}}
}

// send inserts current rows. They need no token: a repeat has the same version. They must not have one either: a server that is killed between its note
// of a block and the block's rows drops the repeat, and here nothing would look for the rows.
func (c *current) send(ctx context.Context, in proto.Input) error {
	var names []string
	for _, col := range in {
		names = append(names, quoteName(col.Name))
	}
	err := c.sink.pool.do(ctx, ch.Query{
		Body: "INSERT INTO " + c.rowsTable() + " (" + strings.Join(names, ", ") + ") VALUES", Input: in,
		Settings: insertSettings(""),
	})
	if err != nil {
		return fmt.Errorf("insert %d current rows into %s: %w", in[0].Data.Rows(), c.rowsTable(), err)
	}
	return nil
}

// truncated is the version of the last TRUNCATE among the changes, nil without one.
func (ch changes) truncated() (last *version) {
	for row := range ch.cols.Len() {
		if schemas.Op(ch.op.Bytes(row)) != schemas.OpTruncate {
			continue
		}
		if v := ch.version(row); last == nil || last.less(v) {
			last = &v
		}
	}
	return last
}

// markTruncated marks the table as truncated where a batch says so. The mark needs the table's name alone, not its key: a TRUNCATE has none, and a process
// may meet one before the first key that opens the current table.
func (c *current) markTruncated(ctx context.Context, w *write) error {
	v := c.changes(w.cols).truncated()
	if v == nil {
		return nil
	}
	for _, sql := range c.createTruncations() {
		if err := c.sink.define(ctx, sql); err != nil {
			return fmt.Errorf("create table %s: %w", c.truncations(), err)
		}
	}
	return c.truncate(ctx, *v)
}

func (c *current) truncate(ctx context.Context, v version) error {
	name := new(proto.ColStr)
	name.Append(c.name)
	err := c.sink.pool.do(ctx, ch.Query{
		Body:     "INSERT INTO " + c.truncations() + " (`table`, `_version`) VALUES",
		Input:    proto.Input{{Name: "table", Data: name}, {Name: "_version", Data: versionColumn{v}}},
		Settings: insertSettings(""),
	})
	if err != nil {
		return fmt.Errorf("mark table %s as truncated: %w", c.view(), err)
	}
	return nil
}

// versionColumn is a column of UInt128.
type versionColumn []version

var _ proto.ColInput = versionColumn{}

// Type is ClickHouse's type of the column.
func (v versionColumn) Type() proto.ColumnType { return "UInt128" }

// Rows is how many values the column has.
func (v versionColumn) Rows() int { return len(v) }

// WriteColumn hands the values to a connection, as EncodeColumn writes them.
func (v versionColumn) WriteColumn(w *proto.Writer) { w.ChainBuffer(v.EncodeColumn) }

// EncodeColumn appends the values in ClickHouse's native format.
func (v versionColumn) EncodeColumn(b *proto.Buffer) {
	for _, n := range v {
		b.Buf = binary.LittleEndian.AppendUint64(b.Buf, n.lo)
		b.Buf = binary.LittleEndian.AppendUint64(b.Buf, n.hi)
	}
}
