package lake

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

const (
	batchBytes  = 1 << 20  // of a batch's rows
	rawBytes    = 1 << 20  // of a rejected object or page that goes into its dead letter
	maxBadPages = 64       // of one item; the rest of its rows are rejected together
	sampleBytes = 64 << 10 // read at once for a checksum
)

// Worker reads the rows of work items and makes their records. It keeps the object of the last item open.
type Worker struct {
	conf    Config
	store   store
	target  producers.Target
	log     *slog.Logger
	codecs  codecs
	schemas map[string]*schemas.Schema // by text, of the items so far

	key, etag string
	in        objectReader
	footer    *footer
}

var _ producers.Worker = (*Worker)(nil)

// NewWorker makes a worker for RunShared.
func NewWorker(conf Config, target producers.Target, log *slog.Logger) (*Worker, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	return newWorker(conf, folder{conf.Folder}, target, log), nil
}

func newWorker(conf Config, s store, target producers.Target, log *slog.Logger) *Worker {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Worker{conf: conf, store: s, target: target, log: log, schemas: map[string]*schemas.Schema{}}
}

// Close closes the object that is open.
func (w *Worker) Close(context.Context) error {
	w.codecs.close()
	return w.closeObject()
}

func (w *Worker) closeObject() error {
	if w.in == nil {
		return nil
	}
	err := w.in.Close()
	w.in, w.footer, w.key, w.etag = nil, nil, "", ""
	return err
}

// Work reads the item's rows. Rows that can never be read or stored go to the dead letters one by one; an object that changes while
// it is read is an error, and when the item comes again all its rows do.
func (w *Worker) Work(ctx context.Context, rec *kgo.Record, emit func(producers.Batch) error) error {
	it, err := parseItem(rec.Value)
	if err != nil {
		return &producers.Error{Class: producers.Pause, Err: err, Remedy: "the topic of work items holds something else: empty it"}
	}
	out := &output{ctx: ctx, item: it, target: w.target, emit: emit, partition: int32(xxhash.Sum64String(it.String()) & (1<<16 - 1))}
	rows, topic, err := w.open(ctx, it)
	switch {
	case errors.Is(err, errChanged), isBadFile(err):
		if err := out.rejectRows(it.First, it.Rows, nil, err); err != nil {
			return err
		}
		return out.flush()
	case err != nil:
		return err
	}
	out.topic = topic
	if err := out.copyRows(rows); err != nil {
		return err
	}
	if err := w.in.Check(); err != nil {
		return errors.Join(fmt.Errorf("read %s: %w", it.Key, err), w.closeObject())
	}
	return out.flush()
}

// open makes the item's rows ready to be read, from the group's first on.
func (w *Worker) open(ctx context.Context, it item) (*rowReader, producers.Dataset, error) {
	var d *DatasetConfig
	for i := range w.conf.Datasets {
		if w.conf.Datasets[i].Name == it.Dataset {
			d = &w.conf.Datasets[i]
		}
	}
	if d == nil {
		return nil, producers.Dataset{}, &producers.Error{Class: producers.Pause, Err: fmt.Errorf("read %s: the dataset %s is not configured", it, it.Dataset),
			Remedy: "configure the same datasets for the planner and its readers"}
	}
	schema, err := w.schema(it.Schema)
	if err != nil {
		return nil, producers.Dataset{}, err
	}
	topic, err := w.target.Dataset(ctx, it.Dataset, nil, schema)
	if err != nil {
		return nil, topic, err
	}
	if err := w.openObject(ctx, it); err != nil {
		return nil, topic, err
	}
	if it.Group >= len(w.footer.meta.RowGroups) || it.First+it.Rows > w.footer.meta.RowGroups[it.Group].NumRows {
		return nil, topic, errChanged
	}
	t := d.typing(it.Key)
	values, err := partitionValues(it.Key, t.partitions)
	if err != nil {
		return nil, topic, badFile("%v", err)
	}
	p, err := compile(w.footer.root, t, schema, values)
	if err != nil {
		return nil, topic, badFile("%v", err)
	}
	return newRowReader(w.footer, p, it.Group, w.in, newOrigin(it.Key, it.Group, it.Modified), &w.codecs), topic, nil
}

func (w *Worker) schema(text string) (*schemas.Schema, error) {
	if s := w.schemas[text]; s != nil {
		return s, nil
	}
	s, err := schemas.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read work item: %w", err)
	}
	if len(w.schemas) >= 100 {
		clear(w.schemas)
	}
	w.schemas[text] = s
	return s, nil
}

func (w *Worker) openObject(ctx context.Context, it item) error {
	if w.in != nil && w.key == it.Key && w.etag == it.ETag && w.in.Check() == nil {
		return nil
	}
	if err := w.closeObject(); err != nil {
		w.log.Warn("object closed with an error", "path", w.key, "err", err)
	}
	in, err := w.store.Open(ctx, it.Key, it.ETag)
	if err != nil {
		return err
	}
	f, err := readFooter(in, it.Size)
	if err != nil {
		if changed := in.Check(); changed != nil {
			err = changed
		}
		return errors.Join(err, in.Close())
	}
	w.in, w.footer, w.key, w.etag = in, f, it.Key, it.ETag
	return nil
}

