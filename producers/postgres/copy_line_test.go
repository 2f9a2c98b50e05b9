package postgres

import (
	"bytes"
	"testing"
)

func TestCopyLineIsReadBack(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string // N for null
	}{
		{"1\tab\t\n", []string{"1", "ab", ""}},
		{`\N` + "\t" + `\\N` + "\n", []string{"N", `\N`}},
		{`a\tb\nc\rd\\e\bf\fg\vh` + "\n", []string{"a\tb\nc\rd\\e\bf\fg\vh"}},
		{"\n", []string{""}},
	} {
		var row tuple
		if err := row.parseCopyLine([]byte(c.line), len(c.want)); err != nil {
			t.Errorf("%q: %v", c.line, err)
			continue
		}
		for i, want := range c.want {
			if null := row.state[i] == valueNull; null != (want == "N") || !null && string(row.text[i]) != want {
				t.Errorf("%q: value %d is %q", c.line, i, row.text[i])
			}
		}
		var row2 tuple
		if err := row2.parseCopyLine(append(appendCopyLine(nil, &row), '\n'), len(c.want)); err != nil {
			t.Errorf("%q written again: %v", c.line, err)
		}
		for i := range c.want {
			if row.state[i] != row2.state[i] || !bytes.Equal(row.text[i], row2.text[i]) {
				t.Errorf("%q written again: value %d is %q", c.line, i, row2.text[i])
			}
		}
	}
	for _, columns := range []int{1, 3} {
		var row tuple
		if err := row.parseCopyLine([]byte("a\tb\n"), columns); err == nil {
			t.Errorf("two values are not %d", columns)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("\x00\x00@\x01public\x00t\x00d\x00\x01\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x01t\x00\x00\x00\x02ab"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := message{b: b}
		if r := m.relation(); !m.bad && len(r.columns) > len(b) {
			t.Errorf("%d columns of %d bytes", len(r.columns), len(b))
		}
		m = message{b: b}
		var row tuple
		if m.tuple(&row, 1); !m.bad && row.state[0] == valueText && len(row.text[0]) > len(b) {
			t.Errorf("a value of %d bytes of %d", len(row.text[0]), len(b))
		}
	})
}
