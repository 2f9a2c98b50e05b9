package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	commitTimeout = 10 * time.Second
	// lastBreath is how long a commit, and the leaving of the group, may still take once the time for them is over: a stop is bounded by the grace, and not by its
	// multiple.
	lastBreath = time.Second
)

// last is a context with a time of its own, which outlives another one by no more than a breath.
func last(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	outliving, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastBreath, cancel) })
	return outliving, func() { stop(); cancel() }
}

// commit commits the positions of the partitions, each with the intent to write the range, where it is not empty. It tells whether the
// coordinator took all of it. If it did not because this process has lost the partitions, everything that was read is dropped.
func (r *runner) commit(ctx context.Context, commits map[*part]Range) bool {
	ctx, cancel := last(ctx, commitTimeout)
	defer cancel()
	began := time.Now()
	offsets := map[string]map[int32]kgo.EpochOffset{}
	metadata := map[statusKey]string{}
	for p, pending := range commits {
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.Topic][p.Partition.Partition] = kgo.EpochOffset{Epoch: -1, Offset: p.position}
		metadata[p.key()] = intent{topic: p.TopicID, pending: pending, first: p.first, tally: p.tally}.String()
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error { return annotate(req, metadata) })
	var err error
	r.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, e error) {
		err = refused(resp, e)
	})
	r.o.Metrics.committed(time.Since(began))
	if err == nil {
		r.backoff = 0
		r.kafkaPassed("commit")
		for p := range commits {
			p.dirty = false
		}
		return true
	}
	r.refuse(err)
	return false
}

// annotate puts the intents into a commit. A partition without one would be an intent lost, so the commit is not sent then.
func annotate(req *kmsg.OffsetCommitRequest, metadata map[statusKey]string) error {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			text, ok := metadata[statusKey{t.Topic, t.Partitions[j].Partition}]
			if !ok {
				return fmt.Errorf("commit of %s/%d has no intent", t.Topic, t.Partitions[j].Partition)
			}
			t.Partitions[j].Metadata = &text
		}
	}
	return nil
}

func refused(resp *kmsg.OffsetCommitResponse, err error) error {
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit offset of %s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// zombie tells whether the coordinator refused a commit because another generation of the group has begun.
func zombie(err error) bool {
	for _, e := range []error{kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.FencedInstanceID, kerr.StaleMemberEpoch, kerr.FencedMemberEpoch} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refuse deals with a commit that was not taken. Nothing was begun on the strength of it. A zombie drops all it has: the client joins the
// group anew, which is told by a lost and an assigned event. Any other error passes, or ends in a rebalance, so it is tried again.
func (r *runner) refuse(err error) {
	if zombie(err) {
		r.o.Metrics.failed("", "commit", err, Retry)
		r.log.Warn("another process has the partitions, dropping what was read of them", "err", err)
		r.o.Metrics.fence()
		for _, p := range r.parts {
			r.forget(p)
		}
		return
	}
	r.backoff = min(max(2*r.backoff, 50*time.Millisecond), time.Second)
	r.commitAt = time.Now().Add(r.backoff)
	if !errors.Is(err, kerr.RebalanceInProgress) {
		r.kafkaFailed("commit", fmt.Errorf("commit offsets of group %s: %w", r.o.Group, err))
	}
}

// commitFinished commits the positions of partitions that are about to be given up. Those that are still being written keep their intent.
func (r *runner) commitFinished(ctx context.Context, parts []*part) {
	commits := map[*part]Range{}
	for _, p := range parts {
		if p.dirty && r.parts[p.key()] == p {
			commits[p] = p.recover
		}
	}
	if len(commits) > 0 {
		r.commit(ctx, commits)
	}
}

// forget drops a partition that this process no longer has.
func (r *runner) forget(p *part) {
	r.drop(p)
	delete(r.parts, p.key())
	r.o.Status.forget(p.Partition)
	r.o.Metrics.forget(p)
}
