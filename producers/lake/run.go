package lake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// ItemsTopic is the topic of a lake's work items. It lies outside `<prefix>.<source>.`, where the rows are.
func ItemsTopic(prefix, source string) string { return prefix + ".items." + source }

// Group is the consumer group of a lake's readers.
func Group(prefix, source string) string { return prefix + "." + source + ".readers" }

// RunPlanner runs the planner alone.
func RunPlanner(ctx context.Context, conf Config, o producers.Options) error {
	o.New = func(context.Context) (producers.Source, error) { return New(conf, o.Log) }
	return producers.Run(ctx, plannerOptions(o))
}

// plannerOptions are those of a planner: the work items go to a topic of their own.
func plannerOptions(o producers.Options) producers.Options {
	topicOf := o.TopicOf
	if topicOf == nil {
		topicOf = schemas.Topic
	}
	o.TopicOf = func(prefix, source, dataset string) string {
		if dataset == itemsDataset {
			return ItemsTopic(prefix, source)
		}
		return topicOf(prefix, source, dataset)
	}
	return o
}

func readerOptions(conf Config, o producers.Options) producers.SharedOptions {
	return producers.SharedOptions{
		Options: o, Group: Group(o.Prefix, o.Source), ItemsTopic: ItemsTopic(o.Prefix, o.Source),
		New: func(_ context.Context, target producers.Target) (producers.Worker, error) {
			return NewWorker(conf, target, o.Log)
		},
	}
}

// Run runs the planner and conf.Readers readers. With conf.Follow false it returns once everything that is there has been produced.
// Several processes may run the same lake: the last one to start plans, all of them read. instance is the name of this one among them, which it has again
// after a crash, so that the work goes on at once; empty: the items of readers that were killed wait until the group misses them.
func Run(ctx context.Context, conf Config, o producers.Options, instance string) error {
	conf, err := conf.withDefaults()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	errs := make(chan error, conf.Readers)
	for n := range conf.Readers {
		so := readerOptions(conf, o)
		if instance != "" {
			so.Instance = fmt.Sprintf("%s.%d", instance, n)
		}
		wg.Go(func() {
			if err := producers.RunShared(ctx, so); err != nil {
				errs <- err
				stop()
			}
		})
	}
	err = RunPlanner(ctx, conf, o)
	if errors.Is(err, producers.ErrFenced) {
		if o.Log != nil {
			o.Log.Info("another process plans now, this one goes on reading", "err", err)
		}
		err = nil
	}
	if err == nil && ctx.Err() == nil {
		if *conf.Follow {
			<-ctx.Done()
		} else {
			err = waitDrained(ctx, o)
		}
	}
	stop()
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// drainedEvery is how often waitDrained looks.
const drainedEvery = 100 * time.Millisecond

func waitDrained(ctx context.Context, o producers.Options) error {
	tick := time.NewTicker(drainedEvery)
	defer tick.Stop()
	for {
		done, err := Drained(ctx, o.Kafka, o.Prefix, o.Source)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look whether the readers are done: %w", err)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Drained tells whether the readers have committed every work item that is on the topic now. The marks that transactions leave on the topic
// are passed over, so that the group's lag need not be 0.
func Drained(ctx context.Context, kafka []kgo.Opt, prefix, source string) (bool, error) {
	topic := ItemsTopic(prefix, source)
	cl, err := kgo.NewClient(kafka...)
	if err != nil {
		return false, fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return false, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return false, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	committed, err := admin.FetchOffsets(ctx, Group(prefix, source))
	if errors.Is(err, kerr.GroupIDNotFound) {
		err = nil // no reader has come yet
	}
	if err != nil {
		return false, fmt.Errorf("fetch offsets of group %s: %w", Group(prefix, source), err)
	}
	left := map[int32]kgo.Offset{}
	until := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		at := int64(0)
		if s, ok := starts.Lookup(topic, end.Partition); ok {
			at = s.Offset
		}
		if c, ok := committed.Lookup(topic, end.Partition); ok && c.At > at {
			at = c.At
		}
		if at < end.Offset {
			left[end.Partition], until[end.Partition] = kgo.NewOffset().At(at), end.Offset
		}
	})
	if len(left) == 0 {
		return true, nil
	}
	return onlyMarks(ctx, kafka, topic, left, until)
}

// onlyMarks reads the given stretches and tells whether transactions' marks and aborted records are all that is there.
func onlyMarks(ctx context.Context, kafka []kgo.Opt, topic string, from map[int32]kgo.Offset, until map[int32]int64) (bool, error) {
	cl, err := kgo.NewClient(append(kafka[:len(kafka):len(kafka)], kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return false, fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	for len(until) > 0 {
		slice, cancel := context.WithTimeout(ctx, time.Second)
		fetches := cl.PollFetches(slice)
		cancel()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if len(fetches.Records()) == 0 {
			return false, nil // a transaction is open, or Kafka is slow: ask again later
		}
		for _, r := range fetches.Records() {
			if !r.Attrs.IsControl() {
				return false, nil
			}
			if r.Offset+1 >= until[r.Partition] {
				delete(until, r.Partition)
			}
		}
	}
	return true, nil
}
