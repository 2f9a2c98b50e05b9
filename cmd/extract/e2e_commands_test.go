//go:build unix

package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemoAnswersAndBears asks a running demo everything that can be asked, and then puts into its folders what does not belong there: each fault is
// told with its place, costs nothing else, and the flow goes on when it is repaired.
func TestDemoAnswersAndBears(t *testing.T) {
	dir := folder(t)
	demo := launch(t, "demo", "--dir", dir, "--rows", "1", "--rate", "0")
	demo.until("Ready after")
	mustBeComplete(t, dir)
	t.Run("commands", func(t *testing.T) { testCommands(t, dir) })
	t.Run("a bad row", func(t *testing.T) { testBadRow(t, dir) })
	t.Run("dead letters", func(t *testing.T) { testDeadLetters(t, dir) })
	t.Run("a burst of bad rows", func(t *testing.T) { testBurst(t, dir) })
	t.Run("a file written slowly", func(t *testing.T) { testSlowFile(t, dir, demo) })
	t.Run("a truncated object", func(t *testing.T) { testTruncatedObject(t, dir) })
	t.Run("a table that is gone", func(t *testing.T) { testMissingTable(t, dir) })
	mustBeComplete(t, dir)
	demo.stop()
	if code, _, errs := extract(t, "status", "--dir", dir); code != exitUsage || !strings.Contains(errs, "no demo runs in "+dir) {
		t.Errorf("status of a stopped demo: code %d: %s", code, errs)
	}
}

func testCommands(t *testing.T, dir string) {
	for _, c := range []struct {
		args []string
		code int
		want string // regular expression
	}{
		{[]string{"version"}, exitOK, `^extract \S+.* go1\.\d+.* \w+/\w+\n$`},
		{[]string{"config", "check"}, exitOK, `extract\.yaml is a valid configuration: prefix aw[^\n]*\n  source sql \(postgres\)\n  source files \(files\)\n  source lake \(lake\)\n`},
		{[]string{"query", "SELECT 1 AS a, 'x' AS b, NULL AS c"}, exitOK, ` a  b  c    \n─+\n 1  x  NULL `},
		{[]string{"query", "--format", "csv", "SELECT 1 AS a, 'x,\"y\"' AS b, NULL AS c"}, exitOK, "^a,b,c\n1,\"x,\"\"y\"\"\",\n$"},
		{[]string{"query", "--format", "json", "SELECT 'x' AS b, NULL AS c"}, exitOK, `^{"b":"x","c":null}\n$`},
		{[]string{"query", "--format", "markdown", "SELECT 1 AS a"}, exitOK, `\| a \|`},
		{[]string{"query", "--rows", "2", "SELECT number FROM system.numbers"}, exitOK, "The first 2 rows are shown"},
		{[]string{"query", "--format", "xml", "SELECT 1"}, exitUsage, `--format "xml"`},
		{[]string{"query", "SELECT no_such_column FROM raw.files_reviews"}, exitFailed, "no_such_column"},
		{[]string{"query", " ; "}, exitUsage, "no SQL given"},
		{[]string{"query", "SELECT", "1"}, exitUsage, "one argument"},
		{[]string{"status"}, exitOK, `(?s)source +state.* files +running .*topic +stored.*aw\.files\.reviews `},
		{[]string{"status", "--partitions"}, exitOK, `aw\.files\.reviews +0 `},
		{[]string{"status", "--format", "json"}, exitOK, `"[sS]ource": "files"`},
		{[]string{"status", "--format", "xml"}, exitUsage, `--format "xml"`},
		{[]string{"reconcile"}, exitOK, `Complete: 28 datasets`},
		{[]string{"reconcile", "--format", "markdown"}, exitOK, `(?m)^\| files +\| reviews `},
		{[]string{"reconcile", "--format", "xml"}, exitUsage, `--format "xml"`},
		{[]string{"reconcile", "now"}, exitUsage, `not "now"`},
		{[]string{"produce", "--once", "postgres"}, exitUsage, "a Postgres stream has no end"},
		{[]string{"produce", "fles"}, exitUsage, "files, postgres or lake"},
		{[]string{"explode"}, exitUsage, `unknown command "explode"`},
		{[]string{"--help"}, exitOK, "Exit codes: 0 done"},
		{[]string{"config", "check", "--config", "no_such.yaml"}, exitUsage, "no_such.yaml"},
	} {
		code, out, errs := extract(t, append(c.args, "--dir", dir)...)
		if code != c.code || !regexp.MustCompile(c.want).MatchString(out+errs) {
			t.Errorf("extract %q: code %d, want %d and %s:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
		if code == exitUsage && (out != "" || strings.Count(errs, "\n") != 1) {
			t.Errorf("extract %q is told in more than a sentence:\n%s%s", c.args, out, errs)
		}
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/metrics": "extract_"} {
		if text := get(t, dir, path); !strings.Contains(text, want) {
			t.Errorf("%s answers %.200q, without %q", path, text, want)
		}
	}
}

// get asks the demo's admin address.
func get(t *testing.T, dir, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, marker))
	if err != nil {
		t.Fatal(err)
	}
	var f demoFile
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + f.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const reviewsHeader = "review_id,product_number,author,email,rating,title,text,language,verified,posted_at\n"

func review(id int) string {
	return fmt.Sprintf("%d,BR-101-RD-54,A. Uthor,a@example.com,4,\"Title, %d\",\"Text\nof two lines\",en,true,2026-11-24T10:00:00Z\n", id, id)
}

// put makes a file appear complete.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// storedIn waits until a table holds so many rows that meet a condition.
func storedIn(t *testing.T, dir, table, where string, want int) {
	t.Helper()
	got := ""
	if !poll(patience/3, func() bool {
		got = query(t, dir, "SELECT count() FROM "+table+" WHERE "+where)
		return got == fmt.Sprint(want)
	}) {
		t.Fatalf("%s holds %s rows where %s, want %d", table, got, where, want)
	}
}

// testBadRow drops a file with a row that is none: it goes to the dead letters with its bytes, which are not even UTF-8.
func testBadRow(t *testing.T, dir string) {
	bad := "9000002,BR-101-RD-54,A,a@example.com,many,\"T \xff\",\"x\",en,true,2026-11-24T10:00:00Z\n"
	put(t, filepath.Join(dir, "files", "reviews_bad.csv"), reviewsHeader+review(9000001)+bad+review(9000003))
	storedIn(t, dir, "raw.files_reviews", "`_origin.uri` = 'reviews_bad.csv'", 2)
	storedIn(t, dir, "raw.deadletters", "place LIKE 'reviews_bad.csv %'", 1)
	text := query(t, dir, "SELECT place, hex(raw), class, reason FROM raw.deadletters WHERE place LIKE 'reviews_bad.csv %'")
	row, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%X", bad); row[1] != want {
		t.Errorf("the dead letter holds %s, want %s", row[1], want)
	}
	if !strings.Contains(row[0], "line 4 ") || row[2] != "reject" || row[3] == "" {
		t.Errorf("the dead letter says %q", row)
	}
	if _, err := os.Stat(filepath.Join(dir, "files", "processed", "reviews_bad.csv")); err != nil {
		t.Error(err)
	}
}

