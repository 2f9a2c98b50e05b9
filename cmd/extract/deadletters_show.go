package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

func (a *app) showLetterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show everything about one dead letter",
		Long: `Show prints where the row comes from, why it is not stored, what has been tried, what a retry can do, and its bytes: as text where they are
text, else as a dump. --raw writes the bytes alone, to look at them with other tools, or to correct them for retry --bytes-from.`,
		Example: "  extract deadletters show 3f2a91\n  extract deadletters show 3f2a91 --raw > row.csv",
		Args:    oneLetter,
	}
	raw := cmd.Flags().Bool("raw", false, "write the bytes to standard output, and nothing else")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := a.openLetters(cmd.Context())
		if err != nil {
			return err
		}
		defer l.close()
		x, err := l.one(cmd.Context(), args[0], true)
		if err != nil {
			return err
		}
		if *raw {
			_, err = a.stdout.Write(x.Raw)
			return err
		}
		return l.show(a.stdout, x)
	}
	return cmd
}

// oneLetter wants one id.
func oneLetter(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("name one dead letter by its id; see %s --help", cmd.CommandPath())}
	}
	return nil
}

// show prints a letter for people.
func (l *letters) show(w io.Writer, x letter) error {
	var b strings.Builder
	field := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	field("id", "%s", x.ID)
	field("state", "%s", x.stateText())
	field("kind", "%s", x.kind())
	field("source", "%s", x.Source)
	field("dataset", "%s", x.Dataset)
	field("place", "%s", x.Place)
	field("record", "topic %s, partition %d, offset %d, of %s", x.Topic, x.Partition, x.Offset, x.Timestamp.UTC().Format(time.RFC3339Nano))
	field("class", "%s", x.Class)
	field("reason", "%s", x.Reason)
	if x.closing.Reason != "" {
		field("last try", "%s, by %s: %s", x.closing.At.UTC().Format(time.RFC3339), x.closing.By, x.closing.Reason)
	}
	field("rejected", "%s", x.At.UTC().Format(time.RFC3339Nano))
	field("bytes", "%s of %s kept, SHA-256 %x", thousands(x.Kept), thousands(x.Size), x.SHA256)
	if !x.Unproduced {
		field("schema id", "%s", schemaIDText(x.Raw))
		if x.Key != nil {
			field("key", "%s", textOrHex(x.Key))
		}
	}
	if x.Context != "" {
		field("context", "%s", x.Context)
	}
	if x.state() == producers.LetterOpen {
		field("repair", "%s", l.advice(x))
	}
	b.WriteString("\n" + dump(x.Raw))
	_, err := io.WriteString(w, b.String())
	return err
}

// stateText is the state, with who closed the letter and why.
func (l letter) stateText() string {
	s := string(l.state())
	if l.state() == producers.LetterOpen {
		if l.closing.Tries > 0 {
			s += fmt.Sprintf(", tried %d times", l.closing.Tries)
		}
		return s
	}
	if l.closing.State == producers.LetterOpen || l.closing.State == "" {
		return s + ": the topic's table holds the record"
	}
	s += " by " + l.closing.By + " at " + l.closing.At.UTC().Format(time.RFC3339)
	if l.closing.Corrected {
		s += ", with corrected bytes"
	}
	if l.closing.Why != "" {
		s += ": " + l.closing.Why
	}
	return s
}

// advice says what a retry can do about a letter and what else there is to do.
func (l *letters) advice(x letter) string {
	const discard = "; or discard it"
	kind := ""
	for _, s := range l.c.Sources {
		if s.Name == x.Source {
			kind = s.kind()
		}
	}
	switch {
	case !x.Unproduced && x.Topic == x.prefixed(l.c.Prefix):
		return "see who else writes to the dead letters' topic" + discard
	case !x.Unproduced:
		return "make ClickHouse take the record (bring the schema back to the registry, drop the constraint), then retry; a value that ClickHouse has no room for has to be changed at its source" + discard
	case kind == "":
		return "its source is no longer in the configuration" + discard
	case kind == "postgres":
		return "change the row in Postgres: the change comes by itself; or list the column under postgres.as_text and copy the table again; then discard this one"
	case kind == "lake":
		return "write the object anew: a new version of it is read by itself, with all its rows; then discard this one"
	case x.Context == "":
		return "repair the file or the configuration and drop the file again: the same content goes on where it stopped, another one is read from its start; then discard this one"
	case x.Kept < x.Size:
		return "the bytes are not all here: mend the schema file, and retry with the whole row by --bytes-from" + discard
	}
	return "mend the schema file or the configuration and retry, or retry with corrected bytes (show --raw > FILE, retry --bytes-from FILE)" + discard
}

// prefixed is the dead letters' own topic.
func (l letter) prefixed(prefix string) string { return producers.DeadLetterTopic(prefix) }

func schemaIDText(raw []byte) string {
	id, _, err := schemas.ParseFrame(raw)
	if err != nil {
		return "none: " + err.Error()
	}
	return fmt.Sprint(id)
}

// textOrHex shows bytes on one line.
func textOrHex(b []byte) string {
	if isText(b) {
		return fmt.Sprintf("%q", b)
	}
	return hex.EncodeToString(b)
}

// isText tells whether bytes are UTF-8 that a terminal can show.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	return !strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f })
}

// dumped is how many bytes are shown of a large row.
const dumped = 4 << 10

func dump(b []byte) string {
	rest := ""
	if len(b) > dumped {
		rest = fmt.Sprintf("… and %s more bytes: --raw writes all\n", thousands(int64(len(b)-dumped)))
		b = b[:dumped]
		for k := 0; k < utf8.UTFMax && len(rest) > 0 && !utf8.Valid(b[len(b)-k:]); k++ {
			if utf8.Valid(b[:len(b)-k]) {
				b = b[:len(b)-k]
				break
			}
		}
	}
	if len(b) == 0 {
		return "(no bytes)\n"
	}
	if !isText(b) {
		return hex.Dump(b) + rest
	}
	text := string(b)
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + rest
}
