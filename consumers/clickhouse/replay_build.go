package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

// takeOver goes on with the tables of a replay that was killed, where they are what this replay would build, and clears away everything else
// that was left.
func (r *replay) takeOver(ctx context.Context) error {
	mine := r.resumable()
	for _, b := range r.gens.building() {
		if mine == nil || owner(b) != owner(*mine) {
			if err := r.dropTable(ctx, b.Database, b.Table); err != nil {
				return err
			}
			continue
		}
		if err := r.rename(ctx, b.Database, b.Table, b.base()+newMark+r.owner); err != nil {
			if isMissing(err) {
				return errTaken
			}
			return fmt.Errorf("take over table %s.%s: %w", b.Database, b.Table, err)
		}
	}
	if err := r.liftFences(ctx); err != nil {
		return err
	}
	if mine == nil {
		return r.keepOld(ctx)
	}
	r.report.Resumed = true
	r.plan = mine.meta.Replay
	if err := r.drain(ctx, mine.Table, rowsPrefix+mine.Table); err != nil {
		return err
	}
	return r.keepOld(ctx)
}

func owner(g Generation) string { return g.Table[strings.LastIndexByte(g.Table, '~')+1:] }

// resumable is the raw table that this replay can go on with, nil where there is none.
func (r *replay) resumable() *Generation {
	var found *Generation
	building := r.gens.building()
	for i, b := range building {
		if b.Database != r.conf.Raw {
			continue
		}
		p := b.meta.Replay
		if found != nil || b.Generation != r.gens.newest()+1 || p == nil || p.From != r.plan.From || p.To != r.plan.To {
			return nil // not made by the same command, or more than one
		}
		found = &building[i]
	}
	if found == nil {
		return nil
	}
	hasCurrent := slices.ContainsFunc(building, func(b Generation) bool {
		return b.Database == r.conf.Current && owner(b) == owner(*found) && b.Generation == found.Generation
	})
	if hasCurrent != (r.gens.current != nil) {
		return nil
	}
	return found
}

// liftFences drops every fence of the table in use. The tables of whoever made them have other names now.
func (r *replay) liftFences(ctx context.Context) error {
	rows, err := r.texts(ctx, "SELECT name FROM system.constraints WHERE database = "+quoteText(r.conf.Raw)+" AND table = "+quoteText(r.gens.name)+
		" AND startsWith(name, "+quoteText(fencePrefix)+")", 1)
	if err != nil {
		return fmt.Errorf("look for fences of table %s: %w", r.inUse(), err)
	}
	for _, row := range rows {
		if err := r.exec(ctx, "ALTER TABLE "+r.inUse()+" DROP CONSTRAINT IF EXISTS "+quoteName(row[0])); err != nil {
			return fmt.Errorf("lift fence of table %s: %w", r.inUse(), err)
		}
	}
	return nil
}

// create opens the new tables, and makes them unless they are there. Two replays that begin in the same moment both give way.
func (r *replay) create(ctx context.Context) error {
	r.table = newTable(r.Sink, r.o.Topic, r.gens.name+newMark+r.owner)
	r.table.replay = &hidden{number: r.gens.newest() + 1, plan: r.plan, reject: r.refuse}
	r.report.Generation = r.table.replay.number
	value, key, err := r.newestSchemas(ctx)
	if err != nil {
		return err
	}
	if err := r.persist(ctx, "create", func(ctx context.Context) error { return r.table.build(ctx, r.extent.TopicID, value, key, r.gens.raw) }); err != nil {
		return err
	}
	g, err := r.generations(ctx, r.o.Topic)
	if err != nil {
		return err
	}
	for _, b := range g.building() {
		if owner(b) != r.owner {
			drop := errors.Join(r.dropTable(ctx, r.conf.Raw, r.table.name), r.dropTable(ctx, r.conf.Current, rowsPrefix+r.table.name))
			return errors.Join(fmt.Errorf("another replay of the topic has just begun: run this one again if it is not yours"), drop)
		}
	}
	return nil
}

