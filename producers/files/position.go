package files

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// generation is one content that a path has had. Two generations are the same when their times and sizes are; where these differ, or are not all known, the
// hash decides.
type generation struct {
	size     int64
	modified int64  // nanoseconds since 1970
	born     int64  // nanoseconds since 1970; 0 where the file system does not tell
	hash     string // SHA-256 of the content in hexadecimal
}

// sameFile tells whether both are one file left alone, without a look at its content.
func (g generation) sameFile(o generation) bool {
	return g.size == o.size && g.modified == o.modified && g.born == o.born
}

// state is what has become of a file.
type state string

const (
	reading   state = "reading"   // some of its rows are sent
	done      state = "done"      // all of them
	failed    state = "failed"    // those before it was given up
	duplicate state = "duplicate" // another file with the same content was sent
)

// position is how far a file has been read. Leaf counts the entries of an archive in the order in which they are met; a plain file is leaf 0 alone. Offset
// and line are within the leaf, in its text before decompression ends and encoding begins: byte of the unpacked entry.
type position struct {
	path     string
	gen      generation
	state    state
	leaf     int
	offset   int64
	line     int64
	row      int64 // rows of the leaf so far
	rows     int64 // of the file, rejected ones included
	rejected int64
	reason   string // of failed
}

// partLimit is how long a part may be before its path is replaced by a hash.
const partLimit = 300

// part is the name of the position of a path.
func part(path string) string {
	text := pathText(path)
	if len(text) <= partLimit {
		return "file:" + text
	}
	sum := sha256.Sum256([]byte(path))
	return "file#" + hex.EncodeToString(sum[:])
}

// String is the form in which a position is stored: words, then the path.
func (p position) String() string {
	return fmt.Sprintf("1 %s size=%d modified=%d born=%d hash=%s leaf=%d offset=%d line=%d row=%d rows=%d rejected=%d reason=%s path=%s",
		p.state, p.gen.size, p.gen.modified, p.gen.born, p.gen.hash, p.leaf, p.offset, p.line, p.row, p.rows, p.rejected, strconv.QuoteToASCII(p.reason), pathText(p.path))
}

// parsePosition undoes String.
func parsePosition(text string) (position, error) {
	var p position
	head, rest, _ := strings.Cut(text, " reason=")
	reason, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return p, fmt.Errorf("parse position %.80q: reason: %w", text, err)
	}
	path, ok := strings.CutPrefix(rest[len(reason):], " path=")
	if !ok {
		return p, fmt.Errorf("parse position %.80q: it has no path", text)
	}
	var version int
	var hash string
	_, err = fmt.Sscanf(strings.Replace(head, " hash= ", " hash=- ", 1), "%d %s size=%d modified=%d born=%d hash=%s leaf=%d offset=%d line=%d row=%d rows=%d rejected=%d",
		&version, (*string)(&p.state), &p.gen.size, &p.gen.modified, &p.gen.born, &hash, &p.leaf, &p.offset, &p.line, &p.row, &p.rows, &p.rejected)
	if err != nil {
		return p, fmt.Errorf("parse position %.80q: %w", text, err)
	}
	if version != 1 {
		return p, fmt.Errorf("parse position %.80q: version %d is of a newer program", text, version)
	}
	if hash != "-" {
		p.gen.hash = hash
	}
	switch p.state {
	case reading, done, failed, duplicate:
	default:
		return p, fmt.Errorf("parse position %.80q: unknown state %q", text, p.state)
	}
	if p.reason, err = strconv.Unquote(reason); err != nil {
		return p, fmt.Errorf("parse position %.80q: reason: %w", text, err)
	}
	if p.path, err = parsePathText(path); err != nil {
		return p, fmt.Errorf("parse position %.80q: path: %w", text, err)
	}
	return p, nil
}

// pathText makes a path UTF-8, as Avro's strings are: a byte that is not becomes \xHH, and then, as in any path that has one, a backslash becomes two.
func pathText(path string) string {
	if utf8.ValidString(path) && !strings.Contains(path, `\`) {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); {
		r, size := utf8.DecodeRuneInString(path[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, path[i])
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteString(path[i : i+size])
		}
		i += size
	}
	return b.String()
}

// parsePathText undoes pathText.
func parsePathText(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			b.WriteByte(text[i])
		case strings.HasPrefix(text[i:], `\\`):
			b.WriteByte('\\')
			i++
		case i+4 <= len(text) && text[i+1] == 'x':
			v, err := strconv.ParseUint(text[i+2:i+4], 16, 8)
			if err != nil {
				return "", fmt.Errorf("%q is not a path: %w", text, err)
			}
			b.WriteByte(byte(v))
			i += 3
		default:
			return "", fmt.Errorf("%q is not a path: a backslash stands alone", text)
		}
	}
	return b.String(), nil
}
