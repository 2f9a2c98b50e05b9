package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"adventureworks.example/extract/schemas/faults"
)

// The page's table is that of the program.
func TestThePageHasEveryFault(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if code := run(context.Background(), []string{"errors", "--format", "markdown"}, nil, &table, &table); code != exitOK {
		t.Fatalf("code %d: %s", code, table.String())
	}
	_, after, found := strings.Cut(string(page), "<!-- the table: extract errors --format markdown -->\n")
	if !found {
		t.Fatal("the page has no table")
	}
	inPage, inProgram := strings.Split(after, "\n"), strings.Split(table.String(), "\n")
	if len(inProgram) < len(faults.Table) {
		t.Fatalf("the program prints %d lines", len(inProgram))
	}
	for i, line := range inProgram {
		if i >= len(inPage) || inPage[i] != line {
			t.Fatalf("docs/errors.md and faults.Table differ; put the output of extract errors --format markdown behind the page's mark. The program has\n%s", line)
		}
	}
}

func TestErrorsExplains(t *testing.T) {
	for _, c := range []struct {
		args  []string
		code  int
		texts []string
	}{
		{[]string{"clickhouse-quota"}, exitOK, []string{"clickhouse-quota (pause)", "raise the quota", "201 QUOTA_EXCEEDED"}},
		{[]string{"registry", "--format", "json"}, exitOK, []string{`"registry-down"`, `"class": "retry"`}},
		{[]string{"no-such"}, exitUsage, []string{`no fault "no-such"`}},
		{[]string{"--format", "xml"}, exitUsage, []string{"use text, markdown or json"}},
	} {
		var out bytes.Buffer
		if code := run(context.Background(), append([]string{"errors"}, c.args...), nil, &out, &out); code != c.code {
			t.Errorf("errors %v: code %d, want %d", c.args, code, c.code)
		}
		for _, text := range c.texts {
			if !strings.Contains(out.String(), text) {
				t.Errorf("errors %v says %q, without %q", c.args, out.String(), text)
			}
		}
	}
}

func TestStatusSaysWhatDoesNotWork(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := processStatus{Problems: []faults.Problem{
		{Fault: faults.ClickHouseDown, Place: faults.ClickHouse, Class: faults.Retry, Error: "write aw.a/0 from 1 to 2: read: EOF", Remedy: "start ClickHouse",
			Since: now.Add(-90 * time.Second), Tries: 1234, Waits: []string{"aw.a", "aw.b", "aw.c", "aw.d", "aw.e", "aw.f"}},
		{Class: faults.Pause, Error: "odd", Since: now, Tries: 1, Waits: []string{"aw.g"}},
	}}
	var out strings.Builder
	if err := writeProblems(&out, s.Problems, now); err != nil {
		t.Fatal(err)
	}
	const want = `
clickhouse-down (retry) for 1m30s, tried 1,234 times; waiting: aw.a, aw.b, aw.c, aw.d and 2 more
  error: write aw.a/0 from 1 to 2: read: EOF
  to do: start ClickHouse; it goes on by itself

an error without a name (pause) for 0s, tried 1 times; waiting: aw.g
  error: odd
`
	if out.String() != want {
		t.Errorf("status says:%s", out.String())
	}
	if err := unhealthy(s); err == nil || err.Error() != "clickhouse-down (retry), waiting: aw.a, aw.b, aw.c, aw.d and 2 more: write aw.a/0 from 1 to 2: read: EOF; start ClickHouse" {
		t.Errorf("unhealthy says %v", err)
	}
	text, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(text), `"fault":"clickhouse-down","place":"clickhouse","class":"retry"`) {
		t.Errorf("json is %s, %v", text, err)
	}
}
