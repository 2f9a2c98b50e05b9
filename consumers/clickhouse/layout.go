package clickhouse

import (
	"fmt"
	"strconv"
	"strings"

	"adventureworks.example/extract/schemas"
)

// presencePrefix begins the names of the columns that tell a missing record, array or map from an empty one: `_present.tags` belongs to
// `tags`. ClickHouse has no NULL for these types.
const presencePrefix = "_present."

// item is the name of the one element of the tuple around an array or map whose name has a dot: `image.tags.items`. MergeTree takes arrays and
// maps whose names share what stands before the first dot for one Nested structure, and wants them of equal lengths.
const item = "items"

// column is one column of a table and the field it holds.
type column struct {
	name     string
	typ      string // in the table
	wire     string // as it travels; the server converts String to LowCardinality(String)
	path     []int  // of the field, from the root's children down
	presence bool   // the column tells whether the field is there
	nullable bool   // the field, or a record around it, may be null
	many     bool   // an array or map
	tuple    bool   // an array or map inside of a tuple
}

// withoutNull makes it a column that takes no NULL.
func (c *column) withoutNull() {
	if !c.nullable {
		return
	}
	c.nullable = false
	c.wire = strings.TrimSuffix(strings.TrimPrefix(c.wire, "Nullable("), ")")
	c.typ = strings.Replace(c.typ, "Nullable("+c.wire+")", c.wire, 1)
}

// layout is how rows of one schema lie in a table. It is immutable.
type layout struct {
	schema  *schemas.Schema
	columns []column
	// tombstones tells that every scalar column of the table may be NULL, whatever the schema says.
	tombstones bool
}

// newLayout lays out the fields of a record: scalars as they are, records flattened with dots, arrays and maps of anything.
func newLayout(s *schemas.Schema) (*layout, error) {
	if s.Root.Kind != schemas.Record {
		return nil, fmt.Errorf("lay out %s: the schema of a topic's values is a record", s.Root.Kind)
	}
	l := &layout{schema: s}
	cols := schemas.NewColumns(s)
	for i, c := range cols.Fields {
		if err := l.add("", c, []int{i}, false); err != nil {
			return nil, fmt.Errorf("lay out field %s: %w", c.Name, err)
		}
	}
	seen := map[string]bool{}
	for _, name := range systemNames {
		seen[name] = true
	}
	for _, c := range l.columns {
		if seen[c.name] {
			return nil, fmt.Errorf("lay out field %s: the column is there twice, or is one of the table's own", c.name)
		}
		seen[c.name] = true
	}
	return l, nil
}

func (l *layout) add(prefix string, c *schemas.Column, path []int, nullable bool) error {
	name := prefix + c.Name
	switch c.Form {
	case schemas.FormNull:
		return nil // nothing but null: nothing to store
	case schemas.FormRecord:
		if c.Optional {
			l.addPresence(name, path)
		}
		for i, child := range c.Children {
			if err := l.add(name+".", child, append(path[:len(path):len(path)], i), nullable || c.Optional); err != nil {
				return fmt.Errorf("%s: %w", child.Name, err)
			}
		}
		return nil
	case schemas.FormList, schemas.FormMap:
		if c.Optional {
			l.addPresence(name, path)
		}
		typ, err := bareType(c)
		if err != nil {
			return err
		}
		tuple := prefix != ""
		if tuple {
			typ = "Tuple(" + item + " " + typ + ")"
		}
		l.columns = append(l.columns, column{name: name, typ: typ, wire: typ, path: path, many: true, tuple: tuple})
		return nil
	}
	typ, err := bareType(c)
	if err != nil {
		return err
	}
	nullable = (nullable || c.Optional) && c.Form != schemas.FormUnion
	if nullable {
		typ = "Nullable(" + typ + ")"
	}
	col := column{name: name, typ: typ, wire: typ, path: path, nullable: nullable}
	if c.Form == schemas.FormEnum {
		col.typ = "LowCardinality(" + typ + ")"
	}
	l.columns = append(l.columns, col)
	return nil
}

// allowTombstones makes the columns of the table so that a row may have none of the values. What travels stays as it is.
func (l *layout) allowTombstones() {
	l.tombstones = true
	for i := range l.columns {
		c := &l.columns[i]
		if c.presence || c.many || c.nullable || strings.HasPrefix(c.typ, "Variant(") {
			continue
		}
		if inner, ok := strings.CutPrefix(c.typ, "LowCardinality("); ok {
			c.typ = "LowCardinality(Nullable(" + strings.TrimSuffix(inner, ")") + "))"
		} else {
			c.typ = "Nullable(" + c.typ + ")"
		}
	}
}