// newestSchemas are the newest schemas of the topic's values and keys, nil where there is none.
func (r *replay) newestSchemas(ctx context.Context) (value, key *schemas.Schema, err error) {
	if r.o.Newest == nil {
		return nil, nil, nil
	}
	keySubject, valueSubject := schemas.Subjects(r.o.Topic)
	if value, err = r.o.Newest(ctx, valueSubject); err == nil {
		key, err = r.o.Newest(ctx, keySubject)
	}
	return value, key, err
}

// build creates a table that a replay fills: with the columns of the newest schema and those that the table in use has. Where these do
// not fit together, the newest schema counts.
func (t *table) build(ctx context.Context, topicID [16]byte, newest, key *schemas.Schema, inUse *meta) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	there, err := t.load(ctx, topicID)
	if err != nil {
		return err
	}
	if there {
		l, err := t.meta.layout()
		if err != nil {
			return err
		}
		_, err = t.compile(ctx, l, nil, key)
		return err
	}
	s := newest
	if inUse != nil {
		old, err := schemas.Parse(inUse.Schema)
		if err != nil {
			return fmt.Errorf("comment of the table in use: %w", err)
		}
		if s == nil {
			s = old
		} else if merged, err := schemas.Merge(old, s); err == nil {
			s = merged
		}
	}
	if s == nil {
		return nil // the first record says what its columns are
	}
	l, err := newLayout(s)
	if err != nil {
		return err
	}
	if inUse != nil && inUse.Tombstones {
		l.allowTombstones()
	}
	if err := t.create(ctx, consumers.Batch{Partition: consumers.Partition{TopicID: topicID}}, l); err != nil {
		return err
	}
	_, err = t.compile(ctx, l, nil, key)
	return err
}

// refusals are records that cannot be stored any more although the table in use holds them.
type refusals struct {
	mu      sync.Mutex
	offsets map[int32]map[int64]string // the reason, by partition and offset; guarded by mu
}

func (f *refusals) add(partition int32, offset int64, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.offsets == nil {
		f.offsets = map[int32]map[int64]string{}
	}
	if f.offsets[partition] == nil {
		f.offsets[partition] = map[int64]string{}
	}
	f.offsets[partition][offset] = reason
}

// all lists them, with the first reasons as text.
func (f *refusals) count() (n int, first string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, offsets := range f.offsets {
		for o, reason := range offsets {
			if n++; first == "" {
				first = fmt.Sprintf("partition %d offset %d: %s", p, o, reason)
			}
		}
	}
	return n, first
}

// refuse keeps bad records from the dead letters whose rows the table in use holds: until the exchange they are stored, and nothing is held
// twice. The others become dead letters at once, as they would by the consumer.
func (r *replay) refuse(ctx context.Context, w *write, bad []reject) ([]reject, error) {
	if r.gens.raw == nil {
		return bad, nil
	}
	held, err := r.offsets(ctx, r.inUse(), w.batch.Partition.Partition, w.batch.Range)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(bad), func(b reject) bool {
		_, stored := slices.BinarySearch(held, b.rec.Offset)
		if stored {
			r.refused.add(b.rec.Partition, b.rec.Offset, b.reason)
		}
		return stored
	}), nil
}

// offsets are what a raw table holds of a range, ascending.
func (r *replay) offsets(ctx context.Context, table string, partition int32, rng consumers.Range) ([]int64, error) {
	held, err := r.ints(ctx, fmt.Sprintf("SELECT DISTINCT _offset FROM %s WHERE _partition = %d AND _offset >= %d AND _offset < %d ORDER BY _offset",
		table, partition, rng.Start, rng.End))
	if err != nil {
		return nil, classify(fmt.Errorf("ask table %s for its offsets: %w", table, err))
	}
	return held, nil
}
