package clickhouse

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// The columns of every raw table that are not fields of the record.
var systemNames = []string{"_topic", "_partition", "_offset", "_timestamp", "_schema_id", "_key"}

// dedupWindow is how many inserts a table remembers by their tokens. Without it the server ignores tokens silently.
const dedupWindow = "non_replicated_deduplication_window = 10000"

// meta is what a table says of itself, as JSON in its comment.
type meta struct {
	Topic      string `json:"topic"`
	TopicID    string `json:"topic_id"`
	Generation int    `json:"generation"` // of the table: a rebuilt one has a new one, so that its tokens are new
	Schema     string `json:"schema"`     // Avro, as merged from all writers so far
	// Change counts the definitions that the table has had, the first is 1. The table has a constraint of that number, see alter.
	Change int `json:"change,omitempty"`
	// Tombstones tells that records without a value have been stored, so that every scalar column can be NULL.
	Tombstones bool `json:"tombstones,omitempty"`
	// Replay is how a replay made the table.
	Replay *replayPlan `json:"replay,omitempty"`
}

// layout is how the table's rows lie.
func (m *meta) layout() (*layout, error) {
	s, err := schemas.Parse(m.Schema)
	if err != nil {
		return nil, fmt.Errorf("comment of the table: %w", err)
	}
	l, err := newLayout(s)
	if err == nil && m.Tombstones {
		l.allowTombstones()
	}
	return l, err
}

// table is the raw table of one topic.
type table struct {
	sink  *Sink
	topic string
	name  string
	// replay is set in a table that a replay builds beside the one people query.
	replay *hidden

	mu   sync.Mutex // guards what follows, and lets one goroutine at a time change the table
	seen bool       // the table was there in the life of this process
	// recreate tells that the table may be made again although it was there: a person has asked for it.
	recreate bool
	meta     *meta // nil: to be read
	state    *tableState
}

// tableState is what a write needs of a table. It is immutable but for decoders, which only grow under the table's mutex.
type tableState struct {
	layout   *layout
	decoders map[int]*schemas.Decoder // by the writer's schema id
	prefix   string                   // of the deduplication tokens
	envelope *current                 // what marks truncated tables; nil unless the topic carries changes
	current  *current                 // what writes their rows; nil until there is a key
	limits   limits
	spare    sync.Pool // of *schemas.Columns of the layout's schema
}

func newTable(s *Sink, topic, name string) *table { return &table{sink: s, topic: topic, name: name} }

func (t *table) fullName() string { return quoteName(t.sink.conf.Raw) + "." + quoteName(t.name) }

func (t *table) isDead() bool { return t.name == deadName }

// forget makes the next use read the table's description again.
func (t *table) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meta, t.state = nil, nil
}

