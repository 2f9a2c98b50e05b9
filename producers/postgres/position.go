package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
)

// LSN is a place in the write-ahead log, written X/Y. The zero value is none.
type LSN = pglogrepl.LSN

// StreamPart is the part of the source's positions that says how far the stream of changes has got. The parts of the tables are TablePart
// followed by the dataset's name.
const (
	StreamPart = "stream"
	TablePart  = "table:"
)

// StreamPosition is how far the stream of changes has got, and in which slot of which server. Only the end of a commit is a place to resume from: several rows
// share an LSN, and transactions interleave.
type StreamPosition struct {
	System     string // the cluster's system identifier
	Timeline   int32
	Slot       string
	Point      LSN   // the slot's first consistent point
	Generation int64 // rises whenever the slot or the server is another than before
	LSN        LSN   // everything whose commit ends here or before is produced
	Commit     LSN   // final LSN of a transaction that was cut, 0 for none
	Rows       int64 // changes of that transaction that are produced
}

// String is the form in which the position is kept.
func (p StreamPosition) String() string {
	s := fmt.Sprintf("system=%s timeline=%d slot=%s point=%s generation=%d lsn=%s", p.System, p.Timeline, p.Slot, p.Point, p.Generation, p.LSN)
	if p.Commit != 0 {
		s += fmt.Sprintf(" commit=%s rows=%d", p.Commit, p.Rows)
	}
	return s
}

// ParseStreamPosition undoes String.
func ParseStreamPosition(s string) (StreamPosition, error) {
	var p StreamPosition
	err := parseFields(s, map[string]func(string) error{
		"system":     func(v string) error { p.System = v; return nil },
		"timeline":   func(v string) error { n, err := strconv.ParseInt(v, 10, 32); p.Timeline = int32(n); return err },
		"slot":       func(v string) error { p.Slot = v; return nil },
		"point":      func(v string) (err error) { p.Point, err = pglogrepl.ParseLSN(v); return },
		"generation": func(v string) (err error) { p.Generation, err = strconv.ParseInt(v, 10, 64); return },
		"lsn":        func(v string) (err error) { p.LSN, err = pglogrepl.ParseLSN(v); return },
		"commit":     func(v string) (err error) { p.Commit, err = pglogrepl.ParseLSN(v); return },
		"rows":       func(v string) (err error) { p.Rows, err = strconv.ParseInt(v, 10, 64); return },
	})
	if err == nil && (p.LSN == 0 || p.Generation == 0) {
		err = fmt.Errorf("lsn or generation is missing")
	}
	if err != nil {
		return StreamPosition{}, fmt.Errorf("parse stream position %q: %w", s, err)
	}
	return p, nil
}

// TablePosition says that a table was copied, and at which LSN: changes whose commit lies before it are part of the copy.
type TablePosition struct {
	Generation int64
	LSN        LSN
	OID        uint32 // of the table: one made again under the same name is another
}

// String is the form in which the position is kept.
func (p TablePosition) String() string {
	return fmt.Sprintf("generation=%d lsn=%s oid=%d", p.Generation, p.LSN, p.OID)
}

// ParseTablePosition undoes String.
func ParseTablePosition(s string) (TablePosition, error) {
	var p TablePosition
	err := parseFields(s, map[string]func(string) error{
		"generation": func(v string) (err error) { p.Generation, err = strconv.ParseInt(v, 10, 64); return },
		"lsn":        func(v string) (err error) { p.LSN, err = pglogrepl.ParseLSN(v); return },
		"oid":        func(v string) error { n, err := strconv.ParseUint(v, 10, 32); p.OID = uint32(n); return err },
	})
	if err == nil && p.LSN == 0 {
		err = fmt.Errorf("lsn is missing")
	}
	if err != nil {
		return TablePosition{}, fmt.Errorf("parse table position %q: %w", s, err)
	}
	return p, nil
}

// parseFields reads blank-separated key=value pairs. A key it does not know is an error: a newer version wrote it and meant something.
func parseFields(s string, fields map[string]func(string) error) error {
	for _, pair := range strings.Fields(s) {
		key, value, ok := strings.Cut(pair, "=")
		set := fields[key]
		if !ok || set == nil {
			return fmt.Errorf("%q is not known", pair)
		}
		if err := set(value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
