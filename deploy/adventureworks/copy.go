package adventureworks

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Execer is one connection to the sample's Postgres database.
type Execer interface {
	// Exec runs one or several SQL statements.
	Exec(ctx context.Context, sql string) error
	// CopyFrom loads rows: it runs CopyStatement(table, columns) and sends what r holds, which is COPY's text format.
	CopyFrom(ctx context.Context, table string, columns []string, r io.Reader) error
}

// CopyStatement is the statement that loads the columns of a table in COPY's text format. The table is schema.name and needs no quotes;
// columns get them.
func CopyStatement(table string, columns []string) string {
	return "COPY " + table + ` ("` + strings.Join(columns, `", "`) + `") FROM STDIN`
}

// copyRow builds one row in COPY's text format.
type copyRow struct{ b []byte }

// field begins the next field.
func (r *copyRow) field() {
	if len(r.b) > 0 && r.b[len(r.b)-1] != '\n' {
		r.b = append(r.b, '\t')
	}
}

func (r *copyRow) text(s string) {
	r.field()
	for i := range len(s) {
		switch s[i] {
		case '\\':
			r.b = append(r.b, `\\`...)
		case '\n':
			r.b = append(r.b, `\n`...)
		case '\t':
			r.b = append(r.b, `\t`...)
		case '\r':
			r.b = append(r.b, `\r`...)
		default:
			r.b = append(r.b, s[i])
		}
	}
}

// textOrNull writes an empty text as null.
func (r *copyRow) textOrNull(s string) {
	if s == "" {
		r.null()
		return
	}
	r.text(s)
}

func (r *copyRow) null() { r.field(); r.b = append(r.b, `\N`...) }

func (r *copyRow) int(n int) { r.field(); r.b = strconv.AppendInt(r.b, int64(n), 10) }

func (r *copyRow) bool(v bool) {
	r.field()
	if v {
		r.b = append(r.b, 't')
	} else {
		r.b = append(r.b, 'f')
	}
}

func (r *copyRow) money(cents int64) { r.field(); r.b = appendMoney(r.b, cents) }

func (r *copyRow) time(t time.Time, layout string) { r.field(); r.b = t.AppendFormat(r.b, layout) }

func (r *copyRow) uuid(d dice) { r.field(); r.b = d.appendUUID(r.b) }

func (r *copyRow) bytea(v []byte) {
	r.field()
	r.b = hex.AppendEncode(append(r.b, `\\x`...), v)
}

func (r *copyRow) end() { r.b = append(r.b, '\n') }

// rowReader is a table's rows as a stream that is made while it is read, some kilobytes at a time.
type rowReader struct {
	ctx  context.Context
	row  copyRow
	sent int // bytes of row.b that were read
	next int // row to make
	rows int
	make func(r *copyRow, i int) // appends row i without its end
	done func(rows int)          // is told how many rows were made since
}

// Read gives the rows, each made when it is its turn.
func (r *rowReader) Read(p []byte) (int, error) {
	if r.sent == len(r.row.b) {
		if r.next == r.rows {
			return 0, io.EOF
		}
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		r.row.b, r.sent = r.row.b[:0], 0
		first := r.next
		for r.next < r.rows && len(r.row.b) < 1<<16 {
			r.make(&r.row, r.next)
			r.row.end()
			r.next++
		}
		r.done(r.next - first)
	}
	n := copy(p, r.row.b[r.sent:])
	r.sent += n
	return n, nil
}

// load fills a table; columns are its names separated by blanks.
func (g *generator) load(ctx context.Context, table, columns string, rows int, make func(r *copyRow, i int)) error {
	in := &rowReader{ctx: ctx, rows: rows, make: make, done: g.progress.add}
	if err := g.DB.CopyFrom(ctx, table, strings.Fields(columns), in); err != nil {
		return fmt.Errorf("load %s: %w", table, err)
	}
	return nil
}
