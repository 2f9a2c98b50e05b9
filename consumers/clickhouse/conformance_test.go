package clickhouse

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/consumers/sinktest"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
)

var numbered = schemas.MustParse(`{"type":"record","name":"Numbered","fields":[{"name":"text","type":"string"},{"name":"n","type":"long"}]}`)

// The suite has 300 cases, some five minutes long on two cores. One in seven runs by default, and all of them with SINKTEST=all.
func TestConformance(t *testing.T) {
	b := newBench(t)
	every := 7
	switch {
	case os.Getenv("SINKTEST") == "all":
		every = 1
	case testing.Short():
		every = 29
	}
	id := b.id("conformance", numbered)
	h := sinktest.Harness{
		Server: embeddedtest.ClickHouse(t).Addr, Source: "files", Every: every,
		Open: func(t *testing.T, addr, prefix string) (consumers.Sink, func()) {
			conf := b.conf
			conf.Addresses, conf.Prefix = []string{addr}, prefix
			s, err := Open(t.Context(), conf, b.registry)
			if err != nil {
				t.Fatal(err)
			}
			return s, func() { s.Close() }
		},
		Value: func(_ *testing.T, topic string, n int) ([]byte, string) {
			text := topic + " " + strconv.Itoa(n)
			v := schemas.AppendString(schemas.AppendFrame(nil, id), text)
			if n%40 == 7 { // a record that cannot be decoded goes to the dead letters
				return v, string(v)
			}
			return schemas.AppendLong(v, int64(n)), text
		},
		Rows: func(t *testing.T, topic string) []sinktest.Row {
			sql := "SELECT toString(_partition), toString(_offset), raw FROM " + b.dead.fullName() + " WHERE _topic = " + quoteText(topic)
			prefix, _, _ := strings.Cut(topic, ".")
			name := schemas.Table(prefix, topic)
			there, err := b.ints(t.Context(), "SELECT toInt64(count()) FROM system.tables WHERE name = "+quoteText(name)+" AND database = "+quoteText(b.conf.Raw))
			if err != nil {
				t.Fatal(err)
			}
			if there[0] > 0 {
				sql += " UNION ALL SELECT toString(_partition), toString(_offset), text FROM " + quoteName(b.conf.Raw) + "." + quoteName(name)
			}
			rows, err := b.texts(t.Context(), sql, 3)
			if err != nil {
				return nil // the dead letters' table is made by the first process
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
	t.Run("suite", func(t *testing.T) { sinktest.Run(t, h) })
}