// fileRest is longer than a file must be at rest to be taken for complete (settle, 2 s).
const fileRest = 3 * time.Second

// testSlowFile writes a file in two pieces with a pause that is longer than a file has to be at rest. The first piece ends within a row.
func testSlowFile(t *testing.T, dir string, demo *running) {
	path := filepath.Join(dir, "files", "reviews_slow.csv")
	whole := reviewsHeader + review(9000011) + review(9000012) + review(9000013)
	cut := len(reviewsHeader+review(9000011)) + 20
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(whole[:cut]); err != nil {
		t.Fatal(err)
	}
	demo.rest(fileRest)
	if n := query(t, dir, "SELECT count() FROM raw.files_reviews WHERE `_origin.uri` = 'reviews_slow.csv'"); n != "0" && n != "1" {
		t.Errorf("%s rows of a file that has one whole row", n)
	}
	if _, err := f.WriteString(whole[cut:]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	storedIn(t, dir, "raw.files_reviews", "`_origin.uri` = 'reviews_slow.csv'", 3)
	storedIn(t, dir, "raw.deadletters", "place LIKE 'reviews_slow.csv%'", 0)
}

// testTruncatedObject puts half a Parquet file into the lake and replaces it by the whole one.
func testTruncatedObject(t *testing.T, dir string) {
	lake := filepath.Join(dir, "lake", "product_eval")
	whole, err := os.ReadFile(filepath.Join(lake, "part-00000.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	rows := query(t, dir, "SELECT count() FROM raw.lake_product_eval WHERE `_origin.uri` LIKE '%part-00000.parquet'")
	path := filepath.Join(lake, "part-half.parquet")
	put(t, path, string(whole[:len(whole)/2]))
	var log string
	eventually(t, "the log names the truncated object", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "demo.log"))
		log = string(text)
		return err == nil && strings.Contains(log, "part-half.parquet")
	})
	at := strings.Index(log, "part-half.parquet")
	t.Logf("the log: …%s…", log[max(0, at-200):min(len(log), at+300)])
	put(t, path, string(whole))
	var n int
	if _, err := fmt.Sscan(rows, &n); err != nil || n == 0 {
		t.Fatalf("%s rows of the whole object, %v", rows, err)
	}
	storedIn(t, dir, "raw.lake_product_eval", "`_origin.uri` LIKE '%part-half.parquet'", n)
}

// testMissingTable takes a raw table away. It must not be made anew without the rows it held: its topic pauses, says so, and goes on once the table is
// back. The other topics go on meanwhile.
func testMissingTable(t *testing.T, dir string) {
	query(t, dir, "RENAME TABLE raw.files_labelled_reviews TO raw.set_aside")
	put(t, filepath.Join(dir, "files", "train.csv"), "\"5\",\"Late\",\"But good\"\n")
	put(t, filepath.Join(dir, "files", "reviews_meanwhile.csv"), reviewsHeader+review(9000021))
	var code int
	var out string
	eventually(t, "status tells that the table is missing", func() bool {
		code, out, _ = extract(t, "status", "--dir", dir)
		return code == exitFailed
	})
	if !strings.Contains(out, "files_labelled_reviews") || !strings.Contains(out, "restore it") {
		t.Errorf("status says neither which table is missing nor what to do:\n%s", out)
	}
	storedIn(t, dir, "raw.files_reviews", "`_origin.uri` = 'reviews_meanwhile.csv'", 1)
	if n := query(t, dir, "SELECT count() FROM system.tables WHERE database = 'raw' AND name = 'files_labelled_reviews'"); n != "0" {
		t.Error("the table was made again, without the rows it held")
	}
	query(t, dir, "RENAME TABLE raw.set_aside TO raw.files_labelled_reviews")
	storedIn(t, dir, "raw.files_labelled_reviews", "title = 'Late'", 1)
	eventually(t, "status is well again", func() bool {
		code, _, _ = extract(t, "status", "--dir", dir)
		return code == exitOK
	})
}
