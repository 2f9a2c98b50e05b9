package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
)

// window is how many offsets are copied, compared or looked up at once.
const window = 500_000

// windows cuts a range.
func windows(r consumers.Range) []consumers.Range {
	var all []consumers.Range
	for ; !r.Empty(); r.Start += window {
		all = append(all, consumers.Range{Start: r.Start, End: min(r.Start+window, r.End)})
	}
	return all
}

// carry copies the rows outside of what is read again from the table in use, with the current rows that were made of them.
func (r *replay) carry(ctx context.Context) error {
	if r.gens.raw == nil {
		return nil
	}
	var parts []carried
	for _, n := range partitionsOf(r.plan.Read) {
		read, planned := r.plan.Read[n], r.plan.Planned[n]
		for _, rng := range []consumers.Range{{Start: 0, End: read.Start}, {Start: read.End, End: planned}} {
			for _, w := range windows(rng) {
				parts = append(parts, carried{n, w})
			}
		}
	}
	seeded := false
	for _, p := range parts {
		there, err := r.offsets(ctx, r.inUse(), p.partition, p.Range)
		if err != nil {
			return err
		}
		if len(there) == 0 {
			continue
		}
		if !seeded {
			if err := r.seedCurrent(ctx); err != nil {
				return err
			}
			seeded = true
		}
		if err := r.persist(ctx, "carry over", func(ctx context.Context) error { return r.carryWindow(ctx, p, there) }); err != nil {
			return err
		}
	}
	return nil
}

type carried struct {
	partition int32
	consumers.Range
}

// carryWindow copies the rows of one window. One that an earlier replay has copied in part is copied anew.
func (r *replay) carryWindow(ctx context.Context, p carried, there []int64) error {
	have, err := r.offsets(ctx, r.table.fullName(), p.partition, p.Range)
	if err != nil || slices.Equal(have, there) {
		return err
	}
	where := fmt.Sprintf("_partition = %d AND _offset >= %d AND _offset < %d", p.partition, p.Start, p.End)
	if len(have) > 0 {
		if err := r.exec(ctx, "ALTER TABLE "+r.table.fullName()+" DELETE WHERE "+where+" SETTINGS mutations_sync = 2"); err != nil {
			return fmt.Errorf("delete what was copied of partition %d from offset %d: %w", p.partition, p.Start, err)
		}
	}
	if err := r.copyRows(ctx, where); err != nil {
		return err
	}
	r.report.Carried += int64(len(there))
	r.tell("carry over", "")
	return nil
}

// copyRows copies rows of the table in use, each once.
func (r *replay) copyRows(ctx context.Context, where string) error {
	common, err := r.commonColumns(ctx, r.conf.Raw, r.gens.name, r.table.name)
	if err != nil {
		return err
	}
	names := columnsText(namesOf(common))
	// The token is one of its own every time: what is there has been looked up, and nobody else writes here.
	sql := "INSERT INTO " + r.table.fullName() + " (" + names + ") SELECT " + names + " FROM " + r.inUse() + " WHERE " + where + " ORDER BY _partition, _offset LIMIT 1 BY _partition, _offset " +
		"SETTINGS async_insert = 0, insert_deduplicate = 0, insert_deduplication_token = " +
		quoteText(fmt.Sprintf("%s.carried.%s.%d", r.table.replay.prefix(r.extent.TopicID), r.owner, time.Now().UnixNano()))
	if err := r.exec(ctx, sql); err != nil {
		return fmt.Errorf("copy rows of table %s: %w", r.inUse(), err)
	}
	return nil
}

// prefix begins the tokens of the hidden table.
func (h *hidden) prefix(topicID [16]byte) string {
	return (&meta{TopicID: fmt.Sprintf("%x", topicID), Generation: h.number}).tokenPrefix()
}

