package lake

import (
	"errors"
	"fmt"
	"time"

	"adventureworks.example/extract/schemas"
)

// plan turns the rows of one file into the records of its dataset. It is compiled once a file and holds no data.
type plan struct {
	schema *schemas.Schema
	fields []*step
	leaves []*step // the columns that are read, in the order of the plan
}

type stepKind uint8

const (
	stepConstant stepKind = iota // bytes that are the same in every row of the object
	stepLeaf
	stepRecord
	stepArray
	stepMap
	stepOrigin
)

// step makes the value of one field, element or entry.
type step struct {
	kind     stepKind
	nullable bool   // the Avro type is [null, T]
	def      uint8  // the value is there from this definition level on
	rep      uint8  // of an array or map: repetition level of a further element
	itemDef  uint8  // of an array or map: it has an element from this definition level on
	constant []byte // of stepConstant
	children []*step
	first    int // index in plan.leaves of the first column below
	last     int // and one behind the last
	field    *field
	leaf     leafPlan
}

// compile makes the plan by which rows of a file with this root become records of the schema, which is the file's own or a wider one
// of its dataset. partitions are the values of the object's Hive partitions, as Avro with their branch.
func compile(root *field, t typing, schema *schemas.Schema, partitions map[string][]byte) (*plan, error) {
	p := &plan{schema: schema}
	byName := map[string]*field{}
	for _, child := range root.children {
		if t.keeps(child.path) {
			byName[schemas.Name(child.name)] = child
		}
	}
	for _, f := range schema.Root.Fields {
		if f.Name == schemas.OriginField {
			p.fields = append(p.fields, &step{kind: stepOrigin})
			continue
		}
		s := &step{kind: stepConstant, constant: partitions[f.Name]}
		if child, ok := byName[f.Name]; ok {
			delete(byName, f.Name)
			var err error
			if s, err = p.step(child, t, f.Type, false); err != nil {
				return nil, err
			}
		}
		if s == nil || s.kind == stepConstant && s.constant == nil {
			if _, _, ok := f.Type.Optional(); !ok {
				return nil, fmt.Errorf("the file has no column for the field %s, which may not be null", f.Name)
			}
			s = &step{kind: stepConstant, constant: []byte{0}}
		}
		p.fields = append(p.fields, s)
	}
	for name := range byName {
		return nil, fmt.Errorf("the schema has no field for the column %s", name)
	}
	if len(p.leaves) == 0 {
		return nil, errors.New("the file has none of the dataset's columns")
	}
	return p, nil
}

// step compiles f into a value of type avro. It is nil when the projection leaves nothing of f.
func (p *plan) step(f *field, t typing, avro *schemas.Type, inner bool) (*step, error) {
	s := &step{def: f.maxDef, first: len(p.leaves), field: f}
	if value, branch, ok := avro.Optional(); ok {
		if branch != 1 {
			return nil, fmt.Errorf("%s: a union that does not begin with null", f.path)
		}
		s.nullable, avro = true, value
	}
	var err error
	switch _, element, elementInner, isList := f.listElement(); {
	case f.repeated && !inner:
		s.kind, s.rep, s.itemDef, s.def = stepArray, f.maxRep, f.maxDef, f.maxDef-1
		err = p.items(s, f, t, avro, schemas.Array, true)
	case f.leaf >= 0:
		err = p.leaf(s, f, t, avro)
	case isList:
		r := f.children[0]
		s.kind, s.rep, s.itemDef = stepArray, r.maxRep, r.maxDef
		err = p.items(s, element, t, avro, schemas.Array, elementInner)
	default:
		if repeated, key, value, ok := f.mapEntry(); ok {
			s.rep, s.itemDef = repeated.maxRep, repeated.maxDef
			err = p.entries(s, key, value, t, avro)
		} else {
			s.kind = stepRecord
			err = p.record(s, f, t, avro)
		}
	}
	if err != nil {
		return nil, err
	}
	if s.last = len(p.leaves); s.last == s.first {
		return nil, nil
	}
	return s, nil
}

func (p *plan) items(s *step, element *field, t typing, avro *schemas.Type, kind schemas.Kind, inner bool) error {
	if avro.Kind != kind {
		return mismatch(element, avro)
	}
	item, err := p.step(element, t, avro.Items, inner)
	if item != nil {
		s.children = []*step{item}
	}
	return err
}

