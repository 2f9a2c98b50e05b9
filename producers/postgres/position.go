package postgres

import (
	"fmt"
	"net/url"
	"slices"
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

// TablePosition says how much of a table was copied, and at which LSN: changes whose commit lies before it are part of the copy. A table that was copied
// in one transaction has no ranges.
type TablePosition struct {
	Generation int64
	LSN        LSN    // of the last snapshot that was read
	OID        uint32 // of the table: one made again under the same name is another
	// Key names the columns by which ranges are cut, Shape is what the table was when the first range was read (tableKey.shape), and Ranges are what
	// was copied, from the lowest key on. Ranges that follow each other and were read under one snapshot are one.
	Key    []string
	Shape  string
	Ranges []CopiedRange
}

// CopiedRange is the rows whose keys lie from the end of the range before to To, as the snapshot of one LSN shows them.
type CopiedRange struct {
	LSN LSN
	To  []string // the values of the key's columns, the row itself not included; nil for the end of the table
}

// complete tells whether the whole table is copied.
func (p TablePosition) complete() bool {
	return p.LSN != 0 && (len(p.Ranges) == 0 || p.Ranges[len(p.Ranges)-1].To == nil)
}

// with adds a range that ends at to.
func (p TablePosition) with(lsn LSN, to []string) TablePosition {
	p.LSN = lsn
	p.Ranges = slices.Clone(p.Ranges)
	if n := len(p.Ranges); n > 0 && p.Ranges[n-1].LSN == lsn {
		p.Ranges = p.Ranges[:n-1]
	}
	p.Ranges = append(p.Ranges, CopiedRange{LSN: lsn, To: to})
	return p
}

// String is the form in which the position is kept.
func (p TablePosition) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "generation=%d lsn=%s oid=%d", p.Generation, p.LSN, p.OID)
	if len(p.Ranges) > 0 {
		fmt.Fprintf(&b, " shape=%s key=%s", p.Shape, joinValues(p.Key))
	}
	for _, r := range p.Ranges {
		fmt.Fprintf(&b, " range=%s", r.LSN)
		if r.To != nil {
			b.WriteString(":" + joinValues(r.To))
		}
	}
	return b.String()
}

// ParseTablePosition undoes String.
func ParseTablePosition(s string) (TablePosition, error) {
	var p TablePosition
	err := parseFields(s, map[string]func(string) error{
		"generation": func(v string) (err error) { p.Generation, err = strconv.ParseInt(v, 10, 64); return },
		"lsn":        func(v string) (err error) { p.LSN, err = pglogrepl.ParseLSN(v); return },
		"oid":        func(v string) error { n, err := strconv.ParseUint(v, 10, 32); p.OID = uint32(n); return err },
		"shape":      func(v string) error { p.Shape = v; return nil },
		"key":        func(v string) (err error) { p.Key, err = splitValues(v); return },
		"range": func(v string) (err error) {
			var r CopiedRange
			lsn, to, more := strings.Cut(v, ":")
			if r.LSN, err = pglogrepl.ParseLSN(lsn); err == nil && more {
				r.To, err = splitValues(to)
			}
			p.Ranges = append(p.Ranges, r)
			return err
		},
	})
	if err == nil && p.LSN == 0 {
		err = fmt.Errorf("lsn is missing")
	}
	for i, r := range p.Ranges {
		if err == nil && (r.To == nil && i < len(p.Ranges)-1 || r.To != nil && len(r.To) != len(p.Key)) {
			err = fmt.Errorf("range %d does not end where a range of this key does", i+1)
		}
	}
	if err != nil {
		return TablePosition{}, fmt.Errorf("parse table position %q: %w", s, err)
	}
	return p, nil
}

// joinValues writes values without blanks, commas and colons in them, commas between.
func joinValues(values []string) string {
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = url.QueryEscape(v)
	}
	return strings.Join(escaped, ",")
}

func splitValues(s string) ([]string, error) {
	values := strings.Split(s, ",")
	for i, v := range values {
		var err error
		if values[i], err = url.QueryUnescape(v); err != nil {
			return nil, err
		}
	}
	return values, nil
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
