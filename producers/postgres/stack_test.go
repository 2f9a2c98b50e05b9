package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

func TestMain(m *testing.M) {
	runChild()
	embeddedtest.Main(m)
}

const patience = 60 * time.Second

// stack is a database, a Kafka and a registry of one test.
type stack struct {
	t     testing.TB
	url   string
	conn  *pgx.Conn
	kafka []string
	// prefix is that of the test's topics.
	prefix string
	reg    *sourcetest.Registry
	// rangeBytes is the size up to which a table is copied in one transaction; 0 for the default.
	rangeBytes int64

	decoders map[*schemas.Schema]*schemas.Decoder
	read     map[string]map[int32]int64 // how far the topics were read
	seen     []event
}

func newStack(t testing.TB) *stack {
	t.Helper()
	s := &stack{t: t, url: embeddedtest.Postgres(t), kafka: embeddedtest.Kafka(t), reg: sourcetest.NewRegistry(),
		decoders: map[*schemas.Schema]*schemas.Decoder{}, read: map[string]map[int32]int64{}}
	s.prefix = embeddedtest.Prefix(t, s.kafka)
	s.conn = s.connect()
	return s
}

// connect opens a connection that ends before the database is dropped.
func (s *stack) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(context.Background(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *stack) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.conn.Exec(context.Background(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// text is the one value that sql gives, as text.
func (s *stack) text(sql string, args ...any) string {
	s.t.Helper()
	var out *string
	if err := s.conn.QueryRow(context.Background(), "select ("+sql+")::text", args...).Scan(&out); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	if out == nil {
		return "NULL"
	}
	return *out
}

// config streams everything, under names that are unique on the server that the tests share.
func (s *stack) config() Config {
	return Config{URL: s.url, Slot: s.text("current_database()"), Publication: "p", CopyWorkers: 2, CopyRangeBytes: s.rangeBytes, Heartbeat: 100 * time.Millisecond, Discover: 100 * time.Millisecond}
}

type running struct {
	s      *stack
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

// run runs the source into Kafka until stop.
func (s *stack) run(c Config) *running { return s.runWith(c, producers.Limits{}) }

func (s *stack) runWith(c Config, limits producers.Limits) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{s: s, cancel: cancel, done: make(chan struct{})}
	log := testLog(s.t)
	o := producers.Options{Kafka: s.clientOptions(), Registry: s.reg, Prefix: s.prefix, Source: "sql", Limits: limits, Log: log,
		Topics:  producers.TopicConfig{Partitions: 3, ReplicationFactor: 1},
		Backoff: producers.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond, Pause: 50 * time.Millisecond},
		New:     func(context.Context) (producers.Source, error) { return New("sql", c, log) }}
	go func() {
		defer close(r.done)
		r.err = producers.Run(ctx, o)
	}()
	s.t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// stop ends the run cleanly.
func (r *running) stop() {
	r.s.t.Helper()
	r.cancel()
	if err := r.wait(); err != nil {
		r.s.t.Fatalf("Run: %v", err)
	}
}

func (r *running) wait() error {
	r.s.t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(patience):
		r.s.t.Fatal("Run did not return")
		return nil
	}
}

func (s *stack) clientOptions() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(s.kafka...), kgo.MetadataMinAge(10 * time.Millisecond)}
}

