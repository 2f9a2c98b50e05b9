//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listed is what `extract deadletters list` says of the letters whose place begins with a text.
func listed(t *testing.T, dir, place string, args ...string) (lines []letterLine) {
	t.Helper()
	code, out, errs := extract(t, append([]string{"deadletters", "list", "--dir", dir, "--limit", "0"}, args...)...)
	if code != exitOK {
		t.Fatalf("extract deadletters list %q: code %d: %s", args, code, errs)
	}
	for line := range strings.Lines(out) {
		var l letterLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if strings.HasPrefix(l.Place, place) {
			lines = append(lines, l)
		}
	}
	return lines
}

// lettersCommand runs a subcommand of `extract deadletters` that must end with a code and print a text.
func lettersCommand(t *testing.T, dir string, code int, want string, args ...string) string {
	t.Helper()
	got, out, errs := extract(t, append([]string{"deadletters", "--dir", dir}, args...)...)
	if got != code || !strings.Contains(out+errs, want) {
		t.Fatalf("extract deadletters %q: code %d, want %d and %q:\n%s%s", args, got, code, want, out, errs)
	}
	return out
}

// testDeadLetters rejects rows on both sides of Kafka and closes them in every way: nothing is lost, nothing twice, and reconcile agrees.
func testDeadLetters(t *testing.T, dir string) {
	bad := func(id int) string {
		return fmt.Sprintf("%d,BR-101-RD-54,A,a@example.com,many,T,x,en,true,2026-11-24T10:00:00Z\n", id)
	}
	put(t, filepath.Join(dir, "files", "reviews_letters.csv"), reviewsHeader+review(9100001)+bad(9100002)+bad(9100003)+bad(9100004)+review(9100005))
	storedIn(t, dir, "raw.deadletters", "place LIKE 'reviews_letters.csv %'", 3)
	storedIn(t, dir, "raw.files_reviews", "`_origin.uri` = 'reviews_letters.csv'", 2)
	all := listed(t, dir, "reviews_letters.csv row ", "--source", "files", "--dataset", "reviews", "--since", "1h")
	if len(all) != 3 {
		t.Fatalf("listed are %+v", all)
	}
	first, second, third := all[2], all[1], all[0]
	if first.Kind != "unproduced" || first.State != "open" || first.Source != "files" || first.Topic != "aw.deadletters" || !strings.Contains(first.Place, "row 2 line 4 ") {
		t.Errorf("the first is %+v", first)
	}
	lettersCommand(t, dir, exitOK, "row 2 line 4 ", "show", first.ID[:8])
	if raw := lettersCommand(t, dir, exitOK, "", "show", first.ID, "--raw"); raw != bad(9100002) {
		t.Errorf("its bytes are %q", raw)
	}

	// Nothing is repaired: it stays open, with the reason of the last try.
	lettersCommand(t, dir, exitFailed, "still open", "retry", first.ID[:8])
	if again := listed(t, dir, first.Place); again[0].State != "open" || again[0].Tries != 1 || again[0].Reason == "" {
		t.Errorf("after a retry in vain it is %+v", again[0])
	}
	fixed := filepath.Join(dir, "fixed.csv")
	put(t, fixed, strings.Replace(bad(9100002), "many", "3", 1))
	lettersCommand(t, dir, exitOK, "1 retried", "retry", first.ID[:8], "--bytes-from", fixed, "--why", "a word", "--by", "ann")
	storedIn(t, dir, "raw.files_reviews", "`_origin.uri` = 'reviews_letters.csv' AND `_origin.row` = 2 AND rating = 3", 1)
	lettersCommand(t, dir, exitOK, "retried before, by ann", "retry", first.ID[:8], "--bytes-from", fixed)

	// A retry that is killed again and again brings the row in once.
	put(t, fixed, strings.Replace(bad(9100003), "many", "4", 1))
	for i := range 8 {
		retry := launch(t, "deadletters", "retry", second.ID, "--dir", dir, "--bytes-from", fixed)
		retry.rest(time.Duration(20+10*i) * time.Millisecond)
		retry.kill()
	}
	lettersCommand(t, dir, exitOK, " still open.", "retry", second.ID, "--bytes-from", fixed)
	storedIn(t, dir, "raw.files_reviews", "review_id = 9100003", 1)

	lettersCommand(t, dir, exitUsage, "--why is missing", "discard", third.ID)
	lettersCommand(t, dir, exitOK, "1 discarded", "discard", third.ID, "--why", "a test row", "--by", "bob")
	if gone := listed(t, dir, "reviews_letters.csv row ", "--state", "discarded"); len(gone) != 1 || gone[0].Why != "a test row" || gone[0].ClosedBy != "bob" || gone[0].ID != third.ID {
		t.Errorf("discarded are %+v", gone)
	}
	lettersCommand(t, dir, exitOK, "discarded before, by bob", "retry", third.ID)
	if open := listed(t, dir, "reviews_letters.csv row "); len(open) != 0 {
		t.Errorf("open are %+v", open)
	}
	testUnstored(t, dir)
	storedIn(t, dir, "raw.files_reviews", "review_id IN (9100002, 9100003, 9100006)", 3)
}

