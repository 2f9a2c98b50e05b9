package clickhouse

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The tables of rows that trickle in are made for small parts, as far as the server knows how.
func TestTablesAreMadeForSmallParts(t *testing.T) {
	b := newBench(t)
	c := newChangeTopic(b, "aw.sql.shop.item")
	b.write(b.batch(c.change("c", 1, 0, nil, &image{1, "a", nil})))
	for _, table := range []string{b.conf.Raw + ".sql_shop_item", b.conf.Current + "._rows_sql_shop_item"} {
		database, name, _ := strings.Cut(table, ".")
		text := b.one("SELECT create_table_query FROM system.tables WHERE database = '%s' AND name = '%s'", database, name)
		for _, p := range smallParts {
			known := b.one("SELECT toString(count()) FROM system.merge_tree_settings WHERE name = '%s'", p.name) == "1"
			if strings.Contains(text, p.name+" = "+p.value) != known {
				t.Errorf("the server knows %s: %v, but %s is made by\n%s", p.name, known, table, text)
			}
		}
		if raw := database == b.conf.Raw; strings.Contains(text, dedupWindow) != raw {
			t.Errorf("that %s has a window of tokens is to be %v:\n%s", table, raw, text)
		}
	}
}

// Topics arrive as they are, in a column of one topic and of several.
func TestTopicsOfRecords(t *testing.T) {
	b := newBench(t)
	if err := b.exec(t.Context(), "CREATE DATABASE IF NOT EXISTS "+b.conf.Raw); err != nil {
		t.Fatal(err)
	}
	if err := b.exec(t.Context(), "CREATE TABLE "+b.conf.Raw+".t (n Int64, t LowCardinality(String)) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	var recs []*kgo.Record
	for i := range 1000 {
		recs = append(recs, &kgo.Record{Topic: fmt.Sprint("one.", max(0, i-300)/3)})
	}
	var want []string
	for _, part := range [][]*kgo.Record{recs[:1], recs[:300], recs[300:]} {
		var n proto.ColInt64
		for range part {
			n = append(n, int64(len(want)))
			want = append(want, part[len(n)-1].Topic)
		}
		err := b.pool.do(t.Context(), ch.Query{Body: "INSERT INTO " + b.conf.Raw + ".t (n, t) VALUES", Settings: insertSettings(""),
			Input: proto.Input{{Name: "n", Data: n}, {Name: "t", Data: topics(part)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, row := range b.query(1, "SELECT t FROM %s.t ORDER BY n", b.conf.Raw) {
		got = append(got, row[0])
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d topics arrived, %d were sent, or others", len(got), len(want))
	}
}
