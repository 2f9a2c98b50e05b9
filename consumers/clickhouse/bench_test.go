package clickhouse

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

// eight is a record of eight fields, 188 bytes of Avro.
var eight = schemas.MustParse(`{"type":"record","name":"Eight","fields":[{"name":"id","type":"long"},{"name":"product","type":"string"},{"name":"quantity","type":"int"},
	{"name":"price","type":"double"},{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"channel","type":["null","string"],"default":null},
	{"name":"note","type":"string"},{"name":"paid","type":"boolean"}]}`)

func eightPayload(i int) []byte {
	p := schemas.AppendString(schemas.AppendLong(nil, int64(i)), fmt.Sprintf("BK-%06d-RED-52", i%9999))
	p = schemas.AppendDouble(schemas.AppendLong(p, int64(i%7)), float64(i)*1.25)
	p = schemas.AppendString(schemas.AppendBranch(schemas.AppendLong(p, 1_700_000_000_000_000+int64(i)), 1), "web")
	p = schemas.AppendString(p, "a note about this order line that is as long as such notes are, so that a row has one hundred and eighty-eight bytes in all, more or less, yes")
	return schemas.AppendBoolean(p, i%2 == 0)
}

// cpu is the processor time of this process, which the server's child is not part of.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reports rows per second of processor time.
func measure(b *testing.B, rows int, f func()) {
	runtime.GC()
	began := cpu()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(rows)*float64(b.N)/(cpu()-began).Seconds()/1e6, "Mrows/cpu-s")
}

const benchRows = 50_000

