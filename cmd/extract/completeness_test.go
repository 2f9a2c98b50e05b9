package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

func digest(rows ...string) (d schemas.Digest) {
	for _, r := range rows {
		d.Add([]byte(r))
	}
	return d
}

func TestJudgeNamesEveryKindOfGap(t *testing.T) {
	complete := completeness{Source: "files", Dataset: "reviews", Held: 10, RejectedAtSource: 1, Produced: 9, Stored: 8, RejectedByConsumer: 1, Rejected: 2}
	changes := completeness{Source: "sql", Dataset: "production.product", Changes: true, Held: 5, Current: 5, Produced: 9, Stored: 9,
		HeldDigest: digest("a"), StoredDigest: digest("a")}
	for _, c := range []struct {
		name string
		from completeness
		edit func(*completeness)
		want string
	}{
		{"complete", complete, func(*completeness) {}, ""},
		{"complete changes", changes, func(*completeness) {}, ""},
		{"lost after the topic", complete, func(c *completeness) { c.Stored-- }, "1 records of the topic are not stored"},
		{"too many stored", complete, func(c *completeness) { c.Stored += 2 }, "2 more records are stored than the topic holds"},
		{"twice", complete, func(c *completeness) { c.Twice = 3 }, "3 records are stored twice"},
		{"never produced", complete, func(c *completeness) { c.Held += 1200 }, "1,200 rows of the source are not produced"},
		{"produced twice", complete, func(c *completeness) { c.Held-- }, "1 more rows are produced than the source holds"},
		{"dead letters lost", complete, func(c *completeness) { c.Rejected-- }, "1 rejected rows are not in the dead letters"},
		{"row missing in current", changes, func(c *completeness) { c.Current-- }, "1 rows of the source are not in the current table"},
		{"deleted row still current", changes, func(c *completeness) { c.Current++ }, "1 more rows are in the current table"},
		{"other value", changes, func(c *completeness) { c.StoredDigest = digest("b") }, "the rows differ"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.edit(&c.from)
			c.from.judge()
			got := strings.Join(c.from.Gaps, "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("gaps %q, want %q", got, c.want)
			}
		})
	}
}

// A row that the producer rejected and a retry produced counts as stored, also where the source still has it as it was.
func TestRetriedRowsCountAsStored(t *testing.T) {
	fixed := digest("row 3, corrected")
	start := completeness{Source: "files", Dataset: "reviews", Held: 4, RejectedAtSource: 2, Produced: 3, Stored: 3, Rejected: 2,
		HeldDigest: digest("row 1", "row 2"), StoredDigest: digest("row 1", "row 2", "row 3, corrected")}
	corrected := producers.Closing{State: producers.LetterRetried, Source: "files", Dataset: "reviews", Produced: true, Corrected: true, Digest: fixed.String()}
	mended := corrected // by a change of the schema file: the source no longer rejects it
	mended.Corrected, mended.Digest = false, ""
	for name, c := range map[string]struct {
		edit     func(*completeness)
		closings map[string]producers.Closing
		want     string
		rejected int64
	}{
		"corrected": {func(*completeness) {}, map[string]producers.Closing{"a": corrected}, "", 1},
		"mended":    {func(c *completeness) { c.RejectedAtSource = 1; c.HeldDigest.Sum(fixed) }, map[string]producers.Closing{"a": mended}, "", 1},
		"not yet":   {func(*completeness) {}, nil, "1 more rows are produced than the source holds", 2},
		"discarded": {func(c *completeness) { c.Produced, c.Stored, c.StoredDigest = 2, 2, c.HeldDigest },
			map[string]producers.Closing{"a": {State: producers.LetterDiscarded, Source: "files", Dataset: "reviews"}}, "", 2},
		"of another dataset": {func(*completeness) {}, map[string]producers.Closing{"a": {State: producers.LetterRetried, Source: "files", Dataset: "photos", Produced: true}}, "more rows are produced", 2},
		"of the consumer":    {func(*completeness) {}, map[string]producers.Closing{"a": {State: producers.LetterRetried, Source: "files", Dataset: "reviews"}}, "more rows are produced", 2},
		"another row":        {func(c *completeness) { c.StoredDigest = digest("row 1", "row 2", "row 4") }, map[string]producers.Closing{"a": corrected}, "the rows differ", 1},
	} {
		got := start
		c.edit(&got)
		if err := got.retried(c.closings); err != nil {
			t.Fatal(err)
		}
		got.judge()
		if gaps := strings.Join(got.Gaps, "; "); (c.want == "") != (gaps == "") || !strings.Contains(gaps, c.want) || got.Rejected != c.rejected {
			t.Errorf("%s: gaps %q, want %q; %d rejected, want %d", name, gaps, c.want, got.Rejected, c.rejected)
		}
	}
	broken := corrected
	broken.Digest = "12"
	if err := start.retried(map[string]producers.Closing{"a": broken}); err == nil {
		t.Error("a digest of two digits is read")
	}
}

func TestWriteCompleteness(t *testing.T) {
	all := []completeness{{Source: "files", Dataset: "reviews", Held: 3, Produced: 3, Stored: 2}, {Source: "lake", Dataset: "x", Held: 1, Produced: 1, Stored: 1}}
	for i := range all {
		all[i].judge()
	}
	for format, want := range map[string]string{
		"text": "GAP files.reviews: 1 records of the topic are not stored", "json": `"complete": false`, "markdown": "| files | reviews |",
	} {
		var b bytes.Buffer
		if err := writeCompleteness(&b, all, format); !errors.Is(err, errAnswerIsNo) {
			t.Errorf("%s: error %v, want errAnswerIsNo", format, err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s: no %q in\n%s", format, want, b.String())
		}
	}
	var b bytes.Buffer
	if err := writeCompleteness(&b, all[1:], "text"); err != nil || !strings.Contains(b.String(), "Complete: 1 datasets") {
		t.Errorf("error %v, printed\n%s", err, b.String())
	}
}

func TestWriteGrid(t *testing.T) {
	g := grid{columns: []string{"name", "n"}, numbers: []bool{false, true}, rows: [][]string{{"a, \"b\"", "1"}, {"é", "1,000"}}}
	for format, want := range map[string]string{
		"csv":  "name,n\n\"a, \"\"b\"\"\",1\né,\"1,000\"\n",
		"json": "{\"name\":\"a, \\\"b\\\"\",\"n\":\"1\"}\n{\"name\":\"é\",\"n\":\"1,000\"}\n",
	} {
		var b bytes.Buffer
		if err := writeGrid(&b, g, format); err != nil || b.String() != want {
			t.Errorf("%s: error %v, got %q, want %q", format, err, b.String(), want)
		}
	}
	var b bytes.Buffer
	if err := writeGrid(&b, g, "table"); err != nil || !strings.Contains(b.String(), " é       1,000 ") {
		t.Errorf("error %v, table:\n%s", err, b.String())
	}
	if err := writeGrid(&b, g, "xml"); !errors.As(err, new(usageError)) {
		t.Errorf("unknown format: error %v", err)
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}
