package adventureworks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// digests stands for a database: it hashes what it is told.
type digests map[string]string

func (d digests) Exec(_ context.Context, sql string) error {
	d[fmt.Sprintf("statement %d", len(d))] = sql
	return nil
}

func (d digests) CopyFrom(_ context.Context, table string, columns []string, r io.Reader) error {
	h := sha256.New()
	n, err := io.Copy(h, r)
	d[CopyStatement(table, columns)] = fmt.Sprintf("%d bytes, %x", n, h.Sum(nil))
	return err
}

// readTree hashes every file below a folder.
func (d digests) readTree(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		sum := sha256.Sum256(b)
		name, _ := filepath.Rel(dir, path)
		d[name] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func generateDigests(t *testing.T, o Options) digests {
	t.Helper()
	d := digests{}
	o.DB, o.Dir, o.LakeDir = d, filepath.Join(t.TempDir(), "inbox"), filepath.Join(t.TempDir(), "lake")
	if err := Generate(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	d.readTree(t, o.Dir)
	d.readTree(t, o.LakeDir)
	return d
}

func TestSameSeedSameBytes(t *testing.T) {
	o := Options{Seed: 7, Rows: 12_000, BadRows: 3}
	a, b := generateDigests(t, o), generateDigests(t, o)
	if len(a) < 400 {
		t.Fatalf("%d files, tables and statements", len(a))
	}
	for name, sum := range a {
		if b[name] != sum {
			t.Errorf("%s differs from run to run", name)
		}
	}
	if len(b) != len(a) {
		t.Errorf("%d files, tables and statements, then %d", len(a), len(b))
	}
	o.Seed++
	c := generateDigests(t, o)
	for _, name := range []string{"reviews_001.csv", archiveName, "sales_history/year=2024/month=02/part-00000.parquet"} {
		if a[name] == "" || a[name] == c[name] {
			t.Errorf("%s does not depend on the seed", name)
		}
	}
}

func TestProgressEndsAtTotal(t *testing.T) {
	for _, rows := range []int{1, 40_001} {
		last, total := 0, 0
		generateDigests(t, Options{Rows: rows, Progress: func(done, of int) {
			if done <= last {
				t.Errorf("progress went from %d to %d", last, done)
			}
			last, total = done, of
		}})
		if last != total {
			t.Errorf("rows %d: %d of %d are made at the end", rows, last, total)
		}
		if rows > 10_000 && total != rows {
			t.Errorf("%d rows were asked for, %d are planned", rows, total)
		}
	}
}

// TestStopsWhenCanceled cancels in the middle and expects the reason, not success.
func TestStopsWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	err := Generate(ctx, Options{Rows: 300_000, Dir: t.TempDir(), LakeDir: t.TempDir(), DB: digests{}, Progress: func(done, _ int) {
		if done > 10_000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Generate returned %v", err)
	}
}

type brokenDB struct{ digests }

var errBroken = errors.New("the server is gone")

func (d brokenDB) CopyFrom(ctx context.Context, table string, columns []string, r io.Reader) error {
	if table == "production.productphoto" {
		return errBroken
	}
	return d.digests.CopyFrom(ctx, table, columns, r)
}

func TestErrorOfTheDatabaseRollsBack(t *testing.T) {
	d := brokenDB{digests{}}
	err := Generate(context.Background(), Options{Dir: t.TempDir(), LakeDir: t.TempDir(), DB: d})
	if !errors.Is(err, errBroken) {
		t.Fatalf("Generate returned %v", err)
	}
	rolledBack := false
	for _, sql := range d.digests {
		rolledBack = rolledBack || sql == "ROLLBACK"
		if sql == "COMMIT" {
			t.Error("the transaction was committed")
		}
	}
	if !rolledBack {
		t.Error("the transaction was not rolled back")
	}
}

// BenchmarkGenerate makes a large sample without a database, to see the rows a second and that memory stays where it is.
func BenchmarkGenerate(b *testing.B) {
	for _, rows := range []int{20_000, 1_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) { benchmarkGenerate(b, rows) })
	}
}

func benchmarkGenerate(b *testing.B, rows int) {
	for b.Loop() {
		if err := Generate(context.Background(), Options{Rows: rows, Dir: b.TempDir(), LakeDir: b.TempDir(), DB: digests{}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
