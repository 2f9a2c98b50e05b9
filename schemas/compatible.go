package schemas

import (
	"fmt"
	"strings"
)

// ChangeKind is what a schema change does to one place of a schema.
type ChangeKind uint8

// The kinds: a field (or a union's branch) is new; one is gone; a type holds more than before; null is allowed where it was not.
const (
	Add ChangeKind = iota + 1
	Drop
	Widen
	Relax
)

// String is the kind in a word.
func (k ChangeKind) String() string {
	return [...]string{"none", "add", "drop", "widen", "allow null"}[k]
}

// Change is one difference between two compatible schemas. Path is the field in dots, with [] for an array's items, {} for a map's values; From and To
// describe the types, and are empty where there is none.
type Change struct {
	Path     string
	Kind     ChangeKind
	From, To string
}

// String is the change in a line: "widen price: bytes decimal(9,2) to bytes decimal(19,2)".
func (c Change) String() string {
	switch c.Kind {
	case Add:
		return fmt.Sprintf("%s %s: %s", c.Kind, c.Path, c.To)
	case Drop:
		return fmt.Sprintf("%s %s: %s", c.Kind, c.Path, c.From)
	}
	return fmt.Sprintf("%s %s: %s to %s", c.Kind, c.Path, c.From, c.To)
}

// Reason is why a schema cannot follow another.
type Reason struct {
	Path string // as in Change; empty for the whole schema
	Why  string
}

// IncompatibleError says that rows written with one schema cannot be read exactly with another, with every reason.
type IncompatibleError struct {
	Subject string // in the registry; empty where no registry was asked
	Reasons []Reason
	Message string // the registry's own words, where it refused
}

// Error names the subject and all the reasons.
func (e *IncompatibleError) Error() string {
	var parts []string
	for _, r := range e.Reasons {
		if r.Path == "" {
			parts = append(parts, r.Why)
		} else {
			parts = append(parts, r.Path+": "+r.Why)
		}
	}
	if e.Message != "" {
		parts = append(parts, "the registry says: "+e.Message)
	}
	head := "incompatible schema"
	if e.Subject != "" {
		head += " for subject " + e.Subject
	}
	return head + ": " + strings.Join(parts, "; ")
}

// Compatible tells what changes from old to new, or refuses with an *IncompatibleError. Compatible means that a reader with the new schema reads every
// row written with the old one, exactly (the registry calls this BACKWARD): fields may go, fields with a default may come, null may be allowed, and types may become
// those that hold every one of their values: int long or double, float double, string bytes, an enum one with more symbols, a decimal one with more digits and the
// same scale.
//
// This is narrower than the Avro specification, which also lets int become float, long float and double, and bytes string: those lose digits or fail on some
// values, so they are refused here rather than row by row. Logical types do not change into each other. Names of records, enums and fixeds may differ.
func Compatible(old, new *Schema) ([]Change, error) {
	var c comparison
	c.types("", old.Root, new.Root)
	if len(c.reasons) > 0 {
		return nil, &IncompatibleError{Reasons: c.reasons}
	}
	return c.changes, nil
}

type comparison struct {
	changes []Change
	reasons []Reason
}

func (c *comparison) change(kind ChangeKind, path, from, to string) {
	c.changes = append(c.changes, Change{Path: path, Kind: kind, From: from, To: to})
}

func (c *comparison) refuse(path, why string, args ...any) {
	c.reasons = append(c.reasons, Reason{Path: path, Why: fmt.Sprintf(why, args...)})
}

func (c *comparison) types(path string, old, new *Type) {
	before, oldNull := values(old)
	after, newNull := values(new)
	switch {
	case oldNull && !newNull:
		c.refuse(path, "rows already written may be null, and %s does not allow null", describe(new))
	case newNull && !oldNull:
		c.change(Relax, path, describe(old), describe(new))
	}
	if len(before) == 1 && len(after) == 1 {
		c.values(path, before[0], after[0])
		return
	}
	c.branches(path, before, after)
}

// values lists a type's alternatives without null.
func values(t *Type) (types []*Type, null bool) {
	if t.Kind != Union {
		if t.Kind == Null {
			return nil, true
		}
		return []*Type{t}, false
	}
	for _, b := range t.Branches {
		if b.Kind == Null {
			null = true
		} else {
			types = append(types, b)
		}
	}
	return types, null
}

