package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"adventureworks.example/extract/schemas/faults"
)

// defaultMaxRejected is for sources and topics of which the configuration says nothing: a feed that is right loses a row now and then, one that is wrong
// loses them by the ten thousand. It is more than files.max_bad_rows, so that a single bad file goes to failed/ and stops nothing.
const defaultMaxRejected = 10_000

// maxRejected is how many rows may go to the dead letters within a minute: `500 per minute` or `unlimited`. The zero value is the default.
type maxRejected struct {
	given     bool
	unlimited bool
	perMinute int64
}

var _ yaml.NodeUnmarshaler = (*maxRejected)(nil)

// UnmarshalYAML reads the text. An error names its line and column.
func (m *maxRejected) UnmarshalYAML(node ast.Node) error {
	var text string
	if err := yaml.NodeToValue(node, &text); err != nil {
		return err
	}
	words := strings.Fields(text)
	if len(words) == 1 && words[0] == "unlimited" {
		*m = maxRejected{given: true, unlimited: true}
		return nil
	}
	if len(words) == 3 && words[1] == "per" && words[2] == "minute" {
		if n, err := strconv.ParseInt(words[0], 10, 64); err == nil && n >= 0 {
			*m = maxRejected{given: true, perMinute: n}
			return nil
		}
	}
	return &yaml.SyntaxError{Token: node.GetToken(), Message: fmt.Sprintf("%q is not a number of rows such as `500 per minute`, and not `unlimited`", text)}
}

// limit is the number, nil for any.
func (m maxRejected) limit() *int64 {
	n := int64(defaultMaxRejected)
	switch {
	case m.unlimited:
		return nil
	case m.given:
		n = m.perMinute
	}
	return &n
}

// budget is a new budget of it, nil without bound.
func (m maxRejected) budget() *faults.Budget {
	if n := m.limit(); n != nil {
		return faults.NewBudget(*n)
	}
	return nil
}
