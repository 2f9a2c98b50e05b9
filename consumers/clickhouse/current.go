package clickhouse

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"adventureworks.example/extract/consumers"
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
	layout *layout
	keys   []column
	after  int // index of the field in the envelope
	before int
}

// openCurrent returns the current table of a topic, nil when the topic carries no changes or its records have no key. It creates or changes table
// and view so that they fit the schema.
func (s *Sink) openCurrent(ctx context.Context, t *table, value, key *schemas.Schema) (*current, error) {
	if key == nil || key.Root.Kind != schemas.Record || len(key.Root.Fields) == 0 {
		return nil, nil
	}
	c := &current{sink: s, name: t.name, after: -1, before: -1}
	row := c.findRow(value)
	if row == nil {
		return nil, nil
	}
	if err := c.layOut(row, key); err != nil {
		return nil, &consumers.Error{Class: consumers.Stop, Err: fmt.Errorf("current rows of %s: %w", t.topic, err)}
	}
	if err := c.migrate(ctx, t); err != nil {
		return nil, fmt.Errorf("current rows of %s: %w", t.topic, err)
	}
	return c, nil
}

// findRow is the type of the rows in an envelope of changes, nil when the schema is none.
func (c *current) findRow(value *schemas.Schema) *schemas.Type {
	var row *schemas.Type
	for i, f := range value.Root.Fields {
		inner, _, optional := f.Type.Optional()
		switch {
		case f.Name == "after" && optional && inner.Kind == schemas.Record:
			c.after, row = i, inner
		case f.Name == "before" && optional && inner.Kind == schemas.Record:
			c.before = i
		}
	}
	op, hasOp := value.Root.Field("op")
	source, hasSource := value.Root.Field("source")
	if c.after < 0 || c.before < 0 || !hasOp || !hasSource || op.Type.Kind != schemas.String || source.Type.Kind != schemas.Record {
		return nil
	}
	return row
}

func (c *current) layOut(row *schemas.Type, key *schemas.Schema) error {
	s, err := schemas.New(row)
	if err != nil {
		return err
	}
	if c.layout, err = newLayout(s); err != nil {
		return err
	}
	for _, f := range key.Root.Fields {
		i := slices.IndexFunc(c.layout.columns, func(col column) bool { return col.name == f.Name && !col.presence })
		if i < 0 {
			return fmt.Errorf("the key's field %s is no column of the row", f.Name)
		}
		k := &c.layout.columns[i]
		if k.nullable { // a key has no nulls
			k.nullable = false
			k.wire = strings.TrimSuffix(strings.TrimPrefix(k.wire, "Nullable("), ")")
			k.typ = strings.Replace(k.typ, "Nullable("+k.wire+")", k.wire, 1)
		}
		c.keys = append(c.keys, *k)
	}
	return nil
}

func (c *current) rowsTable() string {
	return quoteName(c.sink.conf.Current) + "." + quoteName(rowsPrefix+c.name)
}

func (c *current) view() string { return quoteName(c.sink.conf.Current) + "." + quoteName(c.name) }

func (c *current) truncations() string {
	return quoteName(c.sink.conf.Current) + "." + quoteName(truncations)
}

// migrate creates what is missing, adds and widens columns, and makes the view anew where the columns have changed. The raw table's owner holds its
// mutex, so within this process one goroutine does it at a time.
func (c *current) migrate(ctx context.Context, t *table) error {
	rows, err := c.sink.texts(ctx, "SELECT comment FROM system.tables WHERE database = "+quoteText(c.sink.conf.Current)+
		" AND name = "+quoteText(rowsPrefix+c.name), 1)
	if err != nil {
		return classify(err)
	}
	m := meta{Topic: t.topic, TopicID: t.meta.TopicID, Generation: t.meta.Generation, Schema: c.layout.schema.String()}
	if len(rows) == 0 {
		return c.create(ctx, m)
	}
	var old meta
	if err := json.Unmarshal([]byte(rows[0][0]), &old); err != nil || old.Topic != t.topic {
		return &consumers.Error{Class: consumers.Pause, Err: fmt.Errorf("table %s was not made for topic %s", c.rowsTable(), t.topic), Remedy: "rename it"}
	}
	if old.Schema == m.Schema {
		return c.createView(ctx, "CREATE VIEW IF NOT EXISTS")
	}
	from := &current{sink: c.sink, name: c.name}
	oldSchema, err := schemas.Parse(old.Schema)
	if err != nil {
		return fmt.Errorf("comment of table %s: %w", c.rowsTable(), err)
	}
	if from.layout, err = newLayout(oldSchema); err != nil {
		return err
	}
	for _, k := range c.keys { // keys were laid out without nulls
		for i := range from.layout.columns {
			if o := &from.layout.columns[i]; o.name == k.name && strings.Contains(o.typ, "Nullable("+k.wire+")") {
				o.typ = k.typ
			}
		}
	}
	steps := append(alterSteps(from.layout, c.layout), "MODIFY COMMENT "+quoteText(m.text()))
	if err := c.sink.define(ctx, "ALTER TABLE "+c.rowsTable()+" "+strings.Join(steps, ", ")); err != nil {
		return cannotConvert(fmt.Errorf("alter table %s: %w", c.rowsTable(), err))
	}
	return c.createView(ctx, "CREATE OR REPLACE VIEW")
}

