package consumers

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DefaultGroup is the consumer group of the topics of a prefix, unless Options name another.
func DefaultGroup(prefix string) string { return prefix + ".clickhouse" }

// Options are what Run needs. Kafka, Prefix and Sink are required.
type Options struct {
	Kafka   []kgo.Opt // brokers, TLS and SASL
	Prefix  string    // of the topics
	Sources []string  // whose topics are read; the dead letters always are
	Exclude []string  // topics of these sources that hold no rows, such as a planner's work items
	Group   string    // consumer group; `<prefix>.clickhouse` when empty
	// Instance names this process in the group (static membership, see TakeInstance), so that when it is killed and started again it
	// gets its partitions back at once. Empty: the group waits for SessionTimeout first.
	Instance string
	Sink     Sink
	Limits   Limits
	// MaxRejected is how many records of a topic the sink may put into the dead letters within a minute; a batch with more pauses its partition. Nil is
	// without bound.
	MaxRejected *int64
	Log         *slog.Logger // discards when nil
	Metrics     *Metrics     // may be nil
	Status      *Status      // may be nil
	Audit       AuditOptions // of a sink that is an Auditor
}

// Limits bound memory and time. Zero fields take the defaults, which are given in the comments.
type Limits struct {
	BatchRows      int           // rows of one write: 200,000
	BatchBytes     int           // bytes of one write, unless one record is larger: 8 MiB
	BufferBytes    int           // bytes of records read and not yet written: 32 MiB
	FetchBytes     int32         // bytes of one fetch from one broker, compressed; one record may be larger: 4 MiB
	Writers        int           // writes at the same time: 4
	Pace           time.Duration // shortest time from one small write of a partition to the next: 75 ms
	WriteTimeout   time.Duration // of one try to write: 60 s
	SessionTimeout time.Duration // a member silent for so long loses its partitions: 8 s
	Grace          time.Duration // to finish writes when the process stops or partitions are taken away: 10 s
	PauseMin       time.Duration // before a partition that stopped on an error is tried again: 1 s, doubling up to PauseMax
	PauseMax       time.Duration // 15 s
}

func (l Limits) withDefaults() Limits {
	set(&l.BatchRows, 200_000)
	set(&l.BatchBytes, 8<<20)
	set(&l.BufferBytes, 32<<20)
	set(&l.FetchBytes, 4<<20)
	set(&l.Writers, 4)
	set(&l.Pace, 75*time.Millisecond)
	set(&l.WriteTimeout, time.Minute)
	set(&l.SessionTimeout, 8*time.Second)
	set(&l.Grace, 10*time.Second)
	set(&l.PauseMin, time.Second)
	set(&l.PauseMax, 15*time.Second)
	return l
}

func set[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
