package files

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPositionText(t *testing.T) {
	for _, p := range []position{
		{path: "a.csv", state: done},
		{path: "a b/c\n.csv path=x reason=\"y\"", state: reading, gen: generation{size: 1, modified: -2, born: 3, hash: "ab"}, leaf: 4, offset: 5, line: 6, row: 7, rows: 8, rejected: 9},
		{path: "\xff\\.csv", state: failed, reason: "a \"reason\" path=b.csv reason=\n"},
		{path: strings.Repeat("long/", 500), state: duplicate},
	} {
		got, err := parsePosition(p.String())
		if err != nil || got != p {
			t.Errorf("%q became %+v, %v", p.String(), got, err)
		}
		if !utf8.ValidString(p.String()) || !utf8.ValidString(part(p.path)) || len(part(p.path)) > partLimit+10 {
			t.Errorf("%q of part %q cannot be stored", p.String(), part(p.path))
		}
	}
}

func TestPositionThatIsNone(t *testing.T) {
	whole := position{path: "a", state: done}.String()
	for _, text := range []string{"", "x", whole[:20], strings.Replace(whole, "1 ", "2 ", 1), strings.Replace(whole, "done", "gone", 1), strings.Replace(whole, "leaf=0", "leaf=x", 1), whole + `\q`} {
		if p, err := parsePosition(text); err == nil {
			t.Errorf("%q became %+v", text, p)
		}
	}
}

func FuzzPathText(f *testing.F) {
	f.Add("a\xff\\b", "a\\xff\\\\b")
	f.Fuzz(func(t *testing.T, a, b string) {
		text := pathText(a)
		if !utf8.ValidString(text) {
			t.Fatalf("%q became %q", a, text)
		}
		if back, err := parsePathText(text); err != nil || back != a {
			t.Fatalf("%q became %q and went back to %q, %v", a, text, back, err)
		}
		if a != b && text == pathText(b) {
			t.Fatalf("%q and %q are both %q", a, b, text)
		}
	})
}
