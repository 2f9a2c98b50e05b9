package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// KafkaOptions say how Kafka is started.
type KafkaOptions struct {
	// Dir keeps the records, every write synced; empty keeps them in memory.
	Dir string
	// Port asks for a port; LastPort is taken when it is free.
	Port, LastPort int
	// Log receives the broker's warnings; nil for none.
	Log *slog.Logger
	// Options are further options of kfake.
	Options []kfake.Opt
}

// Kafka is a one-broker cluster in this process: topics, transactions, groups. It takes records of up to 16 MiB and keeps them for ever unless
// a topic says otherwise.
type Kafka struct {
	o       KafkaOptions
	mu      sync.Mutex // guards what follows
	cluster *kfake.Cluster
	port    int
	staging *stager // nil in memory
}

// maxRecordBatch is the largest batch the broker takes: a record of 16 MiB and what surrounds it.
const maxRecordBatch = "16842752"

// defaultPartitions is the number of partitions of a topic made without one.
const defaultPartitions = 4

// StartKafka opens what the folder holds and serves it.
func StartKafka(o KafkaOptions) (*Kafka, error) {
	k := &Kafka{o: o}
	if err := k.open(o.Port, o.LastPort); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Kafka) open(asked, last int) error {
	l, err := listen(asked, last)
	if err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	opts := []kfake.Opt{
		kfake.Ports(portOf(l)),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return l, nil }),
		kfake.DefaultNumPartitions(defaultPartitions),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":            maxRecordBatch,
			"log.retention.ms":             "-1",
			"group.min.session.timeout.ms": "100",
			// Compaction is off: kfake's does not stop at open transactions, and one that is aborted later would take the position before it along.
			"log.cleaner.backoff.ms": "315360000000", // ten years
		}),
		kfake.WithLogger(kafkaLog{k.o.Log}),
	}
	var staging *stager
	if k.o.Dir != "" {
		if err = endTransactions(k.o.Dir); err == nil {
			staging, err = newStager(k.o.Dir)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("start kafka in %s: %w", k.o.Dir, err), l.Close())
		}
		opts = append(opts, kfake.DataDir(k.o.Dir), kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(append(opts, k.o.Options...)...)
	if err != nil {
		return errors.Join(fmt.Errorf("start kafka in %s: %w", k.o.Dir, err), l.Close())
	}
	guardFetches(cluster)
	if staging != nil {
		cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if err := staging.stage(req.(*kmsg.TxnOffsetCommitRequest)); err != nil {
				return nil, fmt.Errorf("keep the offsets of a transaction: %w", err), true // the client's connection ends, and it tries again
			}
			return nil, nil, false
		})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cluster, k.port, k.staging = cluster, portOf(l), staging
	return nil
}

// Brokers are the addresses to connect to.
func (k *Kafka) Brokers() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return []string{loopback(k.port)}
}

// Cluster is the cluster itself, for tests that make it fail.
func (k *Kafka) Cluster() *kfake.Cluster {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cluster
}

// Stop writes the state out and stops serving.
func (k *Kafka) Stop() error {
	k.Cluster().Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.staging.close()
}

// Restart stops the broker if it runs and starts it again, on the same port. In memory it comes back empty.
func (k *Kafka) Restart() error {
	if err := k.Stop(); err != nil {
		return fmt.Errorf("restart kafka: %w", err)
	}
	k.mu.Lock()
	port := k.port
	k.mu.Unlock()
	return k.open(port, 0)
}

// kafkaLog passes kfake's warnings and errors on.
type kafkaLog struct{ log *slog.Logger }

var _ kfake.Logger = kafkaLog{}

// Logf implements kfake.Logger.
func (l kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if l.log == nil || level > kfake.LogLevelWarn {
		return
	}
	at := slog.LevelWarn
	if level <= kfake.LogLevelError {
		at = slog.LevelError
	}
	l.log.Log(context.Background(), at, "embedded kafka", "err", fmt.Sprintf(format, args...))
}
