package latency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/postgres"
	"adventureworks.example/extract/schemas"
)

// childVariable names the half of the chain that a child process is.
const childVariable = "EXTRACT_LATENCY_CHILD"

func TestMain(m *testing.M) {
	if half := os.Getenv(childVariable); half != "" {
		if err := child(half); err != nil {
			fmt.Fprintln(os.Stderr, half+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	embeddedtest.Main(m)
}

// place is where the servers of a chain are; a child gets it in its environment.
type place struct {
	brokers    []string
	prefix     string // of the topics
	registry   string
	postgres   string // the database, as a superuser
	clickhouse string // host:port
	suffix     string // of the databases in ClickHouse
	state      string // folder of the consumer's name in its group
}

func (p *place) fields() []*string {
	return []*string{&p.prefix, &p.registry, &p.postgres, &p.clickhouse, &p.suffix, &p.state}
}

// environment is the place as variables.
func (p *place) environment() []string {
	env := append(os.Environ(), "PLACE_BROKERS="+strings.Join(p.brokers, ","))
	for i, f := range p.fields() {
		env = append(env, fmt.Sprintf("PLACE_%d=%s", i, *f))
	}
	return env
}

func placeFromEnvironment() *place {
	p := &place{brokers: strings.Split(os.Getenv("PLACE_BROKERS"), ",")}
	for i, f := range p.fields() {
		*f = os.Getenv(fmt.Sprintf("PLACE_%d", i))
	}
	return p
}

func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// produce runs the producer until ctx ends. record may be nil.
func (p *place) produce(ctx context.Context, record *Record) error {
	registry, err := p.open()
	if err != nil {
		return err
	}
	defer registry.Close()
	return producers.Run(ctx, producers.Options{
		Kafka: []kgo.Opt{kgo.SeedBrokers(p.brokers...)}, Registry: registry, Prefix: p.prefix, Source: "sql", Log: warnings(),
		Topics: producers.TopicConfig{Partitions: 1}, // as the program makes the topics of a database
		New: func(context.Context) (producers.Source, error) {
			src, err := postgres.New("sql", postgres.Config{URL: p.postgres}, warnings())
			if err != nil || record == nil {
				return src, err
			}
			return &Source{Source: src, Record: record}, nil
		},
	})
}

func (p *place) open() (*schemas.Registry, error) {
	return schemas.OpenRegistry(schemas.RegistryConfig{URLs: []string{p.registry}})
}

// consume runs the consumer until ctx ends. watch and hooks may be none.
func (p *place) consume(ctx context.Context, watch func(consumers.Sink) consumers.Sink, hooks ...kgo.Hook) error {
	registry, err := p.open()
	if err != nil {
		return err
	}
	defer registry.Close()
	sink, err := clickhouse.Open(ctx, clickhouse.Config{Addresses: []string{p.clickhouse}, Raw: "raw" + p.suffix, Current: "current" + p.suffix,
		Dataset: "dataset" + p.suffix, Prefix: p.prefix, Log: warnings()}, registry)
	if err != nil {
		return err
	}
	defer sink.Close()
	name, release, err := consumers.TakeInstance(p.state, p.prefix)
	if err != nil {
		return err
	}
	defer release()
	o := consumers.Options{Kafka: []kgo.Opt{kgo.SeedBrokers(p.brokers...), kgo.WithHooks(hooks...)}, Prefix: p.prefix, Sources: []string{"sql"},
		Sink: sink, Instance: name, Log: warnings()}
	if watch != nil {
		o.Sink = watch(sink)
	}
	return consumers.Run(ctx, o)
}

// child is one half of the chain as a process, until it is killed.
func child(half string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p := placeFromEnvironment()
	switch half {
	case "producer":
		return p.produce(ctx, nil)
	case "consumer":
		return p.consume(ctx, nil)
	}
	return errors.New("a child is a producer or a consumer")
}

// chain is the servers, a database with tables to write to, and what is needed to look at the end.
type chain struct {
	place
	t      testing.TB
	conn   *pgx.Conn
	http   string // of ClickHouse
	tables []string
	server []int // process ids of ClickHouse
	row    int64 // the last one written
}

// newChain starts the servers: Kafka is that of KAFKA_BROKERS, or the embedded one as the demo runs it, on disk with every write synced.
func newChain(t testing.TB, tables int) *chain {
	t.Helper()
	ch := embeddedtest.ClickHouse(t)
	c := &chain{t: t, http: ch.HTTP, place: place{postgres: embeddedtest.Postgres(t), clickhouse: ch.Addr, suffix: ch.Suffix, state: t.TempDir()}}
	if ch.Server != nil {
		c.server = []int{ch.Server.PID()}
	}
	if embeddedtest.KafkaShared() {
		c.brokers = embeddedtest.Kafka(t)
	} else {
		c.brokers = embeddedtest.StartKafka(t, embedded.KafkaOptions{Dir: t.TempDir()}).Brokers()
	}
	c.prefix = embeddedtest.Prefix(t, c.brokers)
	c.registry = embeddedtest.StartRegistry(t, c.brokers).URL()
	var err error
	if c.conn, err = pgx.Connect(t.Context(), c.postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.conn.Close(context.WithoutCancel(t.Context()))
		for _, db := range []string{"raw", "current", "dataset"} {
			c.query("DROP DATABASE IF EXISTS " + db + c.suffix)
		}
	})
	for i := range tables {
		name := fmt.Sprintf("line_%02d", i)
		c.tables = append(c.tables, name)
		if _, err := c.conn.Exec(t.Context(), "CREATE TABLE "+name+` (id bigint PRIMARY KEY, product int NOT NULL, quantity int NOT NULL,
			price numeric(10,2) NOT NULL, at timestamptz NOT NULL DEFAULT now(), note text)`); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// write commits a transaction of rows, half of them in one table and half in the next, and returns their numbers.
func (c *chain) write(ctx context.Context, rows int) ([]int64, error) {
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	first := c.row + 1
	for part := range 2 {
		table := c.tables[(int(first)/rows+part)%len(c.tables)]
		n := (rows + part) / 2
		batch.Queue("INSERT INTO "+table+" SELECT i, i % 500, 1, 12.50, now(), 'a line of an order' FROM generate_series($1::bigint, $2::bigint) i", c.row+1, c.row+int64(n))
		c.row += int64(n)
	}
	batch.Queue("COMMIT")
	if err := c.conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("write rows up to %d: %w", c.row, err)
	}
	numbers := make([]int64, 0, rows)
	for i := first; i <= c.row; i++ {
		numbers = append(numbers, i)
	}
	return numbers, nil
}

// query asks ClickHouse over HTTP and returns the answer without its last line end.
func (c *chain) query(sql string) string {
	c.t.Helper()
	resp, err := http.Post(c.http+"/?"+url.Values{"user": {"default"}}.Encode(), "text/plain", strings.NewReader(sql))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %v: %s: %s", sql, err, resp.Status, body)
	}
	return strings.TrimSpace(string(body))
}

// complete waits until as many rows are stored as were committed, and sees that each is there once.
func (c *chain) complete() {
	c.t.Helper()
	raw := "FROM merge('raw" + c.suffix + "', '^sql_public_line_')"
	c.wait("all rows are stored", func() bool { return c.query("SELECT count() >= "+fmt.Sprint(c.row)+" "+raw) == "1" })
	if got, want := c.query("SELECT count(), uniqExact(`after.id`) "+raw), fmt.Sprintf("%d\t%[1]d", c.row); got != want {
		c.t.Errorf("%s rows and different rows are stored, want %s", got, want)
	}
}

// wait waits until something holds.
func (c *chain) wait(what string, so func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-end:
			c.t.Fatalf("waited in vain until %s", what)
		}
	}
}
