package schemas

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// TextFunc appends the Avro encoding of the value that text spells and returns the extended slice. On an error it returns dst as it was; the error quotes
// the start of the text. It keeps neither slice, and is safe for concurrent use.
type TextFunc func(dst, text []byte) ([]byte, error)

// CompileText returns the conversion from text to a scalar type, or to the union of null and one (it then writes the branch of the value; the caller knows
// what null looks like and writes AppendBranch(dst, 0) itself where null is branch 0).
//
// The forms are: true, false, t, f, 1, 0; whole numbers within the type's range; floats in decimal, NaN, Infinity, -Infinity; strings in UTF-8; bytes and fixed as
// they are; an enum's symbol; decimals as AppendDecimalText reads them; dates, times and timestamps as ParseDate, ParseTimeMicros and ParseTimestampMicros
// read them, in the type's own unit (a timestamp must have an offset, a local timestamp must not); UUIDs of 32 hexadecimal digits with or without hyphens.
// A value that the type cannot hold exactly is an error; only float and double round, to the nearest, as their meaning is.
func CompileText(t *Type) (TextFunc, error) {
	value, branch, optional := t.Optional()
	if !optional {
		return compileScalar(t)
	}
	f, err := compileScalar(value)
	if err != nil {
		return nil, err
	}
	return func(dst, text []byte) ([]byte, error) {
		out, err := f(AppendBranch(dst, branch), text)
		if err != nil {
			return dst, err
		}
		return out, nil
	}, nil
}

func compileScalar(t *Type) (TextFunc, error) {
	if t.Logical != NoLogical {
		return compileLogical(t)
	}
	switch t.Kind {
	case Boolean:
		return appendBooleanText, nil
	case Int:
		return appendIntText, nil
	case Long:
		return appendLongText, nil
	case Float:
		return appendFloatText, nil
	case Double:
		return appendDoubleText, nil
	case String:
		return appendStringText, nil
	case Bytes:
		return func(dst, text []byte) ([]byte, error) { return AppendBytes(dst, text), nil }, nil
	case Fixed:
		return compileFixed(t.Size), nil
	case Enum:
		return compileEnum(t.Symbols), nil
	}
	return nil, fmt.Errorf("a %s has no text form", t.Kind)
}

func compileLogical(t *Type) (TextFunc, error) {
	switch t.Logical {
	case Decimal:
		precision, scale, size := t.Precision, t.Scale, t.Size
		if t.Kind == Fixed {
			return func(dst, text []byte) ([]byte, error) {
				return appendDecimalTextFixed(dst, text, precision, scale, size)
			}, nil
		}
		return func(dst, text []byte) ([]byte, error) { return AppendDecimalText(dst, text, precision, scale) }, nil
	case Date:
		return appendDateText, nil
	case TimeMillis:
		return compileTime(1e6, "millisecond"), nil
	case TimeMicros:
		return compileTime(1e3, "microsecond"), nil
	case TimestampMillis, LocalTimestampMillis:
		return compileTimestamp(1e6, "millisecond", t.Logical == TimestampMillis), nil
	case TimestampMicros, LocalTimestampMicros:
		return compileTimestamp(1e3, "microsecond", t.Logical == TimestampMicros), nil
	case TimestampNanos, LocalTimestampNanos:
		return compileTimestamp(1, "nanosecond", t.Logical == TimestampNanos), nil
	case UUID:
		if t.Kind == Fixed {
			return appendUUIDFixedText, nil
		}
		return AppendUUIDText, nil
	}
	return nil, fmt.Errorf("a %s has no text form", t.Logical)
}

func compileFixed(size int) TextFunc {
	return func(dst, text []byte) ([]byte, error) {
		if len(text) != size {
			return dst, fmt.Errorf("%d bytes where fixed(%d) needs exactly %d", len(text), size, size)
		}
		return append(dst, text...), nil
	}
}

func compileEnum(symbols []string) TextFunc {
	index := make(map[string]int, len(symbols))
	for i, s := range symbols {
		index[s] = i
	}
	return func(dst, text []byte) ([]byte, error) {
		i, ok := index[string(text)]
		if !ok {
			return dst, fmt.Errorf("%s is not one of the enum's %d symbols", excerpt(text), len(symbols))
		}
		return AppendLong(dst, int64(i)), nil
	}
}

func compileTime(unit int64, word string) TextFunc {
	return func(dst, text []byte) ([]byte, error) {
		v, err := parseTime(text, unit, word)
		if err != nil {
			return dst, err
		}
		return AppendLong(dst, v), nil
	}
}

