package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/deploy/oracle"
	"adventureworks.example/extract/schemas"
)

// compare compares without the program: every record of Kafka with the raw tables, the current tables with Postgres, the files and objects with what
// ClickHouse's own readers find in them.
func (c *cluster) compare(ctx context.Context, r *Report) error {
	if err := c.compareRecords(ctx, r); err != nil {
		return fmt.Errorf("compare Kafka with the raw tables: %w", err)
	}
	if err := c.compareCurrent(ctx, r); err != nil {
		return fmt.Errorf("compare Postgres with the current tables: %w", err)
	}
	if err := c.compareFiles(ctx, r); err != nil {
		return fmt.Errorf("compare the files with the raw tables: %w", err)
	}
	return nil
}

// place is an offset of a partition.
type place struct {
	partition int32
	offset    int64
}

// compareRecords compares every topic, record by record.
func (c *cluster) compareRecords(ctx context.Context, r *Report) error {
	registry, err := schemas.OpenRegistry(schemas.RegistryConfig{URLs: []string{c.registry}})
	if err != nil {
		return err
	}
	defer registry.Close()
	sink, err := clickhouse.Open(ctx, clickhouse.Config{Addresses: []string{c.clickhouse.Addr()}, User: "default", Prefix: c.prefix, Log: slog.New(slog.DiscardHandler)}, registry)
	if err != nil {
		return err
	}
	defer sink.Close()
	topics, err := c.topics(ctx)
	if err != nil {
		return err
	}
	h := &hasher{registry: registry, decoders: map[int]*decoding{}}
	for _, topic := range topics {
		t := comparison{topic: topic, records: map[place]uint64{}}
		if err := c.readTopic(ctx, topic, func(rec *kgo.Record) error {
			hash, err := h.hash(ctx, rec.Value)
			if err != nil {
				return fmt.Errorf("topic %s partition %d offset %d: %w", topic, rec.Partition, rec.Offset, err)
			}
			t.records[place{rec.Partition, rec.Offset}] = hash
			return nil
		}); err != nil {
			return err
		}
		t.seen = make(map[place]bool, len(t.records))
		r.Datasets, r.Records = r.Datasets+1, r.Records+int64(len(t.records))
		if topic != c.deadLetters() {
			if err := sink.RowHashes(ctx, topic, t.row); err != nil {
				return err
			}
		}
		if err := c.rejected(ctx, &t); err != nil {
			return err
		}
		t.judge(r)
	}
	return nil
}

// topics are the topics of the sources' rows and of the dead letters.
func (c *cluster) topics(ctx context.Context) (names []string, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	all, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	for _, name := range all.Names() {
		if c.ofSource(name) || name == c.deadLetters() {
			names = append(names, name)
		}
	}
	return names, nil
}

func (c *cluster) deadLetters() string { return c.prefix + ".deadletters" }

// readTopic reads the committed records of a topic up to the end it has now. It reads control records too, by which it sees the end.
func (c *cluster) readTopic(ctx context.Context, topic string, each func(*kgo.Record) error) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxBytes(8<<20))
	if err != nil {
		return err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("list the offsets of %s: %w", topic, err)
	}
	left, from := map[int32]int64{}, map[int32]kgo.Offset{}
	for partition, end := range ends[topic] {
		if end.Err != nil {
			return fmt.Errorf("list the offsets of %s: %w", topic, end.Err)
		}
		if end.Offset > 0 {
			left[partition], from[partition] = end.Offset, kgo.NewOffset().AtStart()
		}
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read topic %s partition %d: %w", e.Topic, e.Partition, e.Err)
		}
		var failed error
		fetches.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() && failed == nil {
				failed = each(rec)
			}
			if rec.Offset >= left[rec.Partition]-1 {
				delete(left, rec.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// hasher hashes records as RowHashes hashes rows.
type hasher struct {
	registry *schemas.Registry
	decoders map[int]*decoding
	line     []byte
}

type decoding struct {
	decoder *schemas.Decoder
	columns *schemas.Columns
}

func (h *hasher) hash(ctx context.Context, value []byte) (uint64, error) {
	if value == nil {
		return 0, nil
	}
	id, payload, err := schemas.ParseFrame(value)
	if err != nil {
		return 0, err
	}
	d := h.decoders[id]
	if d == nil {
		schema, err := h.registry.ByID(ctx, id)
		if err != nil {
			return 0, err
		}
		d = &decoding{columns: schemas.NewColumns(schema)}
		if d.decoder, err = schemas.NewDecoder(schema, schema); err != nil {
			return 0, err
		}
		h.decoders[id] = d
	}
	d.columns.Reset()
	if err := d.decoder.Decode(payload, d.columns); err != nil {
		return 0, err
	}
	h.line = d.columns.AppendCanonical(h.line[:0], 0)
	return clickhouse.HashRow(h.line), nil
}

// comparison is of one topic.
type comparison struct {
	topic   string
	records map[place]uint64
	seen    map[place]bool

	stored, twice, strange, different int64
	examples                          []string
}

func (t *comparison) example(format string, args ...any) {
	if len(t.examples) < 5 {
		t.examples = append(t.examples, fmt.Sprintf(format, args...))
	}
}

// row takes a row of the raw table.
func (t *comparison) row(h clickhouse.RowHash) error {
	p := place{h.Partition, h.Offset}
	want, there := t.records[p]
	t.stored++
	switch {
	case !there:
		t.strange++
		t.example("%d/%d is no record", p.partition, p.offset)
	case t.seen[p]:
		t.twice++
		t.example("%d/%d is there again", p.partition, p.offset)
	case want != h.Hash:
		t.different++
		t.example("%d/%d is another row", p.partition, p.offset)
	}
	t.seen[p] = true
	return nil
}

// judge adds what was found to the report.
func (t *comparison) judge(r *Report) {
	var missing int64
	for p := range t.records {
		if !t.seen[p] {
			missing++
			t.example("%d/%d is missing", p.partition, p.offset)
		}
	}
	r.Stored, r.Missing, r.Twice = r.Stored+t.stored, r.Missing+missing, r.Twice+t.twice
	r.Strange, r.Different = r.Strange+t.strange, r.Different+t.different
	if missing+t.twice+t.strange+t.different > 0 {
		r.problem("topic %s: %d records, %d rows, %d missing, %d twice, %d strange, %d different: %s", t.topic, len(t.records), t.stored, missing, t.twice,
			t.strange, t.different, strings.Join(t.examples, ", "))
	}
}

// rejected takes the offsets that the consumer could not store as seen. The dead letters' own topic has its rows there, too.
func (c *cluster) rejected(ctx context.Context, t *comparison) error {
	text, err := oracle.Ask(ctx, c.clickhouse.HTTP(), "SELECT _partition, _offset FROM raw.deadletters WHERE _topic = '"+t.topic+"' FORMAT TSV")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		partition, offset, _ := strings.Cut(strings.TrimSpace(line), "\t")
		p, err := strconv.ParseInt(partition, 10, 32)
		if err != nil {
			return err
		}
		o, err := strconv.ParseInt(offset, 10, 64)
		if err != nil {
			return err
		}
		at := place{int32(p), o}
		if t.topic != c.deadLetters() {
			t.seen[at] = true
			continue
		}
		if err := t.row(clickhouse.RowHash{Partition: at.partition, Offset: at.offset, Hash: t.records[at]}); err != nil {
			return err
		}
	}
	return nil
}
