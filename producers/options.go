package producers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// Registry gives the id of a schema under a subject, registering it if need be. A refusal because the schema is not backward compatible
// is the caller's to explain; Run waits with it until the registry is changed.
type Registry interface {
	Register(ctx context.Context, subject string, s *schemas.Schema) (int, error)
}

// Options are what Run needs. Only Kafka, Registry, Prefix, Source and New must be set.
type Options struct {
	Kafka    []kgo.Opt // brokers, TLS, SASL, client id
	Registry Registry
	Prefix   string // of every topic, such as aw
	Source   string // the source's name, such as sql; without dots
	New      func(ctx context.Context) (Source, error)

	Limits Limits
	// Rejects bounds how many rows of the source go to the dead letters within a minute: a transaction with more is aborted and the source pauses.
	// Nil is without bound. The readers of shared work may have one together.
	Rejects *faults.Budget
	Topics  TopicConfig
	Backoff Backoff
	// TopicOf names the topic of a dataset; nil means schemas.Topic.
	TopicOf func(prefix, source, dataset string) string

	Log     *slog.Logger // with the source's name in it; nil discards
	Metrics *Metrics     // may be nil
	Status  *Status      // may be nil

	health *health // set by Run and RunShared
}

// Limits bound transactions and records. Zero values mean the defaults.
type Limits struct {
	CloseBytes int64         // a transaction that may end ends at this size; default 16 MiB
	CloseTime  time.Duration // and at this age; default 50 ms
	MaxBytes   int64         // an Open one is cut at this size; default 1 GiB
	MaxTime    time.Duration // and at this age; default 60 s
	// MaxRecordBytes is max.message.bytes of the topics and the limit of a batch; default 16 MiB.
	MaxRecordBytes int
	// TransactionTimeout is after how long the broker aborts a transaction; default (and Kafka's own limit) 15 minutes.
	TransactionTimeout time.Duration
	// CallTimeout is how long the broker may take to make a topic or to describe one; default 15 s.
	CallTimeout  time.Duration
	Grace        time.Duration // for what was read, when ctx ends; default 10 s
	ProgressWait time.Duration // for another producer's transaction that hides the positions; default 60 s
	ReadAhead    int           // batches read ahead of Kafka; default 8
}

// TopicConfig is the configuration of the topics that Run creates.
type TopicConfig struct {
	Partitions        int32             // default 4
	ReplicationFactor int16             // default -1: the broker's
	Config            map[string]string // on top of retention.ms=-1 and max.message.bytes
}

// Backoff is how long Run waits before it tries again.
type Backoff struct {
	Min   time.Duration // after the first transient error; doubles; default 200 ms
	Max   time.Duration // default 30 s
	Pause time.Duration // between tries of what needs a person; default 10 s
}

var legalName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// withDefaults checks the options and fills in what is not set.
func (o Options) withDefaults() (Options, error) {
	switch {
	case len(o.Kafka) == 0:
		return o, errors.New("no kafka options: the brokers are missing")
	case o.Registry == nil:
		return o, errors.New("no schema registry")
	case !legalName.MatchString(o.Prefix):
		return o, fmt.Errorf("prefix %q: letters, digits, _ and - only", o.Prefix)
	case !legalName.MatchString(o.Source):
		return o, fmt.Errorf("source %q: letters, digits, _ and - only", o.Source)
	case o.Source == "items":
		return o, errors.New("source \"items\": the name is taken by the topics of shared work")
	}
	if o.TopicOf == nil {
		o.TopicOf = schemas.Topic
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Status == nil {
		o.Status = &Status{}
	}
	l := &o.Limits
	l.CloseBytes = or(l.CloseBytes, 16<<20)
	l.CloseTime = or(l.CloseTime, 50*time.Millisecond)
	l.MaxBytes = or(l.MaxBytes, 1<<30)
	l.MaxTime = or(l.MaxTime, time.Minute)
	l.MaxRecordBytes = or(l.MaxRecordBytes, 16<<20)
	l.TransactionTimeout = or(l.TransactionTimeout, 15*time.Minute)
	l.CallTimeout = or(l.CallTimeout, 15*time.Second)
	l.Grace = or(l.Grace, 10*time.Second)
	l.ProgressWait = or(l.ProgressWait, time.Minute)
	l.ReadAhead = or(l.ReadAhead, 8)
	if l.MaxRecordBytes < minRecordBytes || l.MaxRecordBytes > 1<<30 {
		return o, fmt.Errorf("max record bytes %d: between %d and %d", l.MaxRecordBytes, minRecordBytes, 1<<30)
	}
	o.Topics.Partitions = or(o.Topics.Partitions, 4)
	o.Topics.ReplicationFactor = or(o.Topics.ReplicationFactor, -1)
	o.Backoff.Min = or(o.Backoff.Min, 200*time.Millisecond)
	o.Backoff.Max = or(o.Backoff.Max, 30*time.Second)
	o.Backoff.Pause = or(o.Backoff.Pause, 10*time.Second)
	return o, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// ProgressTopic is the compacted topic of the positions.
func ProgressTopic(prefix string) string { return prefix + ".progress" }

// DeadLetterTopic is the topic of the rows that could not be produced or stored.
func DeadLetterTopic(prefix string) string { return prefix + ".deadletters" }