func (c *current) create(ctx context.Context, m meta) error {
	var columns, keys []string
	for _, col := range c.layout.columns {
		columns = append(columns, quoteName(col.name)+" "+col.typ)
	}
	for _, k := range c.keys {
		keys = append(keys, quoteName(k.name))
	}
	columns = append(columns, "`_version` UInt128", "`_deleted` UInt8", "`_unknown` Array(String)", "`_partition` Int32", "`_offset` Int64")
	for _, sql := range []string{
		"CREATE DATABASE IF NOT EXISTS " + quoteName(c.sink.conf.Current),
		"CREATE TABLE IF NOT EXISTS " + c.truncations() + " (`table` String, `_version` UInt128) ENGINE = ReplacingMergeTree(_version) ORDER BY `table`",
		"CREATE TABLE IF NOT EXISTS " + c.rowsTable() + " (\n" + strings.Join(columns, ",\n") + ")\nENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY (" +
			strings.Join(keys, ", ") + ") SETTINGS " + dedupWindow + "\nCOMMENT " + quoteText(m.text()),
	} {
		if err := c.sink.define(ctx, sql); err != nil {
			return fmt.Errorf("create table %s: %w", c.rowsTable(), err)
		}
	}
	return c.createView(ctx, "CREATE VIEW IF NOT EXISTS")
}

func (c *current) createView(ctx context.Context, create string) error {
	var columns []string
	for _, col := range c.layout.columns {
		columns = append(columns, quoteName(col.name))
	}
	sql := create + " " + c.view() + " AS SELECT " + strings.Join(columns, ", ") + " FROM " + c.rowsTable() +
		" FINAL WHERE _version >= (SELECT max(_version) FROM " + c.truncations() + " WHERE `table` = " + quoteText(c.name) + ")"
	if err := c.sink.exec(ctx, sql); err != nil {
		return fmt.Errorf("create view %s: %w", c.view(), err)
	}
	return nil
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

// write brings the changes of a batch to the current rows.
func (c *current) write(ctx context.Context, w *write) error {
	ch := c.changes(w.cols)
	var written, deleted, incomplete []int
	var truncated *version
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
		case schemas.OpTruncate:
			if v := ch.version(row); truncated == nil || truncated.less(v) {
				truncated = &v
			}
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
	if err := c.insert(ctx, w, ch, deleted, c.before, 1); err != nil {
		return err
	}
	if truncated != nil {
		return c.truncate(ctx, *truncated)
	}
	return nil
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

// send inserts current rows. They need no token: a repeat has the same version.
func (c *current) send(ctx context.Context, in proto.Input) error {
	var names []string
	for _, col := range in {
		names = append(names, quoteName(col.Name))
	}
	err := c.sink.pool.do(ctx, ch.Query{
		Body: "INSERT INTO " + c.rowsTable() + " (" + strings.Join(names, ", ") + ") VALUES", Input: in,
		Settings: []ch.Setting{{Key: "async_insert", Value: "0", Important: true}, {Key: "insert_deduplicate", Value: "0", Important: true}},
	})
	if err != nil {
		return fmt.Errorf("insert %d current rows into %s: %w", in[0].Data.Rows(), c.rowsTable(), err)
	}
	return nil
}

func (c *current) truncate(ctx context.Context, v version) error {
	name := new(proto.ColStr)
	name.Append(c.name)
	err := c.sink.pool.do(ctx, ch.Query{
		Body:     "INSERT INTO " + c.truncations() + " (`table`, `_version`) VALUES",
		Input:    proto.Input{{Name: "table", Data: name}, {Name: "_version", Data: versionColumn{v}}},
		Settings: []ch.Setting{{Key: "async_insert", Value: "0", Important: true}, {Key: "insert_deduplicate", Value: "0", Important: true}},
	})
	if err != nil {
		return fmt.Errorf("mark table %s as truncated: %w", c.view(), err)
	}
	return nil
}

// versionColumn is a column of UInt128.
type versionColumn []version

var _ proto.ColInput = versionColumn{}

func (v versionColumn) Type() proto.ColumnType      { return "UInt128" }
func (v versionColumn) Rows() int                   { return len(v) }
func (v versionColumn) WriteColumn(w *proto.Writer) { w.ChainBuffer(v.EncodeColumn) }
func (v versionColumn) EncodeColumn(b *proto.Buffer) {
	for _, n := range v {
		b.Buf = binary.LittleEndian.AppendUint64(b.Buf, n.lo)
		b.Buf = binary.LittleEndian.AppendUint64(b.Buf, n.hi)
	}
}
