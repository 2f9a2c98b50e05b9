package adventureworks

import (
	"embed"
	"strings"
)

// Files is the example's configuration, extract.yaml, and what it names: the Avro schemas of the files and the SQL of the dataset.
//
//go:embed extract.yaml schemas/*.avsc dataset/*.sql
var Files embed.FS

//go:embed queries.sql
var queriesSQL string

// Query is a statement worth trying on the dataset.
type Query struct {
	Title string
	SQL   string // without a semicolon
}

// Queries are the statements of queries.sql. They answer in well under a second and have few, narrow rows.
func Queries() []Query {
	var out []Query
	for block := range strings.SplitSeq(queriesSQL, "-- ") {
		title, sql, _ := strings.Cut(strings.TrimSpace(block), "\n")
		if sql != "" {
			out = append(out, Query{title, strings.TrimSuffix(strings.TrimSpace(sql), ";")})
		}
	}
	return out
}
