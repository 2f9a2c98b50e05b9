package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// itemsDataset is the name under which a Planner asks its Target for the topic of work items; TopicOf maps it to ItemsTopic. No
// configured dataset can have it.
const itemsDataset = "_items"

// Parts of a Planner's positions: an object's version and what became of it, and a dataset's schema.
const (
	objectPart = "object:"
	schemaPart = "schema:"
)

// rejectedText marks, in an object's position, that the object as a whole is in the dead letters.
const rejectedText = "rejected"

// Planner lists a lake and gives out each new version of an object as work items. Its positions are the set of versions that have been
// given out, and the widest schema of each dataset so far, in which all later rows are written.
type Planner struct {
	conf   Config
	store  store
	log    *slog.Logger
	target producers.Target
	now    func() time.Time

	items   producers.Dataset
	planned map[string]string          // tag by key
	widest  map[string]*schemas.Schema // by dataset
	queue   []object                   // of the last listing, not looked at yet
	waiting map[string]sighting        // objects that are not at rest
	failed  map[string]error           // objects that could not be read, by key
	next    int32                      // partition of the next item
	scanned bool                       // the queue is what was left of a complete listing
}

// sighting is when an object was first seen with a tag.
type sighting struct {
	etag string
	at   time.Time
}

var (
	_ producers.Source = (*Planner)(nil)
	_ producers.Holder = (*Planner)(nil)
)

// New makes a planner. The error names everything that is wrong with the configuration.
func New(conf Config, log *slog.Logger) (*Planner, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	return newPlanner(conf, folder{conf.Folder}, log), nil
}

func newPlanner(conf Config, s store, log *slog.Logger) *Planner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Planner{conf: conf, store: s, log: log, now: time.Now, planned: map[string]string{}, widest: map[string]*schemas.Schema{},
		waiting: map[string]sighting{}, failed: map[string]error{}}
}

// Open makes the topic of work items ready.
func (p *Planner) Open(ctx context.Context, target producers.Target, positions map[string]string) error {
	p.target = target
	if err := p.Remember(positions); err != nil {
		return err
	}
	items, err := target.Dataset(ctx, itemsDataset, nil, schemas.LakeItem)
	if err != nil {
		return fmt.Errorf("open topic of work items: %w", err)
	}
	p.items = items
	return nil
}

// Remember takes over committed positions, as Open does. Held is exact about a dataset's types only when it knows them.
func (p *Planner) Remember(positions map[string]string) error {
	for part, text := range positions {
		if dataset, ok := strings.CutPrefix(part, schemaPart); ok {
			s, err := schemas.Parse(text)
			if err != nil {
				return &producers.Error{Class: producers.Stop, Err: fmt.Errorf("read position %s: %w", part, err)}
			}
			p.widest[dataset] = s
		}
		if key, ok := strings.CutPrefix(part, objectPart); ok {
			tag, _, _ := strings.Cut(text, " ")
			etag, err := url.QueryUnescape(tag)
			if err != nil {
				return &producers.Error{Class: producers.Stop, Err: fmt.Errorf("read position %s: %w", part, err)}
			}
			p.planned[key] = etag
		}
	}
	return nil
}

// Next gives out one object.
func (p *Planner) Next(ctx context.Context) (producers.Batch, error) {
	for {
		for len(p.queue) > 0 {
			if err := ctx.Err(); err != nil {
				return producers.Batch{}, err
			}
			o := p.queue[0]
			p.queue = p.queue[1:]
			b, ok, err := p.plan(ctx, o)
			if err != nil {
				return producers.Batch{}, err
			}
			if ok {
				return b, nil
			}
		}
		if p.scanned {
			if err := p.rest(ctx); err != nil {
				return producers.Batch{}, err
			}
		}
		if err := p.scan(ctx); err != nil {
			return producers.Batch{}, err
		}
	}
}

