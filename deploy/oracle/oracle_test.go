package oracle

import (
	"strings"
	"testing"
)

func TestDifferencesOfATable(t *testing.T) {
	tab := Table{keys: 1, columns: []string{"id", "text"}}
	parse := func(text string) map[string][]string {
		t.Helper()
		rows, err := tab.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	held := parse("1\ta\\tb\n2\t\\N\n")
	if found := tab.differences(held, parse("2\t\\N\n1\ta\\tb\n")); len(found) != 0 {
		t.Errorf("equal tables differ: %q", found)
	}
	for text, want := range map[string]string{"1\ta\\tb\n": `key "2" is missing`, "1\ta\\tb\n2\t\n": `key "2" column text: "\\N" in postgres, "" in clickhouse`,
		"1\ta\\tb\n2\t\\N\n3\tc\n": `key "3" is there`} {
		if found := tab.differences(held, parse(text)); len(found) != 1 || !strings.Contains(found[0], want) {
			t.Errorf("%q: %q", text, found)
		}
	}
	for _, text := range []string{"1\n", "1\ta\n1\ta\n"} {
		if _, err := tab.parse(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
