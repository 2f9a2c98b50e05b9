package clickhouse

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"adventureworks.example/extract/schemas"
)

// The names of a table's other generations. A tilde is in no topic's name, so none of them is the table of another topic.
//
//	files_reviews                      what people query
//	files_reviews~new~<owner>          the next generation, being built by the replay <owner>
//	files_reviews~aside~<owner>        the same after the replay's fence was lifted by a writer
//	files_reviews~<generation>         an older generation, kept until it is dropped
//
// An exchange leaves the older generation under the name of the newer one, so what a table is tells the generation in its comment, and the
// name only who may touch it.
const (
	newMark   = "~new~"
	asideMark = "~aside~"
)

// Generation is a table beside the one that people query: kept by a replay that is done, or left by one that was killed.
type Generation struct {
	Topic      string `json:"topic"`
	Database   string `json:"database"`
	Table      string `json:"table"`
	Generation int    `json:"generation"`
	Building   bool   `json:"building"` // by a replay that runs or was killed; the others are old
	Rows       int64  `json:"rows"`
	Bytes      int64  `json:"bytes"` // on disk

	meta meta
}

// aside tells whether the table was taken from the replay that made it.
func (g Generation) aside() bool { return strings.Contains(g.Table, asideMark) }

func (g Generation) asideName() string { return strings.Replace(g.Table, newMark, asideMark, 1) }

// base is the name of the table that people query.
func (g Generation) base() string {
	base, _, _ := strings.Cut(g.Table, "~")
	return base
}

// generations are the tables of one topic: those in use, and the others.
type generations struct {
	name    string // of the raw table
	raw     *meta  // in use; nil where the table is missing
	current *meta  // of the current rows in use; nil where there are none
	others  []Generation
}

// newest is the highest generation in use.
func (g *generations) newest() int {
	n := 0
	for _, m := range []*meta{g.raw, g.current} {
		if m != nil {
			n = max(n, m.Generation)
		}
	}
	return n
}

// building are the tables that a replay has not exchanged.
func (g *generations) building() []Generation {
	return slices.DeleteFunc(slices.Clone(g.others), func(o Generation) bool { return !o.Building })
}

// generations lists the tables of a topic.
func (s *Sink) generations(ctx context.Context, topic string) (*generations, error) {
	g := &generations{name: schemas.Table(s.conf.Prefix, topic)}
	names := map[string]string{s.conf.Raw: g.name, s.conf.Current: rowsPrefix + g.name}
	var where []string
	for _, db := range sorted([]string{s.conf.Raw, s.conf.Current}) {
		where = append(where, "(database = "+quoteText(db)+" AND (name = "+quoteText(names[db])+" OR startsWith(name, "+quoteText(names[db]+"~")+")))")
	}
	rows, err := s.texts(ctx, "SELECT database, name, comment, toString(ifNull(total_rows, 0)), toString(ifNull(total_bytes, 0)) FROM system.tables WHERE "+
		strings.Join(where, " OR ")+" ORDER BY database, name", 5)
	if err != nil {
		return nil, classify(fmt.Errorf("list the generations of topic %s: %w", topic, err))
	}
	for _, r := range rows {
		o := Generation{Topic: topic, Database: r[0], Table: r[1]}
		if err := json.Unmarshal([]byte(r[2]), &o.meta); err != nil || o.meta.Topic != topic {
			continue // not a table of this program's
		}
		o.Generation = o.meta.Generation
		fmt.Sscan(r[3], &o.Rows)
		fmt.Sscan(r[4], &o.Bytes)
		switch {
		case o.Table != names[o.Database]:
			g.others = append(g.others, o)
		case o.Database == s.conf.Raw:
			g.raw = &o.meta
		default:
			g.current = &o.meta
		}
	}
	for i := range g.others {
		o := &g.others[i]
		inUse := g.raw
		if o.Database == s.conf.Current {
			inUse = g.current
		}
		o.Building = strings.Contains(o.Table, newMark) || o.aside()
		o.Building = o.Building && (inUse == nil || o.Generation > inUse.Generation)
	}
	return g, nil
}

// Generations lists the older generations of a topic's tables, and what a replay that did not come to its end has left.
func (s *Sink) Generations(ctx context.Context, topic string) ([]Generation, error) {
	g, err := s.generations(ctx, topic)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(g.others, func(a, b Generation) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(b.Database, a.Database))
	})
	return g.others, nil
}

// DropOld drops the older generations of a topic's tables, and tells which. What is being built is left alone.
func (s *Sink) DropOld(ctx context.Context, topic string) ([]Generation, error) {
	all, err := s.Generations(ctx, topic)
	if err != nil {
		return nil, err
	}
	var dropped []Generation
	for _, o := range all {
		if o.Building {
			continue
		}
		if err := s.dropTable(ctx, o.Database, o.Table); err != nil {
			return dropped, err
		}
		dropped = append(dropped, o)
	}
	return dropped, nil
}

// maxDrop lets a table of any size be dropped: the server asks for a confirmation above 50 GB, and the command is that.
const maxDrop = " SETTINGS max_table_size_to_drop = 0"

func (s *Sink) dropTable(ctx context.Context, database, table string) error {
	name := quoteName(database) + "." + quoteName(table)
	if err := s.exec(ctx, "DROP TABLE IF EXISTS "+name+" SYNC"+maxDrop); err != nil {
		return fmt.Errorf("drop table %s: %w", name, err)
	}
	return nil
}

func (s *Sink) rename(ctx context.Context, database, from, to string) error {
	db := quoteName(database)
	return s.exec(ctx, "RENAME TABLE "+db+"."+quoteName(from)+" TO "+db+"."+quoteName(to))
}
