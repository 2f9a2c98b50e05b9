package files

import (
	"fmt"
	"regexp"
	"strings"
)

// glob is a compiled pattern of paths.
type glob struct {
	re       *regexp.Regexp
	nameOnly bool // without a slash it is for the name alone
}

// compileGlob reads a pattern: * is any text within a name, ? one character of it, ** any text, {a,b} one of several, [a-z] one of a class, and a backslash
// takes the next character as it is.
func compileGlob(pattern string) (glob, error) {
	if pattern == "" {
		return glob{}, fmt.Errorf("a pattern is empty")
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	braces, class := 0, false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case class:
			class = c != ']'
			if c == '!' && pattern[i-1] == '[' {
				c = '^'
			}
			b.WriteByte(c)
		case strings.HasPrefix(pattern[i:], "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 2
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(`.*`)
			i++
		case c == '*':
			b.WriteString(`[^/]*`)
		case c == '?':
			b.WriteString(`[^/]`)
		case c == '[':
			class = true
			b.WriteByte(c)
		case c == '{':
			braces++
			b.WriteString(`(?:`)
		case c == '}' && braces > 0:
			braces--
			b.WriteByte(')')
		case c == ',' && braces > 0:
			b.WriteByte('|')
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case c < 0x80:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil || braces > 0 {
		return glob{}, fmt.Errorf("%q is not a pattern: a bracket or brace is not closed", pattern)
	}
	return glob{re: re, nameOnly: !strings.Contains(pattern, "/")}, nil
}

// match tells whether the pattern fits the path or the end of it that begins at one of the entries in it.
func (g glob) match(path string, entries []string) bool {
	name := path
	if len(entries) > 0 {
		name = entries[len(entries)-1]
	}
	if g.nameOnly {
		return g.re.MatchString(name[strings.LastIndexByte(name, '/')+1:])
	}
	chain := ""
	for i := len(entries) - 1; i >= 0; i-- {
		if chain = join(entries[i], chain); g.re.MatchString(chain) {
			return true
		}
	}
	return g.re.MatchString(join(path, chain))
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + "/" + b
}

// namePattern reads words out of a name.
type namePattern struct {
	re    *regexp.Regexp
	words []string
}

var word = regexp.MustCompile(`\A[a-z_][a-z0-9_]*\z`)

// compileNamePattern reads a pattern such as {product}_{view}.*; an empty one has no words.
func compileNamePattern(pattern string) (namePattern, error) {
	if pattern == "" {
		return namePattern{}, nil
	}
	p := namePattern{}
	var b strings.Builder
	b.WriteString(`(?s)(?:\A|/)`)
	for rest := pattern; rest != ""; {
		i := strings.IndexAny(rest, "{*")
		if i < 0 {
			b.WriteString(regexp.QuoteMeta(rest))
			break
		}
		b.WriteString(regexp.QuoteMeta(rest[:i]))
		if rest[i] == '*' {
			b.WriteString(`[^/]*`)
			rest = rest[i+1:]
			continue
		}
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			return p, fmt.Errorf("%q: a brace is not closed", pattern)
		}
		w := rest[i+1 : i+end]
		if !word.MatchString(w) || imageField(w) {
			return p, fmt.Errorf("%q: {%s} cannot be a field of its own: use small letters, digits and underscores, and no field that an image has", pattern, w)
		}
		for _, other := range p.words {
			if other == w {
				return p, fmt.Errorf("%q: {%s} is there twice", pattern, w)
			}
		}
		p.words = append(p.words, w)
		b.WriteString(`([^/]+?)`)
		rest = rest[i+end+1:]
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return p, fmt.Errorf("%q: %w", pattern, err)
	}
	p.re = re
	return p, nil
}

// values returns the text of each word, nil for a path that does not fit.
func (p namePattern) values(path string) []string {
	if p.re == nil {
		return nil
	}
	if m := p.re.FindStringSubmatch(path); m != nil {
		return m[1:]
	}
	return nil
}
