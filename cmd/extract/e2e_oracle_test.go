//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"adventureworks.example/extract/schemas"
)

// oracleTable is a table with a primary key, and how both sides are asked for it so that they answer with the same text. Neither question goes through
// the program: Postgres writes its values itself, and so does ClickHouse.
type oracleTable struct {
	name    string // for people
	columns []string
	keys    int // the first so many columns
	source  string
	stored  string
}

// oracleTables reads the catalog.
func oracleTables(ctx context.Context, t testing.TB, conn *pgx.Conn, prefix, source string) []oracleTable {
	t.Helper()
	rows, err := conn.Query(ctx, `
WITH RECURSIVE base AS (
  SELECT oid, oid AS type, typtype, typbasetype FROM pg_type
  UNION ALL
  SELECT b.oid, p.oid, p.typtype, p.typbasetype FROM base b JOIN pg_type p ON p.oid = b.typbasetype WHERE b.typtype = 'd')
SELECT n.nspname, c.relname, a.attname, b.type::regtype::text, a.attnum = ANY (i.indkey)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  JOIN base b ON b.oid = a.atttypid AND b.typtype <> 'd'
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2, 5 DESC, a.attnum`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []oracleTable
	var asked, stored []string
	var last [2]string
	finish := func() {
		if len(all) == 0 {
			return
		}
		o := &all[len(all)-1]
		o.source = "SELECT " + strings.Join(asked, ", ") + " FROM " + pgx.Identifier{last[0], last[1]}.Sanitize()
		table := schemas.Table(prefix, schemas.Topic(prefix, source, schemas.Name(last[0])+"."+schemas.Name(last[1])))
		o.stored = "SELECT " + strings.Join(stored, ", ") + " FROM current." + backticks(table)
	}
	for rows.Next() {
		var schema, table, column, typ string
		var key bool
		if err := rows.Scan(&schema, &table, &column, &typ, &key); err != nil {
			t.Fatal(err)
		}
		if last != [2]string{schema, table} {
			finish()
			asked, stored, last = nil, nil, [2]string{schema, table}
			all = append(all, oracleTable{name: schema + "." + table})
		}
		o := &all[len(all)-1]
		o.columns = append(o.columns, column)
		if key {
			o.keys++
		}
		a, s := oracleColumn(typ)
		asked = append(asked, strings.ReplaceAll(a, "$", pgx.Identifier{column}.Sanitize()))
		stored = append(stored, strings.ReplaceAll(s, "$", backticks(schemas.Name(column))))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	finish()
	return all
}

func backticks(name string) string { return "`" + strings.ReplaceAll(name, "`", "\\`") + "`" }

// oracleColumn is the expression of a column in either database, $ being the column. What is not named is text, as the type itself writes it.
func oracleColumn(typ string) (source, stored string) {
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
	return "CASE WHEN num_nulls($) = 0 THEN format('%s', $) END", "$" // a composite of nulls IS NULL, and is none
}

// compare reads a table on both sides and tells the first differences by key and column.
func (o oracleTable) compare(ctx context.Context, t testing.TB, conn *pgx.Conn, clickhouse string) (rows int) {
	t.Helper()
	var want bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &want, "COPY ("+o.source+") TO STDOUT"); err != nil {
		t.Errorf("table %s: ask postgres: %v", o.name, err)
		return 0
	}
	got, err := askClickHouse(ctx, clickhouse, o.stored)
	if err != nil {
		t.Errorf("table %s: %v", o.name, err)
		return 0
	}
	source, err := o.parse(want.String())
	if err != nil {
		t.Errorf("table %s: postgres holds %v", o.name, err)
	}
	stored, err := o.parse(got)
	if err != nil {
		t.Errorf("table %s: clickhouse holds %v", o.name, err)
	}
	for i, d := range o.differences(source, stored) {
		if i == 5 {
			t.Errorf("table %s: and more", o.name)
			break
		}
		t.Errorf("table %s: %s", o.name, d)
	}
	return len(source)
}

func (o oracleTable) differences(source, stored map[string][]string) (all []string) {
	for key, row := range source {
		there, ok := stored[key]
		if !ok {
			all = append(all, fmt.Sprintf("key %q is missing", key))
			continue
		}
		for i, v := range row {
			if there[i] != v {
				all = append(all, fmt.Sprintf("key %q column %s: %.200q in postgres, %.200q in clickhouse", key, o.columns[i], v, there[i]))
			}
		}
	}
	for key := range stored {
		if _, ok := source[key]; !ok {
			all = append(all, fmt.Sprintf("key %q is there, though postgres does not have it", key))
		}
	}
	return all
}

// parse reads rows of text with tabs in between, as both databases write them.
func (o oracleTable) parse(text string) (map[string][]string, error) {
	rows := map[string][]string{}
	for line := range strings.Lines(text) {
		row := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(row) != len(o.columns) {
			return nil, fmt.Errorf("a row of %d columns, not %d: %q", len(row), len(o.columns), line)
		}
		for i := range row {
			if row[i] != `\N` {
				row[i] = unescape(row[i])
			}
		}
		key := strings.Join(row[:o.keys], "|")
		if _, twice := rows[key]; twice {
			return nil, fmt.Errorf("key %q twice", key)
		}
		rows[key] = row
	}
	return rows, nil
}

// unescape undoes the backslashes of either database.
var unescape = strings.NewReplacer(`\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`, "\v", `\0`, "\x00", `\'`, "'", `\\`, `\`).Replace

func askClickHouse(ctx context.Context, address, sql string) (string, error) {
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
	if strings.Contains(string(text), "UNKNOWN_TABLE") {
		return "", nil // nothing has come yet: a table is made with its first row
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask clickhouse %s: %s", sql, text)
	}
	return string(text), nil
}
