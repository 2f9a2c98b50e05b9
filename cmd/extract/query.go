package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/consumers/clickhouse"
)

func (a *app) queryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query [SQL]",
		Short: "Run SQL on ClickHouse and print a table, CSV or JSON",
		Long: `Query runs one SQL statement on ClickHouse, where the dataset is.

  raw.*      one row a Kafka record, with its topic, partition, offset and origin
  current.*  the rows that the database's tables have now
  dataset.*  the aggregated dataset: dataset.product, dataset.sample

The SQL is an argument, or comes from --file, or from standard input. csv and json print row by row and take any number of rows;
table holds the first rows in memory to find the columns' widths (--rows).`,
		Example: `  extract query "SELECT name, length(images), length(reviews) FROM dataset.product ORDER BY 3 DESC LIMIT 10"
  extract query "SHOW TABLES FROM raw"
  extract query --format csv --file report.sql > report.csv`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("give the SQL as one argument, in quotes")}
			}
			return nil
		},
	}
	format := cmd.Flags().String("format", "table", "table, csv, json or markdown")
	file := cmd.Flags().String("file", "", "read the SQL from a `file`")
	rows := cmd.Flags().Int("rows", 1000, "most rows of a table")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sql, err := a.sqlOf(args, *file, cmd.InOrStdin())
		if err != nil {
			return err
		}
		p, err := a.openQuiet(cmd.Context(), nil)
		if err != nil {
			return err
		}
		defer p.close()
		return p.printQuery(cmd.Context(), a.stdout, sql, *format, *rows)
	}
	return cmd
}

func (a *app) sqlOf(args []string, file string, stdin io.Reader) (string, error) {
	var sql string
	switch {
	case len(args) == 1 && file != "":
		return "", usageError{errors.New("give the SQL as an argument or by --file, not both")}
	case len(args) == 1:
		sql = args[0]
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", usageError{fmt.Errorf("read sql: %w", err)}
		}
		sql = string(b)
	default:
		b, err := io.ReadAll(stdin)
		if err != nil {
			return "", fmt.Errorf("read sql from standard input: %w", err)
		}
		sql = string(b)
	}
	sql = strings.TrimRight(strings.TrimSpace(sql), "; \n\t")
	if sql == "" {
		return "", usageError{errors.New("no SQL given; see extract query --help")}
	}
	return sql, nil
}

// printQuery prints the result of one statement in a format.
func (p *pipeline) printQuery(ctx context.Context, w io.Writer, sql, format string, most int) error {
	if err := writeGrid(io.Discard, grid{}, format); err != nil {
		return err
	}
	out := &resultPrinter{w: w, format: format, most: most}
	if err := p.sink.Query(ctx, sql, out); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return out.end()
}

// errEnough ends a query whose first rows are enough.
var errEnough = errors.New("enough rows")

// resultPrinter prints rows as they come. CSV and JSON are printed in pieces, so that memory stays bounded; a table needs its rows to
// find the columns' widths, and so stops at most.
type resultPrinter struct {
	w      io.Writer
	format string
	most   int

	g       grid
	printed bool // the first piece, which has the header
	more    bool // there are more rows than most
}

var _ clickhouse.Rows = (*resultPrinter)(nil)

// Columns takes the header.
func (r *resultPrinter) Columns(names, types []string) error {
	r.g.columns = names
	for _, t := range types {
		r.g.numbers = append(r.g.numbers, isNumber(t))
	}
	return nil
}

// Row takes a row. NULL is an empty cell in CSV, null in JSON and NULL elsewhere.
func (r *resultPrinter) Row(values []*string) error {
	const piece = 1000
	streams := r.format == "csv" || r.format == "json"
	if !streams && len(r.g.rows) == r.most {
		r.more = true
		return errEnough
	}
	row := make([]string, len(values))
	for i, v := range values {
		switch {
		case v != nil:
			row[i] = *v
		case !streams:
			row[i] = "NULL"
		case r.format == "json":
			row[i] = jsonNull
		}
	}
	r.g.rows = append(r.g.rows, row)
	if streams && len(r.g.rows) == piece {
		return r.flush()
	}
	return nil
}

func (r *resultPrinter) flush() error {
	rows := r.g.rows
	r.g.rows = nil
	if r.format == "csv" && r.printed {
		return writeCSVRows(r.w, rows)
	}
	r.printed = true
	return writeGrid(r.w, grid{r.g.columns, r.g.numbers, rows}, r.format)
}

func (r *resultPrinter) end() error {
	if len(r.g.columns) == 0 {
		return nil // a statement without a result
	}
	if len(r.g.rows) > 0 || !r.printed {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if r.more {
		_, err := fmt.Fprintf(r.w, "The first %d rows are shown; --rows, csv or json show more.\n", r.most)
		return err
	}
	return nil
}

func isNumber(clickhouseType string) bool {
	t := strings.TrimPrefix(clickhouseType, "Nullable(")
	for _, prefix := range []string{"Int", "UInt", "Float", "Decimal"} {
		if strings.HasPrefix(t, prefix) {
			return true
		}
	}
	return false
}
