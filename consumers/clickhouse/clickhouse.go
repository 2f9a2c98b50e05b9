// Package clickhouse stores Kafka topics in ClickHouse: each topic in a table of its own with one row a record (`raw`), the changes of a
// database table also as the rows it has now (`current`), and what cannot be stored in `raw.deadletters`.
//
// A record is known by its topic, partition and offset, which are columns of every raw table, so the tables themselves are the last
// authority on what was stored. An insert is one native block with a deduplication token that is made of the table's generation and
// the offsets in the block, so that a repeat of it changes nothing, however late it comes.
//
// Two clients of one family do the work. clickhouse-go runs every statement: definitions, look-ups, the dataset's SQL, people's queries. ch-go, on
// which it is built, carries the blocks of rows in and back, because its columns are interfaces that rows can be encoded into as they
// are. clickhouse-go's batch has no slice form for tuples, maps and arrays, whose rows it takes one by one through reflection, and wants a
// value of another type for each decimal, time and null. For eight scalar fields, where its slices do serve, BenchmarkAvroToClickHouse
// measured 1.28 M rows per second of the client's processor time with them, 2.23 M this way and 0.78 M with Append of any.
package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// Config says where ClickHouse is and how the tables are named.
type Config struct {
	Addresses []string // host:port of the native protocol; the first that answers is used
	User      string   // default when empty
	Password  string
	TLS       *tls.Config // nil without TLS
	// Compress the blocks on the network with LZ4. On one machine it only costs.
	Compress bool
	Raw      string // database of the raw tables: raw when empty
	Current  string // database of the current rows: current when empty
	Dataset  string // database that ApplySQL's statements are about: dataset when empty
	Prefix   string // of the topics
	Log      *slog.Logger
}

// Schemas looks up the schema that a record was written with. *schemas.Registry is one. An id that the registry does not know is
// schemas.ErrUnknownSchema; any other error passes.
type Schemas interface {
	ByID(ctx context.Context, id int) (*schemas.Schema, error)
}

// Sink is a ClickHouse that stores batches. It is safe for concurrent use.
type Sink struct {
	conf    Config
	schemas Schemas
	log     *slog.Logger
	conn    driver.Conn // for statements
	pool    *pool       // for blocks of rows

	mu     sync.Mutex
	tables map[string]*table // by topic, guarded by mu
	dead   *deadLetters
}

var _ consumers.Sink = (*Sink)(nil)

// Open makes a Sink. It does not wait for the server: a server that is down is an error of the calls, which pass once it is up.
// Close it at the end.
func Open(_ context.Context, conf Config, registry Schemas) (*Sink, error) {
	if len(conf.Addresses) == 0 {
		return nil, errors.New("open clickhouse: no address is configured")
	}
	for _, d := range []struct {
		name *string
		def  string
	}{{&conf.User, "default"}, {&conf.Raw, "raw"}, {&conf.Current, "current"}, {&conf.Dataset, "dataset"}} {
		if *d.name == "" {
			*d.name = d.def
		}
	}
	if conf.Log == nil {
		conf.Log = slog.New(slog.DiscardHandler)
	}
	conn, err := openStatements(conf)
	if err != nil {
		return nil, err
	}
	s := &Sink{conf: conf, schemas: registry, log: conf.Log, conn: conn, pool: newPool(conf), tables: map[string]*table{}}
	s.dead = &deadLetters{sink: s}
	return s, nil
}

// Close releases the connections.
func (s *Sink) Close() error { return errors.Join(s.conn.Close(), s.pool.close()) }

// Ping tells whether the server answers and takes the login.
func (s *Sink) Ping(ctx context.Context) error { return classify(s.conn.Ping(ctx)) }

// table is the state of a topic's table. Two topics whose tables would share a name are an error.
func (s *Sink) table(topic string) (*table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[topic]; t != nil {
		return t, nil
	}
	name := schemas.Table(s.conf.Prefix, topic)
	for other, t := range s.tables {
		if t.name == name {
			return nil, faults.KafkaTopicsCollide.Of(fmt.Errorf("topics %s and %s share the table %s", other, topic, name))
		}
	}
	t := newTable(s, topic, name)
	s.tables[topic] = t
	return t, nil
}

// Next is one past the highest offset that the topic's table or the dead letters hold.
func (s *Sink) Next(ctx context.Context, p consumers.Partition) (int64, error) {
	t, err := s.table(p.Topic)
	if err != nil {
		return 0, err
	}
	if err := s.dead.ensure(ctx); err != nil {
		return 0, classify(err)
	}
	there, err := t.check(ctx, p.TopicID)
	if err != nil {
		return 0, classify(err)
	}
	highest, err := t.highest(ctx, p, there)
	return highest + 1, classify(err)
}

// Held lists the offsets of the range that the topic's table or the dead letters hold.
func (s *Sink) Held(ctx context.Context, p consumers.Partition, r consumers.Range) ([]int64, error) {
	t, err := s.table(p.Topic)
	if err != nil {
		return nil, err
	}
	return s.heldIn(ctx, t, p, r)
}

// heldIn is Held for one table of the topic, the one in use or one that a replay builds.
func (s *Sink) heldIn(ctx context.Context, t *table, p consumers.Partition, r consumers.Range) ([]int64, error) {
	if err := s.dead.ensure(ctx); err != nil {
		return nil, classify(err)
	}
	there, err := t.check(ctx, p.TopicID)
	if err != nil {
		return nil, classify(err)
	}
	held, err := t.held(ctx, p, r, there)
	return held, classify(err)
}
