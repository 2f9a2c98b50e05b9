package schemas

import (
	"fmt"
	"strings"
)

// Merge is the narrowest schema that reads rows of both exactly: what a table must become to take a writer's rows beside those it has. A field that only
// one of them has is nullable with default null, so that a row which lacks it stays a row which lacks it. Where both have a field, its type is the one
// that holds the values of both, by the rules of Compatible (and int with float is double); null is allowed where either allows it. The table's fields keep their
// places, the writer's new ones follow; names and documentation are the table's.
//
// The error is an *IncompatibleError where there is no such schema.
func Merge(table, writer *Schema) (*Schema, error) {
	if table.text == writer.text {
		return table, nil
	}
	m := merger{named: map[string]string{}}
	root := m.merge("", table.Root, writer.Root)
	if len(m.reasons) > 0 {
		return nil, &IncompatibleError{Reasons: m.reasons}
	}
	s, err := New(root)
	if err != nil {
		return nil, fmt.Errorf("merge schemas: %w", err)
	}
	return s, nil
}

type merger struct {
	reasons []Reason
	named   map[string]string // the text of each named type of the result
}

func (m *merger) refuse(path string, a, b *Type) *Type {
	m.reasons = append(m.reasons, Reason{path, fmt.Sprintf("the table's %s and the writer's %s have no type that holds both", describe(a), describe(b))})
	return a
}

// merge returns the type of a place that both have.
func (m *merger) merge(path string, a, b *Type) *Type {
	mine, nullA := values(a)
	theirs, nullB := values(b)
	var out *Type
	switch {
	case len(mine) == 1 && len(theirs) == 1:
		out = m.value(path, mine[0], theirs[0])
	case len(mine) == 0 && len(theirs) == 0:
		return Primitive(Null)
	default:
		out = union(m.branches(path, mine, theirs))
	}
	if nullA || nullB {
		return nullable(out)
	}
	return out
}

// branches merges the alternatives of two unions: one of the writer's joins the table's that is the same type or that can hold it, else it is added.
func (m *merger) branches(path string, mine, theirs []*Type) []*Type {
	out := make([]*Type, len(mine))
	for i, t := range mine {
		out[i] = m.adopt(t)
	}
next:
	for _, b := range theirs {
		for _, same := range []bool{true, false} {
			for i, a := range out {
				if same && !sameType(a, b) {
					continue
				}
				trial := merger{named: map[string]string{}}
				if trial.value(path, a, b); len(trial.reasons) == 0 {
					out[i] = m.value(path, a, b)
					continue next
				}
			}
		}
		out = append(out, m.adopt(b))
	}
	return out
}

func union(types []*Type) *Type {
	if len(types) == 1 {
		return types[0]
	}
	return &Type{Kind: Union, Branches: types}
}

// nullable puts null first, so that null can be the default.
func nullable(t *Type) *Type {
	types, _ := values(t)
	return &Type{Kind: Union, Branches: append([]*Type{{Kind: Null}}, types...)}
}

func (m *merger) value(path string, a, b *Type) *Type {
	switch {
	case a.Logical != b.Logical:
		return m.refuse(path, a, b)
	case a.Logical == Decimal:
		return m.decimal(path, a, b)
	case a.Kind != b.Kind:
		return m.promote(path, a, b)
	}
	switch a.Kind {
	case Fixed:
		if a.Size != b.Size {
			return m.refuse(path, a, b)
		}
		return m.adopt(a)
	case Enum:
		t := *a
		t.Symbols = append(append([]string(nil), a.Symbols...), missing(b.Symbols, a.Symbols)...)
		return m.name(&t)
	case Array:
		return ArrayOf(m.merge(path+"[]", a.Items, b.Items))
	case Map:
		return MapOf(m.merge(path+"{}", a.Items, b.Items))
	case Record:
		return m.record(path, a, b)
	}
	return a
}

func (m *merger) promote(path string, a, b *Type) *Type {
	switch {
	case exactPromotions[[2]Kind{a.Kind, b.Kind}]:
		return b
	case exactPromotions[[2]Kind{b.Kind, a.Kind}]:
		return a
	case a.Kind == Int && b.Kind == Float, a.Kind == Float && b.Kind == Int:
		return Primitive(Double)
	}
	return m.refuse(path, a, b)
}

func (m *merger) decimal(path string, a, b *Type) *Type {
	switch {
	case a.Scale != b.Scale:
		return m.refuse(path, a, b)
	case a.Precision >= b.Precision:
		return m.adopt(a)
	case a.Kind == Bytes:
		return DecimalOf(b.Precision, b.Scale)
	}
	return m.adopt(b)
}

func (m *merger) record(path string, a, b *Type) *Type {
	t := *a
	t.Fields = nil
	for _, f := range a.Fields {
		inner := join(path, f.Name)
		other, both := b.Field(f.Name)
		if !both {
			t.Fields = append(t.Fields, m.lacking(f))
			continue
		}
		f.Type = m.merge(inner, f.Type, other.Type)
		t.Fields = append(t.Fields, withDefault(f))
	}
	for _, f := range b.Fields {
		if fieldIndex(a, f.Name) < 0 {
			t.Fields = append(t.Fields, m.lacking(f))
		}
	}
	return m.name(&t)
}

// lacking is a field that only one side has.
func (m *merger) lacking(f Field) Field {
	f.Type, f.Default = m.adopt(f.Type), "null"
	if f.Type.Kind != Null {
		f.Type = nullable(f.Type)
	}
	return f
}

// withDefault makes the default fit the type that the field has now: null where null comes first, and none where the old one no longer fits.
func withDefault(f Field) Field {
	switch {
	case f.Type.Kind == Union && f.Type.Branches[0].Kind == Null:
		f.Default = "null"
	case f.Default != "":
		first := f.Type
		if first.Kind == Union {
			first = first.Branches[0]
		}
		if _, err := appendDefault(nil, first, []byte(f.Default)); err != nil {
			f.Default = ""
		}
	}
	return f
}

// adopt takes a type over whole, with null first in its unions, and gives its named types names that are free.
func (m *merger) adopt(t *Type) *Type {
	out := *t
	switch t.Kind {
	case Array, Map:
		out.Items = m.adopt(t.Items)
	case Union:
		types, null := values(t)
		for i, b := range types {
			types[i] = m.adopt(b)
		}
		switch {
		case len(types) == 0:
			return Primitive(Null)
		case null:
			return nullable(union(types))
		}
		return union(types)
	case Record:
		out.Fields = nil
		for _, f := range t.Fields {
			f.Type = m.adopt(f.Type)
			out.Fields = append(out.Fields, withDefault(f))
		}
		return m.name(&out)
	case Enum, Fixed:
		return m.name(&out)
	}
	return &out
}

// name registers a named type of the result. A schema names each type once, so one that differs from its namesake gets another name.
func (m *merger) name(t *Type) *Type {
	original := t.Name
	for n := 2; ; n++ {
		var text strings.Builder
		if err := writeType(&text, t, map[string]bool{}); err != nil {
			return t // New reports it
		}
		if before, taken := m.named[t.Name]; !taken || before == text.String() {
			m.named[t.Name] = text.String()
			return t
		}
		t.Name = fmt.Sprintf("%s_%d", original, n)
	}
}
