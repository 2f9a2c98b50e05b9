package files

import (
	"bytes"
	"fmt"
	"strings"

	"adventureworks.example/extract/schemas"
)

// csvPlan is a dataset's conversion of fields of text to Avro, compiled once.
type csvPlan struct {
	fields   []planField
	nulls    [][]byte
	unescape bool
}

type planField struct {
	name       string
	text       schemas.TextFunc
	nullBranch int // -1: the field cannot be null
	lower      string
}

// compileCSV compiles the conversion of a dataset's rows, by its schema without the origin.
func compileCSV(s *schemas.Schema, c CSV) (*csvPlan, error) {
	p := &csvPlan{unescape: c.UnescapeNewlines}
	for _, n := range c.Nulls {
		p.nulls = append(p.nulls, []byte(n))
	}
	for _, f := range s.Root.Fields {
		text, err := schemas.CompileText(f.Type)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		pf := planField{name: f.Name, text: text, nullBranch: -1, lower: plainName(f.Name)}
		if _, branch, ok := f.Type.Optional(); ok {
			pf.nullBranch = 1 - branch
		}
		p.fields = append(p.fields, pf)
	}
	return p, nil
}

// mapping says which column of a file each field of the plan is, and how many columns a row has.
type mapping struct {
	columns []int // by field; -1: the file has none, the field is null
	width   int
	names   []string // of the columns, for people
}

// mapColumns maps columns to fields by name. A column that no field takes is an error, as its values would be lost; so is a field without a column that cannot
// be null. A column named "-" is left out on purpose.
func (p *csvPlan) mapColumns(names []string) (mapping, error) {
	m := mapping{columns: make([]int, len(p.fields)), width: len(names), names: names}
	for i := range m.columns {
		m.columns[i] = -1
	}
	for at, name := range names {
		if name == "-" {
			continue
		}
		i := p.fieldOf(name)
		if i < 0 {
			return m, fmt.Errorf("the column %q has no field in the schema; add one, or list the columns with \"-\" for it", name)
		}
		if m.columns[i] >= 0 {
			return m, fmt.Errorf("the field %s is given by two columns, %q and %q", p.fields[i].name, names[m.columns[i]], name)
		}
		m.columns[i] = at
	}
	for i, at := range m.columns {
		if at < 0 && p.fields[i].nullBranch < 0 {
			return m, fmt.Errorf("no column is named %s, and the field cannot be null", p.fields[i].name)
		}
	}
	return m, nil
}

// fieldOf finds a column's field: its name as it is, in the form that schemas.Name gives it, or else without regard to case, blanks and signs.
func (p *csvPlan) fieldOf(column string) int {
	column = strings.TrimSpace(column)
	legal, plain, at := schemas.Name(column), plainName(column), -1
	for i, f := range p.fields {
		if f.name == column || f.name == legal {
			return i
		}
		if f.lower == plain && plain != "" {
			if at >= 0 {
				return -1 // two fields could be meant
			}
			at = i
		}
	}
	return at
}

func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '_' || r == ' ' || r == '-' || r == '.' || r == '/' || r == '(' || r == ')':
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// columnError is a value that its field cannot hold.
type columnError struct {
	column int // from 0
	name   string
	err    error
}

// Error names the column, counted from 1, and what is wrong with its value.
func (e *columnError) Error() string {
	return fmt.Sprintf("column %d (%s): %v", e.column+1, e.name, e.err)
}

// Unwrap is what is wrong with the value.
func (e *columnError) Unwrap() error { return e.err }

// appendRow appends the row's fields, all but the origin. On an error dst comes back as it was.
func (p *csvPlan) appendRow(dst []byte, m *mapping, rec *csvRecord) ([]byte, error) {
	if len(rec.fields) != m.width {
		return dst, fmt.Errorf("the row has %d fields, not %d", len(rec.fields), m.width)
	}
	start := len(dst)
	for i := range p.fields {
		f, at := &p.fields[i], m.columns[i]
		if at < 0 {
			dst = schemas.AppendBranch(dst, f.nullBranch)
			continue
		}
		text := rec.fields[at]
		if f.nullBranch >= 0 && !rec.quoted[at] && p.isNull(text) {
			dst = schemas.AppendBranch(dst, f.nullBranch)
			continue
		}
		if p.unescape {
			text = unescapeNewlines(text)
		}
		var err error
		if dst, err = f.text(dst, text); err != nil {
			return dst[:start], &columnError{column: at, name: m.names[at], err: err}
		}
	}
	return dst, nil
}

func (p *csvPlan) isNull(text []byte) bool {
	for _, n := range p.nulls {
		if bytes.Equal(n, text) {
			return true
		}
	}
	return false
}

// unescapeNewlines turns a backslash and an n into a line feed; nothing else is an escape.
func unescapeNewlines(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	return bytes.ReplaceAll(b, []byte(`\n`), newline)
}
