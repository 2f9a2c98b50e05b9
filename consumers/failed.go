package consumers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas/faults"
)

var _ kgo.HookGroupManageError = (*runner)(nil)

// failed makes an error of one partition known: in the metrics and the status each time, in the log when it begins to last. It may be called from
// any goroutine.
func (r *runner) failed(p Partition, stage string, err error) {
	class := Classify(err)
	r.o.Metrics.failed(p.Topic, stage, err, class)
	r.episodes.Failed(waiter(p), err, class)
	state := "paused"
	if class == Retry {
		state = "retrying"
	}
	r.o.Status.set(p, func(s *PartitionStatus) { s.fail(state, err, class) })
}

// kafkaFailed makes an error known that is of no partition: of the group, or of a commit.
func (r *runner) kafkaFailed(stage string, err error) {
	err = faults.RecognizeKafka(err)
	if _, known := faults.Known(err); !known && !said(err) {
		err = faults.KafkaDown.Of(err)
	}
	class := Classify(err)
	r.o.Metrics.failed("", stage, err, class)
	r.episodes.Failed(faults.Waiter{Name: r.o.Group, Part: stage}, err, class)
}

// kafkaPassed ends what kafkaFailed has begun.
func (r *runner) kafkaPassed(stage string) {
	r.episodes.Passed(faults.Waiter{Name: r.o.Group, Part: stage})
}

// said tells whether a broker has answered with the error.
func said(err error) bool {
	_, ok := errors.AsType[*kerr.Error](err)
	return ok
}

// OnGroupManageError implements kgo.HookGroupManageError: the client has lost the group, or cannot join it, and tries again by itself.
func (r *runner) OnGroupManageError(err error) {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) {
		r.kafkaFailed("group", fmt.Errorf("be a member of group %s: %w", r.o.Group, err))
	}
}

// settleTime is how long a membership must last until what kept the group away counts as over: some heartbeats.
const settleTime = 3 * time.Second

// settle notes that the membership lasts, and returns how long it must still.
func (r *runner) settle(now time.Time) time.Duration {
	if r.joined.IsZero() {
		return time.Hour
	}
	if left := settleTime - now.Sub(r.joined); left > 0 {
		return left
	}
	r.joined = time.Time{}
	r.kafkaPassed("group")
	return time.Hour
}

// pingEvery is how often Kafka is asked whether it is there: a client that cannot reach it waits without a word.
const pingEvery = 5 * time.Second

// ping asks until ctx ends.
func (r *runner) ping(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, pingEvery)
		err := r.side.Ping(asked)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.kafkaFailed("ping", fmt.Errorf("reach kafka: %w", err))
		default:
			r.kafkaPassed("ping")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// waiter is a partition among those that wait for the end of an error.
func waiter(p Partition) faults.Waiter {
	return faults.Waiter{Name: p.Topic, Part: strconv.Itoa(int(p.Partition))}
}

// keepWaiting ends the waits of partitions that this process no longer has.
func (r *runner) keepWaiting() {
	kept := make(map[faults.Waiter]bool, len(r.parts))
	for _, p := range r.parts {
		kept[waiter(p.Partition)] = true
	}
	r.episodes.Keep(func(w faults.Waiter) bool { return kept[w] || w.Name == r.o.Group })
}
