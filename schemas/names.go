package schemas

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Name makes any name legal in Avro ([A-Za-z_][A-Za-z0-9_]*), in a Kafka topic and, without quotes, in ClickHouse. Legal names stay as they
// are; any other rune becomes _xHEX_ with its code point (a blank is _x20_), and so does an underscore that would otherwise read as the
// start of such an escape. Original is the way back. A byte that is not UTF-8 becomes _yHEX_.
func Name(original string) string {
	if legal(original) && !strings.Contains(original, "_x") && !strings.Contains(original, "_y") {
		return original
	}
	var b strings.Builder
	for i := 0; i < len(original); {
		r, size := utf8.DecodeRuneInString(original[i:])
		rest := original[i+size:]
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString("_y" + strconv.FormatUint(uint64(original[i]), 16) + "_")
		case r == '_' && rest != "" && (rest[0] == 'x' || rest[0] == 'y'):
			b.WriteString("_x5f_")
		case letter(r) || r >= '0' && r <= '9' && i > 0:
			b.WriteRune(r)
		default:
			b.WriteString("_x" + strconv.FormatInt(int64(r), 16) + "_")
		}
		i += size
	}
	if b.Len() == 0 {
		return "_x_"
	}
	return b.String()
}

// Original undoes Name. Text that Name cannot have made comes back as it is.
func Original(name string) string {
	if name == "_x_" {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		if name[i] == '_' && i+2 < len(name) && (name[i+1] == 'x' || name[i+1] == 'y') {
			if end := strings.IndexByte(name[i+2:], '_'); end > 0 {
				if v, err := strconv.ParseUint(name[i+2:i+2+end], 16, 32); err == nil {
					if name[i+1] == 'y' && v < 256 {
						b.WriteByte(byte(v))
					} else {
						b.WriteRune(rune(v))
					}
					i += 2 + end + 1
					continue
				}
			}
		}
		b.WriteByte(name[i])
		i++
	}
	return b.String()
}

func letter(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func legal(s string) bool {
	for i, r := range s {
		if !letter(r) && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// Topic is the topic of a dataset: prefix, source and dataset joined by dots. The dataset may have dots of its own (schema and table).
func Topic(prefix, source, dataset string) string { return prefix + "." + source + "." + dataset }

// SplitTopic undoes Topic; ok is false for a topic without the prefix or without both other parts.
func SplitTopic(prefix, topic string) (source, dataset string, ok bool) {
	rest, ok := strings.CutPrefix(topic, prefix+".")
	if !ok {
		return "", "", false
	}
	source, dataset, ok = strings.Cut(rest, ".")
	return source, dataset, ok && source != "" && dataset != ""
}

// Table is the ClickHouse table of a topic, without its database: the topic without its prefix, dots as underscores.
func Table(prefix, topic string) string {
	return strings.ReplaceAll(strings.TrimPrefix(topic, prefix+"."), ".", "_")
}
