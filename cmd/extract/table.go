package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// grid is a result for people: columns, rows of cells as text, and which columns are numbers and so stand at the right.
type grid struct {
	columns []string
	numbers []bool
	rows    [][]string
}

// writeGrid prints g as table, csv, json (one object a row) or markdown.
func writeGrid(w io.Writer, g grid, format string) error {
	switch format {
	case "table", "markdown":
		t := table.NewWriter()
		t.AppendHeader(cells(g.columns))
		for _, r := range g.rows {
			t.AppendRow(cells(r))
		}
		var columns []table.ColumnConfig
		for i, number := range g.numbers {
			if number {
				columns = append(columns, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
			}
		}
		t.SetColumnConfigs(columns)
		t.SetStyle(plainStyle())
		rendered := t.Render
		if format == "markdown" {
			rendered = t.RenderMarkdown
		}
		_, err := fmt.Fprintln(w, rendered())
		return err
	case "csv":
		return writeCSVRows(w, append([][]string{g.columns}, g.rows...))
	case "json":
		enc := json.NewEncoder(w)
		for _, r := range g.rows {
			if err := enc.Encode(ordered{g.columns, r}); err != nil {
				return fmt.Errorf("write json: %w", err)
			}
		}
		return nil
	}
	return usageError{fmt.Errorf("--format %q: use table, csv, json or markdown", format)}
}

// checkFormat refuses a --format that a command does not write, before it does its work.
func checkFormat(format string, known ...string) error {
	if slices.Contains(known, format) {
		return nil
	}
	last := len(known) - 1
	return usageError{fmt.Errorf("--format %q: use %s or %s", format, strings.Join(known[:last], ", "), known[last])}
}

func writeCSVRows(w io.Writer, rows [][]string) error {
	if err := csv.NewWriter(w).WriteAll(rows); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}

// ordered is a JSON object that keeps the order of its columns.
type ordered struct{ names, values []string }

// jsonNull is the cell that JSON shows as null.
const jsonNull = "\x00null"

// MarshalJSON writes the columns in their order, every value as a string or null.
func (o ordered) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	for i, name := range o.names {
		n, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		v := []byte("null")
		if o.values[i] != jsonNull {
			if v, err = json.Marshal(o.values[i]); err != nil {
				return nil, err
			}
		}
		b.WriteString(string("{,"[min(i, 1)]) + string(n) + ":" + string(v))
	}
	if len(o.names) == 0 {
		b.WriteByte('{')
	}
	return []byte(b.String() + "}"), nil
}

func cells(row []string) table.Row {
	out := make(table.Row, len(row))
	for i, c := range row {
		out[i] = c
	}
	return out
}

// plainStyle is a table that reads well in any terminal and survives copy and paste.
func plainStyle() table.Style {
	s := table.StyleLight
	s.Format.Header = text.FormatDefault
	s.Options.DrawBorder = false
	s.Options.SeparateColumns = false
	s.Box.PaddingLeft, s.Box.PaddingRight = " ", " "
	return s
}

// thousands writes n with thin groups of three, as 1,234,567.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	var groups []string
	for len(s) > 3 {
		groups = append(groups, s[len(s)-3:])
		s = s[:len(s)-3]
	}
	groups = append(groups, s)
	slices.Reverse(groups)
	return sign + strings.Join(groups, ",")
}
