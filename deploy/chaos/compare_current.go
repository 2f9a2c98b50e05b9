package chaos

import (
	"context"
	"strings"

	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/oracle"
)

// compareCurrent compares every table with a primary key, value by value.
func (c *cluster) compareCurrent(ctx context.Context, r *Report) error {
	db, err := embedded.OpenDB(ctx, c.postgres.URL(database))
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	tables, err := oracle.Tables(ctx, db)
	if err != nil {
		return err
	}
	for _, t := range tables {
		rows, found, err := t.Compare(ctx, db, c.clickhouse.HTTP(), c.prefix, "sql")
		if err != nil {
			return err
		}
		r.Current += int64(rows)
		if len(found) > 0 {
			r.problem("the current rows of %s, of which postgres has %d, differ in %d places: %s", t, rows, len(found), strings.Join(found[:min(len(found), 5)], "; "))
		}
	}
	return nil
}
