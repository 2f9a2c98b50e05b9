package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/linkedin/goavro/v2"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// sink is a producers.Target without a Kafka behind it.
type sink struct{}

func (sink) Dataset(_ context.Context, dataset string, key, _ *schemas.Schema) (producers.Dataset, error) {
	d := producers.Dataset{Topic: "aw.sql." + dataset, ValueID: 2}
	if key != nil {
		d.KeyID = 1
	}
	return d, nil
}
func (sink) DeadLetter(d producers.DeadLetter) *kgo.Record { return &kgo.Record{Value: d.Raw} }
func (sink) MaxRecordBytes() int                           { return 16 << 20 }

// benchRow is a table of eight columns and one of its rows, as COPY writes it.
func benchRow(b *testing.B) (*rowPlan, []byte) {
	s := &Source{domains: map[uint32]pgType{}}
	raw := []rawColumn{{"id", oidInt8, -1, true}, {"name", 25, -1, false}, {"price", oidNumeric, 10<<16 | 2 + 4, false}, {"at", oidTimestamptz, -1, false},
		{"day", oidDate, -1, false}, {"ok", oidBool, -1, false}, {"weight", oidFloat8, -1, false}, {"note", 25, -1, false}}
	columns, whole, err := s.resolveColumns(context.Background(), "public", "bench", 'd', raw, nil)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := compilePlan("public.bench", columns, whole)
	if err != nil {
		b.Fatal(err)
	}
	return plan, []byte("123456789\tMountain-200 Black, 42\t2294.99\t2016-11-04 11:51:30.123456+00\t2016-11-04\tt\t12.75\t" + fmt.Sprintf("%0100d", 7))
}

func BenchmarkRowToAvro(b *testing.B) {
	plan, text := benchRow(b)
	b.Run("plan", func(b *testing.B) {
		var row tuple
		var out, line []byte
		b.ReportAllocs()
		for b.Loop() {
			line = append(line[:0], text...)
			if err := row.parseCopyLine(line, len(plan.columns)); err != nil {
				b.Fatal(err)
			}
			var err error
			if out, err = plan.appendRow(out[:0], &row); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("goavro", func(b *testing.B) {
		codec, err := goavro.NewCodec(plan.rowSchema.String())
		if err != nil {
			b.Fatal(err)
		}
		var row tuple
		if err := row.parseCopyLine(append([]byte(nil), text...), len(plan.columns)); err != nil {
			b.Fatal(err)
		}
		avro, err := plan.appendRow(nil, &row)
		if err != nil {
			b.Fatal(err)
		}
		native, _, err := codec.NativeFromBinary(avro)
		if err != nil {
			b.Fatal(err)
		}
		var out []byte
		b.ReportAllocs()
		for b.Loop() {
			if out, err = codec.BinaryFromNative(out[:0], native); err != nil {
				b.Fatal(err)
			}
		}
		if string(out) != string(avro) {
			b.Fatal("goavro writes other bytes")
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

const benchRows = 1_000_000

// BenchmarkCopy and BenchmarkStream read a table of narrow rows up to the batches, without Kafka, beside what only discards what the server sends.
func BenchmarkCopy(b *testing.B) {
	s := newStack(b)
	s.exec("create table n (id bigint primary key, a int, v text)")
	s.exec(fmt.Sprintf("insert into n select i, i %% 1000, 'value ' || i from generate_series(1, %d) i", benchRows))
	b.Run("discard", func(b *testing.B) {
		conn, err := pgconn.Connect(b.Context(), s.url)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(context.Background())
		for b.Loop() {
			if _, err := conn.CopyTo(b.Context(), io.Discard, "copy n to stdout"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("source", func(b *testing.B) {
		for b.Loop() {
			src := s.opened(b, nil)
			drain(b, src, benchRows)
			_ = src.Close(b.Context())
			s.dropSlot()
		}
		b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
	})
}

func BenchmarkStream(b *testing.B) {
	for name, perTransaction := range map[string]int{"one transaction": benchRows, "100 a transaction": 100} {
		b.Run(name, func(b *testing.B) {
			s := newStack(b)
			s.exec("create table n (id bigint primary key, a int, v text)")
			src := s.opened(b, nil)
			positions := drain(b, src, 0)
			_ = src.Close(b.Context())
			s.exec("select pg_create_logical_replication_slot(current_database() || '_ceiling', 'pgoutput')")
			s.exec(fmt.Sprintf("create procedure fill(n int) language plpgsql as $$ begin for i in 1..%d / n loop insert into n select j, j %% 1000, 'value ' || j from generate_series((i - 1) * n + 1, i * n) j; commit; end loop; end $$", benchRows))
			s.exec("call fill(" + fmt.Sprint(perTransaction) + ")")
			b.Run("source", func(b *testing.B) {
				for b.Loop() {
					src := s.opened(b, positions)
					drain(b, src, benchRows)
					_ = src.Close(b.Context())
				}
				b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
			})
			b.Run("pg_recvlogical", func(b *testing.B) {
				program, err := exec.LookPath("pg_recvlogical")
				if err != nil {
					b.Skip(err)
				}
				end := s.text("select pg_current_wal_flush_lsn()")
				for b.Loop() {
					cmd := exec.Command(program, "-d", s.url, "-S", s.text("current_database()")+"_ceiling", "--start", "-f", os.DevNull, "-E", end, "-F", "0", "-s", "60",
						"-o", "proto_version=1", "-o", "publication_names=p")
					if out, err := cmd.CombinedOutput(); err != nil {
						b.Fatalf("%v: %s", err, out)
					}
				}
				b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
			})
		})
	}
}

// opened is a source behind the positions that never hears of a commit.
func (s *stack) opened(b *testing.B, positions map[string]string) *Source {
	b.Helper()
	src, err := New("sql", s.config(), testLog(b))
	if err != nil {
		b.Fatal(err)
	}
	if err := src.Open(b.Context(), sink{}, positions); err != nil {
		b.Fatal(err)
	}
	return src
}

func (s *stack) dropSlot() {
	s.t.Helper()
	s.eventually("the slot is free", func() bool {
		return s.text("select count(*) from pg_replication_slots where database = current_database() and active") == "0"
	})
	s.exec("select pg_drop_replication_slot(current_database())")
}

// drain reads batches until they hold so many rows and the copies are done, and returns the positions.
func drain(b *testing.B, src *Source, rows int64) map[string]string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	positions := map[string]string{}
	for n := int64(0); n < rows || rows == 0 && len(positions) < 2; {
		batch, err := src.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range batch.Positions {
			positions[p.Part] = p.Text
		}
		for _, r := range batch.Rows {
			n += r.Produced
		}
	}
	return positions
}
