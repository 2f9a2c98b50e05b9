package schemas

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// writeType renders t as JSON. A named type is written whole where it first occurs and by its name afterwards.
func writeType(b *strings.Builder, t *Type, named map[string]bool) error {
	switch t.Kind {
	case Union:
		b.WriteByte('[')
		for i, u := range t.Branches {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeType(b, u, named); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case Array, Map:
		word := "items"
		if t.Kind == Map {
			word = "values"
		}
		b.WriteString(`{"type":"` + t.Kind.String() + `","` + word + `":`)
		if err := writeType(b, t.Items, named); err != nil {
			return err
		}
		b.WriteByte('}')
		return nil
	case Record, Enum, Fixed:
		if t.Name == "" {
			return fmt.Errorf("a %s needs a name", t.Kind)
		}
		if named[t.Name] {
			b.WriteString(quote(t.Name))
			return nil
		}
		named[t.Name] = true
		return writeNamed(b, t, named)
	}
	if t.Logical == NoLogical {
		b.WriteString(`"` + t.Kind.String() + `"`)
		return nil
	}
	b.WriteString(`{"type":"` + t.Kind.String() + `"`)
	writeLogical(b, t)
	b.WriteByte('}')
	return nil
}

func writeLogical(b *strings.Builder, t *Type) {
	if t.Logical == NoLogical {
		return
	}
	b.WriteString(`,"logicalType":"` + t.Logical.String() + `"`)
	if t.Logical == Decimal {
		b.WriteString(`,"precision":` + strconv.Itoa(t.Precision) + `,"scale":` + strconv.Itoa(t.Scale))
	}
}

func writeNamed(b *strings.Builder, t *Type, named map[string]bool) error {
	b.WriteString(`{"type":"` + t.Kind.String() + `","name":` + quote(t.Name))
	if t.Doc != "" {
		b.WriteString(`,"doc":` + quote(t.Doc))
	}
	switch t.Kind {
	case Fixed:
		b.WriteString(`,"size":` + strconv.Itoa(t.Size))
		writeLogical(b, t)
	case Enum:
		symbols, _ := json.Marshal(t.Symbols) // strings always marshal
		b.WriteString(`,"symbols":` + string(symbols))
		if t.Default != "" {
			b.WriteString(`,"default":` + quote(t.Default))
		}
	case Record:
		b.WriteString(`,"fields":[`)
		for i, f := range t.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"name":` + quote(f.Name) + `,"type":`)
			if err := writeType(b, f.Type, named); err != nil {
				return fmt.Errorf("field %s: %w", f.Name, err)
			}
			if f.Doc != "" {
				b.WriteString(`,"doc":` + quote(f.Doc))
			}
			if f.Default != "" {
				b.WriteString(`,"default":` + f.Default)
			}
			b.WriteByte('}')
		}
		b.WriteByte(']')
	}
	b.WriteByte('}')
	return nil
}
