package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// lookup finds an environment variable, as os.LookupEnv does.
type lookup func(string) (string, bool)

// decodeYAML reads one strict YAML document into v: an unknown key, a key given twice and a wrong type are errors that name file, line and column.
// In every scalar ${NAME} stands for an environment variable, ${NAME:-default} has a default, and ${file:PATH} stands for a file's
// content without its last line break; a password may also be given as file:PATH. Paths are relative to the document.
func decodeYAML(name string, text []byte, env lookup, v any) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return yamlError(name, err)
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return fmt.Errorf("%s: the file is empty", name)
	}
	if len(file.Docs) > 1 {
		return fmt.Errorf("%s: one YAML document is expected, not %d", name, len(file.Docs))
	}
	e := expander{name: name, env: env}
	ast.Walk(&e, file.Docs[0].Body)
	if len(e.errs) > 0 {
		return errors.Join(e.errs...)
	}
	// A node's text is read from its value, so the expanded document is decoded and every position stays what it was.
	if err := yaml.NodeToValue(file.Docs[0].Body, v, yaml.Strict()); err != nil {
		return yamlError(name, err)
	}
	return nil
}

func yamlError(name string, err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		p := y.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %s", name, p.Line, p.Column, strings.TrimSpace(y.GetMessage()))
	}
	return fmt.Errorf("%s: %w", name, err)
}

type expander struct {
	name string
	env  lookup
	errs []error
}

// Visit replaces the value of every string scalar by its expansion.
func (e *expander) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.SequenceNode:
		for i, v := range n.Values {
			n.Values[i] = unsplit(v)
		}
	case *ast.MappingValueNode:
		if s, ok := n.Value.(*ast.StringNode); ok && n.Key.GetToken().Value == "password" && strings.HasPrefix(s.Value, "file:") {
			s.Value = "${" + s.Value + "}"
		}
	case *ast.StringNode:
		value, err := expand(n.Value, filepath.Dir(e.name), e.env)
		if err != nil {
			p := n.GetToken().Position
			e.errs = append(e.errs, fmt.Errorf("%s:%d:%d: %w", e.name, p.Line, p.Column, err))
			return nil
		}
		n.Value = value
	}
	return e
}

// unsplit puts a scalar such as 127.0.0.1:9092 together again. In a list inside braces the parser takes it for a mapping, though in YAML a colon only
// ends a key where a blank follows.
func unsplit(n ast.Node) ast.Node {
	m, ok := n.(*ast.MappingNode)
	if ok && len(m.Values) == 1 {
		n = m.Values[0]
	}
	v, ok := n.(*ast.MappingValueNode)
	if !ok || v.Key == nil || v.Value == nil {
		return n
	}
	key, value := v.Key.GetToken(), v.Value.GetToken()
	if key.Position.Line != value.Position.Line || key.Position.Column+len(key.Value)+1 != value.Position.Column {
		return n
	}
	whole := *key
	whole.Value = key.Value + ":" + value.Value
	return ast.String(&whole)
}

var reference = regexp.MustCompile(`\$\{([^}]*)\}`)

func expand(s, dir string, env lookup) (string, error) {
	var first error
	out := reference.ReplaceAllStringFunc(s, func(ref string) string {
		name, fallback, hasFallback := strings.Cut(ref[2:len(ref)-1], ":-")
		if path, ok := strings.CutPrefix(name, "file:"); ok {
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			b, err := os.ReadFile(path)
			if err != nil && first == nil {
				first = fmt.Errorf("read secret: %w", err)
			}
			return strings.TrimRight(string(b), "\r\n")
		}
		if v, ok := env(name); ok {
			return v
		}
		if !hasFallback && first == nil {
			first = fmt.Errorf("environment variable %s is not set; set it, or write ${%s:-default}", name, name)
		}
		return fallback
	})
	return out, first
}
