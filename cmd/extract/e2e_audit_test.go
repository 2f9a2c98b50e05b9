//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"adventureworks.example/extract/deploy/oracle"
)

// TestAuditRepairs damages the table of a dataset in every way while no consumer runs, and while one runs that does nothing by itself. Reconcile finds a gap, the audit names
// what has happened, and brings back every row once.
func TestAuditRepairs(t *testing.T) {
	dir := folder(t)
	stack := startStack(t, filepath.Join(dir, "stack"))
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "item.avsc"), itemSchema)
	config := writeConfig(t, dir, stack, "  - name: files\n    files:\n      folder: in\n      datasets: [{name: items, match: [\"*.csv\"], format: csv, schema: item.avsc}]\naudit: {every: 0s}\n")
	program := launch(t, "run", "--config", config)
	text := "id,text\n"
	for i := range 600 {
		text += fmt.Sprintf("%d,\"row %d\"\n", i, i)
	}
	put(t, filepath.Join(dir, "in", "items.csv"), text)
	audit := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errs := 0, "", ""
		if !poll(patience/2, func() bool {
			got, out, errs = extract(t, append([]string{"audit", "--config", config}, args...)...)
			return got == code && strings.Contains(out+errs, want)
		}) {
			t.Fatalf("audit %v ended with code %d, not %d and %q:\n%s%s", args, got, code, want, out, errs)
		}
	}
	whole := func() {
		t.Helper()
		audit(exitOK, "600 rows stored and 0 rejected, none missing, none twice")
		got, err := oracle.Ask(t.Context(), stack.ClickHouse.HTTP(), "SELECT count(), uniqExact(id), uniqExact(_partition, _offset) FROM raw.files_items")
		if err != nil || got != "600\t600\t600\n" {
			t.Errorf("the table holds %q, %v", got, err)
		}
	}
	whole()
	damages := []struct{ sql, want string }{
		{"TRUNCATE TABLE raw.files_items", "the table was truncated"},
		{"DROP TABLE raw.files_items SYNC", "the table was dropped"},
		{"ALTER TABLE raw.files_items DELETE WHERE _offset >= 50 AND _offset < 60 SETTINGS mutations_sync = 2", "the table has holes"},
		{"INSERT INTO raw.files_items SELECT * FROM raw.files_items WHERE id IN (7, 8)", "there twice"},
	}
	for _, running := range []bool{true, false} {
		if !running {
			program.stop()
		}
		for _, d := range damages {
			if _, err := oracle.Ask(t.Context(), stack.ClickHouse.HTTP(), d.sql); err != nil {
				t.Fatal(err)
			}
			audit(exitFailed, d.want, "--topic", "files.items")
			if code, out, errs := extract(t, "reconcile", "--config", config, "--wait", "1s"); code != exitFailed || !strings.Contains(out, "GAP files.items: ") {
				t.Errorf("reconcile after %s ended with code %d:\n%s%s", d.sql, code, out, errs)
			}
			audit(exitOK, "none missing, none twice", "--repair", "--wait", "40s")
			whole()
		}
	}
	audit(exitFailed, "nothing is committed of topic e2e.files.other", "--topic", "files.other")
	audit(exitUsage, `--format "xml"`, "--format", "xml")
	audit(exitOK, `"complete": true`, "--format", "json", "--full")
	program = launch(t, "run", "--config", config) // and it goes on
	put(t, filepath.Join(dir, "in", "more.csv"), "id,text\n600,more\n")
	audit(exitOK, "601 rows stored")
	program.stop()
}