func (p *plan) entries(s *step, key, value *field, t typing, avro *schemas.Type) error {
	whole := typing{name: t.name, int96: t.int96}
	keyType, valueType := schemas.Primitive(schemas.String), avro.Items
	s.kind = stepMap
	if avro.Kind == schemas.Array && avro.Items.Kind == schemas.Record && len(avro.Items.Fields) == 2 {
		keyType, valueType = avro.Items.Fields[0].Type, avro.Items.Fields[1].Type
	} else if avro.Kind != schemas.Map {
		return mismatch(key, avro)
	}
	k, err := p.step(key, whole, keyType, false)
	if err != nil {
		return err
	}
	v, err := p.step(value, whole, valueType, false)
	if err != nil {
		return err
	}
	s.children = []*step{k, v}
	return nil
}

func (p *plan) record(s *step, f *field, t typing, avro *schemas.Type) error {
	if avro.Kind != schemas.Record {
		return mismatch(f, avro)
	}
	found := 0
	for _, af := range avro.Fields {
		var child *step
		for _, c := range f.children {
			if schemas.Name(c.name) != af.Name || !t.keeps(c.path) {
				continue
			}
			found++
			var err error
			if child, err = p.step(c, t, af.Type, false); err != nil {
				return err
			}
		}
		if child == nil {
			if _, _, ok := af.Type.Optional(); !ok {
				return fmt.Errorf("%s has no column for the field %s, which may not be null", f.path, af.Name)
			}
			child = &step{kind: stepConstant, constant: []byte{0}}
		}
		s.children = append(s.children, child)
	}
	for _, c := range f.children {
		if t.keeps(c.path) {
			found--
		}
	}
	if found != 0 {
		return fmt.Errorf("the schema has no field for some columns of %s", f.path)
	}
	return nil
}

func (p *plan) leaf(s *step, f *field, t typing, avro *schemas.Type) error {
	operation, typ, err := t.leaf(f, avro.Name)
	if err != nil {
		return err
	}
	if operation, err = widen(operation, typ, avro, f); err != nil {
		return err
	}
	s.kind = stepLeaf
	s.leaf = leafPlan{op: operation, nullable: s.nullable}
	p.leaves = append(p.leaves, s)
	return nil
}

// widen chooses the operation for a field whose type is wider than the column's own.
func widen(o op, own, avro *schemas.Type, f *field) (op, error) {
	same := own.Logical == avro.Logical && own.Scale == avro.Scale
	switch {
	case own.Kind == avro.Kind && same && own.Precision <= avro.Precision && own.Size == avro.Size:
		return o, nil
	case own.Kind == schemas.Int && avro.Kind == schemas.Long && same:
		return o, nil // both are varints
	case o == opString && avro.Kind == schemas.Bytes && avro.Logical == schemas.NoLogical:
		return opBytes, nil
	case o == opInt && avro.Kind == schemas.Double && own.Logical == avro.Logical:
		return opIntDouble, nil
	case o == opFloat && avro.Kind == schemas.Double:
		return opFloatDouble, nil
	case o == opFloat16 && avro.Kind == schemas.Double:
		return opFloat16Double, nil
	}
	return opNone, mismatch(f, avro)
}

func mismatch(f *field, avro *schemas.Type) error {
	name := avro.Kind.String()
	if avro.Logical != schemas.NoLogical {
		name += " (" + avro.Logical.String() + ")"
	}
	return fmt.Errorf("the column %s cannot become %s, which the dataset's field is", f.path, name)
}

// origin is what `_origin` says of every row of a row group.
type origin struct {
	head []byte // uri and entry
	tail []byte // modified
}

func newOrigin(key string, group int, modified time.Time) origin {
	head := schemas.AppendString(nil, key)
	head = schemas.AppendString(schemas.AppendBranch(head, 1), fmt.Sprintf("row group %d", group))
	return origin{head: head, tail: schemas.AppendLong(nil, modified.UnixMicro())}
}

func (o *origin) append(dst []byte, row int64) []byte {
	dst = append(dst, o.head...)
	dst = schemas.AppendLong(dst, row)
	return append(dst, o.tail...)
}

// valueError is a row that was read and holds a value that cannot be stored.
type valueError struct {
	column string
	reason error
}

// Error names the column and why its value cannot be stored.
func (e *valueError) Error() string { return fmt.Sprintf("column %s: %v", e.column, e.reason) }

// Unwrap is why the value cannot be stored.
func (e *valueError) Unwrap() error { return e.reason }
