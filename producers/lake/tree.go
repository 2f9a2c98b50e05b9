package lake

import (
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// field is one node of a file's schema: a group with children or a leaf, which is a column.
type field struct {
	name     string
	path     string // dotted, from the root
	element  *format.SchemaElement
	children []*field

	optional bool
	repeated bool
	maxDef   uint8 // definition level of a value that is there
	maxRep   uint8 // repetition level of a further element

	leaf     int // index of the column; -1 for a group
	physical format.Type
	length   int // of FIXED_LEN_BYTE_ARRAY
}

const (
	maxTreeDepth = 100
	maxFixed     = 1 << 20
)

// parseTree makes the tree of a footer's flat list of schema elements, and the list of its leaves in the order of the columns.
func parseTree(elements []format.SchemaElement) (*field, []*field, error) {
	p := treeParser{elements: elements}
	if len(elements) == 0 {
		return nil, nil, errors.New("its schema is empty")
	}
	root, err := p.parse(nil, 0)
	if err != nil {
		return nil, nil, err
	}
	if p.at != len(elements) {
		return nil, nil, fmt.Errorf("its schema has %d elements that belong to nothing", len(elements)-p.at)
	}
	if root.leaf >= 0 {
		return nil, nil, errors.New("its schema's root is a column")
	}
	return root, p.leaves, nil
}

type treeParser struct {
	elements []format.SchemaElement
	at       int
	leaves   []*field
}

func (p *treeParser) parse(parent *field, depth int) (*field, error) {
	if p.at >= len(p.elements) {
		return nil, errors.New("its schema is cut short")
	}
	if depth > maxTreeDepth {
		return nil, fmt.Errorf("its schema nests more than %d deep", maxTreeDepth)
	}
	e := &p.elements[p.at]
	p.at++
	f := &field{name: e.Name, element: e, leaf: -1}
	if parent != nil {
		f.inherit(parent)
	}
	if e.NumChildren.Valid && e.NumChildren.V > 0 || parent == nil {
		return f, p.group(f, depth)
	}
	if !e.Type.Valid {
		return nil, fmt.Errorf("%s has neither a type nor children", f.path)
	}
	f.leaf, f.physical = len(p.leaves), e.Type.V
	p.leaves = append(p.leaves, f)
	switch {
	case f.physical < format.Boolean || f.physical > format.FixedLenByteArray:
		return nil, fmt.Errorf("%s is of an unknown physical type %d", f.path, f.physical)
	case f.physical == format.FixedLenByteArray:
		if f.length = int(e.TypeLength.V); f.length <= 0 || f.length > maxFixed {
			return nil, fmt.Errorf("%s has values of %d bytes", f.path, f.length)
		}
	}
	return f, nil
}

func (f *field) inherit(parent *field) {
	f.path = f.name
	if parent.path != "" {
		f.path = parent.path + "." + f.name
	}
	f.maxDef, f.maxRep = parent.maxDef, parent.maxRep
	switch f.element.RepetitionType.V {
	case format.Optional:
		f.optional = true
		f.maxDef++
	case format.Repeated:
		f.repeated = true
		f.maxDef++
		f.maxRep++
	}
}

func (p *treeParser) group(f *field, depth int) error {
	names := map[string]bool{}
	for range f.element.NumChildren.V {
		child, err := p.parse(f, depth+1)
		if err != nil {
			return err
		}
		if names[child.name] {
			return fmt.Errorf("%s is there twice", child.path)
		}
		names[child.name] = true
		f.children = append(f.children, child)
	}
	if len(f.children) == 0 {
		return errors.New("a group of its schema has no columns")
	}
	return nil
}

// listElement returns the element of a group that is a list, by the format's rules for three levels and for the two of older writers.
// inner tells that the element is the repeated field itself, so that its repetition is the list's.
func (f *field) listElement() (repeated, element *field, inner, ok bool) {
	if !f.annotated(deprecated.List) || len(f.children) != 1 || !f.children[0].repeated {
		return nil, nil, false, false
	}
	r := f.children[0]
	if r.leaf >= 0 || len(r.children) != 1 || r.name == "array" || r.name == f.name+"_tuple" || r.children[0].repeated {
		return r, r, true, true
	}
	return r, r.children[0], false, true
}

// mapEntry returns the key and the value of a group that is a map. value is nil for a map that has keys alone.
func (f *field) mapEntry() (repeated, key, value *field, ok bool) {
	if !f.annotated(deprecated.Map) && !f.annotated(deprecated.MapKeyValue) || len(f.children) != 1 {
		return nil, nil, nil, false
	}
	r := f.children[0]
	if !r.repeated || r.leaf >= 0 || len(r.children) != 2 || r.children[0].repeated || r.children[1].repeated {
		return nil, nil, nil, false
	}
	return r, r.children[0], r.children[1], true
}

func (f *field) annotated(c deprecated.ConvertedType) bool {
	switch f.element.LogicalType.Value.(type) {
	case *format.ListType:
		return c == deprecated.List
	case *format.MapType:
		return c == deprecated.Map
	}
	return f.element.ConvertedType.Valid && f.element.ConvertedType.V == c
}
