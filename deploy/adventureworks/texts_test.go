package adventureworks

import (
	"strings"
	"testing"
	"unicode"
)

// scripts are the letters that each language is written in.
var scripts = map[string]*unicode.RangeTable{"ar": unicode.Arabic, "en": unicode.Latin, "fr": unicode.Latin, "he": unicode.Hebrew, "th": unicode.Thai, "zh": unicode.Han}

// TestDescriptionsInTheirScript checks that every description is there, fits its column and is written in its language's letters.
func TestDescriptionsInTheirScript(t *testing.T) {
	for _, m := range newCatalog().models {
		for i, l := range languages {
			text := description(m, i)
			if n := len([]rune(text)); n < 12 || n > 400 {
				t.Errorf("%s, %s: %d characters", m.name, l.code, n)
			}
			if strings.Contains(text, "  ") || strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") {
				t.Errorf("%s, %s: blanks in %q", m.name, l.code, text)
			}
			right, wrong := 0, 0
			for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
				for _, r := range word {
					switch {
					case word == "USB", unicode.IsMark(r):
					case unicode.Is(scripts[l.code], r):
						right++
					default:
						wrong++
					}
				}
			}
			if wrong > 0 || right < 10 {
				t.Errorf("%s, %s: %d letters of its script and %d others in %q", m.name, l.code, right, wrong, text)
			}
		}
	}
}

// TestReviewsAreComplete makes sure that no combination of stars, language and category is without words.
func TestReviewsAreComplete(t *testing.T) {
	weights := 0
	for _, l := range reviewLanguages {
		weights += l.weight
		for stars := range 5 {
			if len(l.titles[stars]) == 0 || len(l.verdicts[stars]) == 0 {
				t.Errorf("%s has no words for %d stars", l.code, stars+1)
			}
		}
		for category := range categories {
			if len(l.details[category]) == 0 {
				t.Errorf("%s has no details of %s", l.code, categories[category])
			}
		}
	}
	if weights != 100 {
		t.Errorf("weights add up to %d", weights)
	}
}

func TestCatalog(t *testing.T) {
	c := newCatalog()
	if len(c.products) < 300 {
		t.Errorf("%d products", len(c.products))
	}
	names, numbers := map[string]bool{}, map[string]bool{}
	for i, p := range c.products {
		if p.id != i+1 || names[p.name] || numbers[p.number] || len(p.name) > 50 || len(p.number) > 25 || strings.Contains(p.number, "_") {
			t.Errorf("product %d: %s %s", p.id, p.number, p.name)
		}
		names[p.name], numbers[p.number] = true, true
		if _, ok := paints[p.color]; !ok || colorCodes[p.color] == "" {
			t.Errorf("no paint %s", p.color)
		}
		if p.photoID != noImageID && c.pictures[p.photoID-2].color != p.color {
			t.Errorf("%s has the photo of another colour", p.number)
		}
		if _, ok := lineTexts[p.line.code]; !ok {
			t.Errorf("no text for line %s", p.line.code)
		}
	}
}

func TestQueries(t *testing.T) {
	queries := Queries()
	if len(queries) != 3 {
		t.Fatalf("%d queries", len(queries))
	}
	for _, q := range queries {
		if q.Title == "" || strings.Contains(q.Title, "\n") || !strings.HasPrefix(q.SQL, "SELECT ") || strings.Contains(q.SQL, ";") || strings.Contains(q.SQL, "--") {
			t.Errorf("%q: %q", q.Title, q.SQL)
		}
	}
}
