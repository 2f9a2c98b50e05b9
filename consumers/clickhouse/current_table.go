package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// openCurrent returns the current table of a topic, nil when the topic carries no changes or its records have no key. It creates or changes table
// and view so that they fit the schema.
func (s *Sink) openCurrent(ctx context.Context, t *table, value, key *schemas.Schema) (*current, error) {
	c, row := s.envelope(t, value)
	if c == nil || key == nil || key.Root.Kind != schemas.Record || len(key.Root.Fields) == 0 {
		return nil, nil
	}
	if err := c.layOut(row, key); err != nil {
		return nil, faults.ClickHouseSchema.Of(fmt.Errorf("current rows of %s: %w", t.topic, err))
	}
	if err := c.migrate(ctx, t); err != nil {
		return nil, fmt.Errorf("current rows of %s: %w", t.topic, err)
	}
	return c, nil
}

// changesIn is the envelope of a raw table that is there, by what that says of itself, and its layout; the envelope is nil when it carries no changes.
func (s *Sink) changesIn(t *table, m *meta) (*current, *layout, error) {
	l, err := m.layout()
	if err != nil {
		return nil, nil, err
	}
	c, _ := s.envelope(t, l.schema)
	return c, l, nil
}

// envelope is the current table of a topic as far as the schema of its values tells, without a key and columns, and the type of its rows; nil when the topic
// carries no changes.
func (s *Sink) envelope(t *table, value *schemas.Schema) (*current, *schemas.Type) {
	c := &current{sink: s, name: schemas.Table(s.conf.Prefix, t.topic), rows: rowsPrefix + t.name, hidden: t.replay != nil, after: -1, before: -1}
	row := c.findRow(value)
	if row == nil {
		return nil, nil
	}
	return c, row
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
		k.withoutNull() // a key has none
		c.keys = append(c.keys, *k)
	}
	return nil
}

func (c *current) rowsTable() string {
	return quoteName(c.sink.conf.Current) + "." + quoteName(c.rows)
}

func (c *current) view() string { return quoteName(c.sink.conf.Current) + "." + quoteName(c.name) }

func (c *current) truncations() string {
	return quoteName(c.sink.conf.Current) + "." + quoteName(truncations)
}

// migrate creates what is missing, adds and widens columns, and makes the view anew where the columns have changed. The raw table's owner holds its
// mutex, so within this process one goroutine does it at a time.
func (c *current) migrate(ctx context.Context, t *table) error {
	m := meta{Topic: t.topic, TopicID: t.meta.TopicID, Generation: t.meta.Generation, Change: 1, Schema: c.layout.schema.String()}
	old, err := c.described(ctx, t)
	if err != nil {
		return err
	}
	if old == nil {
		if err := c.mayCreate(ctx, t); err != nil {
			return err
		}
		if err := c.create(ctx, m); err != nil {
			return err
		}
		if old, err = c.described(ctx, t); err == nil && (old == nil || old.Schema != m.Schema) {
			err = faults.ClickHouseStale.Of(fmt.Errorf("table %s was created by another process", c.rowsTable()))
		}
		return err
	}
	if old.Schema == m.Schema {
		return c.keepView(ctx)
	}
	return c.widen(ctx, old, m)
}

// mayCreate refuses to make the table of the rows where changes with a key were stored: then it was there, and somebody took it away. One made now would
// lack every row that does not change again.
func (c *current) mayCreate(ctx context.Context, t *table) error {
	if c.hidden {
		return nil
	}
	stored, err := c.sink.ints(ctx, "SELECT toInt64(count()) FROM (SELECT 1 FROM "+t.fullName()+" WHERE "+keyedChange+" LIMIT 1)")
	if err != nil || stored[0] == 0 {
		return classify(err)
	}
	if m, err := c.described(ctx, t); err != nil || m != nil { // made by another process meanwhile, which has stored the changes
		return err
	}
	return faults.ClickHouseTableMissing.Of(fmt.Errorf("table %s is missing, though changes of its topic were stored", c.rowsTable()))
}

