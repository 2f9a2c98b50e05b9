package clickhouse

import (
	"slices"
	"strings"
)

// SplitSQL cuts text into its statements at the semicolons that are neither in quotes nor in comments. Statements that are nothing but blanks and
// comments are left out. The quotes are ClickHouse's: '…', "…" and `…` with backslashes and doubled quotes, and $tag$…$tag$. The comments are --, #!, "# "
// to the end of the line and /* … */, which nest.
func SplitSQL(text string) []string {
	var all []string
	start, empty := 0, true
	for i := 0; i < len(text); {
		n, kind := lexeme(text[i:])
		switch {
		case kind == lexSemicolon:
			if !empty {
				all = append(all, strings.TrimSpace(text[start:i]))
			}
			start, empty = i+n, true
		case kind != lexComment && strings.TrimSpace(text[i:i+n]) != "":
			empty = false
		}
		i += n
	}
	if !empty {
		all = append(all, strings.TrimSpace(text[start:]))
	}
	return all
}

// stripComments replaces comments by blanks.
func stripComments(sql string) string {
	var b strings.Builder
	for i := 0; i < len(sql); {
		n, kind := lexeme(sql[i:])
		if kind == lexComment {
			b.WriteByte(' ')
		} else {
			b.WriteString(sql[i : i+n])
		}
		i += n
	}
	return b.String()
}

const (
	lexOther = iota
	lexQuoted
	lexComment
	lexSemicolon
)

// lexeme is the length and kind of what text, which is not empty, begins with. Quotes and comments that do not end go to the end of the text.
func lexeme(text string) (n, kind int) {
	switch c := text[0]; {
	case c == ';':
		return 1, lexSemicolon
	case c == '\'' || c == '"' || c == '`':
		return quotedLength(text, c), lexQuoted
	case strings.HasPrefix(text, "--"), strings.HasPrefix(text, "#!"), strings.HasPrefix(text, "# "):
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			return end + 1, lexComment
		}
		return len(text), lexComment
	case strings.HasPrefix(text, "/*"):
		return commentLength(text), lexComment
	case c == '$':
		if n := heredocLength(text); n > 0 {
			return n, lexQuoted
		}
	case word(c): // so that no $ or quote-like rune inside of a word is taken for a beginning
		n := 1
		for n < len(text) && (word(text[n]) || text[n] == '$') {
			n++
		}
		return n, lexOther
	}
	return 1, lexOther
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func quotedLength(text string, quote byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

func commentLength(text string) int {
	depth := 0
	for i := 0; i+1 < len(text); i++ {
		switch text[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// heredocLength is the length of $tag$…$tag$, 0 when text does not begin with one.
func heredocLength(text string) int {
	end := 1
	for end < len(text) && word(text[end]) {
		end++
	}
	if end == len(text) || text[end] != '$' {
		return 0
	}
	tag := text[:end+1]
	if at := strings.Index(text[len(tag):], tag); at >= 0 {
		return 2*len(tag) + at
	}
	return 0
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
