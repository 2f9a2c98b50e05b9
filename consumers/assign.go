package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// placers is how many partitions ask the sink at the same time where to go on.
const placers = 8

// event is a change of the assignment. The loop closes done when it has taken it in.
type event struct {
	assigned []*part
	gone     map[string][]int32
	lost     bool // the partitions may have another owner already
	done     chan struct{}
}

// tell gives the loop an event and waits until it has taken it in.
func (r *runner) tell(e event) {
	e.done = make(chan struct{})
	select {
	case r.events <- e:
		<-e.done
	case <-r.done:
	}
}

// handle is the loop's side of tell.
func (r *runner) handle(ctx context.Context, e event) {
	defer close(e.done)
	var gone []*part
	for topic, partitions := range e.gone {
		for _, n := range partitions {
			if p := r.parts[statusKey{topic, n}]; p != nil {
				gone = append(gone, p)
			}
		}
	}
	if !e.lost && len(gone) > 0 {
		draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Limits.Grace)
		r.drain(draining, gone)
		cancel()
		r.commitFinished(ctx, gone)
	}
	for _, p := range gone {
		r.forget(p)
	}
	if e.lost {
		r.joined = time.Time{}
	}
	resume := map[string][]int32{}
	for _, p := range e.assigned {
		if old := r.parts[p.key()]; old != nil {
			r.forget(old)
		}
		r.parts[p.key()] = p
		resume[p.Topic] = append(resume[p.Topic], p.Partition.Partition)
		r.o.Status.set(p.Partition, (*PartitionStatus).pass)
		r.publish(p)
	}
	r.cl.ResumeFetchPartitions(resume)
	r.commitAt = time.Time{}
	if len(e.assigned) > 0 {
		r.kafkaPassed("read")
		r.joined = time.Now()
		r.keepWaiting()
		r.auditSoon(time.Now())
	}
}

func (r *runner) revoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	r.tell(event{gone: gone})
}

func (r *runner) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	r.tell(event{gone: gone, lost: true})
}

// assigned decides where each partition goes on: at the committed offset, with the range that was about to be written; or, where Kafka
// holds none for this topic, behind what the sink holds. It ends with ctx, when the group begins to rebalance anew.
func (r *runner) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	var topics []string
	for topic := range offsets {
		topics = append(topics, topic)
	}
	if len(topics) == 0 {
		return offsets, nil
	}
	ids, err := r.adm.ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	committed, err := r.adm.FetchOffsets(ctx, r.o.Group)
	if err != nil {
		return nil, fmt.Errorf("fetch offsets of group %s: %w", r.o.Group, err)
	}
	starts, err := r.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	var parts []*part
	placing, ctx := errgroup.WithContext(ctx)
	placing.SetLimit(placers)
	for topic, partitions := range offsets {
		for n := range partitions {
			p := &part{Partition: Partition{Topic: topic, TopicID: ids[topic].ID, Partition: n}}
			parts = append(parts, p)
			at, _ := committed.Lookup(topic, n)
			placing.Go(func() error { return r.place(ctx, p, at) })
		}
	}
	if err := placing.Wait(); err != nil {
		return nil, err
	}
	for _, p := range parts {
		r.checkStart(p, starts)
		offsets[p.Topic][p.Partition.Partition] = kgo.NewOffset().At(p.position)
	}
	r.tell(event{assigned: parts})
	return offsets, nil
}

// place sets the partition's position and what is to be recovered. The table has the last word: where it ends below the committed offset, what
// lies between is read again.
func (r *runner) place(ctx context.Context, p *part, at kadm.OffsetResponse) error {
	next, err := r.ask(ctx, p.Partition)
	if err != nil {
		return err
	}
	i, ours := parseIntent(at.Metadata)
	if ours && at.At >= 0 && at.Err == nil && i.topic == p.TopicID {
		p.takeUp(at.At, next, i)
		return nil
	}
	p.position, p.next, p.first = next, next, next == 0
	p.tally = tally{known: next == 0, below: next}
	return nil
}

// takeUp goes on at a committed offset, where the sink holds records up to next. A tally above the offset is that of a process that ended while
// it read again what lies between, and so does this one.
func (p *part) takeUp(committed, next int64, i intent) {
	p.position, p.recover, p.first, p.tally = committed, i.pending, i.first, i.tally
	if !i.tally.known {
		p.tally = tally{below: committed}
	}
	from, to := min(next, committed), max(committed, p.tally.below)
	if from < to {
		p.again, p.resume = []Range{{from, to}}, to
	}
	if from < committed {
		p.position, p.recover = from, Range{}
		if i.pending.Start >= to {
			p.pending = i.pending
		}
	}
	p.next, p.doubt = p.position, max(next, to)
}

// ask asks the sink where to go on, for as long as it takes.
func (r *runner) ask(ctx context.Context, p Partition) (int64, error) {
	backoff := 100 * time.Millisecond
	for failed := false; ; failed = true {
		next, err := r.askOnce(ctx, p)
		if err == nil {
			if failed {
				r.episodes.Passed(waiter(p))
			}
			return next, nil
		}
		if ctx.Err() == nil {
			r.failed(p, "ask", fmt.Errorf("ask where to go on in %s: %w", p, err))
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("ask where to go on in %s: %w", p, err)
		case <-r.done:
			return 0, fmt.Errorf("ask where to go on in %s: %w", p, err)
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, 2*time.Second)
	}
}

// askOnce asks within the time of a write: a server that never answers is asked anew, on another connection.
func (r *runner) askOnce(ctx context.Context, p Partition) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Limits.WriteTimeout)
	defer cancel()
	return r.o.Sink.Next(ctx, p)
}

// checkStart moves a partition that starts later than its position to the start, since nothing below it can ever be read. For a
// partition that was read before, this is a loss, and said so.
func (r *runner) checkStart(p *part, starts kadm.ListedOffsets) {
	start, ok := starts.Lookup(p.Topic, p.Partition.Partition)
	if !ok || start.Err != nil || start.Offset <= p.position {
		return
	}
	if !p.first {
		r.log.Error("offsets are gone from the topic before they were stored", "topic", p.Topic, "partition", p.Partition.Partition,
			"offset", p.position, "start", start.Offset)
	}
	p.startAt(start.Offset)
}

// startAt gives up everything below an offset. What was to be read again below it is gone for good, as the audit says.
func (p *part) startAt(start int64) {
	for len(p.again) > 0 && p.again[0].End <= start {
		p.reach(p.again[0].End, nil)
	}
	p.position = max(p.position, start)
	if p.recover.End <= p.position {
		p.recover = Range{}
	} else if !p.recover.Empty() {
		p.recover.Start = p.position
	}
	p.next, p.tally.below = p.position, max(p.tally.below, p.position)
}