// check tells whether the table is there, and sees that it belongs to this very topic.
func (t *table) check(ctx context.Context, topicID [16]byte) (bool, error) {
	if t.isDead() {
		return true, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.load(ctx, topicID)
}

// load reads the table's description, if that is not known. The caller holds mu.
func (t *table) load(ctx context.Context, topicID [16]byte) (bool, error) {
	if t.meta == nil {
		m, err := t.sink.described(ctx, t.sink.conf.Raw, t.name)
		if err != nil || m == nil {
			return false, err
		}
		if m.Topic == "" {
			return false, faults.ClickHouseTableForeign.Of(fmt.Errorf("table %s was not made by extract: its comment does not say its topic", t.fullName()))
		}
		t.meta, t.seen = m, true
	}
	if t.meta.Topic != t.topic || t.meta.TopicID != hex.EncodeToString(topicID[:]) {
		err := fmt.Errorf("table %s holds topic %s with id %s, not topic %s with id %x", t.fullName(), t.meta.Topic, t.meta.TopicID, t.topic, topicID)
		t.meta, t.state = nil, nil
		return true, faults.KafkaTopicMadeAgain.With(err, "the topic was made again: rename the table, or drop it")
	}
	return true, nil
}

// described is what a table says of itself: nil where there is none, and without a topic where its comment is not of this program.
func (s *Sink) described(ctx context.Context, database, table string) (*meta, error) {
	rows, err := s.texts(ctx, "SELECT comment FROM system.tables WHERE database = "+quoteText(database)+" AND name = "+quoteText(table), 1)
	if err != nil {
		return nil, classify(fmt.Errorf("look for table %s.%s: %w", quoteName(database), quoteName(table), err))
	}
	if len(rows) == 0 {
		return nil, nil
	}
	m := &meta{}
	if json.Unmarshal([]byte(rows[0][0]), m) != nil {
		return &meta{}, nil
	}
	return m, nil
}

// ready returns the table's state for records of the schemas, and for tombstones, after it has created or widened the table for them.
func (t *table) ready(ctx context.Context, b consumers.Batch, writers map[int]*schemas.Schema, keys *schemas.Schema, tombstones bool) (*tableState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fits := t.state.fits(writers, keys, tombstones)
	if !fits {
		t.meta = nil // another process may have changed the table
	}
	there, err := t.load(ctx, b.TopicID)
	if err != nil {
		return nil, err
	}
	if there && fits {
		return t.state, nil
	}
	if !there && (t.seen || !b.First) && !t.recreate {
		return nil, faults.ClickHouseTableMissing.Of(fmt.Errorf("table %s is missing, though rows of its topic were stored", t.fullName()))
	}
	merged, err := t.merge(writers)
	if err != nil {
		return nil, faults.ClickHouseSchema.Of(fmt.Errorf("fit the records of %s into table %s: %w", t.topic, t.fullName(), err))
	}
	if merged == nil { // no record of the batch can be decoded
		return nil, nil
	}
	l, err := newLayout(merged)
	if err != nil {
		return nil, faults.ClickHouseSchema.Of(fmt.Errorf("table %s: %w", t.fullName(), err))
	}
	if tombstones || there && t.meta.Tombstones {
		l.allowTombstones()
	}
	if !there {
		err = t.create(ctx, b, l)
	} else if t.meta.Schema != merged.String() || t.meta.Tombstones != l.tombstones {
		err = t.evolve(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	return t.compile(ctx, l, writers, keys)
}

// fits tells whether nothing is to be done for records of these schemas.
func (st *tableState) fits(writers map[int]*schemas.Schema, keys *schemas.Schema, tombstones bool) bool {
	if st == nil || st.current == nil && keys != nil && st.envelope != nil || tombstones && !st.layout.tombstones {
		return false
	}
	for id := range writers {
		if st.decoders[id] == nil {
			return false
		}
	}
	return true
}

// merge is the schema that holds what the table holds and what the writers write. It is the table's own when that does already.
func (t *table) merge(writers map[int]*schemas.Schema) (*schemas.Schema, error) {
	var merged *schemas.Schema
	var err error
	if t.meta != nil {
		if t.state != nil && t.state.layout.schema.String() == t.meta.Schema {
			merged = t.state.layout.schema
		} else if merged, err = schemas.Parse(t.meta.Schema); err != nil {
			return nil, fmt.Errorf("comment of the table: %w", err)
		}
	}
	for _, id := range sortedIDs(writers) {
		if t.state != nil && t.state.decoders[id] != nil {
			continue
		}
		if merged == nil {
			merged = writers[id]
			continue
		}
		if merged, err = schemas.Merge(merged, writers[id]); err != nil {
			return nil, fmt.Errorf("schema %d: %w", id, err)
		}
	}
	return merged, nil
}

// compile completes the state: decoders for the writers, and the current table.
func (t *table) compile(ctx context.Context, l *layout, writers map[int]*schemas.Schema, keys *schemas.Schema) (*tableState, error) {
	old := t.state
	if old == nil || old.layout.schema.String() != l.schema.String() || old.layout.tombstones != l.tombstones {
		old = nil
	}
	st := &tableState{layout: l, limits: limitsOf(l), decoders: map[int]*schemas.Decoder{}, prefix: t.meta.tokenPrefix()}
	st.envelope, _ = t.sink.envelope(t, l.schema)
	if old != nil {
		st.layout, st.limits, st.current = old.layout, old.limits, old.current
		for id, d := range old.decoders {
			st.decoders[id] = d
		}
	}
	for id, w := range writers {
		if st.decoders[id] != nil {
			continue
		}
		d, err := schemas.NewDecoder(w, st.layout.schema)
		if err != nil {
			return nil, faults.ClickHouseSchema.Of(fmt.Errorf("read schema %d of %s: %w", id, t.topic, err))
		}
		st.decoders[id] = d
	}
	if st.current == nil {
		var err error
		if st.current, err = t.sink.openCurrent(ctx, t, st.layout.schema, keys); err != nil {
			return nil, err
		}
	}
	t.state = st
	return st, nil
}

func (t *table) create(ctx context.Context, b consumers.Batch, l *layout) error {
	m := &meta{Topic: t.topic, TopicID: hex.EncodeToString(b.TopicID[:]), Generation: t.replay.generation(), Change: 1, Schema: l.schema.String(), Tombstones: l.tombstones,
		Replay: t.replay.planned()}
	var sql strings.Builder
	sql.WriteString("CREATE TABLE IF NOT EXISTS " + t.fullName() + " (\n" + systemColumns("DEFAULT "+quoteText(t.topic)))
	for _, c := range l.columns {
		sql.WriteString(",\n" + quoteName(c.name) + " " + c.typ)
	}
	sql.WriteString(",\n" + m.generationConstraint() + ",\n" + m.changeConstraint())
	settings, err := t.sink.tableSettings(ctx, dedupWindow)
	if err != nil {
		return err
	}
	sql.WriteString(")\nENGINE = MergeTree ORDER BY (_partition, _offset)" + settings + "\nCOMMENT " + quoteText(m.text()))
	if err := t.sink.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(t.sink.conf.Raw)); err != nil {
		return fmt.Errorf("create database %s: %w", t.sink.conf.Raw, err)
	}
	if err := t.sink.define(ctx, sql.String()); err != nil {
		return fmt.Errorf("create table %s: %w", t.fullName(), err)
	}
	t.recreate = false
	t.sink.log.Info("created table", "topic", t.topic, "table", t.name)
	// Another process may have created it first, from another schema: what counts is what is there now.
	there, err := t.load(ctx, b.TopicID)
	if err == nil && !there {
		err = fmt.Errorf("table %s is not there after it was created", t.fullName())
	}
	if err == nil && t.meta.Schema != m.Schema {
		t.meta = nil
		err = faults.ClickHouseStale.Of(fmt.Errorf("table %s was created by another process", t.fullName()))
	}
	return err
}

// systemColumns are the columns every raw table has.
func systemColumns(topic string) string {
	return "`_topic` LowCardinality(String) " + topic + ",\n`_partition` Int32 CODEC(Delta, ZSTD),\n`_offset` Int64 CODEC(Delta, ZSTD),\n" +
		"`_timestamp` DateTime64(3, 'UTC') CODEC(Delta, ZSTD),\n`_schema_id` Int32 CODEC(ZSTD),\n`_key` Nullable(String)"
}

// evolve brings the table's columns from the schema in its comment to the layout, with one statement, which has an effect once.
func (t *table) evolve(ctx context.Context, l *layout) error {
	old, err := t.meta.layout()
	if err != nil {
		return fmt.Errorf("alter table %s: %w", t.fullName(), err)
	}
	m := *t.meta
	m.Schema, m.Tombstones = l.schema.String(), l.tombstones
	if err := t.sink.define(ctx, m.alter(t.fullName(), alterSteps(old, l))); err != nil {
		return cannotChange(fmt.Errorf("alter table %s: %w", t.fullName(), err))
	}
	t.sink.log.Info("changed table to a new schema", "topic", t.topic, "table", t.name, "columns", len(l.columns))
	t.meta = &m
	return nil
}

// changePrefix begins the name of the constraint that has the number of a table's definition.
const changePrefix = "_definition_"

func (m *meta) changeName() string { return fmt.Sprintf("%s%d", changePrefix, m.Change) }

func (m *meta) changeConstraint() string {
	return "CONSTRAINT " + quoteName(m.changeName()) + " CHECK 1"
}

// alter is the statement that takes the steps from the definition of m's number to the next, whose number m has then. Dropping the constraint of the one
// and adding that of the other makes the server refuse it where the table has another definition by now: of two processes that widen a table at the same
// time one must look again, and a statement that arrives late, from a process that is long dead, cannot make a column narrow again.
func (m *meta) alter(table string, steps []string) string {
	var swap []string
	if m.Change > 0 { // a table without a number was made before there were numbers
		swap = append(swap, "DROP CONSTRAINT "+quoteName(m.changeName()))
	}
	m.Change++
	steps = slices.Concat(swap, []string{"ADD " + m.changeConstraint()}, steps, []string{"MODIFY COMMENT " + quoteText(m.text())})
	return "ALTER TABLE " + table + " " + strings.Join(steps, ", ")
}

// alterSteps lists what makes a table of one layout one of another. Columns are only ever added and widened.
func alterSteps(from, to *layout) []string {
	old := map[string]column{}
	for _, c := range from.columns {
		old[c.name] = c
	}
	var steps []string
	for _, c := range to.columns {
		before, ok := old[c.name]
		switch {
		case !ok && c.presence:
			// A field that was always there and may be missing from now on was there in the old rows.
			was := "false"
			if _, ok := old[strings.TrimPrefix(c.name, presencePrefix)]; ok {
				was = "true"
			}
			steps = append(steps, "ADD COLUMN IF NOT EXISTS "+quoteName(c.name)+" "+c.typ+" DEFAULT "+was)
		case !ok:
			steps = append(steps, "ADD COLUMN IF NOT EXISTS "+quoteName(c.name)+" "+c.typ)
		case before.typ != c.typ:
			steps = append(steps, "MODIFY COLUMN "+quoteName(c.name)+" "+c.typ)
		}
	}
	return steps
}

func (m *meta) text() string {
	b, _ := json.Marshal(m) // strings and a number always marshal
	return string(b)
}
