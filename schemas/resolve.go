package schemas

import (
	"fmt"
	"math/big"
)

// resolve compiles the reading of one value of the writer's type into a column of the reader's type. The error says why there is no way.
func resolve(w, r *Type) (step, error) {
	value, branch, nullable := w.Optional()
	target, _, optional := r.Optional()
	switch {
	case nullable && (optional || r.Kind != Union):
		if !optional {
			target = r
		}
		s, err := resolveValue(value, target)
		s.nullable, s.present, s.mark = true, int64(branch), optional
		return s, err
	case w.Kind == Union:
		return resolveWriterUnion(w, r)
	case optional:
		if w.Kind == Null {
			return step{op: opNull}, nil
		}
		s, err := resolveValue(w, target)
		s.mark = true
		return s, err
	case r.Kind == Union:
		return resolveIntoUnion(w, r)
	}
	return resolveValue(w, r)
}

// resolveWriterUnion reads each of the writer's branches into the same column. A branch that the reader cannot take is an error only when it
// comes, as long as one can be taken.
func resolveWriterUnion(w, r *Type) (step, error) {
	s := step{op: opWriterUnion}
	var first error
	good := 0
	for _, b := range w.Branches {
		inner, err := resolve(b, r)
		if err != nil {
			if first == nil {
				first = err
			}
			inner = step{op: opFail, err: err}
		} else {
			good++
		}
		s.steps = append(s.steps, inner)
	}
	if good == 0 && len(w.Branches) > 0 {
		return s, first
	}
	return s, nil
}

// resolveIntoUnion takes the reader's branch of the same type if there is one, else the first that the value can become.
func resolveIntoUnion(w, r *Type) (step, error) {
	for _, same := range []bool{true, false} {
		for i, b := range r.Branches {
			if same && !sameType(w, b) {
				continue
			}
			if inner, err := resolve(w, b); err == nil {
				return step{op: opIntoUnion, branch: i, steps: []step{at(inner, i)}}, nil
			}
		}
	}
	return step{}, fmt.Errorf("%s is none of the reader's %s", describe(w), describe(r))
}

// sameType tells whether two branches of unions are the same one: by kind and, for named types, by name.
func sameType(a, b *Type) bool { return a.Kind == b.Kind && a.Logical == b.Logical && a.Name == b.Name }

// at gives a step, and the steps that read the branches of a writer's union for it, its column.
func at(s step, column int) step {
	s.column = int32(column)
	if s.op == opWriterUnion {
		for i := range s.steps {
			s.steps[i] = at(s.steps[i], column)
		}
	}
	return s
}

// resolveValue resolves types that are no unions.
func resolveValue(w, r *Type) (step, error) {
	no := fmt.Errorf("%s cannot become %s", describe(w), describe(r))
	if w.Logical != r.Logical {
		if w.Logical == UUID && w.Kind == String && r.Kind == String && r.Logical == NoLogical {
			return step{op: opString}, nil
		}
		return step{}, no
	}
	if w.Logical == Decimal {
		if w.Scale != r.Scale || w.Precision > r.Precision {
			return step{}, no
		}
		return decimalStep(w, r), nil
	}
	if w.Kind != r.Kind {
		if o, ok := promotions[[2]Kind{w.Kind, r.Kind}]; ok {
			return step{op: o}, nil
		}
		return step{}, no
	}
	switch w.Kind {
	case Fixed:
		if w.Size != r.Size {
			return step{}, no
		}
		return step{op: opFixed, size: w.Size}, nil
	case Enum:
		return resolveEnum(w, r)
	case Array:
		item, err := resolve(w.Items, r.Items)
		if err != nil {
			return step{}, fmt.Errorf("items: %w", err)
		}
		return step{op: opList, minimum: minimumBytes(w.Items), steps: []step{at(item, 0)}}, nil
	case Map:
		value, err := resolve(w.Items, r.Items)
		if err != nil {
			return step{}, fmt.Errorf("values: %w", err)
		}
		key := at(step{op: opString}, 0)
		return step{op: opMap, minimum: 1 + minimumBytes(w.Items), steps: []step{key, at(value, 1)}}, nil
	case Record:
		return resolveRecord(w, r)
	case String:
		if w.Logical == UUID {
			return step{op: opUUIDText}, nil
		}
	}
	return step{op: plain[w.Kind]}, nil
}

var plain = map[Kind]op{Null: opNull, Boolean: opBool, Int: opInt32, Long: opInt64, Float: opFloat32, Double: opFloat64, Bytes: opBytes, String: opString}