// seedCurrent begins the new current rows with those in use, unless an earlier replay has gone beyond that. What is read again comes on top, and
// wins over a row of the same version, since it is written later.
func (r *replay) seedCurrent(ctx context.Context) error {
	if r.gens.current == nil {
		return r.mayLackCurrent(ctx)
	}
	for n, rng := range r.plan.Read {
		for _, rng := range []consumers.Range{rng, {Start: r.plan.Planned[n], End: noEnd}} {
			if highest, err := r.highestRow(ctx, n, rng); err != nil || highest >= 0 {
				return err
			}
		}
	}
	rows := rowsPrefix + r.table.name
	common, err := r.commonColumns(ctx, r.conf.Current, rowsPrefix+r.gens.name, rows)
	if err != nil {
		return err
	}
	names := columnsText(namesOf(common))
	return r.persist(ctx, "carry over", func(ctx context.Context) error {
		err := r.exec(ctx, "INSERT INTO "+quoteName(r.conf.Current)+"."+quoteName(rows)+" ("+names+") SELECT "+names+" FROM "+r.currentInUse()+
			" SETTINGS async_insert = 0, insert_deduplicate = 0")
		if err != nil {
			return fmt.Errorf("copy current rows %s: %w", r.currentInUse(), err)
		}
		return nil
	})
}

// mayLackCurrent refuses a replay in which current rows are missing that only the rows it copies could tell.
func (r *replay) mayLackCurrent(ctx context.Context) error {
	c, _, err := r.changesIn(r.table, r.gens.raw)
	if err != nil || c == nil {
		return err
	}
	var outside []string
	for _, n := range partitionsOf(r.plan.Read) {
		outside = append(outside, fmt.Sprintf("_partition = %d AND (_offset < %d OR _offset >= %d AND _offset < %d)", n, r.plan.Read[n].Start, r.plan.Read[n].End, r.plan.Planned[n]))
	}
	n, err := r.ints(ctx, "SELECT toInt64(count()) FROM "+r.inUse()+" WHERE "+keyedChange+" AND ("+strings.Join(outside, " OR ")+")")
	if err != nil || n[0] == 0 {
		return err
	}
	return fmt.Errorf("table %s is missing, and %d changes are not read again that current rows are made from: replay the whole topic, or restore the table if Kafka no longer has all of it",
		r.currentInUse(), n[0])
}

// readRounds reads what is planned, and then what has come meanwhile.
func (r *replay) readRounds(ctx context.Context) error {
	todo := map[int32]consumers.Range{}
	for n, rng := range r.plan.Read {
		start, err := r.resumeAt(ctx, n, rng)
		if err != nil {
			return err
		}
		todo[n] = consumers.Range{Start: start, End: rng.End}
		if r.done[n], err = r.resumeAt(ctx, n, consumers.Range{Start: r.plan.Planned[n], End: noEnd}); err != nil {
			return err
		}
	}
	if err := r.readRanges(ctx, "read", todo); err != nil {
		return err
	}
	return r.catchUp(ctx)
}

// catchUp reads in rounds until what is left is so little that the writers can wait for it.
func (r *replay) catchUp(ctx context.Context) error {
	const rounds, little = 20, 2_000
	for range rounds {
		left, todo, err := r.behind(ctx)
		if err != nil {
			return err
		}
		if err := r.readOn(ctx, "read", todo); err != nil || left <= little {
			return err
		}
	}
	return nil
}

// lookBack is how many offsets before the last row are read again when a replay is resumed: the last batch may be stored in part.
const lookBack = 4

// noEnd is above every offset.
const noEnd = 1 << 62

// resumeAt is where reading of a range begins: at its start, or where an earlier replay has come to.
func (r *replay) resumeAt(ctx context.Context, n int32, rng consumers.Range) (int64, error) {
	if !r.report.Resumed {
		return rng.Start, nil
	}
	highest, err := r.highestRow(ctx, n, rng)
	if err != nil || highest < 0 {
		return rng.Start, err
	}
	r.doubt[n] = max(r.doubt[n], highest+1)
	return max(rng.Start, highest-lookBack*int64(r.o.Limits.BatchRows)), nil
}

// highestRow is the highest offset of a range that the new table holds, -1 for none.
func (r *replay) highestRow(ctx context.Context, n int32, rng consumers.Range) (int64, error) {
	highest, err := r.ints(ctx, fmt.Sprintf("SELECT max(_offset) FROM %s WHERE _partition = %d AND _offset >= %d AND _offset < %d HAVING count() > 0",
		r.table.fullName(), n, rng.Start, rng.End))
	if err != nil || len(highest) == 0 {
		return -1, classify(err)
	}
	return highest[0], nil
}

