package embedded

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DB is a connection of the superuser to one database of the embedded Postgres: for making sample data, not for reading it.
// One goroutine at a time.
type DB struct{ conn *pgx.Conn }

// Database connects to a database, making it first when it is not there.
func (p *Postgres) Database(ctx context.Context, name string) (*DB, error) {
	admin, err := pgx.Connect(ctx, p.URL(""))
	if err != nil {
		return nil, fmt.Errorf("connect to postgres: %w", err)
	}
	defer admin.Close(context.WithoutCancel(ctx))
	var there bool
	if err := admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return nil, fmt.Errorf("look up database %s: %w", name, err)
	}
	if !there {
		if _, err := admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
			return nil, fmt.Errorf("create database %s: %w", name, err)
		}
	}
	conn, err := pgx.Connect(ctx, p.URL(name))
	if err != nil {
		return nil, fmt.Errorf("connect to database %s: %w", name, err)
	}
	return &DB{conn}, nil
}

// DropDatabase removes a database with its replication slots and everyone who is connected to it. One that is not there is no error.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	admin, err := pgx.Connect(ctx, p.URL(""))
	if err != nil {
		return fmt.Errorf("connect to postgres: %w", err)
	}
	defer admin.Close(context.WithoutCancel(ctx))
	if _, err := admin.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active", name); err != nil {
		return fmt.Errorf("drop the slots of database %s: %w", name, err)
	}
	if _, err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// OpenDB connects to a database of any Postgres. The password is in the URL, in PGPASSWORD or in a password file.
func OpenDB(ctx context.Context, url string) (*DB, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to postgres: %w", err)
	}
	return &DB{conn}, nil
}

// HasTable tells whether a table is there. Its name is schema.table, without quotes.
func (d *DB) HasTable(ctx context.Context, name string) (there bool, err error) {
	quoted := pgx.Identifier(strings.Split(name, ".")).Sanitize()
	if err := d.conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", quoted).Scan(&there); err != nil {
		return false, fmt.Errorf("look up table %s: %w", name, err)
	}
	return there, nil
}

// Exec runs one or more statements without parameters.
func (d *DB) Exec(ctx context.Context, sql string) error {
	_, err := d.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// CopyFrom loads rows in COPY's text format. table is schema.table, both without quotes; so are the columns.
func (d *DB) CopyFrom(ctx context.Context, table string, columns []string, rows io.Reader) error {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	sql := "COPY " + pgx.Identifier(strings.Split(table, ".")).Sanitize() + " (" + strings.Join(quoted, ", ") + ") FROM STDIN"
	if _, err := d.conn.PgConn().CopyFrom(ctx, rows, sql); err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	return nil
}

// CopyTo writes what a statement gives as rows in COPY's text format: tabs between columns, \N for NULL.
func (d *DB) CopyTo(ctx context.Context, sql string, w io.Writer) error {
	if _, err := d.conn.PgConn().CopyTo(ctx, w, "COPY ("+sql+") TO STDOUT"); err != nil {
		return fmt.Errorf("copy from postgres: %w", err)
	}
	return nil
}

// Close ends the connection.
func (d *DB) Close(ctx context.Context) error { return d.conn.Close(ctx) }

// Remove removes what a stack has left in its folder. The stack must not be running.
func Remove(dir string) error {
	data := filepath.Join(dir, "postgres", "data")
	if target, err := os.Readlink(data); err == nil && filepath.Dir(target) == outsideDir && strings.HasPrefix(filepath.Base(target), outsidePrefix) {
		if err := os.RemoveAll(target); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}
