package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMaxRejectedIsReadStrictly(t *testing.T) {
	const head = "prefix: p\nkafka: {brokers: [127.0.0.1:1]}\nregistry: {url: http://127.0.0.1:2}\nsources:\n- name: f\n  files: {folder: x, datasets: []}\n"
	read := func(line string) (*Config, error) {
		path := filepath.Join(t.TempDir(), "extract.yaml")
		if err := os.WriteFile(path, []byte(head+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return readConfig(path, os.LookupEnv)
	}
	for text, want := range map[string]int64{"500 per minute": 500, "0 per minute": 0, "unlimited": -1} {
		c, err := read("  max_rejected: " + text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := int64(-1)
		if n := c.Sources[0].MaxRejected.limit(); n != nil {
			got = *n
		}
		if got != want || *c.ClickHouse.MaxRejected.limit() != defaultMaxRejected {
			t.Errorf("%s is read as %d, and the default as %d", text, got, *c.ClickHouse.MaxRejected.limit())
		}
	}
	for _, bad := range []string{"500", "many per minute", "-1 per minute", "500 per hour", "500 per minute or so", "unlimited per minute", "[500]", "1.5 per minute", "\"\""} {
		_, err := read("  max_rejected: " + bad)
		if err == nil || !strings.Contains(err.Error(), "extract.yaml:7:") {
			t.Errorf("max_rejected: %s is read with %v, without line and column", bad, err)
		}
	}
	if _, err := read("clickhouse: {max_rejected: lots}"); err == nil || !strings.Contains(err.Error(), "extract.yaml:7:") || !strings.Contains(err.Error(), "500 per minute") {
		t.Errorf("clickhouse.max_rejected: %v", err)
	}
	if (maxRejected{}).budget().Take(defaultMaxRejected+1) || !(maxRejected{unlimited: true}).budget().Take(1<<40) {
		t.Error("the budgets are not those of the texts")
	}
}
