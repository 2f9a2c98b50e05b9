package postgres

import (
	"bytes"
	"fmt"

	"adventureworks.example/extract/schemas"
)

// The states of a value in a tuple, in pgoutput's letters.
const (
	valueNull      = 'n'
	valueUnchanged = 'u' // a TOAST value that did not change and was not sent
	valueText      = 't'
)

// tuple is one row as text, whether it comes from COPY or from the stream. It shares the memory of the message it was read from.
type tuple struct {
	state []byte
	text  [][]byte
}

func (t *tuple) reset(columns int) {
	if cap(t.state) < columns {
		t.state, t.text = make([]byte, columns), make([][]byte, columns)
	}
	t.state, t.text = t.state[:columns], t.text[:columns]
}

// column is one column of a table and how its text becomes Avro.
type column struct {
	name   string // as in Postgres
	field  string // as in Avro
	typ    pgType // domains resolved
	key    bool
	avro   *schemas.Type
	append schemas.TextFunc
}

// rowPlan turns tuples of one shape into Avro. It is compiled once for each shape and never changes.
type rowPlan struct {
	columns     []column
	keys        []int // indexes of the key's columns, in the table's order
	nullableKey bool  // the key is the whole row, because the table has no primary key
	row         *schemas.Type
	key, value  *schemas.Schema // key is nil for a table without one
	rowSchema   *schemas.Schema // of the row by itself, for the digest
}

// valueError says which column of a row has no Avro form.
type valueError struct {
	column string
	err    error
}

// Error names the column and why its value has no Avro form.
func (e *valueError) Error() string { return "column " + e.column + ": " + e.err.Error() }

// Unwrap is why the value has no Avro form.
func (e *valueError) Unwrap() error { return e.err }

// compilePlan makes the plan of a table. The names of its records are the dataset's, so that they do not depend on the topics' prefix.
func compilePlan(dataset string, columns []column, nullableKey bool) (*rowPlan, error) {
	p := &rowPlan{columns: columns, nullableKey: nullableKey}
	fields := make([]schemas.Field, len(columns))
	var keyFields []schemas.Field
	for i, c := range columns {
		fields[i] = schemas.NullableField(c.field, c.avro)
		if !c.key {
			continue
		}
		p.keys = append(p.keys, i)
		if nullableKey {
			keyFields = append(keyFields, fields[i])
		} else {
			keyFields = append(keyFields, schemas.Field{Name: c.field, Type: c.avro})
		}
	}
	p.row = schemas.RecordOf(dataset+".Value", fields...)
	var err error
	if p.rowSchema, err = schemas.New(p.row); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", dataset, err)
	}
	if p.value, err = schemas.Envelope(dataset+".Envelope", p.row); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", dataset, err)
	}
	if len(keyFields) > 0 {
		if p.key, err = schemas.New(schemas.RecordOf(dataset+".Key", keyFields...)); err != nil {
			return nil, fmt.Errorf("key schema of %s: %w", dataset, err)
		}
	}
	return p, nil
}

// appendRow appends the record of the row. An unchanged value is written as null; the envelope names it. On an error dst comes back as it was.
func (p *rowPlan) appendRow(dst []byte, t *tuple) ([]byte, error) {
	out := dst
	for i := range p.columns {
		if t.state[i] != valueText {
			out = append(out, 0) // branch 0
			continue
		}
		var err error
		if out, err = p.columns[i].append(append(out, 2), t.text[i]); err != nil { // branch 1, zigzag
			return dst, &valueError{p.columns[i].name, err}
		}
	}
	return out, nil
}

// appendKey appends the record of the row's key. A value that is unchanged in t is taken from old, where the server has put it.
func (p *rowPlan) appendKey(dst []byte, t, old *tuple) ([]byte, error) {
	out := dst
	for _, i := range p.keys {
		from := t
		if t.state[i] == valueUnchanged && old != nil {
			from = old
		}
		switch {
		case from.state[i] == valueText:
			if p.nullableKey {
				out = append(out, 2)
			}
		case from.state[i] == valueNull && p.nullableKey:
			out = append(out, 0)
			continue
		default:
			return dst, &valueError{p.columns[i].name, fmt.Errorf("the key's value was not sent")}
		}
		var err error
		if out, err = p.columns[i].append(out, from.text[i]); err != nil {
			return dst, &valueError{p.columns[i].name, err}
		}
	}
	return out, nil
}

// sameKey tells whether both tuples have the same key. An unchanged value is the same.
func (p *rowPlan) sameKey(a, b *tuple) bool {
	for _, i := range p.keys {
		if a.state[i] == valueUnchanged || b.state[i] == valueUnchanged {
			continue
		}
		if a.state[i] != b.state[i] || a.state[i] == valueText && !bytes.Equal(a.text[i], b.text[i]) {
			return false
		}
	}
	return true
}

// fillUnchanged takes from old, a whole row, what the server did not send in t (REPLICA IDENTITY FULL).
func (t *tuple) fillUnchanged(old *tuple) {
	for i, s := range t.state {
		if s == valueUnchanged {
			t.state[i], t.text[i] = old.state[i], old.text[i]
		}
	}
}

// incomplete tells whether there is a column that the server did not send.
func (t *tuple) incomplete() bool { return bytes.IndexByte(t.state, valueUnchanged) >= 0 }

// appendUnchanged appends the array of the columns that were not sent.
func (p *rowPlan) appendUnchanged(dst []byte, t *tuple) []byte {
	if n := bytes.Count(t.state, []byte{valueUnchanged}); n > 0 {
		dst = schemas.AppendBlock(dst, n)
		for i, s := range t.state {
			if s == valueUnchanged {
				dst = schemas.AppendString(dst, p.columns[i].field)
			}
		}
	}
	return schemas.AppendBlock(dst, 0)
}
