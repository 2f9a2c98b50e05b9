package clickhouse

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/consumers/sinktest"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
)

var numbered = schemas.MustParse(`{"type":"record","name":"Numbered","fields":[{"name":"text","type":"string"},{"name":"n","type":"long"}]}`)

// sinkCalls are what the sink asks its server for, by what the text of the request has in it. The first that fits is it.
var sinkCalls = []struct {
	name string
	text *regexp.Regexp
}{
	{"describe current", regexp.MustCompile(`SELECT comment FROM system\.tables WHERE .* name = '` + rowsPrefix)},
	{"describe raw", regexp.MustCompile(`SELECT comment FROM system\.tables`)},
	{"known settings", regexp.MustCompile(`SELECT name FROM system\.merge_tree_settings`)},
	{"highest of dead letters", regexp.MustCompile(`SELECT _offset FROM ` + "`?" + `raw\w*` + "`?\\.`?" + deadName + `.* LIMIT 1`)},
	{"highest of raw", regexp.MustCompile(`SELECT _offset FROM .* LIMIT 1`)},
	{"count for the audit", regexp.MustCompile(`SELECT toInt64\(\d+\), toInt64\(count\(\)\) FROM`)},
	{"count rejected for the audit", regexp.MustCompile(`SELECT toInt64\(_partition\), toInt64\(uniqExact\(_offset\)\) FROM`)},
	{"describe view", regexp.MustCompile(`SELECT table, name, type FROM system\.columns`)},
	{"look for raw", regexp.MustCompile(`SELECT toInt64\(count\(\)\) FROM system\.tables`)},
	{"held", regexp.MustCompile(`SELECT DISTINCT _offset FROM`)},
	{"look up unchanged", regexp.MustCompile(`(?s)SELECT .* FINAL WHERE \(.* IN \(SELECT .* FROM _data\)`)},
	{"create database raw", regexp.MustCompile("CREATE DATABASE IF NOT EXISTS `?raw")},
	{"create database current", regexp.MustCompile("CREATE DATABASE IF NOT EXISTS `?current")},
	{"create dead letters", regexp.MustCompile("CREATE TABLE IF NOT EXISTS `?raw\\w*`?\\.`?" + deadName)},
	{"create raw", regexp.MustCompile("CREATE TABLE IF NOT EXISTS `?raw")},
	{"create truncations", regexp.MustCompile("CREATE TABLE IF NOT EXISTS `?current\\w*`?\\.`?" + truncations)},
	{"create current", regexp.MustCompile("CREATE TABLE IF NOT EXISTS `?current")},
	{"create view", regexp.MustCompile("CREATE VIEW IF NOT EXISTS")},
	{"replace view", regexp.MustCompile("CREATE OR REPLACE VIEW")},
	{"widen raw", regexp.MustCompile("ALTER TABLE `?raw")},
	{"widen current", regexp.MustCompile("ALTER TABLE `?current")},
	{"insert dead letters", regexp.MustCompile("INSERT INTO `?raw\\w*`?\\.`?" + deadName)},
	{"insert raw", regexp.MustCompile("INSERT INTO `?raw")},
	{"insert truncation", regexp.MustCompile("INSERT INTO `?current\\w*`?\\.`?" + truncations)},
	{"insert filled", regexp.MustCompile("INSERT INTO `?current.* `?_unknown`?\\)")},
	{"insert current", regexp.MustCompile("INSERT INTO `?current")},
}

// sometimes are the calls that come when they come: an audit's, and those of a process that finds the schema as it needs it.
var sometimes = []string{"count for the audit", "count rejected for the audit", "look for raw", "describe view"}

// The client's packets of the native protocol begin with their kind, as the server's do (src/Core/Protocol.h of ClickHouse).
const (
	clientHello       = 0
	clientQuery       = 1
	serverHello       = 0
	serverException   = 2
	serverEndOfStream = 5
	// A hello has the names of program, database and user.
	shortestHello = 16
)

// callOf names the call that a packet begins. What a new connection sends after its hello may come together with the first query, so that the packet
// begins with a zero too.
func callOf(packet []byte) string {
	if packet[0] != clientHello && packet[0] != clientQuery {
		return ""
	}
	for _, c := range sinkCalls {
		if c.text.Match(packet) {
			return c.name
		}
	}
	switch {
	case packet[0] == clientQuery:
		return "query"
	case len(packet) > shortestHello:
		return "connect"
	}
	return ""
}

// doneBy tells whether a packet ends the server's answer.
func doneBy(packet []byte) bool {
	return packet[len(packet)-1] == serverEndOfStream || packet[0] == serverException || packet[0] == serverHello
}

// casesOfEach is how many cases of each call run: one, so many as SINKTEST says, or all of them.
func casesOfEach(t *testing.T) int {
	switch text := os.Getenv("SINKTEST"); text {
	case "":
		return 1
	case "all":
		return sinktest.All
	default:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("SINKTEST is %q: want all or how many cases of each call", text)
		}
		return n
	}
}

// What happens to the sink's calls at worst, and to Kafka's. SINKTEST=all runs every case of the table, SINKTEST=3 three of each call; by default one
// of each runs.
func TestConformance(t *testing.T) {
	b := newBench(t)
	h := sinktest.Harness{
		Server: embeddedtest.ClickHouse(t).Addr, Source: "sql", Call: callOf, Done: doneBy, Insert: "insert raw",
		Each: casesOfEach(t),
		Open: func(t *testing.T, addr, prefix string) (consumers.Sink, func()) {
			conf := b.conf
			conf.Addresses, conf.Prefix = []string{addr}, prefix
			conf.Raw, conf.Current, _ = basesOf(b, prefix)
			s, err := Open(t.Context(), conf, b.registry)
			if err != nil {
				t.Fatal(err)
			}
			return s, func() { s.Close() }
		},
		History: func(t *testing.T, topic string) sinktest.History { return newHistory(t, b, topic) },
		Count: func(t *testing.T, topic string) int {
			raw, _, table := basesOf(b, topic)
			n := 0
			for _, name := range []string{deadName, table} {
				rows, err := b.ints(t.Context(), "SELECT toInt64(count()) FROM "+quoteName(raw)+"."+quoteName(name)+" WHERE _topic = "+quoteText(topic))
				if err == nil { // it may not be there yet
					n += int(rows[0])
				}
			}
			return n
		},
		Rows: func(t *testing.T, topic string) []sinktest.Row {
			raw, _, table := basesOf(b, topic)
			rows, err := b.texts(t.Context(), fmt.Sprintf("SELECT toString(_partition), toString(_offset), raw FROM %s.%s WHERE _topic = %s UNION ALL SELECT toString(_partition), toString(_offset), %s FROM %s.%s",
				quoteName(raw), deadName, quoteText(topic), changeText, quoteName(raw), quoteName(table)), 3)
			if err != nil {
				t.Fatal(err)
			}
			var all []sinktest.Row
			for _, r := range rows {
				p, _ := strconv.Atoi(r[0])
				o, _ := strconv.ParseInt(r[1], 10, 64)
				all = append(all, sinktest.Row{Partition: int32(p), Offset: o, Text: r[2]})
			}
			return all
		},
	}
	if testing.Short() || embeddedtest.KafkaShared() { // whose groups take their time
		h.Thin = 4
	}
	for _, c := range sinkCalls {
		if !slices.Contains(sometimes, c.name) {
			h.Calls = append(h.Calls, c.name)
		}
	}
	sinktest.Run(t, h)
}