// eventually waits until a condition holds.
func (s *stack) eventually(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// event is a record of a topic.
type event struct {
	dataset       string
	key           string // its columns, rendered
	op            string // empty for a tombstone
	before, after map[string]string
	unchanged     []string
	commit        int64
	number        int64
	generation    int64
	snapshot      string
	partition     int32
	row           *schemas.Column // after, of row 0
	raw           *kgo.Record
}

// version orders events of one key.
func (e event) version() [3]int64 { return [3]int64{e.generation, e.commit, e.number} }

// events reads every committed record of the source's topics, in the order of each partition.
func (s *stack) events() []event {
	s.t.Helper()
	for _, r := range s.recordsFrom(s.prefix+".sql.", s.read) {
		s.seen = append(s.seen, s.event(r))
	}
	return s.seen[:len(s.seen):len(s.seen)]
}

// records reads every committed record of the topics that start with prefix.
func (s *stack) records(prefix string) []*kgo.Record {
	s.t.Helper()
	return s.recordsFrom(prefix, map[string]map[int32]int64{})
}

// ends are the last stable offsets of the topics that start with prefix. A topic that has only just been made may not have any yet.
func (s *stack) ends(ctx context.Context, admin *kadm.Client, prefix string) (kadm.ListedOffsets, error) {
	all, err := admin.ListTopics(ctx) // without their offsets: on a shared Kafka others delete theirs meanwhile
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all.Names(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	if len(names) == 0 {
		return nil, nil
	}
	ends, err := admin.ListCommittedOffsets(ctx, names...)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = nil
	}
	return ends, err
}

// recordsFrom reads on from the offsets, up to the last stable ones, and moves them.
func (s *stack) recordsFrom(prefix string, read map[string]map[int32]int64) []*kgo.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := kgo.NewClient(append(s.clientOptions(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := s.ends(ctx, kadm.NewClient(cl), prefix)
	if err != nil {
		s.t.Fatal(err)
	}
	from := map[string]map[int32]kgo.Offset{}
	left := map[string]map[int32]int64{}
	n := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > read[o.Topic][o.Partition] {
			if from[o.Topic] == nil {
				from[o.Topic], left[o.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
			}
			from[o.Topic][o.Partition], left[o.Topic][o.Partition] = kgo.NewOffset().At(read[o.Topic][o.Partition]), o.Offset
			n++
		}
	})
	if n == 0 {
		return nil
	}
	cl.AddConsumePartitions(from)
	var out []*kgo.Record
	for n > 0 {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			s.t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) {
			end := left[r.Topic][r.Partition]
			if r.Offset < end && !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if r.Offset == end-1 {
				n--
			}
		})
	}
	for topic, partitions := range left {
		if read[topic] == nil {
			read[topic] = map[int32]int64{}
		}
		for p, end := range partitions {
			read[topic][p] = end
		}
	}
	return out
}

func (s *stack) decode(framed []byte) *schemas.Columns {
	s.t.Helper()
	id, _, err := schemas.ParseFrame(framed)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.decodeWith(s.reg.Schema(id), framed)
}

func (s *stack) event(r *kgo.Record) event {
	s.t.Helper()
	_, dataset, _ := schemas.SplitTopic(s.prefix, r.Topic)
	e := event{dataset: dataset, partition: r.Partition, raw: r}
	if r.Key != nil {
		for _, c := range s.decode(r.Key).Fields {
			e.key += c.Name + "=" + render(c) + " "
		}
	}
	if r.Value == nil {
		return e
	}
	v := s.decode(r.Value)
	src := v.Field("source")
	e.op = string(v.Field("op").Bytes(0))
	e.before, e.after = renderRow(v.Field("before")), renderRow(v.Field("after"))
	e.row = v.Field("after")
	e.snapshot = string(src.Child("snapshot").Bytes(0))
	e.commit, e.number, e.generation = src.Child("commit_lsn").Int64[0], src.Child("number").Int64[0], src.Child("generation").Int64[0]
	u := v.Field("unchanged")
	for i := range u.Children[0].Len() {
		e.unchanged = append(e.unchanged, string(u.Children[0].Bytes(i)))
	}
	return e
}

func renderRow(c *schemas.Column) map[string]string {
	if c.IsNull(0) {
		return nil
	}
	out := map[string]string{}
	for _, f := range c.Children {
		out[f.Name] = render(f)
	}
	return out
}

