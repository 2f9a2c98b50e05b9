//go:build unix

package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// report is what `extract reconcile --format json` prints.
type report struct {
	Complete bool `json:"complete"`
	Datasets []struct {
		completeness
		HeldDigest   string `json:"held_digest"`
		StoredDigest string `json:"stored_digest"`
	} `json:"datasets"`
}

// reconcile runs `extract reconcile` on the demo in a folder.
func reconcile(t testing.TB, dir string, args ...string) (code int, r report) {
	t.Helper()
	code, out, errs := extract(t, append([]string{"reconcile", "--dir", dir, "--format", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("extract reconcile: code %d, %v:\n%s\n%s", code, err, out, errs)
	}
	return code, r
}

// mustBeComplete reconciles the demo in a folder and looks at every figure itself. It returns how many records are stored.
func mustBeComplete(t testing.TB, dir string) (stored int64) {
	t.Helper()
	code, r := reconcile(t, dir, "--wait", "2m")
	if code != exitOK || !r.Complete {
		t.Errorf("reconcile ended with code %d, complete %v", code, r.Complete)
	}
	if len(r.Datasets) < 20 {
		t.Errorf("reconcile knows %d datasets only", len(r.Datasets))
	}
	for _, d := range r.Datasets {
		name := d.Source + "." + d.Dataset
		if len(d.Gaps) > 0 {
			t.Errorf("%s: %v", name, d.Gaps)
		}
		if d.Twice != 0 || d.Produced != d.Stored || d.HeldDigest != d.StoredDigest || d.Held-d.RejectedAtSource != d.rows() {
			t.Errorf("%s does not add up: %+v", name, d)
		}
		stored += d.Stored
	}
	mustBeOnce(t, dir)
	return stored
}

// rows is how many rows of the dataset are stored.
func (c completeness) rows() int64 {
	if c.Changes {
		return c.Current
	}
	return c.Stored
}

// mustBeOnce looks for what reconcile cannot see: a source row that is in the topic twice, under two offsets. A row of a file or a lake is known by
// its origin, a change by its place in the log, a row of a copy by the copy and its key.
func mustBeOnce(t testing.TB, dir string) {
	t.Helper()
	for table, key := range map[string]string{
		"files_reviews":              "`_origin.uri`, `_origin.entry`, `_origin.row`, `_origin.modified`",
		"files_labelled_reviews":     "`_origin.uri`, `_origin.entry`, `_origin.row`, `_origin.modified`",
		"files_images":               "`_origin.uri`, `_origin.entry`, `_origin.row`, `_origin.modified`",
		"lake_product_eval":          "`_origin.uri`, `_origin.row`, `_origin.modified`",
		"lake_sales_history":         "`_origin.uri`, `_origin.row`, `_origin.modified`",
		"sql_production_product":     "`source.generation`, `source.commit_lsn`, `source.number`, _key",
		"sql_sales_salesorderdetail": "`source.generation`, `source.commit_lsn`, `source.number`, _key",
	} {
		if twice := query(t, dir, "SELECT count() - uniqExact(tuple("+key+")) FROM raw."+table); twice != "0" {
			t.Errorf("raw.%s holds %s source rows twice", table, twice)
		}
	}
}

// seed is what random moments are made of: EXTRACT_E2E_SEED to have them again.
func seed(t testing.TB) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if given := os.Getenv("EXTRACT_E2E_SEED"); given != "" {
		var err error
		if n, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("EXTRACT_E2E_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 1))
}

// TestKilledDemoLosesAndDoublesNothing kills the whole demo at random moments: while the servers start, while the sample is written, in the
// first copy, while changes flow. At the end everything must be stored once, and no server may have outlived the demo.
func TestKilledDemoLosesAndDoublesNothing(t *testing.T) {
	dir, random := folder(t), seed(t)
	args := []string{"demo", "--dir", dir, "--rate", "200", "--rows", "8000"}
	moments := []struct {
		text string // what the demo has printed
		more int    // milliseconds afterwards, at most
	}{
		{"starting Kafka", 1500}, {"writing the Adventure Works sample", 500}, {"writing the Adventure Works sample: 5", 1000},
		{"Ready after", 100}, {"Ready after", 500}, {"Ready after", 1000}, {"Ready after", 2000}, {"Ready after", 2000}, {"stored", 2000}, {"stored", 3000},
	}
	if long() {
		for range 20 {
			moments = append(moments, moments[3+random.IntN(6)])
		}
	}
	for i, m := range moments {
		demo := launch(t, args...)
		demo.until(m.text)
		more := time.Duration(random.IntN(m.more+1)) * time.Millisecond
		demo.rest(more)
		if demo.ended() {
			t.Fatalf("the demo has ended before kill %d:\n%s", i+1, demo.out.String())
		}
		demo.kill()
		t.Logf("kill %d: %v after %q", i+1, more, m.text)
	}
	demo := launch(t, args...)
	demo.until("stored")
	if stored := mustBeComplete(t, dir); stored < 8000 {
		t.Errorf("only %d records are stored", stored)
	}
	demo.kill()
	noProcessLeft(t, dir)
}
