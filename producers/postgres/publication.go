package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/schemas/faults"
)

// ensurePublication sees to it that the publication holds every table of entries, and marks them as published. Tables it holds beside are left in it: they may be
// someone else's.
func (s *Source) ensurePublication(ctx context.Context, conn *pgconn.PgConn, entries []*entry) error {
	name := s.config.Publication
	rows, err := query(ctx, conn, "select pubinsert and pubupdate and pubdelete and pubtruncate, pubviaroot from pg_publication where pubname = $1", name)
	if err != nil {
		return fmt.Errorf("read publication %s: %w", name, err)
	}
	exists := len(rows) > 0
	if exists {
		if err := s.checkPublication(entries, rows[0][0] == "t", rows[0][1] == "t"); err != nil {
			return err
		}
		if err := s.markPublished(ctx, conn, entries); err != nil {
			return err
		}
	}
	var missing []*entry
	for _, e := range entries {
		if !e.published {
			missing = append(missing, e)
		}
	}
	if exists && len(missing) == 0 {
		return nil
	}
	if err := checkIdentities(missing); err != nil {
		return err
	}
	return s.publish(ctx, conn, exists, missing)
}

func (s *Source) checkPublication(entries []*entry, everything, viaRoot bool) error {
	name := quoteName(s.config.Publication)
	if !everything {
		return faults.PostgresPublication.With(fmt.Errorf("publication %s does not publish every kind of change", name),
			"run: ALTER PUBLICATION "+name+" SET (publish = 'insert, update, delete, truncate');")
	}
	for _, e := range entries {
		if e.partitioned && !viaRoot {
			return faults.PostgresPublication.With(fmt.Errorf("publication %s sends the partitions of %s one by one", name, e),
				"run: ALTER PUBLICATION "+name+" SET (publish_via_partition_root = true);")
		}
	}
	return nil
}

// markPublished notes which tables the publication holds, and to which columns and rows it limits them.
func (s *Source) markPublished(ctx context.Context, conn *pgconn.PgConn, entries []*entry) error {
	limits := "'', ''"
	if s.version >= 150000 {
		limits = `coalesce((select string_agg(quote_literal(x), ', ') from unnest(attnames) x), ''), coalesce(rowfilter, '')`
	}
	rows, err := query(ctx, conn, "select schemaname, tablename, "+limits+" from pg_publication_tables where pubname = $1", s.config.Publication)
	if err != nil {
		return fmt.Errorf("read tables of publication %s: %w", s.config.Publication, err)
	}
	held := map[[2]string][]string{}
	for _, r := range rows {
		held[[2]string{r[0], r[1]}] = r
	}
	for _, e := range entries {
		if r := held[[2]string{e.schema, e.name}]; r != nil {
			e.published, e.columns, e.filter = true, r[2], r[3]
		}
	}
	return nil
}

// checkIdentities refuses to publish a table whose updates and deletes Postgres would then refuse to make.
func checkIdentities(entries []*entry) error {
	var names []string
	for _, e := range entries {
		if !e.identity {
			names = append(names, quoteTable(e.schema, e.name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return faults.PostgresIdentity.With(fmt.Errorf("tables without a replica identity, whose UPDATE and DELETE would fail once they are published: %s", strings.Join(names, ", ")),
		"give them a primary key, or run: ALTER TABLE "+names[0]+" REPLICA IDENTITY FULL; or list them under exclude, or add them to the publication"+
			" yourself when rows are only ever inserted")
}

// publish makes the publication or adds tables to it.
func (s *Source) publish(ctx context.Context, conn *pgconn.PgConn, exists bool, entries []*entry) error {
	name := quoteName(s.config.Publication)
	var tables []string
	for _, e := range entries {
		tables = append(tables, "ONLY "+quoteTable(e.schema, e.name))
	}
	sql := "CREATE PUBLICATION " + name
	if exists {
		sql = "ALTER PUBLICATION " + name + " ADD"
	} else if len(tables) > 0 {
		sql += " FOR"
	}
	if len(tables) > 0 {
		sql += " TABLE " + strings.Join(tables, ", ")
	}
	if !exists {
		sql += " WITH (publish_via_partition_root = true)"
	}
	if _, err := query(ctx, conn, sql); err != nil {
		wrapped := fmt.Errorf("publish tables in %s: %w", name, err)
		if sqlState(err) == stateInsufficientPrivilege {
			return faults.PostgresRefused.With(wrapped, "a publication is made by the tables' owner with CREATE on the database; let the owner run: "+sql+";")
		}
		return wrapped
	}
	s.log.Info("published tables", "source", s.name, "publication", s.config.Publication, "tables", len(tables))
	// Their columns in the words in which the next process reads them: a copy that was cut short goes on only where the shape is the same.
	return s.markPublished(ctx, conn, entries)
}
