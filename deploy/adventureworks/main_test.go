package adventureworks

import (
	"context"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"

	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

var _ Execer = (*embedded.DB)(nil)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// pgDB is an Execer over a real connection.
type pgDB struct{ *pgx.Conn }

func (d pgDB) Exec(ctx context.Context, sql string) error {
	_, err := d.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

func (d pgDB) CopyFrom(ctx context.Context, table string, columns []string, r io.Reader) error {
	_, err := d.PgConn().CopyFrom(ctx, r, CopyStatement(table, columns))
	return err
}

func openPostgres(t testing.TB) pgDB {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), embeddedtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return pgDB{conn}
}

func (d pgDB) one(t testing.TB, sql string) (v any) {
	t.Helper()
	if err := d.QueryRow(context.Background(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}
