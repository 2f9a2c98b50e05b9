package main

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "adventureworks.example/extract/"

// homes are the only packages of ours that may import a third-party library directly (tests aside).
var homes = map[string][]string{
	"github.com/jackc/pgx/v5":                {"producers/postgres", "deploy/embedded"},
	"github.com/jackc/pglogrepl":             {"producers/postgres"},
	"github.com/fsnotify/fsnotify":           {"producers/files"},
	"github.com/parquet-go/parquet-go":       {"producers/lake", "deploy/adventureworks/lakesample"},
	"github.com/ClickHouse/clickhouse-go/v2": {"consumers/clickhouse"},
	"github.com/linkedin/goavro/v2":          {"schemas"},
	"github.com/twmb/franz-go/pkg/sr":        {"schemas", "deploy/embedded"},
	"github.com/ebitengine/purego":           {"deploy/embedded"},
}

// TestDataFlowsOneWay reads the import graph: producers and consumers never import each other, siblings never import siblings,
// schemas imports nothing of ours, and every library has one home.
func TestDataFlowsOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "adventureworks.example/extract/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], module)
		packages++
		for _, imported := range words[1:] {
			if ours, ok := strings.CutPrefix(imported, module); ok {
				if reason := forbidden(pkg, ours); reason != "" {
					t.Errorf("%s imports %s: %s", pkg, ours, reason)
				}
				continue
			}
			for library, allowed := range homes {
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !atHome(pkg, allowed) {
					t.Errorf("%s imports %s, which lives in %s only", pkg, imported, strings.Join(allowed, ", "))
				}
			}
		}
	}
	if packages < 8 {
		t.Fatalf("read %d packages; the import graph was not read", packages)
	}
}

func forbidden(pkg, imported string) string {
	half, _, _ := strings.Cut(pkg, "/")
	other, _, _ := strings.Cut(imported, "/")
	switch {
	case pkg == "schemas/faults" && imported == "schemas":
		return "" // the vocabulary of errors knows the contract's own
	case half == "schemas":
		return "the contract imports neither half"
	case half == "producers" && other == "consumers" || half == "consumers" && other == "producers":
		return "the halves meet in schemas only"
	case strings.HasPrefix(imported, "cmd/"):
		return "commands import packages, not the other way round"
	case half == other && strings.Count(pkg, "/") == 1 && strings.Count(imported, "/") == 1 && half != "deploy" &&
		pkg != imported && !strings.HasSuffix(pkg, "test"):
		return "siblings do not import siblings"
	}
	return ""
}

func atHome(pkg string, allowed []string) bool {
	for _, home := range allowed {
		if pkg == home || strings.HasPrefix(pkg, home+"/") {
			return true
		}
	}
	return false
}

func TestForbiddenImportsAreSeen(t *testing.T) {
	for _, c := range []struct{ pkg, imported string }{
		{"schemas", "producers"}, {"producers/files", "consumers"}, {"consumers/clickhouse", "producers/lake"},
		{"producers/files", "producers/lake"}, {"schemas", "cmd/extract"}, {"schemas/faults", "producers"}, {"schemas", "schemas/faults"},
	} {
		if forbidden(c.pkg, c.imported) == "" {
			t.Errorf("%s importing %s is not refused", c.pkg, c.imported)
		}
	}
	if reason := forbidden("producers/files", "producers"); reason != "" {
		t.Errorf("a source may import producers, but: %s", reason)
	}
}
