package consumers

import (
	"strconv"

	"adventureworks.example/extract/faults"
)

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
	class := Classify(err)
	r.o.Metrics.failed("", stage, err, class)
	r.episodes.Failed(faults.Waiter{Name: r.o.Group, Part: stage}, err, class)
}

// kafkaPassed ends what kafkaFailed has begun.
func (r *runner) kafkaPassed(stage string) {
	r.episodes.Passed(faults.Waiter{Name: r.o.Group, Part: stage})
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