// testUnstored has ClickHouse refuse a record that is in its topic.
func testUnstored(t *testing.T, dir string) {
	query(t, dir, "ALTER TABLE raw.files_reviews ADD CONSTRAINT unlucky CHECK review_id != 9100006")
	put(t, filepath.Join(dir, "files", "reviews_refused.csv"), reviewsHeader+review(9100006)+review(9100007))
	storedIn(t, dir, "raw.files_reviews", "review_id = 9100007", 1)
	all := listed(t, dir, "topic aw.files.reviews ")
	if len(all) != 1 || all[0].Kind != "unstored" || !strings.Contains(all[0].Reason, "unlucky") {
		t.Fatalf("refused are %+v", all)
	}
	lettersCommand(t, dir, exitFailed, "unlucky", "retry", all[0].ID)
	query(t, dir, "ALTER TABLE raw.files_reviews DROP CONSTRAINT unlucky")
	lettersCommand(t, dir, exitFailed, "1 retried, 0 closed before, ", "retry", "--source", "files", "--dataset", "reviews", "--since", "1h") // others stay open
	lettersCommand(t, dir, exitOK, "retried before", "retry", all[0].ID)
	if got := query(t, dir, fmt.Sprintf("SELECT count(), any(_partition) = %d AND any(_offset) = %d FROM raw.files_reviews WHERE review_id = 9100006", all[0].Partition, all[0].Offset)); got != "1,true" && got != "1,1" {
		t.Errorf("stored again are %s", got)
	}
}

// testBurst drops more bad rows than a minute may have: the source pauses and says why, nothing of the transaction is written, and it goes on when the bad
// files are gone.
func testBurst(t *testing.T, dir string) {
	bad := strings.Repeat("9200001,BR-101-RD-54,A,a@example.com,many,T,x,en,true,2026-11-24T10:00:00Z\n", 900)
	burst := filepath.Join(dir, "files", "burst")
	if err := os.Mkdir(burst, 0o755); err != nil {
		t.Fatal(err)
	}
	const files = 14
	for i := range files {
		put(t, filepath.Join(burst, fmt.Sprintf("reviews_%d.csv", i)), reviewsHeader+strings.Replace(bad, "9200001", fmt.Sprint(9200001+i), 1))
	}
	var out string
	eventually(t, "status tells of the burst", func() bool {
		_, out, _ = extract(t, "status", "--dir", dir)
		return strings.Contains(out, "within a minute would go to the dead letters")
	})
	if !strings.Contains(out, "paused") || !strings.Contains(out, "max_rejected") || !strings.Contains(out, "burst/reviews_") {
		t.Errorf("status says:\n%s", out)
	}
	var written int
	if _, err := fmt.Sscan(query(t, dir, "SELECT count() FROM raw.deadletters WHERE place LIKE 'burst/%'"), &written); err != nil || written > defaultMaxRejected {
		t.Errorf("%d dead letters, %v", written, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "files", "failed")); err == nil {
		t.Error("a file went to failed/")
	}
	if err := os.RemoveAll(burst); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "files", "reviews_after.csv"), reviewsHeader+review(9200100))
	storedIn(t, dir, "raw.files_reviews", "review_id = 9200100", 1)
	lettersCommand(t, dir, exitOK, " still open.", "discard", "--source", "files", "--dataset", "reviews", "--why", "the burst was withdrawn")
}
