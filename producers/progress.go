package producers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

const (
	// progressPartitions is how many partitions `<prefix>.progress` has. A source's positions are all in one, chosen by its name, so
	// that they have an order.
	progressPartitions = 16
	// ownerPart is the part under which Run says who runs the source.
	ownerPart = ""
)

// progressIDs are the schema ids of the progress topic's key and value.
type progressIDs struct{ key, value int }

// progressRecord is the record that makes a position durable; an empty text is a tombstone.
func progressRecord(prefix, source string, ids progressIDs, p Position, at time.Time) *kgo.Record {
	key := schemas.AppendFrame(make([]byte, 0, schemas.FrameSize+20+len(source)+len(p.Part)), ids.key)
	key = schemas.AppendString(key, source)
	key = schemas.AppendString(key, p.Part)
	r := &kgo.Record{Topic: ProgressTopic(prefix), Key: key}
	if p.Text != "" {
		r.Value = schemas.AppendFrame(make([]byte, 0, schemas.FrameSize+20+len(p.Text)), ids.value)
		r.Value = schemas.AppendString(r.Value, p.Text)
		r.Value = schemas.AppendLong(r.Value, at.UnixMicro())
	}
	return r
}

// parseProgress undoes progressRecord. Both schemas are the program's own, so the ids of the frames are not looked up.
func parseProgress(key, value []byte) (source string, p Position, err error) {
	_, k, err := schemas.ParseFrame(key)
	if err != nil {
		return "", p, fmt.Errorf("key: %w", err)
	}
	source, k, ok := cutString(k)
	if !ok {
		return "", p, errors.New("key: source is cut short")
	}
	if p.Part, _, ok = cutString(k); !ok {
		return "", p, errors.New("key: part is cut short")
	}
	if value == nil {
		return source, p, nil
	}
	_, v, err := schemas.ParseFrame(value)
	if err != nil {
		return "", p, fmt.Errorf("value: %w", err)
	}
	if p.Text, _, ok = cutString(v); !ok {
		return "", p, errors.New("value: position is cut short")
	}
	return source, p, nil
}

// cutString reads one Avro string off b.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	n, size := binary.Varint(b)
	if size <= 0 || n < 0 || n > int64(len(b)-size) {
		return "", nil, false
	}
	return string(b[size : size+int(n)]), b[size+int(n):], true
}

// progress is what the progress topic says of one source.
type progress struct {
	positions map[string]string
	owner     string                  // who runs it, or ran it last
	open      map[int64][]*kgo.Record // not yet committed, by producer id
}

// ReadPositions returns the positions that are committed for a source, by part. It reads as a bystander: a transaction that is open now
// is not waited for. kafka are the options of the client.
func ReadPositions(ctx context.Context, kafka []kgo.Opt, prefix, source string) (map[string]string, error) {
	p, err := peek(ctx, kafka, prefix, source)
	return p.positions, err
}

// peek reads what is committed now.
func peek(ctx context.Context, kafka []kgo.Opt, prefix, source string) (progress, error) {
	r, err := newProgressReader(kafka, prefix, source, nil)
	if err != nil {
		return progress{}, err
	}
	defer r.admin.Close()
	partition, found, err := r.partition(ctx)
	if err != nil || !found {
		return progress{}, err
	}
	ends, err := r.admin.ListEndOffsets(ctx, r.topic)
	if err != nil {
		return progress{}, fmt.Errorf("list offsets of %s: %w", r.topic, err)
	}
	end, _ := ends.Lookup(r.topic, partition)
	if end.Err != nil {
		return progress{}, fmt.Errorf("list offsets of %s/%d: %w", r.topic, partition, end.Err)
	}
	return r.read(ctx, partition, end.Offset, kgo.ReadUncommitted())
}

// progressReader reads one source's partition of the progress topic.
type progressReader struct {
	kafka         []kgo.Opt
	admin         *kadm.Client
	topic, source string
	log           *slog.Logger
}

