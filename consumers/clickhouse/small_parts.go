package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go"
)

// smallParts are settings of a MergeTree that make parts of a few rows cheaper to write and to merge: while rows trickle in, every insert makes such
// a part of each table, and the processor time of that is what bounds how soon rows can be queried. docs/latency.md has the measurements.
// What they give up matters to large parts alone and little there. A server that does not know one goes without it.
var smallParts = []struct{ name, value string }{
	{"min_parts_to_merge_at_once", "10"},                 // a small part is merged once or twice, not five times
	{"auto_statistics_types", "''"},                      // no statistics, which only the order of joins would use
	{"write_marks_for_substreams_in_compact_parts", "0"}, // marks of columns, not of each stream of a column
}

// tableSettings are the settings of a table for rows that come a few at a time, as its definition has them, the given ones before the others.
func (s *Sink) tableSettings(ctx context.Context, settings ...string) (string, error) {
	var names []string
	for _, p := range smallParts {
		names = append(names, quoteText(p.name))
	}
	known, err := s.texts(ctx, "SELECT name FROM system.merge_tree_settings WHERE name IN ("+strings.Join(names, ", ")+")", 1)
	if err != nil {
		return "", classify(fmt.Errorf("ask for the settings that the server knows: %w", err))
	}
	has := map[string]bool{}
	for _, row := range known {
		has[row[0]] = true
	}
	for _, p := range smallParts {
		if has[p.name] {
			settings = append(settings, p.name+" = "+p.value)
		}
	}
	if len(settings) == 0 {
		return "", nil
	}
	return " SETTINGS " + strings.Join(settings, ", "), nil
}

// insertSettings are the settings of an insert of one block. A token makes the server drop the block when the table had it before; without one no block
// is dropped, whatever the table remembers. One thread does all of it, since handing a few rows from thread to thread costs more than what the threads
// do, and a large block is a part that one thread writes anyway.
func insertSettings(token string) []ch.Setting {
	settings := []ch.Setting{
		{Key: "async_insert", Value: "0", Important: true},
		{Key: "max_threads", Value: "1"},
	}
	// The second overrules the first where the server knows it, and is on by default there; an older server passes over it, since it is not important.
	if token == "" {
		return append(settings, ch.Setting{Key: "insert_deduplicate", Value: "0", Important: true}, ch.Setting{Key: "deduplicate_insert", Value: "disable"})
	}
	return append(settings, ch.Setting{Key: "insert_deduplicate", Value: "1", Important: true}, ch.Setting{Key: "deduplicate_insert", Value: "enable"},
		ch.Setting{Key: "insert_deduplication_token", Value: token, Important: true})
}
