package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/schemas/faults"
)

func (a *app) errorsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "errors [NAME]",
		Short: "Explain the faults that status, metrics and log name, and what to do about each",
		Long: `Errors lists the vocabulary of faults: what goes wrong outside of this program, what the program does about it and what a person does.
Name one, or a place (kafka, registry, clickhouse, postgres, files), to see only that.

The classes: retry passes by itself; pause waits for a repair, and goes on by itself once it is made; reject is one row, which goes to the
dead letters; stop ends the source, because going on would break a promise.`,
		Example: "  extract errors clickhouse-quota\n  extract errors postgres\n  extract errors --format markdown",
		Args:    cobra.MaximumNArgs(1),
	}
	format := cmd.Flags().String("format", "text", "text, markdown or json")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		var chosen []faults.Fault
		for _, f := range faults.Table {
			if len(args) == 0 || args[0] == string(f.Name) || args[0] == string(f.Place) {
				chosen = append(chosen, f)
			}
		}
		if len(chosen) == 0 {
			return usageError{fmt.Errorf("there is no fault %q; see extract errors", args[0])}
		}
		switch *format {
		case "text":
			return writeFaults(a.stdout, chosen)
		case "markdown":
			return writeGrid(a.stdout, faultsGrid(chosen), "markdown")
		case "json":
			enc := json.NewEncoder(a.stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(chosen)
		}
		return usageError{fmt.Errorf("--format %q: use text, markdown or json", *format)}
	}
	return cmd
}

// writeFaults prints a paragraph for each.
func writeFaults(w io.Writer, all []faults.Fault) error {
	for _, f := range all {
		if _, err := fmt.Fprintf(w, "%s (%s)\n  what:  %s\n", f.Name, f.Class, f.What); err != nil {
			return fmt.Errorf("write faults: %w", err)
		}
		if f.Remedy != "" {
			fmt.Fprintf(w, "  to do: %s\n", f.Remedy)
		}
		if len(f.By) > 0 {
			fmt.Fprintf(w, "  known: %s\n", strings.Join(f.By, ", "))
		}
	}
	return nil
}

// faultsGrid is the table of docs/errors.md.
func faultsGrid(all []faults.Fault) grid {
	g := grid{columns: []string{"fault", "class", "what has happened", "what to do", "known by"}}
	for _, f := range all {
		g.rows = append(g.rows, []string{"`" + string(f.Name) + "`", string(f.Class), f.What, f.Remedy, strings.Join(f.By, ", ")})
	}
	return g
}
