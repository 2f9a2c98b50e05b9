package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/producers/files"
)

func TestReplayFlags(t *testing.T) {
	c := &Config{Prefix: "aw", Sources: []SourceConfig{{Name: "files", Files: &files.Config{}}}, path: "extract.yaml"}
	for _, f := range []replayFlags{{topic: "aw.files.reviews", format: "text"}, {topic: "files.reviews", from: "12", to: "2026-11-24", format: "json"}} {
		if err := f.check(c); err != nil || f.topic != "aw.files.reviews" {
			t.Errorf("topic %s: %v", f.topic, err)
		}
	}
	for want, f := range map[string]replayFlags{
		"name the topic":        {format: "text"},
		"is of no source":       {topic: "sql.item", format: "text"},
		"aw.deadletters":        {topic: "deadletters", format: "text"},
		"--from: \"x\" is none": {topic: "files.reviews", from: "x", format: "text"},
		"would read nothing":    {topic: "files.reviews", from: "latest", format: "text"},
		"--to: \"-1\"":          {topic: "files.reviews", to: "-1", format: "text"},
		"use text or json":      {topic: "files.reviews", format: "xml"},
	} {
		var usage usageError
		if err := f.check(c); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", f, err, want)
		}
	}
}

// Where there is no terminal, a line comes with every step and every two seconds.
func TestReplayBar(t *testing.T) {
	var out strings.Builder
	bar := newReplayBar(&out)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	bar.now = func() time.Time { return now }
	bar.show(clickhouse.ReplayProgress{Step: "survey"})
	for i := range int64(4) {
		bar.show(clickhouse.ReplayProgress{Step: "read", Done: 250 * i, Total: 1000, Rows: 200 * i})
		now = now.Add(time.Second)
	}
	bar.show(clickhouse.ReplayProgress{Step: "exchange", Done: 1000, Total: 1000, Rows: 800, Note: "waits for 1 inserts that began before"})
	bar.end()
	want := `survey
read         [........................]   0 %  0 rows
read         [############............]  50 %  400 rows, 200 rows/s, 2s left
exchange     [########################] 100 %  800 rows, 200 rows/s  waits for 1 inserts that began before
`
	if out.String() != want {
		t.Errorf("shown is\n%s\nwant\n%s", out.String(), want)
	}
}
