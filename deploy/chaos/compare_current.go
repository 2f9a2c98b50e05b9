package chaos

import (
	"bytes"
	"context"
	"fmt"
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

// table is a table of Postgres, and how both databases are asked for it so that they answer with the same text. Neither answer goes through the program.
type table struct {
	schema, name   string
	keys           int // the first so many columns
	source, stored []string
}

// compareCurrent compares every table with a primary key, value by value.
func (c *cluster) compareCurrent(ctx context.Context, r *Report) error {
	db, err := embedded.OpenDB(ctx, c.postgres.URL(database))
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	tables, err := readCatalog(ctx, db)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := c.compareTable(ctx, db, t, r); err != nil {
			return fmt.Errorf("table %s.%s: %w", t.schema, t.name, err)
		}
	}
	return nil
}

func readCatalog(ctx context.Context, db *embedded.DB) ([]table, error) {
	var text bytes.Buffer
	if err := db.CopyTo(ctx, catalogSQL, &text); err != nil {
		return nil, err
	}
	var all []table
	for line := range strings.Lines(text.String()) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 5 {
			return nil, fmt.Errorf("the catalog answers %q", line)
		}
		if n := len(all); n == 0 || all[n-1].schema != cells[0] || all[n-1].name != cells[1] {
			all = append(all, table{schema: cells[0], name: cells[1]})
		}
		t := &all[len(all)-1]
		if cells[4] == "t" {
			t.keys++
		}
		source, stored := columnText(cells[3])
		t.source = append(t.source, strings.ReplaceAll(source, "$", `"`+cells[2]+`"`))
		t.stored = append(t.stored, strings.ReplaceAll(stored, "$", "`"+schemas.Name(cells[2])+"`"))
	}
	return all, nil
}

// columnText is the expression of a column in either database, $ being the column. What is not named is text, as the type itself writes it.
func columnText(typ string) (source, stored string) {
	switch typ {
	case "bytea":
		return "encode($, 'hex')", "lower(hex($))"
	case "real":
		return "encode(float4send($), 'hex')", "lower(leftPad(hex(reinterpretAsUInt32($)), 8, '0'))"
	case "double precision":
		return "encode(float8send($), 'hex')", "lower(leftPad(hex(reinterpretAsUInt64($)), 16, '0'))"
	case "boolean":
		return "$::text", "$"
	case "money":
		return "$::numeric::text", "$"
	case "timestamp without time zone":
		return "to_char($, 'YYYY-MM-DD HH24:MI:SS.US')", "$"
	case "timestamp with time zone":
		return "to_char($ AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "$"
	case "time without time zone":
		return "to_char($::interval, 'HH24:MI:SS.US')", "$"
	}
	return "CASE WHEN num_nulls($) = 0 THEN format('%s', $) END", "$" // a cast would cut the blanks of char(n) off
}

func (c *cluster) compareTable(ctx context.Context, db *embedded.DB, t table, r *Report) error {
	var text bytes.Buffer
	if err := db.CopyTo(ctx, "SELECT "+strings.Join(t.source, ", ")+" FROM \""+t.schema+"\".\""+t.name+"\"", &text); err != nil {
		return err
	}
	name := schemas.Table(c.prefix, schemas.Topic(c.prefix, "sql", schemas.Name(t.schema)+"."+schemas.Name(t.name)))
	answer, err := askClickHouse(ctx, c.clickhouse.HTTP(), "SELECT "+strings.Join(t.stored, ", ")+" FROM current.`"+name+"`")
	if err != nil && !strings.Contains(err.Error(), "UNKNOWN_TABLE") { // a table is made with its first row
		return err
	}
	source, err := t.parse(text.String())
	if err != nil {
		return fmt.Errorf("postgres holds %w", err)
	}
	stored, err := t.parse(answer)
	if err != nil {
		r.problem("current.%s holds %v", name, err)
		return nil
	}
	r.Current += int64(len(source))
	if found := differences(source, stored); len(found) > 0 {
		r.problem("current.%s: %d rows in postgres, %d here, %d differences: %s", name, len(source), len(stored), len(found),
			strings.Join(found[:min(len(found), 5)], "; "))
	}
	return nil
}

// parse reads rows of text with tabs in between, as both databases write them, by key.
func (t table) parse(text string) (map[string]string, error) {
	rows := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		cells := strings.Split(line, "\t")
		if len(cells) != len(t.source) {
			return nil, fmt.Errorf("a row of %d columns, not %d: %.200q", len(cells), len(t.source), line)
		}
		for i := range cells {
			if cells[i] != `\N` {
				cells[i] = unescape.Replace(cells[i])
			}
		}
		key := strings.Join(cells[:t.keys], "|")
		if _, twice := rows[key]; twice {
			return nil, fmt.Errorf("key %q twice", key)
		}
		rows[key] = strings.Join(cells[t.keys:], "\t")
	}
	return rows, nil
}

// unescape undoes the backslashes of either database.
var unescape = strings.NewReplacer(`\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`, "\v", `\0`, "\x00", `\'`, "'", `\\`, `\`)

func differences(source, stored map[string]string) (found []string) {
	for key, row := range source {
		there, ok := stored[key]
		if !ok {
			found = append(found, fmt.Sprintf("key %q is missing", key))
		} else if there != row {
			found = append(found, fmt.Sprintf("key %q is %.200q in postgres and %.200q here", key, row, there))
		}
	}
	for key := range stored {
		if _, ok := source[key]; !ok {
			found = append(found, fmt.Sprintf("key %q is there, though postgres does not have it", key))
		}
	}
	return found
}
