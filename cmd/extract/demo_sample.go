package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"adventureworks.example/extract/deploy/adventureworks"
	"adventureworks.example/extract/deploy/embedded"
)

// demoFile is what a demo keeps of itself in its folder. It holds a password, so only its owner may read it.
type demoFile struct {
	Password string `json:"password"` // of the database role that extract uses
	Rows     int    `json:"rows"`     // of the sample, 0 until it is whole
	Changes  uint64 `json:"changes"`  // how many times the changes were started: each time they are others
	Admin    string `json:"admin"`    // where the last run served metrics and status
}

func (d *demo) readFile() error {
	d.file = &demoFile{}
	text, err := os.ReadFile(filepath.Join(d.dir, marker))
	if errors.Is(err, fs.ErrNotExist) {
		d.file.Password = rand.Text()
		return d.saveFile()
	}
	if err != nil {
		return fmt.Errorf("read what the demo kept: %w", err)
	}
	if err := json.Unmarshal(text, d.file); err != nil {
		return fmt.Errorf("read %s: %w; start over with --reset", filepath.Join(d.dir, marker), err)
	}
	return nil
}

// saveFile replaces the file in one step, so that a crash leaves the old one or the new one.
func (d *demo) saveFile() error {
	text, err := json.MarshalIndent(d.file, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, marker)
	f, err := os.CreateTemp(d.dir, ".demo-*")
	if err != nil {
		return fmt.Errorf("save what the demo keeps: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("save what the demo keeps: %w", err)
	}
	return nil
}

const (
	sampleDatabase = "adventureworks"
	demoRole       = "extract"
)

func (d *demo) inbox() string { return filepath.Join(d.dir, "files") }
func (d *demo) lake() string  { return filepath.Join(d.dir, "lake") }

// makeSample makes the sample unless an earlier run has. One that was cut short is made again from the start: nothing was streamed yet.
func (d *demo) makeSample(ctx context.Context) (*embedded.DB, error) {
	if d.file.Rows == 0 {
		if err := d.generate(ctx); err != nil {
			return nil, fmt.Errorf("make the sample: %w", err)
		}
		d.file.Rows = d.o.rows
	}
	d.file.Changes++
	if err := d.saveFile(); err != nil {
		return nil, err
	}
	return d.stack.Postgres.Database(ctx, sampleDatabase)
}

func (d *demo) generate(ctx context.Context) error {
	if err := d.stack.Postgres.DropDatabase(ctx, sampleDatabase); err != nil {
		return err
	}
	for _, dir := range []string{d.inbox(), d.lake()} {
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
			return err
		}
	}
	db, err := d.stack.Postgres.Database(ctx, sampleDatabase)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	show := d.out.progress()
	err = adventureworks.Generate(ctx, adventureworks.Options{Seed: 1, Rows: d.o.rows, Dir: d.inbox(), LakeDir: d.lake(), DB: db, BadRows: 3,
		Progress: func(done, total int) { show("writing the Adventure Works sample", int64(done), int64(total)) }})
	d.out.endProgress()
	if err != nil {
		return err
	}
	return db.Exec(ctx, demoRoleSQL(d.file.Password))
}

// demoRoleSQL makes the role that extract uses, with what it needs and no more: replication, and reading (sampleGrants).
func demoRoleSQL(password string) string {
	return `
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'extract') THEN CREATE ROLE extract LOGIN REPLICATION; END IF;
END $$;
ALTER ROLE extract PASSWORD '` + password + `';` + sampleGrants
}

// writeConfig writes the example's configuration, schemas and SQL into the folder, where a person can read them and other commands find them.
func (d *demo) writeConfig() (string, error) {
	dir := filepath.Join(d.dir, "config")
	err := fs.WalkDir(adventureworks.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := fs.ReadFile(adventureworks.Files, path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		return "", fmt.Errorf("write the demo's configuration: %w", err)
	}
	return filepath.Join(dir, "extract.yaml"), nil
}

// demoEnv is the environment of the demo's configuration: where its servers listen. What the caller's environment sets is not used: the
// demo is about its own servers.
func demoEnv(dir string, e embedded.Endpoints, f *demoFile) lookup {
	database := e.Postgres
	if at := strings.LastIndexByte(database, '@'); at >= 0 {
		host, _, _ := strings.Cut(database[at+1:], "/")
		database = "postgres://" + demoRole + ":" + f.Password + "@" + host + "/" + sampleDatabase + "?sslmode=disable"
	}
	values := map[string]string{
		"KAFKA_BROKERS": strings.Join(e.Kafka, ","), "REGISTRY_URL": e.Registry, "CLICKHOUSE_ADDRESSES": e.ClickHouse,
		"POSTGRES_URL": database, "FILES_FOLDER": filepath.Join(dir, "files"), "LAKE_FOLDER": filepath.Join(dir, "lake"),
		"ADMIN_LISTEN": f.Admin, "STATE_FOLDER": filepath.Join(dir, "state"),
	}
	return func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	}
}

// demoConfig is the configuration of the demo that runs in --dir; its error is fs.ErrNotExist when none does.
func (a *app) demoConfig() (*Config, error) {
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return nil, err
	}
	e, err := embedded.ReadEndpoints(filepath.Join(dir, "stack"))
	if errors.Is(err, embedded.ErrNotRunning) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("find the demo: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, marker))
	if err != nil {
		return nil, fmt.Errorf("find the demo: %w", err)
	}
	var f demoFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("find the demo: read %s: %w", marker, err)
	}
	return readConfig(filepath.Join(dir, "config", "extract.yaml"), demoEnv(dir, e, &f))
}
