//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"adventureworks.example/extract/deploy/oracle"
)

const itemSchema = `{"type":"record","name":"item","fields":[{"name":"id","type":"long"},{"name":"text","type":"string"}]}`

// TestServersFall kills ClickHouse and Postgres under the program while rows come in. It says what is wrong, and when the servers are back everything is
// stored once.
func TestServersFall(t *testing.T) {
	dir := folder(t)
	stack := startStack(t, filepath.Join(dir, "stack"))
	db, err := stack.Postgres.Database(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(t.Context(), "CREATE TABLE item (id int PRIMARY KEY, text text); INSERT INTO item SELECT i, 'first' FROM generate_series(1, 1000) i"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in", "lake"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, "item.avsc"), itemSchema)
	config := writeConfig(t, dir, stack, fmt.Sprintf(`  - name: sql
    postgres: {url: %q, heartbeat: 200ms}
  - name: files
    files:
      folder: in
      datasets: [{name: items, match: ["*.csv"], format: csv, schema: item.avsc}]
`, stack.Postgres.URL("shop")))
	program := launch(t, "run", "--config", config)
	items := 0
	drop := func() {
		t.Helper()
		text := "id,text\n"
		for range 100 {
			items++
			text += fmt.Sprintf("%d,\"row %d\"\n", items, items)
		}
		put(t, filepath.Join(dir, "in", fmt.Sprintf("items_%d.csv", items)), text)
	}
	drop()
	allStored(t, config)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := stack.ClickHouse.Kill(); err != nil {
		t.Fatal(err)
	}
	drop()
	if err := db.Exec(ctx, "UPDATE item SET text = 'while clickhouse is down' WHERE id <= 500"); err != nil {
		t.Fatal(err)
	}
	unwell(t, config, "clickhouse-down (retry)", "to do: start ClickHouse")
	if err := stack.ClickHouse.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	allStored(t, config)

	if err := db.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stack.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	drop()
	unwell(t, config, "postgres-down (retry)", "to do: start Postgres")
	if err := stack.Postgres.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if db, err = stack.Postgres.Database(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(ctx, "DELETE FROM item WHERE id % 3 = 0; INSERT INTO item VALUES (5000, 'after the fall')"); err != nil {
		t.Fatal(err)
	}
	allStored(t, config)
	if err := db.Close(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := oracle.Ask(ctx, stack.ClickHouse.HTTP(), "SELECT count(), uniqExact(id), max(id) FROM raw.files_items")
	if want := fmt.Sprintf("%d\t%d\t%d\n", items, items, items); err != nil || got != want {
		t.Errorf("raw.files_items holds %q, %v; want %q", got, err, want)
	}
	program.stop()
}

// allStored waits until reconcile finds no gap.
func allStored(t *testing.T, config string) {
	t.Helper()
	var out, errs string
	if !poll(patience, func() bool {
		var code int
		code, out, errs = extract(t, "reconcile", "--config", config, "--wait", "5s")
		return code == exitOK && strings.Contains(out, "Complete: 2 datasets")
	}) {
		t.Fatalf("reconcile finds:\n%s%s", out, errs)
	}
}

// unwell waits until status says that something is wrong: which fault it is, and what to do.
func unwell(t *testing.T, config string, texts ...string) {
	t.Helper()
	var out string
	if !poll(patience/3, func() bool {
		var code int
		code, out, _ = extract(t, "status", "--config", config)
		for _, text := range texts {
			if !strings.Contains(out, text) {
				return false
			}
		}
		return code == exitFailed
	}) {
		t.Fatalf("status does not say %q:\n%s", texts, out)
	}
}
