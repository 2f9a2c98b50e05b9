package schemas

import "fmt"

// Columns is a set of rows of one schema, column by column. A Decoder fills it row by row; the sink writes it. It belongs to one goroutine
// at a time.
type Columns struct {
	Schema *Schema
	// Root is the column of the whole row: a record in most cases.
	Root *Column
	// Fields are the columns of the root record's fields in the schema's order, or Root alone where the schema is no record.
	Fields []*Column

	rows  int
	roots []*Column // Root alone, as the decoder wants it
}

// NewColumns makes an empty set of rows of the schema.
func NewColumns(s *Schema) *Columns {
	c := &Columns{Schema: s, Root: newColumn("", s.Root)}
	c.roots = []*Column{c.Root}
	c.Fields = c.roots
	if c.Root.Form == FormRecord {
		c.Fields = c.Root.Children
	}
	return c
}

// Len is the number of rows.
func (c *Columns) Len() int { return c.rows }

// Bytes is about what the rows take in memory.
func (c *Columns) Bytes() int { return c.Root.bytes() }

// Reset removes all rows and keeps the memory.
func (c *Columns) Reset() { c.Truncate(0) }

// Truncate keeps the first rows.
func (c *Columns) Truncate(rows int) {
	c.Root.truncate(rows)
	c.rows = min(c.rows, rows)
}

// Field is the column of a root record's field, or nil.
func (c *Columns) Field(name string) *Column { return c.Root.Child(name) }

// AppendFrom adds one row of another set of the same schema.
func (c *Columns) AppendFrom(src *Columns, row int) {
	c.Root.AppendFrom(src.Root, row)
	c.rows++
}

// SetLen tells that rows were added through the columns themselves and that there are now so many. A column that has another number is an
// error, which names it. Where the root is a record that cannot be null, its own rows need not be counted with AppendRecord.
func (c *Columns) SetLen(rows int) error {
	if c.Root.Form == FormRecord && !c.Root.Optional {
		c.Root.count = rows
	}
	if err := c.Root.check(rows); err != nil {
		return err
	}
	c.rows = rows
	return nil
}

// check tells whether the column and its children have the rows that they should have.
func (c *Column) check(rows int) error {
	if n := c.Len(); n != rows {
		return fmt.Errorf("column %s has %d rows, want %d", c.label(), n, rows)
	}
	if c.Optional && len(c.Valid) != rows {
		return fmt.Errorf("column %s has %d null marks, want %d", c.label(), len(c.Valid), rows)
	}
	switch c.Form {
	case FormBytes:
		if c.Offsets[rows] != len(c.Data) {
			return fmt.Errorf("column %s has %d bytes, its offsets end at %d", c.label(), len(c.Data), c.Offsets[rows])
		}
	case FormList, FormMap:
		rows = c.Offsets[rows]
	case FormUnion:
		return c.checkBranches()
	}
	for _, child := range c.Children {
		if err := child.check(rows); err != nil {
			return fmt.Errorf("%s: %w", c.label(), err)
		}
	}
	return nil
}

func (c *Column) checkBranches() error {
	if len(c.Places) != len(c.Index) {
		return fmt.Errorf("column %s has %d branches and %d places", c.label(), len(c.Index), len(c.Places))
	}
	rows := make([]int, len(c.Children))
	for i, branch := range c.Index {
		if branch < 0 || int(branch) >= len(rows) || c.Places[i] != rows[branch] {
			return fmt.Errorf("column %s: row %d has branch %d at place %d", c.label(), i, branch, c.Places[i])
		}
		rows[branch]++
	}
	for i, child := range c.Children {
		if err := child.check(rows[i]); err != nil {
			return fmt.Errorf("%s: %w", c.label(), err)
		}
	}
	return nil
}

func (c *Column) label() string {
	if c.Name != "" {
		return c.Name
	}
	if c.Type.Name != "" {
		return c.Type.Name
	}
	return c.Type.Kind.String()
}