// render is the one value of a column as Postgres would write it, as far as dates, times and floats do not matter.
func render(c *schemas.Column) string {
	if c.IsNull(0) {
		return "NULL"
	}
	switch {
	case c.Type.Logical == schemas.Decimal:
		return decimalText(c.Unscaled(0), c.Type.Scale)
	case c.Type.Logical == schemas.UUID:
		h := hex.EncodeToString(c.Bytes(0))
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	switch c.Form {
	case schemas.FormBool:
		return strconv.FormatBool(c.Bool[0])[:1]
	case schemas.FormInt32:
		return strconv.Itoa(int(c.Int32[0]))
	case schemas.FormInt64:
		return strconv.FormatInt(c.Int64[0], 10)
	case schemas.FormFloat32:
		return strconv.FormatFloat(float64(c.Float32[0]), 'g', -1, 32)
	case schemas.FormFloat64:
		return strconv.FormatFloat(c.Float64[0], 'g', -1, 64)
	case schemas.FormBytes:
		if c.Type.Kind == schemas.Bytes {
			return `\x` + hex.EncodeToString(c.Bytes(0))
		}
		return string(c.Bytes(0))
	}
	return fmt.Sprintf("form %d", c.Form)
}

func decimalText(v *big.Int, scale int) string {
	s := new(big.Int).Abs(v).String()
	if len(s) <= scale {
		s = strings.Repeat("0", scale-len(s)+1) + s
	}
	if scale > 0 {
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if v.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// current folds events into the rows they amount to, one line a row, sorted: for each key the event with the highest version, unless the table was truncated
// at a higher one. Values that were not sent are taken from the version before.
func current(events []event, dataset string) []string {
	type state struct {
		event
		values map[string]string
	}
	rows := map[string]state{}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b event) int { return slices.Compare(a.versionSlice(), b.versionSlice()) })
	for _, e := range events {
		if e.dataset != dataset && e.dataset != "public."+dataset || e.op == "" {
			continue
		}
		if e.op == "t" {
			rows = map[string]state{}
			continue
		}
		st := state{event: e, values: e.after}
		for _, u := range e.unchanged {
			st.values[u] = rows[e.key].values[u]
		}
		rows[e.key] = st
	}
	var out []string
	for _, st := range rows {
		if st.op != "d" {
			out = append(out, line(st.values))
		}
	}
	slices.Sort(out)
	return out
}

func (e event) versionSlice() []int64 { v := e.version(); return v[:] }

func line(values map[string]string) string {
	var names []string
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s=%s ", n, values[n])
	}
	return b.String()
}

// table is what Postgres holds, in the form of current.
func (s *stack) table(name string) []string {
	s.t.Helper()
	rows, err := s.conn.Query(context.Background(), "select * from "+name, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		values := map[string]string{}
		for i, v := range rows.RawValues() {
			f := rows.FieldDescriptions()[i]
			values[schemas.Name(f.Name)] = "NULL"
			if v != nil {
				values[schemas.Name(f.Name)] = string(v)
			}
		}
		out = append(out, line(values))
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// same waits until what the topics amount to is what the table holds.
func (s *stack) same(table string) {
	s.t.Helper()
	var got, want []string
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience / 2)
	for {
		got, want = current(s.events(), table), s.table(table)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("the topics amount to %d rows, %s holds %d\n%s", len(got), table, len(want), difference(got, want))
		}
	}
}

func difference(got, want []string) string {
	var b strings.Builder
	for name, pair := range map[string][2][]string{"only in the topics": {got, want}, "only in the table": {want, got}} {
		n := 0
		for _, l := range pair[0] {
			if _, ok := slices.BinarySearch(pair[1], l); !ok && n < 5 {
				fmt.Fprintf(&b, "%s: %.300s\n", name, l)
				n++
			}
		}
	}
	return b.String()
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// decodeWith decodes a framed value whose schema is known.
func (s *stack) decodeWith(schema *schemas.Schema, framed []byte) *schemas.Columns {
	s.t.Helper()
	_, payload, err := schemas.ParseFrame(framed)
	if err != nil {
		s.t.Fatal(err)
	}
	d := s.decoders[schema]
	if d == nil {
		if d, err = schemas.NewDecoder(schema, schema); err != nil {
			s.t.Fatal(err)
		}
		s.decoders[schema] = d
	}
	cols := schemas.NewColumns(schema)
	if err := d.Decode(payload, cols); err != nil {
		s.t.Fatal(err)
	}
	return cols
}
