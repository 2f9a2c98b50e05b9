package lake

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"adventureworks.example/extract/schemas"
)

// hiveNull stands for null in a partition's folder name.
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// partition is one name=value of an object's path.
type partition struct{ name, value string }

// partitionsOf reads the Hive partitions of an object's path, from the outermost on.
func partitionsOf(key string) []partition {
	var out []partition
	parts := strings.Split(key, "/")
	for _, part := range parts[:len(parts)-1] {
		name, value, ok := strings.Cut(part, "=")
		if !ok || name == "" {
			continue
		}
		p := partition{unescape(name), unescape(value)}
		if i := slices.IndexFunc(out, func(o partition) bool { return o.name == p.name }); i >= 0 {
			out[i] = p // the innermost counts
			continue
		}
		out = append(out, p)
	}
	return out
}

// unescape undoes %3A and the like; what is not an escape stays.
func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// partitionTypes are the types that a partition column may be declared as.
var partitionTypes = map[string]*schemas.Type{
	"string":  schemas.Primitive(schemas.String),
	"int":     schemas.Primitive(schemas.Int),
	"long":    schemas.Primitive(schemas.Long),
	"double":  schemas.Primitive(schemas.Double),
	"boolean": schemas.Primitive(schemas.Boolean),
	"date":    schemas.LogicalOf(schemas.Date),
}

// partitionFields are the fields of an object's partitions: declared types where there are any, else strings.
func partitionFields(key string, declared map[string]string) []partitionField {
	var out []partitionField
	for _, p := range partitionsOf(key) {
		word := declared[p.name]
		if word == "" {
			word = "string"
		}
		out = append(out, partitionField{name: p.name, value: partitionTypes[word]})
	}
	return out
}

// partitionValues are the values of an object's partitions as Avro, by the name of their field, with the branch of [null, T].
func partitionValues(key string, fields []partitionField) (map[string][]byte, error) {
	out := map[string][]byte{}
	for i, p := range partitionsOf(key) {
		name := schemas.Name(p.name)
		if p.value == hiveNull {
			out[name] = []byte{0}
			continue
		}
		convert, err := schemas.CompileText(schemas.Nullable(fields[i].value))
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", p.name, err)
		}
		if out[name], err = convert(nil, []byte(p.value)); err != nil {
			return nil, fmt.Errorf("partition %s=%s: %w", p.name, p.value, err)
		}
	}
	return out, nil
}

// pruned tells whether the conditions leave an object out. An object without a partition that a condition names is left out.
func pruned(key string, where map[string][]string, declared map[string]string) bool {
	if len(where) == 0 {
		return false
	}
	have := partitionsOf(key)
	for name, values := range where {
		i := slices.IndexFunc(have, func(p partition) bool { return p.name == name })
		if i < 0 || !slices.ContainsFunc(values, func(v string) bool { return sameValue(v, have[i].value, declared[name]) }) {
			return true
		}
	}
	return false
}

// sameValue compares as the partition's type does: month=01 is month=1 where month is an int.
func sameValue(a, b, word string) bool {
	if a == b || word == "" || word == "string" {
		return a == b
	}
	convert, err := schemas.CompileText(partitionTypes[word])
	if err != nil {
		return false
	}
	x, errA := convert(nil, []byte(a))
	y, errB := convert(nil, []byte(b))
	return errA == nil && errB == nil && string(x) == string(y)
}

// matchGlob tells whether a key matches a pattern of path.Match in which ** stands for any number of folders.
func matchGlob(pattern, key string) bool {
	return matchParts(strings.Split(pattern, "/"), strings.Split(key, "/"))
}

func matchParts(pattern, key []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(key) + 1 {
				if matchParts(pattern[1:], key[i:]) {
					return true
				}
			}
			return false
		}
		if len(key) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], key[0]); err != nil || !ok {
			return false
		}
		pattern, key = pattern[1:], key[1:]
	}
	return len(key) == 0
}

// globPrefix is the folder that everything matching lies below, so that nothing else is listed.
func globPrefix(pattern string) string {
	parts := strings.Split(pattern, "/")
	n := slices.IndexFunc(parts, func(p string) bool { return strings.ContainsAny(p, `*?[\`) })
	if n < 0 {
		n = len(parts) - 1
	}
	return strings.Join(parts[:n], "/")
}