// The conditions for a raw row that is a change and no TRUNCATE, and for one that is the change of a current row.
var (
	dataChange  = "_schema_id != 0 AND op != " + quoteText(string(schemas.OpTruncate))
	keyedChange = dataChange + " AND isNotNull(_key)"
)

// widen brings the columns of the table from the old definition to that of the layout, and the view with them.
func (c *current) widen(ctx context.Context, old *meta, m meta) error {
	from, err := old.layout()
	if err != nil {
		return fmt.Errorf("table %s: %w", c.rowsTable(), err)
	}
	both, err := schemas.Merge(c.layout.schema, from.schema)
	if err != nil {
		return faults.ClickHouseSchema.Of(fmt.Errorf("table %s: %w", c.rowsTable(), err))
	}
	if both.String() != m.Schema { // what this process read of the raw table was old by the time it came here
		return faults.ClickHouseStale.Of(fmt.Errorf("table %s was widened by another process", c.rowsTable()))
	}
	for i := range from.columns { // keys were laid out without nulls
		if o := &from.columns[i]; slices.ContainsFunc(c.keys, func(k column) bool { return k.name == o.name }) {
			o.withoutNull()
		}
	}
	m.Change = old.Change
	if err := c.sink.define(ctx, m.alter(c.rowsTable(), alterSteps(from, c.layout))); err != nil {
		return cannotChange(fmt.Errorf("alter table %s: %w", c.rowsTable(), err))
	}
	return c.createView(ctx, "CREATE OR REPLACE VIEW")
}

// described is what the table of the rows says of itself, nil where there is none.
func (c *current) described(ctx context.Context, t *table) (*meta, error) {
	m, err := c.sink.described(ctx, c.sink.conf.Current, c.rows)
	if err == nil && m != nil && m.Topic != t.topic {
		return nil, faults.ClickHouseTableForeign.Of(fmt.Errorf("table %s was not made for topic %s", c.rowsTable(), t.topic))
	}
	return m, err
}

func (c *current) create(ctx context.Context, m meta) error {
	var columns, keys []string
	for _, col := range c.layout.columns {
		columns = append(columns, quoteName(col.name)+" "+col.typ)
	}
	for _, k := range c.keys {
		keys = append(keys, quoteName(k.name))
	}
	columns = append(columns, "`_version` UInt128", "`_deleted` UInt8", "`_unknown` Array(String)", "`_partition` Int32", "`_offset` Int64", m.changeConstraint())
	settings, err := c.sink.tableSettings(ctx)
	if err != nil {
		return err
	}
	for _, sql := range append(c.createTruncations(),
		"CREATE TABLE IF NOT EXISTS "+c.rowsTable()+" (\n"+strings.Join(columns, ",\n")+")\nENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY ("+
			strings.Join(keys, ", ")+")"+settings+"\nCOMMENT "+quoteText(m.text()),
	) {
		if err := c.sink.define(ctx, sql); err != nil {
			return fmt.Errorf("create table %s: %w", c.rowsTable(), err)
		}
	}
	return c.createView(ctx, "CREATE VIEW IF NOT EXISTS")
}

// createTruncations creates the database and the table of the marks, which all current tables share.
func (c *current) createTruncations() []string {
	return []string{
		"CREATE DATABASE IF NOT EXISTS " + quoteName(c.sink.conf.Current),
		"CREATE TABLE IF NOT EXISTS " + c.truncations() + " (`table` String, `_version` UInt128) ENGINE = ReplacingMergeTree(_version) ORDER BY `table`",
	}
}

func (c *current) createView(ctx context.Context, create string) error {
	var columns []string
	for _, col := range c.layout.columns {
		columns = append(columns, quoteName(col.name))
	}
	if c.hidden {
		return nil // the view is that of the rows in use
	}
	sql := create + " " + c.view() + " AS SELECT " + strings.Join(columns, ", ") + " FROM " + c.rowsTable() +
		" FINAL WHERE _version >= (SELECT max(_version) FROM " + c.truncations() + " WHERE `table` = " + quoteText(c.name) + ")"
	if err := c.sink.exec(ctx, sql); err != nil {
		return fmt.Errorf("create view %s: %w", c.view(), err)
	}
	return nil
}