func compileTimestamp(unit int64, word string, needsZone bool) TextFunc {
	return func(dst, text []byte) ([]byte, error) {
		v, zoned, err := parseTimestamp(text, unit, word)
		switch {
		case err != nil:
			return dst, err
		case needsZone && !zoned:
			return dst, fmt.Errorf("timestamp %s has no offset (Z or +hh:mm), so it names no instant", excerpt(text))
		case zoned && !needsZone:
			return dst, fmt.Errorf("local timestamp %s has an offset", excerpt(text))
		}
		return AppendLong(dst, v), nil
	}
}

func appendBooleanText(dst, text []byte) ([]byte, error) {
	switch {
	case len(text) == 1 && (text[0] == 't' || text[0] == 'T' || text[0] == '1') || equalFold(text, "true"):
		return append(dst, 1), nil
	case len(text) == 1 && (text[0] == 'f' || text[0] == 'F' || text[0] == '0') || equalFold(text, "false"):
		return append(dst, 0), nil
	}
	return dst, fmt.Errorf("%s is not a boolean (true or false)", excerpt(text))
}

func appendIntText(dst, text []byte) ([]byte, error) {
	v, err := parseLong(text)
	if err != nil {
		return dst, err
	}
	if v != int64(int32(v)) {
		return dst, fmt.Errorf("%s does not fit in an int of 32 bits", excerpt(text))
	}
	return AppendLong(dst, v), nil
}

func appendLongText(dst, text []byte) ([]byte, error) {
	v, err := parseLong(text)
	if err != nil {
		return dst, err
	}
	return AppendLong(dst, v), nil
}

func parseLong(text []byte) (int64, error) {
	digits, negative := text, false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return 0, fmt.Errorf("%s is not a whole number", excerpt(text))
	}
	v, large := uint64(0), false
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%s is not a whole number", excerpt(text))
		}
		if v > (math.MaxUint64-9)/10 {
			large = true // go on: what follows may not be a digit
			continue
		}
		v = v*10 + uint64(c-'0')
	}
	if large || v > 1<<63 || v == 1<<63 && !negative {
		return 0, fmt.Errorf("%s does not fit in a long of 64 bits", excerpt(text))
	}
	if negative {
		return int64(-v), nil
	}
	return int64(v), nil
}

func appendFloatText(dst, text []byte) ([]byte, error) {
	v, err := parseFloat(text, 32)
	if err != nil {
		return dst, err
	}
	return AppendFloat(dst, float32(v)), nil
}

func appendDoubleText(dst, text []byte) ([]byte, error) {
	v, err := parseFloat(text, 64)
	if err != nil {
		return dst, err
	}
	return AppendDouble(dst, v), nil
}

// parseFloat refuses what strconv takes beyond decimal numbers (hexadecimal floats, underscores) and what it turns into zero without a word.
func parseFloat(text []byte, bits int) (float64, error) {
	nonzero, mantissa := false, true
	for _, c := range text {
		switch {
		case c == 'x' || c == 'X' || c == '_':
			return 0, fmt.Errorf("%s is not a number", excerpt(text))
		case c == 'e' || c == 'E':
			mantissa = false
		case mantissa && c >= '1' && c <= '9':
			nonzero = true
		}
	}
	v, err := strconv.ParseFloat(string(text), bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s does not fit in a float of %d bits", excerpt(text), bits)
	case err != nil:
		return 0, fmt.Errorf("%s is not a number", excerpt(text))
	case v == 0 && nonzero:
		return 0, fmt.Errorf("%s is too small for a float of %d bits", excerpt(text), bits)
	}
	return v, nil
}

func appendStringText(dst, text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return dst, fmt.Errorf("%s is not valid UTF-8", excerpt(text))
	}
	return AppendBytes(dst, text), nil
}

func appendDateText(dst, text []byte) ([]byte, error) {
	v, err := ParseDate(text)
	if err != nil {
		return dst, err
	}
	return AppendLong(dst, int64(v)), nil
}

// excerpt quotes the start of a text for an error.
func excerpt(text []byte) string {
	const most = 60
	if len(text) <= most {
		return strconv.Quote(string(text))
	}
	return fmt.Sprintf("%q… (%d bytes)", text[:most], len(text))
}

// equalFold compares with a lower-case ASCII word.
func equalFold(text []byte, word string) bool {
	if len(text) != len(word) {
		return false
	}
	for i := range text {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
