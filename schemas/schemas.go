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
	if n := size(root, map[*Type]int{}); n > maxNodes {
		return nil, fmt.Errorf("check avro schema %s: it spreads out to more than %d types", root.Name, maxNodes)
	}
	if err := validate(root, map[*Type]bool{}); err != nil {
		return nil, fmt.Errorf("check avro schema %s: %w", root.Name, err)
	}
	if err := check(b.String()); err != nil {
		return nil, fmt.Errorf("check avro schema %s: %w", root.Name, err)
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

var errRecursive = errors.New("a schema that contains itself is not supported")

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
