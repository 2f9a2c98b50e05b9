package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// parseType turns JSON text that goavro has accepted into a Type.
func parseType(text []byte) (*Type, error) {
	p := parser{named: map[string]*Type{}, open: map[string]bool{}}
	return p.parse(text, "")
}

type parser struct {
	named map[string]*Type // by full name
	open  map[string]bool  // records whose fields are being read: naming one of them is recursion
}

type node struct {
	Type        json.RawMessage `json:"type"`
	Name        string          `json:"name"`
	Namespace   string          `json:"namespace"`
	Doc         string          `json:"doc"`
	LogicalType json.RawMessage `json:"logicalType"`
	Precision   int             `json:"precision"`
	Scale       int             `json:"scale"`
	Size        int             `json:"size"`
	Symbols     []string        `json:"symbols"`
	Default     json.RawMessage `json:"default"`
	Items       json.RawMessage `json:"items"`
	Values      json.RawMessage `json:"values"`
	Fields      []node          `json:"fields"`
}

func (p *parser) parse(text []byte, namespace string) (*Type, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, fmt.Errorf("a type is missing")
	}
	switch text[0] {
	case '"':
		var name string
		if err := json.Unmarshal(text, &name); err != nil {
			return nil, err
		}
		return p.lookUp(name, namespace)
	case '[':
		var branches []json.RawMessage
		if err := json.Unmarshal(text, &branches); err != nil {
			return nil, err
		}
		u := &Type{Kind: Union}
		for _, b := range branches {
			t, err := p.parse(b, namespace)
			if err != nil {
				return nil, err
			}
			u.Branches = append(u.Branches, t)
		}
		return u, nil
	case '{':
		var n node
		if err := json.Unmarshal(text, &n); err != nil {
			return nil, err
		}
		return p.object(n, namespace)
	}
	return nil, fmt.Errorf("a type is a name, a list or an object, not %.20q", text)
}

func (p *parser) lookUp(name, namespace string) (*Type, error) {
	for k, s := range kindNames[:Fixed] {
		if s == name {
			return &Type{Kind: Kind(k)}, nil
		}
	}
	full := fullName(name, namespace)
	if p.open[full] {
		return nil, fmt.Errorf("%s: %w", full, errRecursive)
	}
	if t, ok := p.named[full]; ok {
		return t, nil
	}
	if t, ok := p.named[name]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("unknown type %q", name)
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (p *parser) object(n node, namespace string) (*Type, error) {
	var word string
	if err := json.Unmarshal(n.Type, &word); err != nil {
		// {"type": {"type": "long", ...}} and {"type": ["null", ...]}: the inner one is the type.
		return p.parse(n.Type, namespace)
	}
	switch word {
	case "array", "map":
		kind, inner := Array, n.Items
		if word == "map" {
			kind, inner = Map, n.Values
		}
		items, err := p.parse(inner, namespace)
		if err != nil {
			return nil, err
		}
		return &Type{Kind: kind, Items: items}, nil
	case "record", "enum", "fixed":
		return p.namedType(word, n, namespace)
	}
	t, err := p.lookUp(word, namespace)
	if err != nil {
		return nil, err
	}
	if t.Kind < Fixed { // a fresh primitive, safe to annotate
		annotate(t, n)
	}
	return t, nil
}

func (p *parser) namedType(word string, n node, namespace string) (*Type, error) {
	full := fullName(n.Name, namespace)
	if n.Namespace != "" && !strings.Contains(n.Name, ".") {
		full = n.Namespace + "." + n.Name
	}
	t := &Type{Name: full, Doc: n.Doc}
	inner := ""
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		inner = full[:i]
	}
	switch word {
	case "fixed":
		t.Kind, t.Size = Fixed, n.Size
		annotate(t, n)
	case "enum":
		t.Kind, t.Symbols = Enum, n.Symbols
		if len(n.Default) > 0 {
			if err := json.Unmarshal(n.Default, &t.Default); err != nil {
				return nil, fmt.Errorf("default of enum %s: %w", full, err)
			}
		}
	case "record":
		t.Kind = Record
		p.open[full] = true
		for _, f := range n.Fields {
			ft, err := p.parse(f.Type, inner)
			if err != nil {
				return nil, fmt.Errorf("field %s.%s: %w", full, f.Name, err)
			}
			// An annotation beside the field's name, as some tools write it, belongs to the field's type.
			if len(f.LogicalType) > 0 && ft.Kind < Fixed && ft.Logical == NoLogical {
				annotate(ft, f)
			}
			t.Fields = append(t.Fields, Field{Name: f.Name, Doc: f.Doc, Type: ft, Default: compact(f.Default)})
		}
		delete(p.open, full)
	}
	p.named[full] = t
	return t, nil
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Compact(&b, raw) != nil {
		return ""
	}
	return b.String()
}

// annotate sets t's logical type where the annotation is known and fits; otherwise t stays what it is.
func annotate(t *Type, n node) {
	var word string
	if json.Unmarshal(n.LogicalType, &word) != nil {
		return
	}
	for i, name := range logicalNames {
		if i > 0 && name == word && fits(Logical(i), t, n) {
			t.Logical = Logical(i)
			if t.Logical == Decimal {
				t.Precision, t.Scale = n.Precision, n.Scale
			}
		}
	}
}

func fits(l Logical, t *Type, n node) bool {
	switch l {
	case Decimal:
		holds := t.Kind == Bytes || t.Kind == Fixed && n.Precision <= fixedDigits(t.Size)
		return holds && n.Precision > 0 && n.Scale >= 0 && n.Scale <= n.Precision
	case Date, TimeMillis:
		return t.Kind == Int
	case UUID:
		return t.Kind == String || t.Kind == Fixed && t.Size == 16
	case Duration:
		return t.Kind == Fixed && t.Size == 12
	default:
		return t.Kind == Long
	}
}
