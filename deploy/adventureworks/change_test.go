package adventureworks

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChange generates the sample and makes a few hundred changes of all kinds to it.
func TestChange(t *testing.T) {
	db := openPostgres(t)
	dir, lakeDir := t.TempDir(), t.TempDir()
	if err := Generate(context.Background(), Options{Seed: 1, Rows: 8000, Dir: dir, LakeDir: lakeDir, DB: db}); err != nil {
		t.Fatal(err)
	}
	count := func(sql string) int64 { t.Helper(); return db.one(t, sql).(int64) }
	orders, prices := count("SELECT count(*) FROM sales.salesorderheader"), count("SELECT count(*) FROM production.productlistpricehistory")
	kinds, made := map[string]int{}, 0
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := Change(ctx, ChangeOptions{Seed: 2, PerSecond: 500, Dir: dir, LakeDir: lakeDir, DB: db, Report: func(kind string) {
		kinds[kind]++
		if made++; made == 400 {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"order", "price", "review", "review deleted", "stock moved", "stock", "order shipped", "photo", "reviews", "image", "lake object"} {
		if kinds[kind] == 0 {
			t.Errorf("no change of the kind %s among %v", kind, kinds)
		}
	}
	if got := count("SELECT count(*) FROM sales.salesorderheader"); got != orders+int64(kinds["order"]) {
		t.Errorf("%d orders, then %d after %d new ones", orders, got, kinds["order"])
	}
	if got := count("SELECT count(*) FROM production.productlistpricehistory"); got != prices+int64(kinds["price"]) {
		t.Errorf("%d prices, then %d after %d new ones", prices, got, kinds["price"])
	}
	if n := count("SELECT count(*) FROM (SELECT productid FROM production.productlistpricehistory WHERE enddate IS NULL GROUP BY 1 HAVING count(*) <> 1) x"); n != 0 {
		t.Errorf("%d products have several prices", n)
	}
	for pattern, want := range map[string]int{filepath.Join(dir, "reviews_2*.csv"): kinds["reviews"], filepath.Join(dir, "images", "*_new-*"): kinds["image"],
		filepath.Join(lakeDir, "sales_history", "*", "*", "part-2*.parquet"): kinds["lake object"]} {
		if names, _ := filepath.Glob(pattern); len(names) != want {
			t.Errorf("%s: %v, not %d files", pattern, names, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".adventureworks-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// slowDB cancels the caller's context while a statement runs, and notes whether the statement noticed.
type slowDB struct {
	cancel  context.CancelFunc
	noticed bool
	calls   int
}

func (d *slowDB) Exec(ctx context.Context, _ string) error {
	d.calls++
	d.cancel()
	d.noticed = d.noticed || ctx.Err() != nil
	return nil
}

func (d *slowDB) CopyFrom(context.Context, string, []string, io.Reader) error { return nil }

// TestChangeFinishesWhatItBegan cancels in the middle of a statement: it goes on to its end, since a cancelled one costs the connection.
func TestChangeFinishesWhatItBegan(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db := &slowDB{cancel: cancel}
	if err := Change(ctx, ChangeOptions{Seed: 1, PerSecond: 1000, Dir: t.TempDir(), LakeDir: t.TempDir(), DB: db}); err != nil {
		t.Fatal(err)
	}
	if db.calls != 1 || db.noticed {
		t.Errorf("%d statements, noticed %v", db.calls, db.noticed)
	}
}

func TestSameSeedSameChanges(t *testing.T) {
	statements := func(seed uint64) string {
		c := &changer{ChangeOptions: ChangeOptions{Seed: seed}, catalog: newCatalog(), dice: newDice(seed, "changes")}
		var all strings.Builder
		for range 50 {
			_, sql := c.statement(&c.catalog.products[c.made])
			all.WriteString(sql)
		}
		return all.String()
	}
	first, again := statements(1), statements(1)
	if first != again || first == statements(2) {
		t.Error("the changes do not follow the seed")
	}
}

func TestChangeReportsErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(dir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := Change(context.Background(), ChangeOptions{PerSecond: 1000, Dir: dir, LakeDir: dir, DB: digests{}})
	if err == nil || !strings.Contains(err.Error(), "reviews") {
		t.Errorf("Change returned %v", err)
	}
}
