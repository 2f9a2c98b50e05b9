// Package schemas is the contract between the producers and the consumers: Avro schemas, their names and ids, and the compiled
// encoders and decoders between typed values and the schema registry's wire format.
//
// Every schema is parsed by goavro, which is also the oracle that the encoders and decoders are tested against.
package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/linkedin/goavro/v2"
)

// Schema is a parsed, valid Avro schema. It is immutable.
type Schema struct {
	Root *Type
	text string
}

// Parse reads the JSON text of an Avro schema (an .avsc file). goavro must accept what it says; the error tells what it does not.
func Parse(text string) (*Schema, error) {
	root, err := parseType([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("parse avro schema: %w", err)
	}
	return New(root)
}

// New makes a schema of a type built in Go. It is rendered as JSON and parsed by goavro, so that whatever is registered is valid.
func New(root *Type) (*Schema, error) {
	var b strings.Builder
	if err := writeType(&b, root, map[string]bool{}); err != nil {
		return nil, fmt.Errorf("write avro schema: %w", err)
	}
	if err := check(b.String()); err != nil {
		return nil, fmt.Errorf("check avro schema %s: %w", root.Name, err)
	}
	if err := noNestedUnions(root, map[*Type]bool{}); err != nil {
		return nil, fmt.Errorf("check avro schema %s: %w", root.Name, err)
	}
	if n := size(root, map[*Type]int{}); n > maxNodes {
		return nil, fmt.Errorf("check avro schema %s: it spreads out to more than %d types", root.Name, maxNodes)
	}
	return &Schema{Root: root, text: b.String()}, nil
}

// MustParse is Parse for schemas that are part of the program, such as the embedded .avsc files. It panics on an error.
func MustParse(text string) *Schema {
	s, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

// String is the schema as JSON, in one form for one schema: compact, fields in the specification's order.
func (s *Schema) String() string { return s.text }

// check asks goavro, which panics on some texts.
func check(text string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("goavro: %v", r)
		}
	}()
	_, err = goavro.NewCodec(text)
	return err
}

// noNestedUnions looks for what the specification forbids and goavro takes.
func noNestedUnions(t *Type, seen map[*Type]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	for _, b := range t.Branches {
		if b.Kind == Union {
			return errors.New("a union stands directly in a union")
		}
		if err := noNestedUnions(b, seen); err != nil {
			return err
		}
	}
	for _, f := range t.Fields {
		if err := noNestedUnions(f.Type, seen); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	if t.Items != nil {
		return noNestedUnions(t.Items, seen)
	}
	return nil
}

// maxNodes bounds a schema with its named types written out at each place, since every place becomes a column.
const maxNodes = 100_000

// size counts the types of t, a shared one as often as it is used. known holds those that are counted; past the bound it counts no more.
func size(t *Type, known map[*Type]int) int {
	if n, ok := known[t]; ok {
		return n
	}
	n := 1
	if t.Items != nil {
		n += size(t.Items, known)
	}
	for _, f := range t.Fields {
		n += size(f.Type, known)
	}
	for _, b := range t.Branches {
		n += size(b, known)
	}
	n = min(n, maxNodes+1)
	known[t] = n
	return n
}

var errRecursive = errors.New("a schema that contains itself is not supported")

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
