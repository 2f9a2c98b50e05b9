package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var documentedKey = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\| (.*)\\|$")

// TestThePageHasEveryKey compares docs/configuration.md with the structs that the configuration is read into, both ways.
func TestThePageHasEveryKey(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range documentedKey.FindAllStringSubmatch(string(page), -1) {
		if slices.Contains(documented, m[1]) {
			t.Errorf("%s is there twice", m[1])
		}
		documented = append(documented, m[1])
	}
	keys := configKeys(reflect.TypeFor[Config](), "")
	if len(keys) < 70 {
		t.Fatalf("found %d keys; the structs were not read", len(keys))
	}
	for _, k := range keys {
		if !slices.Contains(documented, k) {
			t.Errorf("the page does not have %s", k)
		}
	}
	for _, d := range documented {
		if !slices.Contains(keys, d) {
			t.Errorf("the page has %s, which is no key", d)
		}
	}
}

// sectionKeys are the structs that have a section of their own, whose keys are not written after everything above them.
var sectionKeys = map[string]string{"sources[].postgres": "postgres", "sources[].files": "files", "sources[].lake": "lake",
	"kafka.tls": "tls", "registry.tls": "tls", "clickhouse.tls": "tls"}

// ownSections are the structs of the whole configuration: their sections name them.
var ownSections = []string{"kafka", "registry", "clickhouse", "dataset", "audit", "admin"}

// configKeys are the keys of a struct and of those in it, as the page writes them.
func configKeys(t reflect.Type, above string) []string {
	var keys []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			continue
		}
		key := above + name
		in, path := f.Type, key
		if in.Kind() == reflect.Slice {
			in, path = in.Elem(), key+"[]"
		}
		if in.Kind() == reflect.Pointer {
			in = in.Elem()
		}
		if !slices.Contains(ownSections, key) {
			keys = append(keys, key)
		}
		if in.Kind() != reflect.Struct || reflect.PointerTo(in).Implements(reflect.TypeFor[yaml.NodeUnmarshaler]()) {
			continue
		}
		if section, ok := sectionKeys[path]; ok {
			path = section
		}
		for _, k := range configKeys(in, path+".") {
			if !slices.Contains(keys, k) { // tls is in three structs
				keys = append(keys, k)
			}
		}
	}
	return keys
}
