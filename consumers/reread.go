package consumers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reread reads ranges of a topic again, beside the group that consumes it, and hands the committed records on in batches.
type Reread struct {
	Kafka   []kgo.Opt
	Topic   string
	TopicID [16]byte
	// Ranges are what is read, by partition. There must be a committed record or a transaction's mark at or after the last offset of each, as
	// there is below every offset that was stored or committed.
	Ranges map[int32]Range
	Limits Limits
	// Write makes a batch durable. The batches of one partition come one after the other, those of several at once.
	Write func(ctx context.Context, b Batch) error
	// Done is told, from one goroutine, how far a partition is written.
	Done func(partition int32, offset int64, records int)
}

// Run reads and writes everything. It ends with the first error, when the writes under way have ended too.
func (r Reread) Run(ctx context.Context) error {
	r.Limits = r.Limits.withDefaults()
	at := map[int32]kgo.Offset{}
	w := &rereading{Reread: r, parts: map[int32]*rereadPart{}, results: make(chan rereadResult)}
	for n, rng := range r.Ranges {
		if !rng.Empty() {
			at[n] = kgo.NewOffset().At(rng.Start)
			w.parts[n] = &rereadPart{partition: n, todo: rng, next: rng.Start}
		}
	}
	if len(w.parts) == 0 {
		return nil
	}
	opts := append(slices.Clone(r.Kafka), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.Topic: at}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(r.Limits.FetchBytes), kgo.FetchMaxPartitionBytes(max(r.Limits.FetchBytes/4, 1<<20)))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = w.loop(ctx, cl)
	if err != nil {
		cancel()
	}
	for w.writing > 0 {
		<-w.results
		w.writing--
	}
	return err
}

// rereading is one Run. Its loop owns every field.
type rereading struct {
	Reread
	parts    map[int32]*rereadPart // that are not done
	buffered int
	writing  int
	results  chan rereadResult
}

type rereadPart struct {
	partition int32
	todo      Range // Start moves with what is written
	next      int64 // one past the last offset read
	buf       []*kgo.Record
	bytes     int // of buf
	writing   bool
}

type rereadResult struct {
	p     *rereadPart
	batch Batch
	bytes int
	err   error
}

func (w *rereading) loop(ctx context.Context, cl *kgo.Client) error {
	for len(w.parts) > 0 {
		w.start(ctx)
		if w.buffered >= w.Limits.BufferBytes || w.readAll() {
			if err := w.finish(<-w.results); err != nil {
				return err
			}
			continue
		}
		if err := w.take(cl.PollRecords(ctx, pollRecords)); err != nil {
			return err
		}
		for n, p := range w.parts {
			if p.next >= p.todo.End {
				cl.PauseFetchPartitions(map[string][]int32{w.Topic: {n}})
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for more := true; more; {
			select {
			case res := <-w.results:
				if err := w.finish(res); err != nil {
					return err
				}
			default:
				more = false
			}
		}
	}
	return nil
}

// readAll tells whether nothing is left to be read.
func (w *rereading) readAll() bool {
	for _, p := range w.parts {
		if p.next < p.todo.End {
			return false
		}
	}
	return true
}

func (w *rereading) take(f kgo.Fetches) error {
	var failed error
	f.EachError(func(topic string, partition int32, err error) {
		failed = fmt.Errorf("read %s/%d again: %w", topic, partition, err)
	})
	if failed != nil {
		return failed
	}
	f.EachRecord(func(rec *kgo.Record) {
		p := w.parts[rec.Partition]
		if p == nil || rec.Offset < p.next || p.next >= p.todo.End {
			return
		}
		if rec.Offset >= p.todo.End {
			p.next = p.todo.End
			return
		}
		p.next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			return
		}
		p.buf = append(p.buf, rec)
		p.bytes += size(rec)
		w.buffered += size(rec)
	})
	return nil
}

// start begins the writes that are large enough, all that can be begun when memory is short, and the last one of a partition.
func (w *rereading) start(ctx context.Context) {
	parts := slices.SortedFunc(maps.Values(w.parts), func(a, b *rereadPart) int { return b.bytes - a.bytes })
	for _, p := range parts {
		full := len(p.buf) >= w.Limits.BatchRows || p.bytes >= w.Limits.BatchBytes || p.next >= p.todo.End || w.buffered >= w.Limits.BufferBytes
		if p.writing || !full || w.writing >= w.Limits.Writers {
			continue
		}
		b, bytes := w.cut(p)
		p.writing = true
		w.writing++
		go func() { w.results <- rereadResult{p, b, bytes, w.write(ctx, b)} }()
	}
}

func (w *rereading) write(ctx context.Context, b Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	return w.Write(ctx, b)
}

func (w *rereading) cut(p *rereadPart) (b Batch, bytes int) {
	n, bytes := fit(p.buf, w.Limits.BatchRows, w.Limits.BatchBytes)
	end := p.next
	if n < len(p.buf) {
		end = p.buf[n].Offset
	}
	b = Batch{Partition: Partition{w.Topic, w.TopicID, p.partition}, Range: Range{p.todo.Start, end}, Records: p.buf[:n:n]}
	if p.buf = p.buf[n:]; len(p.buf) == 0 {
		p.buf = nil // the batch has the array
	}
	p.bytes -= bytes
	return b, bytes
}

func (w *rereading) finish(res rereadResult) error {
	w.writing--
	w.buffered -= res.bytes
	res.p.writing = false
	if res.err != nil {
		return res.err
	}
	res.p.todo.Start = res.batch.End
	if res.p.todo.Empty() {
		delete(w.parts, res.p.partition)
	}
	if w.Done != nil {
		w.Done(res.p.partition, res.batch.End, len(res.batch.Records))
	}
	return nil
}
