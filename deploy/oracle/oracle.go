// Package oracle compares the tables of a Postgres database with the current tables in ClickHouse, value by value and without the program in between:
// either database writes its own values as text, and the texts must be the same. It is for trials and tests.
package oracle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/schemas"
)

// catalogSQL lists the columns of the tables that have a primary key, key columns first: schema, table, column, type, whether it is of the key.
const catalogSQL = `WITH RECURSIVE base AS (
  SELECT oid, oid AS type, typtype, typbasetype FROM pg_type
  UNION ALL
  SELECT b.oid, p.oid, p.typtype, p.typbasetype FROM base b JOIN pg_type p ON p.oid = b.typbasetype WHERE b.typtype = 'd')
SELECT n.nspname, c.relname, a.attname, b.type::regtype::text, a.attnum = ANY (i.indkey)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  JOIN base b ON b.oid = a.atttypid AND b.typtype <> 'd'
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2, 5 DESC, a.attnum`

// Table is a table of Postgres with a primary key, and how both databases are asked for it.
type Table struct {
	Schema, Name   string
	columns        []string
	keys           int // the first so many columns
	source, stored []string
}

// String is the table's name, as people write it.
func (t Table) String() string { return t.Schema + "." + t.Name }

// Tables reads the catalog of a database.
func Tables(ctx context.Context, db *embedded.DB) ([]Table, error) {
	var text bytes.Buffer
	if err := db.CopyTo(ctx, catalogSQL, &text); err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	var all []Table
	for line := range strings.Lines(text.String()) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 5 {
			return nil, fmt.Errorf("read the catalog: it answers %q", line)
		}
		for i := range cells {
			cells[i] = unescape.Replace(cells[i])
		}
		if n := len(all); n == 0 || all[n-1].Schema != cells[0] || all[n-1].Name != cells[1] {
			all = append(all, Table{Schema: cells[0], Name: cells[1]})
		}
		t := &all[len(all)-1]
		t.columns = append(t.columns, cells[2])
		if cells[4] == "t" {
			t.keys++
		}
		source, stored := columnText(cells[3])
		t.source = append(t.source, strings.ReplaceAll(source, "$", doubleQuotes(cells[2])))
		t.stored = append(t.stored, strings.ReplaceAll(stored, "$", backticks(schemas.Name(cells[2]))))
	}
	return all, nil
}

func doubleQuotes(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func backticks(name string) string { return "`" + strings.ReplaceAll(name, "`", "\\`") + "`" }

// columnText is the expression of a column in either database, $ being the column. What is not named is text, as the type itself writes it.
func columnText(typ string) (source, stored string) {
	switch typ {
	case "boolean", "smallint", "integer", "bigint", "oid", "date", "uuid":
		return "$::text", "$"
	case "bytea":
		return "encode($, 'hex')", "lower(hex($))"
	case "real":
		return "encode(float4send($), 'hex')", "lower(leftPad(hex(reinterpretAsUInt32($)), 8, '0'))"
	case "double precision":
		return "encode(float8send($), 'hex')", "lower(leftPad(hex(reinterpretAsUInt64($)), 16, '0'))"
	case "money":
		return "$::numeric::text", "$"
	case "timestamp without time zone":
		return "to_char($, 'YYYY-MM-DD HH24:MI:SS.US')", "$"
	case "timestamp with time zone":
		return "to_char($ AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "$"
	case "time without time zone":
		return "to_char($::interval, 'HH24:MI:SS.US')", "$"
	}
	// A cast would cut the blanks of char(n) off; a composite of nulls IS NULL, and is none.
	return "CASE WHEN num_nulls($) = 0 THEN format('%s', $) END", "$"
}

// Compare reads a table on both sides, from the topics of a prefix and source, and returns how many rows Postgres has and every difference. A table of
// current rows that is not there has no rows.
func (t Table) Compare(ctx context.Context, db *embedded.DB, clickhouse, prefix, source string) (rows int, differences []string, err error) {
	var text bytes.Buffer
	sql := "SELECT " + strings.Join(t.source, ", ") + " FROM " + doubleQuotes(t.Schema) + "." + doubleQuotes(t.Name)
	if err := db.CopyTo(ctx, sql, &text); err != nil {
		return 0, nil, fmt.Errorf("ask postgres for %s: %w", t, err)
	}
	name := schemas.Table(prefix, schemas.Topic(prefix, source, schemas.Name(t.Schema)+"."+schemas.Name(t.Name)))
	answer, err := Ask(ctx, clickhouse, "SELECT "+strings.Join(t.stored, ", ")+" FROM current."+backticks(name))
	if err != nil && !strings.Contains(err.Error(), "UNKNOWN_TABLE") { // a table is made with its first row
		return 0, nil, err
	}
	held, err := t.parse(text.String())
	if err != nil {
		return 0, nil, fmt.Errorf("postgres holds in %s %w", t, err)
	}
	stored, err := t.parse(answer)
	if err != nil {
		return len(held), []string{fmt.Sprintf("clickhouse holds %v", err)}, nil
	}
	return len(held), t.differences(held, stored), nil
}

func (t Table) differences(held, stored map[string][]string) (all []string) {
	for key, row := range held {
		there, ok := stored[key]
		if !ok {
			all = append(all, fmt.Sprintf("key %q is missing", key))
			continue
		}
		for i, v := range row {
			if there[i] != v {
				all = append(all, fmt.Sprintf("key %q column %s: %.200q in postgres, %.200q in clickhouse", key, t.columns[i], v, there[i]))
			}
		}
	}
	for key := range stored {
		if _, ok := held[key]; !ok {
			all = append(all, fmt.Sprintf("key %q is there, though postgres does not have it", key))
		}
	}
	return all
}

// parse reads rows of text with tabs in between, as both databases write them, by key.
func (t Table) parse(text string) (map[string][]string, error) {
	rows := map[string][]string{}
	for line := range strings.Lines(text) {
		row := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(row) != len(t.columns) {
			return nil, fmt.Errorf("a row of %d columns, not %d: %.200q", len(row), len(t.columns), line)
		}
		for i := range row {
			if row[i] != `\N` {
				row[i] = unescape.Replace(row[i])
			}
		}
		key := strings.Join(row[:t.keys], "|")
		if _, twice := rows[key]; twice {
			return nil, fmt.Errorf("key %q twice", key)
		}
		rows[key] = row
	}
	return rows, nil
}

// unescape undoes the backslashes of either database.
var unescape = strings.NewReplacer(`\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`, "\v", `\0`, "\x00", `\'`, "'", `\\`, `\`)

// Ask runs one statement of ClickHouse over HTTP and returns the answer, tab-separated unless it names a format.
func Ask(ctx context.Context, address, sql string) (string, error) {
	settings := url.Values{"output_format_decimal_trailing_zeros": {"1"}, "default_format": {"TabSeparated"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/?"+settings.Encode(), strings.NewReader(sql))
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask clickhouse: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "", fmt.Errorf("ask clickhouse: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask clickhouse %s: %s", sql, text)
	}
	return string(text), nil
}
