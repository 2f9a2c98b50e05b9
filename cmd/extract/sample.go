package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/deploy/adventureworks"
	"adventureworks.example/extract/deploy/embedded"
)

// sampleOptions are the flags of `extract sample`.
type sampleOptions struct {
	rows     int
	postgres string
	files    string
	lake     string
}

// sampleMarker is the file in the folder of files that says that the sample is whole. The folder's watcher passes over hidden files.
const sampleMarker = ".extract-sample"

func (a *app) sampleCommand() *cobra.Command {
	var o sampleOptions
	cmd := &cobra.Command{
		Use:   "sample",
		Short: "Write the Adventure Works sample to servers and folders of your own",
		Long: `Sample fills a Postgres database, a folder of files and a lake with the Adventure Works sample, once: when it is there already, that is
said and nothing is changed. Interrupted, it goes on at its next start.

The role extract must exist. It is granted USAGE and SELECT on the sample's schemas, and the publication extract_sql is made, so that it needs
nothing but REPLICATION of its own. The user of --postgres must own the database; its password is in the URL, in PGPASSWORD or in a password file.`,
		Example: "  extract sample --postgres postgres://postgres@127.0.0.1:5432/adventureworks --files in --lake lake --rows 100000",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.sample(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.rows, "rows", 20_000, "about how many rows the sample has")
	f.StringVar(&o.postgres, "postgres", "", "`URL` of the database, which must exist")
	f.StringVar(&o.files, "files", "", "`folder` of files")
	f.StringVar(&o.lake, "lake", "", "`folder` of the lake")
	return cmd
}

func (a *app) sample(ctx context.Context, o sampleOptions) error {
	if o.postgres == "" || o.files == "" || o.lake == "" || o.rows < 1 {
		return usageError{errors.New("give --postgres, --files and --lake, and at least 1 for --rows")}
	}
	db, err := embedded.OpenDB(ctx, o.postgres)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	loaded, err := db.HasTable(ctx, "production.product")
	if err != nil {
		return err
	}
	marker := filepath.Join(o.files, sampleMarker)
	if loaded && exists(marker) {
		fmt.Fprintln(a.stdout, "the sample is there already; nothing was changed")
		return nil
	}
	if err := errors.Join(os.MkdirAll(o.files, 0o755), os.MkdirAll(o.lake, 0o755)); err != nil {
		return fmt.Errorf("make the folders of the sample: %w", err)
	}
	if err := a.writeSample(ctx, o, db, loaded); err != nil {
		return fmt.Errorf("write the sample: %w", err)
	}
	if err := os.WriteFile(marker, []byte("The sample is whole.\n"), 0o644); err != nil {
		return fmt.Errorf("mark the sample as whole: %w", err)
	}
	fmt.Fprintf(a.stdout, "the sample is written: about %s rows\n", thousands(int64(o.rows)))
	return nil
}

// writeSample generates the parts. The database is filled in one transaction, so one that has a table has everything and is left alone;
// files and objects are written over by the same bytes.
func (a *app) writeSample(ctx context.Context, o sampleOptions, db *embedded.DB, loaded bool) error {
	var into adventureworks.Execer = db
	if loaded {
		into = noDatabase{}
	}
	show := newScreen(a.stdout).progress()
	err := adventureworks.Generate(ctx, adventureworks.Options{Seed: 1, Rows: o.rows, Dir: o.files, LakeDir: o.lake, DB: into, BadRows: 3,
		Progress: func(done, total int) { show("writing the Adventure Works sample", int64(done), int64(total)) }})
	if err != nil {
		return err
	}
	return db.Exec(ctx, sampleGrants)
}

// sampleGrants lets the role extract read the sample. The publication is made by the owner of the tables, so the role need not own anything.
// All of it may be repeated.
const sampleGrants = `
GRANT USAGE ON SCHEMA person, production, sales TO extract;
GRANT SELECT ON ALL TABLES IN SCHEMA person, production, sales TO extract;
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'extract_sql') THEN
    CREATE PUBLICATION extract_sql FOR TABLES IN SCHEMA person, production, sales WITH (publish_via_partition_root = true);
  END IF;
END $$;`

// noDatabase takes the rows of a database that has them already.
type noDatabase struct{}

var _ adventureworks.Execer = noDatabase{}

// Exec does nothing.
func (noDatabase) Exec(context.Context, string) error { return nil }

// CopyFrom reads the rows and forgets them.
func (noDatabase) CopyFrom(_ context.Context, _ string, _ []string, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
