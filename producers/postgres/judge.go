package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"adventureworks.example/extract/schemas"
)

// copiedState says which changes of a table its copy holds. The reasoning is in ranges.go.
type copiedState struct {
	first, last LSN // of the snapshots that were read: changes before first are in the copy, those from last on are not
	ranges      []CopiedRange
	keys        []int // the columns of the plan that ranges are cut by, in their order; nil where the plan has not got them
	sql         string
}

// stateOf is the state of a table whose copy is complete.
func stateOf(p TablePosition, plan *rowPlan) copiedState {
	c := copiedState{first: p.LSN, last: p.LSN}
	if len(p.Ranges) < 2 {
		return c
	}
	c.ranges = p.Ranges
	c.first = p.Ranges[0].LSN
	for _, name := range p.Key {
		i := slices.IndexFunc(plan.columns, func(col column) bool { return col.name == name })
		if i < 0 {
			c.keys = nil
			break
		}
		c.keys = append(c.keys, i)
	}
	return c
}

// uncopied takes out of a change what the copy holds. Of a change of the key one half may be left; nothing of both is left where the copy has all of it.
func (w *stream) uncopied(ctx context.Context, t *table, before, after *tuple) (*tuple, *tuple, error) {
	if w.commit >= t.copied.last {
		return before, after, nil
	}
	row := after
	if row == nil {
		row = before
	}
	copied, err := w.copied(ctx, t, row, before)
	if err != nil {
		return nil, nil, err
	}
	if before == nil || after == nil || t.plan.sameKey(before, after) {
		if copied {
			return nil, nil, nil
		}
		return before, after, nil
	}
	oldCopied, err := w.copied(ctx, t, before, nil)
	switch {
	case err != nil:
		return nil, nil, err
	case copied && oldCopied:
		return nil, nil, nil
	case copied:
		w.at.op = schemas.OpDelete
		return before, nil, nil
	case oldCopied:
		w.at.op = schemas.OpCreate
	}
	return before, after, nil
}

// copied tells whether the copy of the row's range holds the open transaction. A value that is unchanged in row is taken from old.
func (w *stream) copied(ctx context.Context, t *table, row, old *tuple) (bool, error) {
	c := &t.copied
	if len(c.keys) == 0 {
		return false, fmt.Errorf("%s.%s was copied by ranges of a key that it has not got in the stream: %w", t.schema, t.name, errMessage)
	}
	key := make([][]byte, len(c.keys))
	for n, i := range c.keys {
		from := row
		if row.state[i] == valueUnchanged && old != nil {
			from = old
		}
		if from.state[i] != valueText {
			return false, &valueError{t.plan.columns[i].name, errors.New("the key's value was not sent")}
		}
		key[n] = from.text[i]
	}
	i, known := c.find(t.plan, key)
	if !known {
		var err error
		if i, err = w.askForRange(ctx, t, key); err != nil {
			return false, err
		}
	}
	return w.commit < c.ranges[i].LSN, nil
}

// find finds the range of a key whose columns are all of a type whose order is known here; known is false for others.
func (c *copiedState) find(plan *rowPlan, key [][]byte) (i int, known bool) {
	for ; i < len(c.ranges)-1; i++ {
		order := 0
		for n, column := range c.keys {
			if order, known = compareKeys(plan.columns[column].typ.oid, string(key[n]), c.ranges[i].To[n]); !known {
				return 0, false
			}
			if order != 0 {
				break
			}
		}
		if order < 0 {
			break
		}
	}
	return i, true
}

// compareKeys orders two values as Postgres does, where that is known without its collations.
func compareKeys(oid uint32, a, b string) (order int, known bool) {
	switch oid {
	case oidInt2, oidInt4, oidInt8, oidOID:
		x, errX := strconv.ParseInt(a, 10, 64)
		y, errY := strconv.ParseInt(b, 10, 64)
		if errX != nil || errY != nil {
			return 0, false
		}
		switch {
		case x < y:
			return -1, true
		case x > y:
			return 1, true
		}
		return 0, true
	case oidUUID:
		return bytes.Compare([]byte(a), []byte(b)), true // in the form that Postgres writes
	}
	return 0, false
}

// askForRange lets the server find the range of a key, since the order of texts is the collation's. Only changes between the first and the last snapshot of
// a copy that was cut short are asked for.
func (w *stream) askForRange(ctx context.Context, t *table, key [][]byte) (i int, err error) {
	err = w.whileAlive(ctx, func(ctx context.Context) error {
		if err := w.openSide(ctx); err != nil {
			return err
		}
		if t.copied.sql == "" {
			if err := w.prepareAsking(ctx, t); err != nil {
				return err
			}
		}
		result := w.side.ExecParams(ctx, t.copied.sql, key, nil, nil, nil).Read()
		if result.Err != nil {
			return fmt.Errorf("ask for the range of a row of %s.%s: %w", t.schema, t.name, result.Err)
		}
		i, err = strconv.Atoi(string(result.Rows[0][0]))
		return err
	})
	return i, err
}

// prepareAsking makes the question: the types are the stream's, the collations the table's.
func (w *stream) prepareAsking(ctx context.Context, t *table) error {
	params := make([]string, len(t.copied.keys))
	for n, i := range t.copied.keys {
		c := t.plan.columns[i]
		rows, err := query(ctx, w.side, fmt.Sprintf(`select format_type(%d, %d), coalesce((select ' collate ' || quote_ident(ns.nspname) || '.' || quote_ident(co.collname)
			from pg_attribute a join pg_collation co on co.oid = a.attcollation join pg_namespace ns on ns.oid = co.collnamespace
			where a.attrelid = %d and a.attname = %s), '')`, c.typ.oid, c.typ.typmod, t.oid, quoteText(c.name)))
		if err != nil {
			return fmt.Errorf("ask for the type of %s.%s.%s: %w", t.schema, t.name, c.name, err)
		}
		params[n] = fmt.Sprintf("($%d::%s)%s", n+1, rows[0][0], rows[0][1])
	}
	var sql strings.Builder
	sql.WriteString("select case")
	last := len(t.copied.ranges) - 1
	for i, r := range t.copied.ranges[:last] {
		fmt.Fprintf(&sql, " when (%s) < %s then %d", strings.Join(params, ", "), literal(r.To), i)
	}
	fmt.Fprintf(&sql, " else %d end", last)
	t.copied.sql = sql.String()
	return nil
}