// branches compares unions: each old branch needs a new one, the same type or else one that it can become.
func (c *comparison) branches(path string, before, after []*Type) {
	used := make([]bool, len(after))
	for _, o := range before {
		found := false
		for _, same := range []bool{true, false} {
			for i, n := range after {
				if found || same && !sameType(o, n) {
					continue
				}
				var inner comparison
				if inner.values(path, o, n); len(inner.reasons) > 0 {
					continue
				}
				found, used[i] = true, true
				c.changes = append(c.changes, inner.changes...)
			}
		}
		if !found {
			c.refuse(path, "rows already written may be %s, which is none of the new types", describe(o))
		}
	}
	for i, n := range after {
		if !used[i] {
			c.change(Add, path, "", describe(n))
		}
	}
}

func (c *comparison) values(path string, o, n *Type) {
	switch {
	case o.Logical != n.Logical:
		c.refuse(path, "%s cannot become %s", describe(o), describe(n))
	case o.Logical == Decimal:
		c.decimals(path, o, n)
	case o.Kind != n.Kind:
		if !exactPromotions[[2]Kind{o.Kind, n.Kind}] {
			c.refuse(path, "%s cannot become %s%s", describe(o), describe(n), loss(o.Kind, n.Kind))
			return
		}
		c.change(Widen, path, describe(o), describe(n))
	case o.Kind == Fixed && o.Size != n.Size:
		c.refuse(path, "%s cannot become %s", describe(o), describe(n))
	case o.Kind == Enum:
		c.enums(path, o, n)
	case o.Kind == Array:
		c.types(path+"[]", o.Items, n.Items)
	case o.Kind == Map:
		c.types(path+"{}", o.Items, n.Items)
	case o.Kind == Record:
		c.records(path, o, n)
	}
}

// exactPromotions are the changes of kind that lose nothing, whatever the value.
var exactPromotions = map[[2]Kind]bool{{Int, Long}: true, {Int, Double}: true, {Float, Double}: true, {String, Bytes}: true}

// loss says why the specification's other promotions are refused.
func loss(from, to Kind) string {
	if _, ok := promotions[[2]Kind{from, to}]; !ok {
		return ""
	}
	if to == String {
		return ": not all bytes are text"
	}
	return ": it would lose digits of large numbers"
}

func (c *comparison) decimals(path string, o, n *Type) {
	switch {
	case o.Scale != n.Scale:
		c.refuse(path, "%s cannot become %s: the scale must stay", describe(o), describe(n))
	case o.Precision > n.Precision:
		c.refuse(path, "%s cannot become %s: rows already written may have more digits", describe(o), describe(n))
	case o.Precision < n.Precision:
		c.change(Widen, path, describe(o), describe(n))
	}
}

func (c *comparison) enums(path string, o, n *Type) {
	added := len(missing(n.Symbols, o.Symbols))
	if gone := missing(o.Symbols, n.Symbols); len(gone) > 0 {
		c.refuse(path, "rows already written may have the symbols %s, which are gone", strings.Join(gone, ", "))
	} else if added > 0 {
		c.change(Widen, path, fmt.Sprintf("enum of %d symbols", len(o.Symbols)), fmt.Sprintf("enum of %d symbols", len(n.Symbols)))
	}
}

// missing lists what is in a and not in b.
func missing(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	var out []string
	for _, s := range a {
		if !in[s] {
			out = append(out, s)
		}
	}
	return out
}

func (c *comparison) records(path string, o, n *Type) {
	for _, f := range n.Fields {
		inner := join(path, f.Name)
		if before, ok := o.Field(f.Name); ok {
			c.types(inner, before.Type, f.Type)
			continue
		}
		if f.Default == "" {
			c.refuse(inner, "the field is new and has no default, so rows already written have no value for it: make it nullable with default null")
			continue
		}
		if _, err := defaultStep(f, 0); err != nil {
			c.refuse(inner, "%v", err)
			continue
		}
		c.change(Add, inner, "", describe(f.Type))
	}
	for _, f := range o.Fields {
		if fieldIndex(n, f.Name) < 0 {
			c.change(Drop, join(path, f.Name), describe(f.Type), "")
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