func (l *layout) addPresence(name string, path []int) {
	l.columns = append(l.columns, column{name: presencePrefix + name, typ: "Bool", wire: "Bool", path: path, presence: true})
}

// find is the column of the rows that the path leads to, and the records around it that may be null.
func find(cols *schemas.Columns, path []int) (c *schemas.Column, around []*schemas.Column) {
	c = cols.Fields[path[0]]
	for _, i := range path[1:] {
		if c.Optional {
			around = append(around, c)
		}
		c = c.Children[i]
	}
	return c, around
}

// bareType is the ClickHouse type of a column's values, without the null of the column itself.
func bareType(c *schemas.Column) (string, error) {
	t := c.Type
	switch c.Form {
	case schemas.FormBool:
		return "Bool", nil
	case schemas.FormInt32, schemas.FormInt64, schemas.FormBytes:
		return numberType(c)
	case schemas.FormFloat32:
		return "Float32", nil
	case schemas.FormFloat64:
		return "Float64", nil
	case schemas.FormEnum:
		return "String", nil
	case schemas.FormFixed:
		if t.Logical == schemas.UUID {
			return "UUID", nil
		}
		if c.Size == 0 {
			return "", fmt.Errorf("a fixed of no bytes has no type in ClickHouse")
		}
		return "FixedString(" + strconv.Itoa(c.Size) + ")", nil
	case schemas.FormList:
		inner, err := nestedType(c.Children[0])
		return "Array(" + inner + ")", err
	case schemas.FormMap:
		inner, err := nestedType(c.Children[1])
		return "Map(String, " + inner + ")", err
	case schemas.FormRecord:
		return tupleType(c, false)
	case schemas.FormUnion:
		return variantType(c)
	}
	return "", fmt.Errorf("a %s has no column type here", describeUnion(t))
}

func describeUnion(t *schemas.Type) string {
	var kinds []string
	for _, b := range t.Branches {
		kinds = append(kinds, b.Kind.String())
	}
	return t.Kind.String() + "[" + strings.Join(kinds, ", ") + "]"
}

func numberType(c *schemas.Column) (string, error) {
	switch l := c.Type.Logical; l {
	case schemas.Decimal:
		if c.Type.Precision > 76 {
			return "", fmt.Errorf("decimal(%d, %d) has more than the 76 digits that ClickHouse holds", c.Type.Precision, c.Type.Scale)
		}
		return fmt.Sprintf("Decimal(%d, %d)", c.Type.Precision, c.Type.Scale), nil
	case schemas.Date:
		return "Date32", nil
	case schemas.TimeMillis:
		return "Time64(3)", nil
	case schemas.TimeMicros:
		return "Time64(6)", nil
	case schemas.TimestampMillis, schemas.LocalTimestampMillis:
		return "DateTime64(3, 'UTC')", nil
	case schemas.TimestampMicros, schemas.LocalTimestampMicros:
		return "DateTime64(6, 'UTC')", nil
	case schemas.TimestampNanos, schemas.LocalTimestampNanos:
		return "DateTime64(9, 'UTC')", nil
	}
	switch c.Form {
	case schemas.FormInt32:
		return "Int32", nil
	case schemas.FormInt64:
		return "Int64", nil
	}
	return "String", nil
}

// nestedType is the type inside of an array, a map or a tuple, where nothing can be put beside. A null record, array or map is a tuple that
// begins with whether it is there.
func nestedType(c *schemas.Column) (string, error) {
	if c.Form == schemas.FormRecord {
		return tupleType(c, c.Optional)
	}
	typ, err := bareType(c)
	switch {
	case err != nil || !c.Optional:
		return typ, err
	case c.Form == schemas.FormList, c.Form == schemas.FormMap:
		return "Tuple(_present Bool, " + item + " " + typ + ")", nil
	}
	return "Nullable(" + typ + ")", nil
}

func tupleType(c *schemas.Column, optional bool) (string, error) {
	var parts []string
	if optional {
		parts = append(parts, "_present Bool")
	}
	for _, child := range c.Children {
		if child.Form == schemas.FormNull {
			continue
		}
		inner, err := nestedType(child)
		if err != nil {
			return "", fmt.Errorf("%s: %w", child.Name, err)
		}
		parts = append(parts, quoteName(child.Name)+" "+inner)
	}
	if len(parts) == 0 {
		return "", fmt.Errorf("a record without fields has no column type inside of an array or map")
	}
	return "Tuple(" + strings.Join(parts, ", ") + ")", nil
}

// quoteName quotes an identifier.
func quoteName(name string) string {
	if !strings.ContainsAny(name, "\\`") {
		return "`" + name + "`" // nearly all, several times a block
	}
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// quoteText quotes a string literal.
func quoteText(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