// behind is what the table in use holds beyond what is read.
func (r *replay) behind(ctx context.Context) (left int64, todo map[int32]consumers.Range, err error) {
	bounds, err := r.bounds(ctx)
	if err != nil {
		return 0, nil, err
	}
	todo = map[int32]consumers.Range{}
	for n, end := range bounds {
		rng := consumers.Range{Start: r.done[n], End: end}
		if !rng.Empty() {
			todo[n] = rng
			left += rng.End - rng.Start
		}
	}
	return left, todo, nil
}

// readOn reads what lies behind what is read.
func (r *replay) readOn(ctx context.Context, step string, todo map[int32]consumers.Range) error {
	if err := r.readRanges(ctx, step, todo); err != nil {
		return err
	}
	for n, rng := range todo {
		r.done[n] = rng.End
	}
	return nil
}

// readRanges reads ranges of the topic into the new tables.
func (r *replay) readRanges(ctx context.Context, step string, todo map[int32]consumers.Range) error {
	at := map[int32]int64{}
	r.mu.Lock()
	for n, rng := range todo {
		r.total += max(0, rng.End-rng.Start)
		at[n] = rng.Start
	}
	r.mu.Unlock()
	return consumers.Reread{Kafka: r.o.Kafka, Topic: r.o.Topic, TopicID: r.extent.TopicID, Ranges: todo, Limits: r.o.Limits,
		Write: r.write,
		Done: func(n int32, offset int64, records int) {
			r.mu.Lock()
			r.read += offset - at[n]
			at[n] = offset
			r.report.Read += int64(records)
			r.mu.Unlock()
			r.tell(step, "")
		},
	}.Run(ctx)
}

// write stores one batch in the new tables. It is called by several goroutines, for different partitions.
func (r *replay) write(ctx context.Context, b consumers.Batch) error {
	n := b.Partition.Partition
	b.First, b.Again = true, b.Start < r.doubt[n]
	if err := r.persist(ctx, "read", func(ctx context.Context) (err error) { b.Records, err = r.withoutLetters(ctx, b); return err }); err != nil {
		return err
	}
	return r.persist(ctx, "read", func(ctx context.Context) error {
		if b.Again {
			held, err := r.offsets(ctx, r.table.fullName(), n, b.Range)
			if err != nil && (!isMissing(err) || r.table.wasThere()) {
				return r.ours(ctx, err)
			}
			b.Held = held
		}
		b.Again = true
		_, err := r.writeTo(ctx, r.table, b)
		return r.ours(ctx, err)
	})
}

// ours turns an error into errTaken where the reason of it is that the new table is not this replay's any more.
func (r *replay) ours(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	there, lookErr := r.ints(ctx, "SELECT toInt64(count()) FROM system.tables WHERE database = "+quoteText(r.conf.Raw)+" AND name = "+quoteText(r.table.name))
	if lookErr == nil && there[0] == 0 && r.table.wasThere() {
		return errTaken
	}
	return err
}

func (t *table) wasThere() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}

// withoutLetters leaves out the records that are held as dead letters and by no row: they stay there until somebody retries them.
func (r *replay) withoutLetters(ctx context.Context, b consumers.Batch) ([]*kgo.Record, error) {
	and := fmt.Sprintf(" AND _offset >= %d AND _offset < %d", b.Start, b.End)
	dead, err := r.ints(ctx, strings.Join(r.table.offsetQueries(b.Partition.Partition, false, and), " UNION ALL "))
	if err != nil || len(dead) == 0 {
		return b.Records, classify(err)
	}
	slices.Sort(dead)
	var stored []int64
	if r.gens.raw != nil {
		if stored, err = r.offsets(ctx, r.inUse(), b.Partition.Partition, b.Range); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(b.Records), func(rec *kgo.Record) bool {
		_, letter := slices.BinarySearch(dead, rec.Offset)
		_, row := slices.BinarySearch(stored, rec.Offset)
		return letter && !row
	}), nil
}
