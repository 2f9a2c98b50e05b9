package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// appendDefault appends the Avro encoding of a field's default, given as the JSON that the specification describes: numbers for numbers, bytes and fixed as
// strings of the code points 0 to 255, a union's value as one of its branch (its first one that fits; up to Avro 1.11 only the very first may).
func appendDefault(dst []byte, t *Type, raw []byte) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	bad := fmt.Errorf("default %s does not fit %s", excerpt(raw), describe(t))
	switch t.Kind {
	case Null:
		if string(raw) != "null" {
			return dst, bad
		}
		return dst, nil
	case Boolean:
		if string(raw) != "true" && string(raw) != "false" {
			return dst, bad
		}
		return AppendBoolean(dst, string(raw) == "true"), nil
	case Int, Long:
		bits := 64
		if t.Kind == Int {
			bits = 32
		}
		v, err := strconv.ParseInt(string(raw), 10, bits)
		if err != nil {
			return dst, bad
		}
		return AppendLong(dst, v), nil
	case Float, Double:
		v, err := defaultFloat(raw)
		if err != nil {
			return dst, bad
		}
		if t.Kind == Float {
			return AppendFloat(dst, float32(v)), nil
		}
		return AppendDouble(dst, v), nil
	case String, Enum, Bytes, Fixed:
		var text string
		if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
			return dst, bad
		}
		return appendDefaultText(dst, t, text, bad)
	case Array, Map:
		return appendDefaultItems(dst, t, raw, bad)
	case Record:
		return appendDefaultRecord(dst, t, raw, bad)
	case Union:
		for i, b := range t.Branches {
			if out, err := appendDefault(AppendBranch(dst, i), b, raw); err == nil {
				return out, nil
			}
		}
	}
	return dst, bad
}

// defaultFloat also takes the words for what JSON has no numbers for.
func defaultFloat(raw []byte) (float64, error) {
	switch string(raw) {
	case `"NaN"`:
		return math.NaN(), nil
	case `"Infinity"`:
		return math.Inf(1), nil
	case `"-Infinity"`:
		return math.Inf(-1), nil
	}
	return strconv.ParseFloat(string(raw), 64)
}

func appendDefaultText(dst []byte, t *Type, text string, bad error) ([]byte, error) {
	switch t.Kind {
	case String:
		return AppendString(dst, text), nil
	case Enum:
		for i, s := range t.Symbols {
			if s == text {
				return AppendLong(dst, int64(i)), nil
			}
		}
		return dst, bad
	}
	var b []byte
	for _, r := range text {
		if r > 255 {
			return dst, bad
		}
		b = append(b, byte(r))
	}
	if t.Kind == Bytes {
		return AppendBytes(dst, b), nil
	}
	if len(b) != t.Size {
		return dst, bad
	}
	return append(dst, b...), nil
}

func appendDefaultItems(dst []byte, t *Type, raw []byte, bad error) ([]byte, error) {
	var items []json.RawMessage
	var keys []string
	if t.Kind == Array {
		if json.Unmarshal(raw, &items) != nil || items == nil {
			return dst, bad
		}
	} else {
		var err error
		if keys, items, err = orderedObject(raw); err != nil {
			return dst, bad
		}
	}
	out := dst
	if len(items) > 0 {
		out = AppendBlock(out, len(items))
	}
	for i, item := range items {
		if keys != nil {
			out = AppendString(out, keys[i])
		}
		var err error
		if out, err = appendDefault(out, t.Items, item); err != nil {
			return dst, err
		}
	}
	return AppendBlock(out, 0), nil
}

// orderedObject splits a JSON object, keeping its order.
func orderedObject(raw []byte) (keys []string, values []json.RawMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, nil, fmt.Errorf("not an object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, nil, err
		}
		keys, values = append(keys, fmt.Sprint(key)), append(values, value)
	}
	return keys, values, nil
}

func appendDefaultRecord(dst []byte, t *Type, raw []byte, bad error) ([]byte, error) {
	var values map[string]json.RawMessage
	if json.Unmarshal(raw, &values) != nil || values == nil {
		return dst, bad
	}
	out := dst
	for _, f := range t.Fields {
		value, ok := values[f.Name]
		if !ok {
			if value = json.RawMessage(f.Default); f.Default == "" {
				return dst, bad
			}
		}
		var err error
		if out, err = appendDefault(out, f.Type, value); err != nil {
			return dst, err
		}
	}
	return out, nil
}