// output gathers an item's records into batches.
type output struct {
	ctx       context.Context
	item      item
	target    producers.Target
	topic     producers.Dataset
	emit      func(producers.Batch) error
	partition int32

	rows    []byte
	ends    []int
	letters []*kgo.Record
	bytes   int // of the letters
	bad     int // pages
}

// copyRows reads all rows of the item.
func (o *output) copyRows(r *rowReader) error {
	end := o.item.First + o.item.Rows
	err := r.seek(o.item.First)
	for row := o.item.First; row < end; {
		if err == nil {
			row, err = o.readTo(r, row, end)
			if err == nil {
				break
			}
		}
		page, ok := errors.AsType[*pageError](err)
		if !ok {
			return fmt.Errorf("read %s: %w", o.item, err)
		}
		lost := min(page.rows, end-row)
		if o.bad++; lost <= 0 || o.bad > maxBadPages {
			lost = end - row
		}
		if err := o.rejectRows(row, lost, page.raw, page); err != nil {
			return err
		}
		if row += lost; row < end {
			err = r.seek(row)
		}
	}
	return nil
}

// readTo reads rows until end, or until a page cannot be read; it returns the row that is next.
func (o *output) readTo(r *rowReader, row, end int64) (int64, error) {
	for ; row < end; row++ {
		start := len(o.rows)
		dst, err := r.append(schemas.AppendFrame(o.rows, o.topic.ValueID))
		switch invalid, ok := err.(*valueError); {
		case ok:
			err = o.rejectRow(row, dst[start+schemas.FrameSize:], invalid.Error())
			dst = dst[:start]
		case err != nil:
			return row, err
		case len(dst)-start > o.target.MaxRecordBytes():
			err = o.rejectRow(row, dst[start+schemas.FrameSize:], fmt.Sprintf("the row has %d bytes, more than the %d of a Kafka record",
				len(dst)-start, o.target.MaxRecordBytes()))
			dst = dst[:start]
		default:
			o.ends = append(o.ends, len(dst))
		}
		o.rows = dst
		if err != nil {
			return row, err
		}
		if len(o.rows)+o.bytes >= batchBytes {
			if err := o.flush(); err != nil {
				return row, err
			}
		}
	}
	return row, nil
}

func (o *output) place(row int64) string {
	return fmt.Sprintf("object %s, row group %d, row %d of the group", o.item.Key, o.item.Group, row+1)
}

// rejectRow keeps a row that was read but cannot be stored: raw is its Avro without the frame, in the dataset's schema, where the value in
// question is as it was if Avro has room for it and null if not.
func (o *output) rejectRow(row int64, raw []byte, reason string) error {
	sum := sha256.Sum256(raw)
	return o.letter(producers.DeadLetter{Dataset: o.item.Dataset, Place: o.place(row), Raw: raw, Size: int64(len(raw)), SHA256: sum[:], Reason: reason})
}

// rejectRows keeps a dead letter for each row that could not be read. The first of them has the bytes of the page.
func (o *output) rejectRows(first, rows int64, page []byte, reason error) error {
	sum := sha256.Sum256(page)
	for i := range rows {
		d := producers.DeadLetter{Dataset: o.item.Dataset, Place: o.place(first + i), Reason: reason.Error()}
		if i == 0 && page != nil {
			d.Raw, d.Size, d.SHA256 = page[:min(len(page), rawBytes)], int64(len(page)), sum[:]
		}
		if err := o.letter(d); err != nil {
			return err
		}
	}
	return nil
}

func (o *output) letter(d producers.DeadLetter) error {
	rec := o.target.DeadLetter(d)
	o.letters = append(o.letters, rec)
	if o.bytes += len(rec.Value); o.bytes >= batchBytes {
		return o.flush()
	}
	return nil
}

// flush emits what has been gathered. Each batch goes to the next partition, so that a large item is spread over the topic.
func (o *output) flush() error {
	if len(o.ends) == 0 && len(o.letters) == 0 {
		return nil
	}
	if err := o.ctx.Err(); err != nil {
		return err
	}
	records := make([]kgo.Record, len(o.ends))
	b := producers.Batch{Records: make([]*kgo.Record, 0, len(o.ends)+len(o.letters)),
		Rows: []producers.RowCount{{Dataset: o.item.Dataset, Produced: int64(len(o.ends)), Rejected: int64(len(o.letters))}}}
	start := 0
	for i, end := range o.ends {
		records[i] = kgo.Record{Topic: o.topic.Topic, Partition: o.partition, Value: o.rows[start:end:end]}
		b.Records = append(b.Records, &records[i])
		start = end
	}
	b.Records = append(b.Records, o.letters...)
	o.partition++
	o.rows = make([]byte, 0, batchBytes+batchBytes/8)
	o.ends, o.letters, o.bytes = o.ends[:0], nil, 0
	return o.emit(b)
}

// sample returns the first bytes of an object and the checksum of all.
func sample(in io.ReaderAt, size int64) (raw, sum []byte, err error) {
	h := sha256.New()
	raw = make([]byte, min(size, rawBytes))
	if err := readAt(in, raw, 0); err != nil {
		return nil, nil, err
	}
	if _, err := io.CopyBuffer(h, io.NewSectionReader(in, 0, size), make([]byte, sampleBytes)); err != nil {
		return raw, nil, err
	}
	return raw, h.Sum(nil), nil
}
