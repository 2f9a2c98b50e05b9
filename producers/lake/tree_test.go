package lake

import (
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// element makes a schema element: a group when children is above 0, else an INT32.
func element(name string, repetition format.FieldRepetitionType, children int32, converted ...deprecated.ConvertedType) format.SchemaElement {
	e := format.SchemaElement{Name: name, RepetitionType: thrift.New(repetition)}
	if children > 0 {
		e.NumChildren = thrift.New(children)
	} else {
		e.Type = thrift.New(format.Int32)
	}
	for _, c := range converted {
		e.ConvertedType = thrift.New(c)
	}
	return e
}

const (
	required = format.Required
	optional = format.Optional
	repeated = format.Repeated
)

// The shapes in which writers, old and new, have put lists and maps, and what becomes of them.
func TestListAndMapShapes(t *testing.T) {
	root := element("root", required, 1)
	text := element("key", required, 0, deprecated.UTF8)
	text.Type = thrift.New(format.ByteArray)
	for name, c := range map[string]struct {
		elements []format.SchemaElement
		want     string
	}{
		"three levels": {[]format.SchemaElement{element("l", optional, 1, deprecated.List), element("list", repeated, 1), element("element", optional, 0)},
			`{"type":"array","items":["null","int"]}`},
		"three levels, required": {[]format.SchemaElement{element("l", required, 1, deprecated.List), element("bag", repeated, 1), element("array_element", required, 0)},
			`{"type":"array","items":"int"}`},
		"two levels": {[]format.SchemaElement{element("l", optional, 1, deprecated.List), element("element", repeated, 0)},
			`{"type":"array","items":"int"}`},
		"two levels of structs": {[]format.SchemaElement{element("l", optional, 1, deprecated.List), element("element", repeated, 2), element("a", required, 0), element("b", optional, 0)},
			`{"type":"array","items":{"type":"record","name":"extract.lake.d.l.item","fields":[{"name":"a","type":["null","int"],"default":null},{"name":"b","type":["null","int"],"default":null}]}}`},
		"two levels, one field, named array": {[]format.SchemaElement{element("l", optional, 1, deprecated.List), element("array", repeated, 1), element("a", required, 0)},
			`{"type":"array","items":{"type":"record","name":"extract.lake.d.l.item","fields":[{"name":"a","type":["null","int"],"default":null}]}}`},
		"two levels, named as a tuple": {[]format.SchemaElement{element("l", optional, 1, deprecated.List), element("l_tuple", repeated, 1), element("a", required, 0)},
			`{"type":"array","items":{"type":"record","name":"extract.lake.d.l.item","fields":[{"name":"a","type":["null","int"],"default":null}]}}`},
		"repeated without annotation": {[]format.SchemaElement{element("l", repeated, 0)}, `{"type":"array","items":"int"}`},
		"map": {[]format.SchemaElement{element("m", optional, 1, deprecated.Map), element("key_value", repeated, 2), text, element("value", optional, 0)},
			`{"type":"map","values":["null","int"]}`},
		"map of older writers": {[]format.SchemaElement{element("m", optional, 1, deprecated.MapKeyValue), element("map", repeated, 2), text, element("value", required, 0)},
			`{"type":"map","values":"int"}`},
		"map with numbers for keys": {[]format.SchemaElement{element("m", optional, 1, deprecated.Map), element("key_value", repeated, 2), element("key", required, 0), element("value", optional, 0)},
			`{"type":"array","items":{"type":"record","name":"extract.lake.d.m.entry","fields":[{"name":"key","type":"int"},{"name":"value","type":["null","int"]}]}}`},
	} {
		tree, leaves, err := parseTree(append([]format.SchemaElement{root}, c.elements...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		schema, err := avroSchema(tree, typing{name: "extract.lake.d"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(schema.String(), `"type":["null",`+c.want+`]`) {
			t.Errorf("%s: %s, want %s", name, schema, c.want)
		}
		p, err := compile(tree, typing{name: "extract.lake.d"}, schema, nil)
		if err != nil || len(p.leaves) != len(leaves) {
			t.Errorf("%s: %d leaves of %d in the plan, %v", name, len(p.leaves), len(leaves), err)
		}
	}
}

func TestBadTrees(t *testing.T) {
	leaf := element("a", required, 0)
	untyped := format.SchemaElement{Name: "u"}
	fixed := leaf
	fixed.Type = thrift.New(format.FixedLenByteArray)
	for name, c := range map[string]struct {
		elements []format.SchemaElement
		want     string
	}{
		"empty":           {nil, "empty"},
		"cut short":       {[]format.SchemaElement{element("root", required, 2), leaf}, "cut short"},
		"too long":        {[]format.SchemaElement{element("root", required, 1), leaf, leaf}, "belong to nothing"},
		"twice":           {[]format.SchemaElement{element("root", required, 2), leaf, leaf}, "twice"},
		"no type":         {[]format.SchemaElement{element("root", required, 1), untyped}, "neither a type nor children"},
		"fixed without":   {[]format.SchemaElement{element("root", required, 1), fixed}, "values of 0 bytes"},
		"more than asked": {[]format.SchemaElement{element("root", required, 1<<30), leaf}, "cut short"},
		"no columns":      {[]format.SchemaElement{untyped}, "no columns"},
	} {
		if _, _, err := parseTree(c.elements); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	deep := []format.SchemaElement{}
	for range maxTreeDepth + 2 {
		deep = append(deep, element("g", required, 1))
	}
	if _, _, err := parseTree(append(deep, leaf)); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Errorf("deep: %v", err)
	}
}

func TestProjectionOfStructs(t *testing.T) {
	tree, _, err := parseTree([]format.SchemaElement{element("root", required, 2), element("image", optional, 2), element("bytes", optional, 0), element("path", optional, 0), element("id", required, 0)})
	if err != nil {
		t.Fatal(err)
	}
	typ := typing{name: "extract.lake.d", columns: []string{"image.path"}}
	schema, err := avroSchema(tree, typ)
	if err != nil || strings.Contains(schema.String(), `"bytes"`) || strings.Contains(schema.String(), `"id"`) || !strings.Contains(schema.String(), `"path"`) {
		t.Fatalf("%v, %v", schema, err)
	}
	p, err := compile(tree, typ, schema, nil)
	if err != nil || len(p.leaves) != 1 || p.leaves[0].field.path != "image.path" {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := avroSchema(tree, typing{name: "extract.lake.d", columns: []string{"imag"}}); err == nil {
		t.Error("a column that no file has")
	}
	clash, _, err := parseTree([]format.SchemaElement{element("root", required, 1), element("_origin", required, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := avroSchema(clash, typing{name: "extract.lake.d"}); err == nil || !strings.Contains(err.Error(), "_origin") {
		t.Errorf("a column named _origin: %v", err)
	}
}
