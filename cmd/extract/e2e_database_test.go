//go:build unix

package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"adventureworks.example/extract/deploy/adventureworks"
	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/oracle"
)

var (
	//go:embed testdata/changes.sql
	changesSQL string
	//go:embed testdata/odd.sql
	oddSQL string
)

// startStack starts an embedded stack of the test's own.
func startStack(t testing.TB, dir string) *embedded.Stack {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stack, err := embedded.Start(ctx, embedded.Options{Dir: dir, PostgresUnsafe: true})
	if err != nil {
		if os.Getenv("REQUIRE_SERVICES") == "1" {
			t.Fatalf("the embedded stack is required and cannot be had: %v", err)
		}
		t.Skipf("the embedded stack cannot be had: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := stack.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return stack
}

// writeConfig writes a configuration for the servers of a stack, with the sources that are given as YAML.
func writeConfig(t testing.TB, dir string, stack *embedded.Stack, sources string) string {
	t.Helper()
	e := stack.Endpoints()
	path := filepath.Join(dir, "extract.yaml")
	text := fmt.Sprintf("prefix: e2e\nkafka: {brokers: [%q], partitions: 3}\nregistry: {url: %q}\nclickhouse: {addresses: [%q]}\nstate: state\nadmin: {listen: \"127.0.0.1:%d\"}\nsources:\n%s",
		e.Kafka[0], e.Registry, e.ClickHouse, freePort(t), sources)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEveryTableEqualsItsSource streams a whole database, the first copy and then random changes over every table with a primary key, and compares every
// value of every row with what the database itself says. The database is EXTRACT_TEST_DATABASE's, which is changed, or else the sample and a
// schema of odd types and names.
func TestEveryTableEqualsItsSource(t *testing.T) {
	dir := folder(t)
	stack := startStack(t, filepath.Join(dir, "stack"))
	address, changes := testDatabase(t, dir, stack), 1000
	if long() || os.Getenv("EXTRACT_TEST_DATABASE") != "" {
		changes = 10_000
	}
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	config := writeConfig(t, dir, stack, fmt.Sprintf("  - name: sql\n    postgres: {url: %q, slot: extract_e2e, publication: extract_e2e, heartbeat: 200ms}\n", address))
	t.Cleanup(func() { clearAway(t, address) })
	program := launch(t, "run", "--config", config)
	compareAll(ctx, t, conn, stack, config, "the first copy")
	if t.Failed() {
		return
	}
	started := time.Now()
	for _, name := range []string{"SET extract.changes = '" + fmt.Sprint(changes) + "'", "SET extract.seed = '" + fmt.Sprint(seed(t).Float64()) + "'"} {
		if _, err := conn.Exec(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	settings, block, _ := strings.Cut(changesSQL, "\nDO $$")
	for _, sql := range []string{settings, "DO $$" + block} { // a block that commits is a statement of its own
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d changes in %s", changes, time.Since(started).Round(time.Millisecond))
	compareAll(ctx, t, conn, stack, config, "the changes")
	program.stop()
}

// clearAway removes what the program has made in the database.
func clearAway(t testing.TB, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(ctx)
	gone := poll(patience, func() bool { // the server may not have noticed yet that the reader is gone
		_, err = conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'extract_e2e'")
		return err == nil
	})
	if !gone {
		t.Error(err)
	}
	if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS extract_e2e"); err != nil {
		t.Error(err)
	}
}

// testDatabase is the address of the database that is streamed.
func testDatabase(t testing.TB, dir string, stack *embedded.Stack) string {
	t.Helper()
	if address := os.Getenv("EXTRACT_TEST_DATABASE"); address != "" {
		return address
	}
	db, err := stack.Postgres.Database(t.Context(), "aw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	if err := adventureworks.Generate(t.Context(), adventureworks.Options{Seed: 1, Rows: 7000, Dir: filepath.Join(dir, "files"), LakeDir: filepath.Join(dir, "lake"), DB: db}); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(t.Context(), oddSQL); err != nil {
		t.Fatal(err)
	}
	return stack.Postgres.URL("aw")
}

// compareAll waits until reconcile finds everything stored, and then compares every table itself.
func compareAll(ctx context.Context, t *testing.T, conn *pgx.Conn, stack *embedded.Stack, config, what string) {
	t.Helper()
	started := time.Now()
	var out string
	eventually(t, "reconcile has found every table", func() bool { // the first look may come before the first table
		var code int
		code, out, _ = extract(t, "reconcile", "--config", config, "--wait", "1m")
		return code == exitOK || strings.Contains(out, "GAP") && time.Since(started) > time.Minute
	})
	if strings.Contains(out, "GAP") {
		t.Errorf("after %s:\n%s", what, out)
	}
	db, err := embedded.OpenDB(ctx, conn.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(ctx))
	tables, err := oracle.Tables(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, table := range tables {
		n, found, err := table.Compare(ctx, db, stack.ClickHouse.HTTP(), "e2e", "sql")
		if err != nil {
			t.Error(err)
		}
		rows += n
		if len(found) > 0 {
			t.Errorf("table %s differs in %d places: %s", table, len(found), strings.Join(found[:min(len(found), 5)], "; "))
		}
	}
	if len(tables) == 0 || rows == 0 {
		t.Errorf("%d tables and %d rows compared", len(tables), rows)
	}
	t.Logf("after %s: %d tables, %d rows compared, %s after it began", what, len(tables), rows, time.Since(started).Round(100*time.Millisecond))
}