var promotions = map[[2]Kind]op{
	{Int, Long}: opIntAsInt64, {Int, Float}: opIntAsFloat32, {Int, Double}: opIntAsFloat64,
	{Long, Float}: opLongAsFloat32, {Long, Double}: opLongAsFloat64, {Float, Double}: opFloatAsFloat64,
	{String, Bytes}: opBytes, {Bytes, String}: opString,
}

func decimalStep(w, r *Type) step {
	s := step{digits: newDigitLimit(w.Precision), size: w.Size}
	small := formOf(r) == FormInt64
	switch {
	case w.Kind == Bytes && small:
		s.op = opDecimal64
	case w.Kind == Bytes:
		s.op = opDecimalBig
	case small:
		s.op = opDecimalFixed64
	default:
		s.op = opDecimalFixedBig
	}
	return s
}

func newDigitLimit(digits int) *digitLimit {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	most.Sub(most, big.NewInt(1))
	least := new(big.Int).Neg(most)
	d := &digitLimit{highest: appendTwosComplement(nil, most, minimalSize(most)), lowest: appendTwosComplement(nil, least, minimalSize(least))}
	if digits <= maxSmallDigits {
		d.most = most.Int64()
	}
	return d
}

// resolveEnum maps the writer's symbols to the reader's. Names of enums are not compared: a symbol is what is stored.
func resolveEnum(w, r *Type) (step, error) {
	place := make(map[string]int32, len(r.Symbols))
	for i, s := range r.Symbols {
		place[s] = int32(i)
	}
	fallback := int32(-1)
	if i, ok := place[r.Default]; ok && r.Default != "" {
		fallback = i
	}
	s := step{op: opEnum, symbols: make([]int32, len(w.Symbols))}
	for i, symbol := range w.Symbols {
		var ok bool
		if s.symbols[i], ok = place[symbol]; !ok {
			s.symbols[i] = fallback
		}
	}
	return s, nil
}

// resolveRecord reads the writer's fields in their order and then adds the defaults of those that the writer does not have. Names of records are
// not compared: a table's schema has its own.
func resolveRecord(w, r *Type) (step, error) {
	out := step{op: opRecord}
	found := make([]bool, len(r.Fields))
	for _, f := range w.Fields {
		i := fieldIndex(r, f.Name)
		if i < 0 {
			out.steps = append(out.steps, step{op: opSkip, column: -1, name: f.Name, skipped: f.Type})
			continue
		}
		s, err := resolve(f.Type, r.Fields[i].Type)
		if err != nil {
			return out, fmt.Errorf("field %s: %w", f.Name, err)
		}
		found[i] = true
		out.steps = append(out.steps, named(at(s, i), f.Name))
	}
	for i, f := range r.Fields {
		if found[i] {
			continue
		}
		s, err := defaultStep(f, i)
		if err != nil {
			return out, fmt.Errorf("field %s: %w", f.Name, err)
		}
		out.steps = append(out.steps, named(s, f.Name))
	}
	return out, nil
}

func named(s step, name string) step {
	s.name = name
	if s.op == opWriterUnion {
		for i := range s.steps {
			s.steps[i].name = name
		}
	}
	return s
}

func fieldIndex(t *Type, name string) int {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// defaultStep fills a field that the writer does not have. The default is encoded once and read like any value.
func defaultStep(f Field, column int) (step, error) {
	if f.Default == "" {
		return step{}, fmt.Errorf("the writer does not have it, and it has no default")
	}
	if _, _, optional := f.Type.Optional(); optional && f.Default == "null" {
		return at(step{op: opNull}, column), nil
	}
	constant, err := appendDefault(nil, f.Type, []byte(f.Default))
	if err != nil {
		return step{}, err
	}
	s, err := resolve(f.Type, f.Type)
	if err != nil {
		return step{}, err
	}
	return step{op: opDefault, column: int32(column), constant: constant, steps: []step{at(s, column)}}, nil
}

// describe names a type for people.
func describe(t *Type) string {
	switch {
	case t.Logical == Decimal:
		return fmt.Sprintf("%s decimal(%d,%d)", t.Kind, t.Precision, t.Scale)
	case t.Logical != NoLogical:
		return fmt.Sprintf("%s %s", t.Kind, t.Logical)
	case t.Kind == Fixed:
		return fmt.Sprintf("fixed(%d)", t.Size)
	case t.Kind == Array:
		return "array of " + describe(t.Items)
	case t.Kind == Map:
		return "map of " + describe(t.Items)
	case t.Kind == Union:
		text := "union of "
		for i, b := range t.Branches {
			if i > 0 {
				text += ", "
			}
			text += describe(b)
		}
		return text
	}
	return t.Kind.String()
}
