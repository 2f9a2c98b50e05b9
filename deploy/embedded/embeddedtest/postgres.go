package embeddedtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"adventureworks.example/extract/deploy/embedded"
)

// Postgres returns the address of a fresh database for a superuser, on the server that the tests of this binary share (wal_level=logical), or
// on POSTGRES_URL's. When the test ends, the database is dropped with the replication slots that are in it.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("POSTGRES_URL")
	if server == "" {
		server = sharedPostgres(t).URL("")
	}
	return database(t, server)
}

// PostgresServer returns the shared server itself, for what concerns the whole of it.
func PostgresServer(t testing.TB) *embedded.Postgres {
	t.Helper()
	return sharedPostgres(t)
}

func sharedPostgres(t testing.TB) *embedded.Postgres {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	p, err := shared.postgres.get(func() (*embedded.Postgres, error) {
		dir, err := shared.folder("postgres")
		if err != nil {
			return nil, err
		}
		return startPostgres(t, embedded.PostgresOptions{Dir: dir, Unsafe: true})
	})
	if err != nil {
		missing(t, "postgres", err)
	}
	return p
}

// StartPostgres starts a Postgres of the test's own, with fsync on, which may be killed and restarted. It ends with the test.
func StartPostgres(t testing.TB, settings map[string]string) *embedded.Postgres {
	t.Helper()
	dir := t.TempDir()
	// Root's Postgres runs as nobody, who must be able to pass through.
	for _, d := range []string{dir, strings.TrimSuffix(dir, "/001")} {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	p, err := startPostgres(t, embedded.PostgresOptions{Dir: dir, Settings: settings})
	if err != nil {
		missing(t, "postgres", err)
	}
	t.Cleanup(func() {
		ctx, cancel := grace(10 * time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func startPostgres(t testing.TB, o embedded.PostgresOptions) (*embedded.Postgres, error) {
	ctx, cancel := startup(t)
	defer cancel()
	engines, err := embedded.Install(ctx, "", nil)
	if err != nil {
		return nil, err
	}
	return embedded.StartPostgres(ctx, engines, o)
}

// database makes a database and returns its address.
func database(t testing.TB, server string) string {
	t.Helper()
	ctx, cancel := startup(t)
	defer cancel()
	name := "test_" + suffix()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("POSTGRES_URL: %v", err)
	}
	if err := execute(ctx, server, "CREATE DATABASE "+name); err != nil {
		missing(t, "postgres", err)
	}
	t.Cleanup(func() {
		ctx, cancel := grace(20 * time.Second)
		defer cancel()
		if err := drop(ctx, server, name); err != nil {
			t.Error(err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

// drop ends the readers of the database's slots, drops the slots and then the database.
func drop(ctx context.Context, server, name string) error {
	for {
		err := execute(ctx, server,
			"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '"+name+"' AND active_pid IS NOT NULL",
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '"+name+"'",
			"DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		if err == nil {
			return nil
		}
		select { // a reader is still on its way out
		case <-ctx.Done():
			return fmt.Errorf("drop database %s: %w", name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func execute(ctx context.Context, server string, statements ...string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// suffix is different every time and needs no quotes in a name.
func suffix() string { return strings.ToLower(rand.Text()[:12]) }
