package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type sampleConfig struct {
	Name   string        `yaml:"name"`
	Port   int           `yaml:"port"`
	Every  time.Duration `yaml:"every"`
	Nested struct {
		Password string   `yaml:"password"`
		List     []string `yaml:"list"`
	} `yaml:"nested"`
}

func env(pairs ...string) lookup {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestDecodeYAML(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c sampleConfig
	text := "name: ${WHO:-nobody} at ${HOST}\nport: 12\nevery: 1m30s\nnested:\n  password: file:secret\n  list: ['${A}', b]\n"
	if err := decodeYAML(filepath.Join(dir, "c.yaml"), []byte(text), env("HOST", "h", "A", "x: y # z"), &c); err != nil {
		t.Fatal(err)
	}
	if c.Name != "nobody at h" || c.Port != 12 || c.Every != 90*time.Second || c.Nested.Password != "s3cret" || c.Nested.List[0] != "x: y # z" {
		t.Errorf("decoded %+v", c)
	}
}

func TestDecodeYAMLTakesAddressesInLists(t *testing.T) {
	for _, text := range []string{
		"nested: {list: [127.0.0.1:9092, localhost:1]}", "nested:\n  list: [127.0.0.1:9092, localhost:1]", "nested: {list: ['127.0.0.1:9092', \"localhost:1\"]}",
	} {
		var c sampleConfig
		if err := decodeYAML("c.yaml", []byte(text), env(), &c); err != nil || len(c.Nested.List) != 2 || c.Nested.List[0] != "127.0.0.1:9092" || c.Nested.List[1] != "localhost:1" {
			t.Errorf("%s: error %v, decoded %q", text, err, c.Nested.List)
		}
	}
	var c sampleConfig
	if err := decodeYAML("c.yaml", []byte("nested: {list: [a: 1]}"), env(), &c); err == nil {
		t.Error("a mapping is taken for a text")
	}
}

func TestDecodeYAMLErrorsNameThePlace(t *testing.T) {
	for text, want := range map[string]string{
		"name: a\nprot: 1\n":                    `c.yaml:2:1: unknown field "prot"`,
		"name: a\nport: many\n":                 "c.yaml:2:7: ",
		"name: a\nname: b\n":                    "c.yaml:2:1: ",
		"name: a\nport: [1\n":                   "c.yaml:2:",
		"name: a\nnested: {list: no}\n":         "c.yaml:2:16: ",
		"name: ${NOT_SET}\n":                    "c.yaml:1:7: environment variable NOT_SET is not set",
		"nested:\n  password: ${file:/no/such}": "c.yaml:2:13: read secret: open /no/such",
		"":                                      "c.yaml: the file is empty",
		"a: 1\n---\nb: 2":                       "one YAML document",
	} {
		var c sampleConfig
		err := decodeYAML("c.yaml", []byte(text), env(), &c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}
