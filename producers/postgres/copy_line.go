package postgres

import (
	"bytes"
	"fmt"
)

// parseCopyLine splits a row of COPY's text format into t. The values share line's memory, which is overwritten where it has escapes. See the documentation of
// COPY, "Text Format".
func (t *tuple) parseCopyLine(line []byte, columns int) error {
	t.reset(columns)
	line = bytes.TrimSuffix(line, []byte{'\n'})
	escaped := bytes.IndexByte(line, '\\') >= 0
	for i := range columns {
		value, rest, more := line, []byte(nil), false
		if j := bytes.IndexByte(line, '\t'); j >= 0 {
			value, rest, more = line[:j], line[j+1:], true
		}
		if more != (i < columns-1) {
			return fmt.Errorf("a row of COPY does not have %d values", columns)
		}
		line = rest
		t.state[i], t.text[i] = valueText, value
		if !escaped {
			continue
		}
		if len(value) == 2 && value[0] == '\\' && value[1] == 'N' {
			t.state[i], t.text[i] = valueNull, nil
		} else {
			t.text[i] = unescape(value)
		}
	}
	return nil
}

// unescape undoes the escapes that COPY TO writes, in place.
func unescape(value []byte) []byte {
	i := bytes.IndexByte(value, '\\')
	if i < 0 {
		return value
	}
	out := value[:i]
	for ; i < len(value); i++ {
		c := value[i]
		if c == '\\' && i+1 < len(value) {
			i++
			switch c = value[i]; c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'v':
				c = '\v'
			}
		}
		out = append(out, c)
	}
	return out
}