func BenchmarkAvroToColumns(b *testing.B) {
	l, err := newLayout(eight)
	if err != nil {
		b.Fatal(err)
	}
	dec, err := schemas.NewDecoder(eight, eight)
	if err != nil {
		b.Fatal(err)
	}
	var payloads [][]byte
	for i := range benchRows {
		payloads = append(payloads, eightPayload(i))
	}
	b.Run("compiled", func(b *testing.B) {
		var buf proto.Buffer
		measure(b, benchRows, func() {
			cols := schemas.NewColumns(eight)
			for _, p := range payloads {
				if err := dec.Decode(p, cols); err != nil {
					b.Fatal(err)
				}
			}
			buf.Reset()
			for _, c := range l.columns {
				input{c, cols, rows{hi: benchRows}}.EncodeColumn(&buf)
			}
		})
	})
	b.Run("goavro-to-maps", func(b *testing.B) {
		codec, err := goavro.NewCodec(eight.String())
		if err != nil {
			b.Fatal(err)
		}
		measure(b, benchRows, func() {
			for _, p := range payloads {
				if _, _, err := codec.NativeFromBinary(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkAvroToClickHouse(b *testing.B) {
	s := newBench(b)
	id := s.id("eight", eight)
	b.Run("compiled", func(b *testing.B) {
		topic := "aw.files.eight"
		var recs []*kgo.Record
		for i := range benchRows {
			recs = append(recs, s.records(topic, id, eightPayload(i))...)
		}
		next := int64(0)
		measure(b, benchRows, func() {
			for i, r := range recs {
				r.Offset = next + int64(i)
			}
			next += benchRows
			if _, err := s.Write(b.Context(), s.batch(recs...)); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("compiled-and-batch-of-slices", func(b *testing.B) { batchOfSlices(b, s) })
	b.Run("goavro-and-append-any", func(b *testing.B) { appendAny(b, s) })
}

// batchOfSlices is the same decoding, and clickhouse-go's PrepareBatch with a slice of each column, for the types that have one. A column that
// may be null takes a slice of pointers, a string a slice of strings.
func batchOfSlices(b *testing.B, s *bench) {
	topic := "aw.files.slices"
	id := s.id("slices", eight)
	recs := s.records(topic, id, eightPayload(0))
	s.write(s.batch(recs...)) // makes the table
	dec, err := schemas.NewDecoder(eight, eight)
	if err != nil {
		b.Fatal(err)
	}
	recs = nil
	for i := range benchRows {
		recs = append(recs, s.records(topic, id, eightPayload(i))...)
	}
	next := int64(1)
	cols := schemas.NewColumns(eight)
	names := "`_partition`, `_offset`, `_timestamp`, `_schema_id`, `_key`, id, product, quantity, price, at, channel, note, paid"
	measure(b, benchRows, func() {
		cols.Reset()
		partitions, offsets, times := make([]int32, benchRows), make([]int64, benchRows), make([]time.Time, benchRows)
		ids, keys, at := make([]int32, benchRows), make([]*string, benchRows), make([]time.Time, benchRows)
		for i, r := range recs {
			if err := dec.Decode(r.Value[schemas.FrameSize:], cols); err != nil {
				b.Fatal(err)
			}
			offsets[i], times[i], ids[i] = next+int64(i), r.Timestamp, int32(id)
			at[i] = time.UnixMicro(cols.Field("at").Int64[i])
		}
		ctx := clickhouse.Context(b.Context(), clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0,
			"insert_deduplication_token": fmt.Sprint(topic, next)}))
		next += benchRows
		batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+quoteName(s.conf.Raw)+".files_slices ("+names+")")
		if err != nil {
			b.Fatal(err)
		}
		for i, v := range []any{partitions, offsets, times, ids, keys, cols.Field("id").Int64, textsOf(cols.Field("product")), cols.Field("quantity").Int32,
			cols.Field("price").Float64, at, optionalTexts(cols.Field("channel")), textsOf(cols.Field("note")), cols.Field("paid").Bool} {
			if err := batch.Column(i).Append(v); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	})
}

// textsOf are the strings of a column, in the column's memory.
func textsOf(c *schemas.Column) []string {
	all := make([]string, c.Len())
	for i := range all {
		if v := c.Bytes(i); len(v) > 0 {
			all[i] = unsafe.String(&v[0], len(v))
		}
	}
	return all
}

func optionalTexts(c *schemas.Column) []*string {
	values, all := textsOf(c), make([]*string, c.Len())
	for i := range all {
		if !c.IsNull(i) {
			all[i] = &values[i]
		}
	}
	return all
}

// appendAny is what most Go sinks do: a map a record, and clickhouse-go's Append of any.
func appendAny(b *testing.B, s *bench) {
	codec, err := goavro.NewCodec(eight.String())
	if err != nil {
		b.Fatal(err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: s.conf.Addresses})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if err := s.exec(b.Context(), "CREATE TABLE IF NOT EXISTS "+quoteName(s.conf.Raw)+".plain (id Int64, product String, quantity Int32, price Float64, at DateTime64(6, 'UTC'), "+
		"channel Nullable(String), note String, paid Bool) ENGINE = MergeTree ORDER BY id"); err != nil {
		b.Fatal(err)
	}
	var payloads [][]byte
	for i := range benchRows {
		payloads = append(payloads, eightPayload(i))
	}
	measure(b, benchRows, func() {
		batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO "+quoteName(s.conf.Raw)+".plain")
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range payloads {
			native, _, err := codec.NativeFromBinary(p)
			if err != nil {
				b.Fatal(err)
			}
			m := native.(map[string]any)
			var channel any
			if u, ok := m["channel"].(map[string]any); ok {
				channel = u["string"]
			}
			if err := batch.Append(m["id"], m["product"], m["quantity"], m["price"], m["at"], channel, m["note"], m["paid"]); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkVisible measures, at rest, the time from a record's acknowledgement by Kafka until a query sees its row.
func BenchmarkVisible(b *testing.B) {
	f := newFlow(newBench(b))
	topic := f.topic("visible", 4)
	f.run(nil)
	f.produce(topic, 0, 1)
	f.arrive(topic, 1)
	n := 1
	for b.Loop() {
		f.produce(topic, n, 1)
		n++
		for f.counts(topic)[0] < int64(n) {
			runtime.Gosched()
		}
	}
}