// rest waits for the next listing; it is io.EOF when there need not be one.
func (p *Planner) rest(ctx context.Context) error {
	pause := p.conf.ScanEvery
	if !*p.conf.Follow {
		for key, err := range p.failed {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if len(p.waiting) == 0 {
			return io.EOF
		}
	}
	if len(p.waiting) > 0 {
		pause = min(pause, max(p.conf.Settle/2, time.Millisecond))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// scan lists the lake and queues the objects whose version has not been given out, in the order of their keys.
func (p *Planner) scan(ctx context.Context) error {
	seen := map[string]bool{}
	var fresh []object
	err := listAll(ctx, p.store, &p.conf, func(o object, _ *DatasetConfig) error {
		if !seen[o.Key] {
			seen[o.Key] = true
			if p.planned[o.Key] != o.ETag {
				fresh = append(fresh, o)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key := range p.waiting {
		if !seen[key] {
			delete(p.waiting, key)
		}
	}
	clear(p.failed)
	slices.SortFunc(fresh, func(a, b object) int { return strings.Compare(a.Key, b.Key) })
	p.queue, p.scanned = fresh, true
	return nil
}

// listAll lists every object that belongs to a dataset.
func listAll(ctx context.Context, s store, conf *Config, each func(object, *DatasetConfig) error) error {
	var prefixes []string
	for _, d := range conf.Datasets {
		prefixes = append(prefixes, globPrefix(d.Path))
	}
	slices.Sort(prefixes)
	done := ""
	for i, prefix := range prefixes {
		if i > 0 && (done == "" || prefix == done || strings.HasPrefix(prefix, done+"/")) {
			continue // listed already
		}
		done = prefix
		err := s.List(ctx, prefix, func(o object) error {
			if d := conf.dataset(o.Key); d != nil {
				return each(o, d)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settled tells whether an object has been left alone long enough, by its own time or by how long it has been seen as it is.
func (p *Planner) settled(o object) bool {
	now := p.now()
	first, ok := p.waiting[o.Key]
	if !ok || first.etag != o.ETag {
		first = sighting{o.ETag, now}
	}
	if now.Sub(o.Modified) >= p.conf.Settle || now.Sub(first.at) >= p.conf.Settle {
		delete(p.waiting, o.Key)
		return true
	}
	p.waiting[o.Key] = first
	return false
}

// plan turns an object into a batch of work items; ok is false when the object's turn has not come.
func (p *Planner) plan(ctx context.Context, o object) (b producers.Batch, ok bool, err error) {
	d := p.conf.dataset(o.Key)
	if d == nil || !p.settled(o) {
		return b, false, nil
	}
	in, err := p.store.Open(ctx, o.Key, o.ETag)
	if err != nil && !errors.Is(err, errChanged) {
		err = storeError{err}
	}
	if err == nil {
		defer in.Close()
		b, err = p.itemsOf(ctx, o, d, in)
		if err == nil || isBadFile(err) {
			err = errors.Join(err, in.Check())
		}
	}
	switch {
	case errors.Is(err, errChanged):
		return b, false, nil // the next listing shows what it has become
	case isBadFile(err):
		b, err = p.reject(o, d, in, err)
	case err != nil && !isStoreError(err):
		return b, false, err
	case err != nil:
		p.failed[o.Key] = err
		p.log.Warn("object is not readable, tried again at the next listing", "path", o.Key, "err", err)
		return b, false, nil
	}
	if err != nil {
		return b, false, err
	}
	p.planned[o.Key] = o.ETag
	return b, true, nil
}

func isBadFile(err error) bool {
	_, ok := errors.AsType[*BadFileError](err)
	return ok
}

// storeError is a reader's or a store's error about one object.
type storeError struct{ error }

// Unwrap is the store's own error.
func (e storeError) Unwrap() error { return e.error }

func isStoreError(err error) bool {
	_, ok := errors.AsType[storeError](err)
	return ok
}

func (p *Planner) itemsOf(ctx context.Context, o object, d *DatasetConfig, in io.ReaderAt) (producers.Batch, error) {
	f, err := readFooter(in, o.Size)
	if err != nil && !isBadFile(err) {
		return producers.Batch{}, storeError{err}
	}
	if err != nil {
		return producers.Batch{}, err
	}
	schema, err := p.widen(ctx, o, d, f)
	if err != nil {
		return producers.Batch{}, err
	}
	b := producers.Batch{Positions: []producers.Position{{
		Part: objectPart + o.Key,
		Text: fmt.Sprintf("%s %d %d %d", url.QueryEscape(o.ETag), o.Size, len(f.meta.RowGroups), f.meta.NumRows),
	}}}
	if before := p.widest[d.Name]; before == nil || before.String() != schema.String() {
		b.Positions = append(b.Positions, producers.Position{Part: schemaPart + d.Name, Text: schema.String()})
		p.widest[d.Name] = schema
	}
	for g := range f.meta.RowGroups {
		rows, each := f.meta.RowGroups[g].NumRows, p.itemRows(f, g)
		for first := int64(0); first < rows; first += each {
			it := item{Dataset: d.Name, Key: o.Key, ETag: o.ETag, Size: o.Size, Modified: o.Modified, Group: g, First: first,
				Rows: min(each, rows-first), Schema: schema.String()}
			b.Records = append(b.Records, &kgo.Record{Topic: p.items.Topic, Partition: p.next, Value: it.append(nil, p.items.ValueID)})
			p.next = (p.next + 1) & (1<<16 - 1)
		}
	}
	return b, nil
}

// widen returns the schema in which the object's rows are written: the dataset's, widened where the object needs it. What the object
// cannot be written in is a *BadFileError.
func (p *Planner) widen(ctx context.Context, o object, d *DatasetConfig, f *footer) (*schemas.Schema, error) {
	_, schema, err := planOf(o.Key, d, f, p.widest[d.Name])
	if err != nil {
		return nil, err
	}
	_, err = p.target.Dataset(ctx, d.Name, nil, schema)
	if incompatible, ok := errors.AsType[*schemas.IncompatibleError](err); ok {
		return nil, badFile("its columns do not go with the dataset's earlier ones: %v", incompatible)
	}
	return schema, err
}

// planOf compiles the plan of an object's rows in the schema that holds them and what there was before, which may be nil.
func planOf(key string, d *DatasetConfig, f *footer, before *schemas.Schema) (*plan, *schemas.Schema, error) {
	t := d.typing(key)
	values, err := partitionValues(key, t.partitions)
	if err != nil {
		return nil, nil, badFile("%v", err)
	}
	schema, err := avroSchema(f.root, t)
	if err != nil {
		return nil, nil, badFile("%v", err)
	}
	if before != nil {
		if schema, err = schemas.Merge(before, schema); err != nil {
			return nil, nil, badFile("its columns do not go with the dataset's earlier ones: %v", err)
		}
	}
	p, err := compile(f.root, t, schema, values)
	if err != nil {
		return nil, nil, badFile("%v", err)
	}
	return p, schema, nil
}

// itemRows is how many rows of a row group make an item.
func (p *Planner) itemRows(f *footer, group int) int64 {
	g := &f.meta.RowGroups[group]
	var bytes int64
	for c := range g.Columns {
		bytes += max(g.Columns[c].MetaData.TotalUncompressedSize, 0)
	}
	n := p.conf.ItemRows
	if bytes > p.conf.ItemBytes && g.NumRows > 0 {
		n = min(n, int64(float64(p.conf.ItemBytes)/float64(bytes)*float64(g.NumRows)))
	}
	return max(n, 1)
}

// reject puts an object as a whole into the dead letters, as one row. A later version of it is looked at anew.
func (p *Planner) reject(o object, d *DatasetConfig, in io.ReaderAt, reason error) (producers.Batch, error) {
	raw, sum, err := sample(in, o.Size)
	if err != nil {
		p.log.Warn("object is rejected without its bytes", "path", o.Key, "err", err)
	}
	p.log.Warn("object rejected", "path", o.Key, "bytes", o.Size, "err", reason)
	letter := p.target.DeadLetter(producers.DeadLetter{Dataset: d.Name, Place: "object " + o.Key, Raw: raw, Size: o.Size, SHA256: sum, Reason: reason.Error()})
	return producers.Batch{
		Records:   []*kgo.Record{letter},
		Positions: []producers.Position{{Part: objectPart + o.Key, Text: url.QueryEscape(o.ETag) + " " + strconv.FormatInt(o.Size, 10) + " " + rejectedText}},
		Rows:      []producers.RowCount{{Dataset: d.Name, Rejected: 1}},
	}, nil
}

// Commit has nothing to acknowledge: nobody but the positions knows what has been read.
func (p *Planner) Commit(context.Context, []producers.Position) error { return nil }

// Close releases nothing: objects are open only while they are looked at.
func (p *Planner) Close(context.Context) error { return nil }