func newProgressReader(kafka []kgo.Opt, prefix, source string, log *slog.Logger) (*progressReader, error) {
	cl, err := kgo.NewClient(kafka...)
	if err != nil {
		return nil, fmt.Errorf("open kafka client: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &progressReader{kafka: kafka, admin: kadm.NewClient(cl), topic: ProgressTopic(prefix), source: source, log: log}, nil
}

// partition is the source's partition; found is false when the topic is not there.
func (r *progressReader) partition(ctx context.Context) (p int32, found bool, err error) {
	topics, err := r.admin.ListTopics(ctx, r.topic)
	if err != nil {
		return 0, false, fmt.Errorf("look up topic %s: %w", r.topic, err)
	}
	t := topics[r.topic]
	switch {
	case errors.Is(t.Err, kerr.UnknownTopicOrPartition):
		return 0, false, nil
	case t.Err != nil:
		return 0, false, fmt.Errorf("look up topic %s: %w", r.topic, t.Err)
	}
	return partitionOf([]byte(r.source), len(t.Partitions)), true, nil
}

// read returns what the records before offset end say. Read committed, it waits until every transaction before end has ended; read
// uncommitted, it takes a transaction's records in when it comes to the marker that commits them, and waits for none.
func (r *progressReader) read(ctx context.Context, partition int32, end int64, level kgo.IsolationLevel) (progress, error) {
	p := progress{positions: map[string]string{}, open: map[int64][]*kgo.Record{}}
	starts, err := r.admin.ListStartOffsets(ctx, r.topic)
	if err != nil {
		return p, fmt.Errorf("list offsets of %s: %w", r.topic, err)
	}
	start, _ := starts.Lookup(r.topic, partition)
	if start.Err != nil {
		return p, fmt.Errorf("list offsets of %s/%d: %w", r.topic, partition, start.Err)
	}
	if start.Offset >= end {
		return p, nil
	}
	cl, err := kgo.NewClient(append(r.kafka[:len(r.kafka):len(r.kafka)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: {partition: kgo.NewOffset().At(start.Offset)}}),
		kgo.FetchIsolationLevel(level), kgo.KeepControlRecords(), kgo.FetchMaxWait(250*time.Millisecond))...)
	if err != nil {
		return p, fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	for next := start.Offset; next < end; {
		fetches, err := r.poll(ctx, cl, partition)
		if err != nil {
			return p, err
		}
		for _, rec := range fetches.Records() {
			next = rec.Offset + 1
			if rec.Offset >= end {
				break
			}
			if err := p.see(rec, r.source, level == kgo.ReadCommitted()); err != nil {
				return p, fmt.Errorf("read %s/%d at offset %d: %w", r.topic, partition, rec.Offset, err)
			}
		}
	}
	return p, nil
}

// see takes in one record, or keeps it until the marker of its transaction says what it is worth.
func (p *progress) see(rec *kgo.Record, source string, committed bool) error {
	switch {
	case !rec.Attrs.IsControl() && !committed && rec.Attrs.IsTransactional():
		p.open[rec.ProducerID] = append(p.open[rec.ProducerID], rec)
	case !rec.Attrs.IsControl():
		return p.add(rec, source)
	case !committed:
		records := p.open[rec.ProducerID]
		delete(p.open, rec.ProducerID)
		if !isCommitMarker(rec) {
			return nil
		}
		for _, r := range records {
			if err := p.add(r, source); err != nil {
				return err
			}
		}
	}
	return nil
}

// isCommitMarker reads the key of a control record: a version and a type, 0 for abort and 1 for commit, two bytes each.
func isCommitMarker(rec *kgo.Record) bool {
	return len(rec.Key) >= 4 && binary.BigEndian.Uint16(rec.Key[2:]) == 1
}

// add takes in one record.
func (p *progress) add(rec *kgo.Record, source string) error {
	s, pos, err := parseProgress(rec.Key, rec.Value)
	switch {
	case err != nil:
		return faults.KafkaProgressForeign.Of(err)
	case s != source:
	case pos.Part == ownerPart:
		p.owner = pos.Text
	case pos.Text == "":
		delete(p.positions, pos.Part)
	default:
		p.positions[pos.Part] = pos.Text
	}
	return nil
}

// poll waits for records. While there are none it says, now and then, which open transaction hides them.
func (r *progressReader) poll(ctx context.Context, cl *kgo.Client, partition int32) (kgo.Fetches, error) {
	for {
		slice, cancel := context.WithTimeout(ctx, 5*time.Second)
		fetches := cl.PollFetches(slice)
		cancel()
		if fetches.NumRecords() > 0 {
			return fetches, nil
		}
		if ctx.Err() != nil {
			holders := r.holders(partition)
			err := fmt.Errorf("wait for the committed positions of source %s in %s/%d: %w%s", r.source, r.topic, partition, ctx.Err(), holders)
			if holders != "" {
				err = faults.KafkaHeldBack.Of(err)
			}
			return nil, err
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return nil, fmt.Errorf("read %s/%d: %w", r.topic, partition, e.Err)
			}
		}
		r.log.Warn("waiting for an open transaction that hides the positions", "topic", r.topic, "partition", partition, "holders", r.holders(partition))
	}
}

// holders names the producers with an open transaction on the partition, as far as the broker tells: it is empty for old brokers.
func (r *progressReader) holders(partition int32) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	described, err := r.admin.DescribeProducers(ctx, kadm.TopicsSet{r.topic: {partition: {}}})
	if err != nil {
		return ""
	}
	var out string
	for _, d := range described.SortedProducers() {
		if d.CurrentTxnStartOffset < 0 {
			continue
		}
		out += fmt.Sprintf("; producer %d has had a transaction open since offset %d", d.ProducerID, d.CurrentTxnStartOffset)
		if ts, err := r.admin.ListTransactions(ctx, []int64{d.ProducerID}, nil); err == nil {
			for _, id := range ts.TransactionalIDs() {
				out += " (transactional id " + id + ")"
			}
		}
	}
	return out
}
