package clickhouse

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSplitSQL(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" ; ;\n-- nothing; here\n/* nor; /* here; */ ; */;", nil},
		{"SELECT 1", []string{"SELECT 1"}},
		{"SELECT 1; SELECT 2;", []string{"SELECT 1", "SELECT 2"}},
		{"SELECT ';' AS \"a;b\", `c;d`; SELECT 'it''s; \\'; x'", []string{"SELECT ';' AS \"a;b\", `c;d`", "SELECT 'it''s; \\'; x'"}},
		{"-- a; b\nSELECT 1 -- c; d\n; # e; f\nSELECT 2", []string{"-- a; b\nSELECT 1 -- c; d", "# e; f\nSELECT 2"}},
		{"SELECT $tag$ a; b $$ $tag$; SELECT $$;$$", []string{"SELECT $tag$ a; b $$ $tag$", "SELECT $$;$$"}},
		{"SELECT a$b$ ; SELECT $1 ; x", []string{"SELECT a$b$", "SELECT $1", "x"}},
		{"SELECT 'not closed; ", []string{"SELECT 'not closed;"}},
		{"SELECT '自行车;' /* ; ", []string{"SELECT '自行车;' /* ;"}},
	} {
		if got := SplitSQL(c.text); !slices.Equal(got, c.want) {
			t.Errorf("SplitSQL(%q) is %q, want %q", c.text, got, c.want)
		}
	}
}

func FuzzSplitSQL(f *testing.F) {
	f.Add("SELECT ';'; -- x\nSELECT $a$;$a$ /* ; */")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range SplitSQL(text) {
			if s == "" || !strings.Contains(text, s) {
				t.Errorf("SplitSQL(%q) made %q of it", text, s)
			}
		}
	})
}

// The dataset waits for the tables it reads, is made once, is refreshed, and is made anew when its text changes.
func TestDatasetFollowsItsFiles(t *testing.T) {
	b := newBench(t)
	id := b.id("dataset", numbered)
	ds := quoteName(b.conf.Dataset)
	files := func(expr string) []SQLFile {
		return []SQLFile{{"010.sql", "CREATE TABLE IF NOT EXISTS " + ds + ".sums (text String, n Int64) ENGINE = MergeTree ORDER BY text;\n-- done;\n" +
			"CREATE MATERIALIZED VIEW IF NOT EXISTS " + ds + ".sums_refresh REFRESH EVERY 1 HOUR TO " + ds + ".sums AS\n" +
			"SELECT text, " + expr + " AS n FROM " + quoteName(b.conf.Raw) + ".files_items GROUP BY text;\n"}}
	}
	waiting, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := b.ApplySQL(waiting, files("sum(n)")); err == nil || !strings.Contains(err.Error(), "010.sql, statement 2") {
		t.Errorf("without its sources the dataset ends with %v", err)
	}
	b.write(b.batch(b.records("aw.files.items", id, payload("a", 1), payload("b", 2), payload("a", 3))...))
	show := func() string {
		return b.one("SELECT toString(groupArray((text, n))) FROM (SELECT text, n FROM %s.sums ORDER BY text)", ds)
	}
	for _, step := range []struct{ expr, want string }{
		{"sum(n)", "[('a',4),('b',2)]"}, {"sum(n)", "[('a',4),('b',2)]"}, {"toInt64(count())", "[('a',2),('b',1)]"},
	} {
		if err := b.ApplySQL(t.Context(), files(step.expr)); err != nil {
			t.Fatal(err)
		}
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := show(); got != step.want {
			t.Errorf("with %s the dataset is %s, want %s", step.expr, got, step.want)
		}
	}
	b.write(b.batch(b.records("aw.files.items", id, payload("b", 5))...))
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := show(); got != "[('a',2),('b',2)]" {
		t.Errorf("after a refresh the dataset is %s", got)
	}
	if err := b.ApplySQL(t.Context(), []SQLFile{{"bad.sql", "CREATE TABBLE x"}}); err == nil || !strings.Contains(err.Error(), "bad.sql, statement 1") {
		t.Errorf("a statement that is wrong ends with %v", err)
	}
}

func TestViewsAreRefreshedBehindWhatTheyRead(t *testing.T) {
	var got []string
	for _, v := range inOrder([]refreshable{
		{"a", "d.a", "SELECT 1 FROM `d`.`b` JOIN d.c2 USING x"}, {"b", "d.b", "SELECT 1 FROM d.c"}, {"c", "d.c", "SELECT 1 FROM d.c2"}, {"z", "d.c2", "SELECT 1 FROM raw.c"},
	}) {
		got = append(got, v.name)
	}
	if want := []string{"z", "c", "b", "a"}; !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
}

// collect is Rows in memory.
type collect struct {
	names, types []string
	rows         [][]string
}

func (c *collect) Columns(names, types []string) error { c.names, c.types = names, types; return nil }

func (c *collect) Row(values []*string) error {
	var row []string
	for _, v := range values {
		if v == nil {
			row = append(row, "∅")
		} else {
			row = append(row, *v)
		}
	}
	c.rows = append(c.rows, row)
	return nil
}

func TestQueryRendersEveryType(t *testing.T) {
	b := newBench(t)
	var c collect
	err := b.Query(t.Context(), `SELECT 1::Int32 AS i, 'a\'b' AS s, NULL AS n, CAST(NULL, 'Nullable(Int64)') AS ni, [1,2] AS arr, ['x', NULL] AS an, map('k', 1.5) AS m,
		(1, 'y') AS tup, toDate('2024-02-29') AS d, toDateTime64('2024-02-29 00:00:00.123456', 6, 'UTC') AS ts, toDateTime64('2024-02-29 00:00:00', 6, 'UTC') AS midnight,
		toDecimal64('12.50', 4) AS dec, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS u, true AS flag, unhex('FF00') AS bin, 0.1::Float32 AS f, toLowCardinality('lc') AS lc ;  `, &c)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1", "a'b", "∅", "∅", "[1,2]", "['x',NULL]", "{'k':1.5}", "[1,'y']", "2024-02-29", "2024-02-29 00:00:00.123456", "2024-02-29 00:00:00", "12.5",
		"61f0c404-5cb3-11e7-907b-a6006ad3dba0", "true", "<2 bytes>", "0.1", "lc"}
	if len(c.rows) != 1 {
		t.Fatalf("%d rows", len(c.rows))
	}
	for i, w := range want {
		if c.rows[0][i] != w {
			t.Errorf("%s %s is %q, want %q", c.names[i], c.types[i], c.rows[0][i], w)
		}
	}
	if err := b.Query(t.Context(), "SELEC", &c); err == nil {
		t.Error("a wrong statement is no error")
	}
}
