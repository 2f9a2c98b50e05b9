package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestCommitCutShortIsCompleted makes the folder that a kill in the middle of a commit leaves: the marker of one partition is there, those of the
// others and the group's offset are not. It is put together from copies before and after the commit, file by file.
func TestCommitCutShortIsCompleted(t *testing.T) {
	dir := t.TempDir()
	live, before, torn, none := filepath.Join(dir, "live"), filepath.Join(dir, "before"), filepath.Join(dir, "torn"), filepath.Join(dir, "none")
	k, err := StartKafka(KafkaOptions{Dir: live})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := kafkaClient(t, k, kgo.TransactionalID("writer"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, 3, 1, nil, "rows"); err != nil {
		t.Fatal(err)
	}
	write := func(round string) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for p := range int32(3) {
			r := &kgo.Record{Topic: "rows", Partition: p, Value: fmt.Appendf(nil, "%s %d", round, p)}
			if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := func() {
		t.Helper()
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	end()
	write("second")
	stageOffset(ctx, t, cl, 7)
	copyTree(t, live, before)
	end()
	copyTree(t, before, torn)
	copyTree(t, before, none)
	copyTree(t, filepath.Join(live, "partitions", "rows-1"), filepath.Join(torn, "partitions", "rows-1"))

	for folder, want := range map[string]string{
		torn: "first 0, second 0, first 1, second 1, first 2, second 2, offset 7",
		none: "first 0, first 1, first 2, offset -1",
	} {
		for range 2 { // opened again it must hold the same
			if got := rowsIn(t, folder); got != want {
				t.Errorf("%s holds %s, want %s", filepath.Base(folder), got, want)
			}
		}
	}
}

// stageOffset commits an offset for a group within the client's transaction.
func stageOffset(ctx context.Context, t *testing.T, cl *kgo.Client, offset int64) {
	t.Helper()
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = "writer", id, epoch, "readers"
	if res, err := add.RequestWith(ctx, cl); err != nil || kerr.ErrorForCode(res.ErrorCode) != nil {
		t.Fatal(err, kerr.ErrorForCode(res.ErrorCode))
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = "writer", id, epoch, "readers", -1
	topic, partition := kmsg.NewTxnOffsetCommitRequestTopic(), kmsg.NewTxnOffsetCommitRequestTopicPartition()
	topics, err := kadm.NewClient(cl).ListTopics(ctx, "rows")
	if err != nil {
		t.Fatal(err)
	}
	topic.Topic, topic.TopicID, partition.Offset = "rows", topics["rows"].ID, offset
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// rowsIn opens a folder and reads what is committed in it. It is closed as a kill does: what the folder holds is what the next one finds.
func rowsIn(t *testing.T, dir string) string {
	t.Helper()
	k, err := StartKafka(KafkaOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// A transaction after the others ends each partition, so that the reader knows when it has seen everything.
	w := kafkaClient(t, k, kgo.TransactionalID("writer"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := w.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(3) {
		if err := w.ProduceSync(ctx, &kgo.Record{Topic: "rows", Partition: p, Value: []byte("end")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	var all []string
	for p := range int32(3) {
		r := kafkaClient(t, k, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"rows": {p: kgo.NewOffset().AtStart()}}))
		for ended := false; !ended; {
			fetches := r.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if string(r.Value) == "end" {
					ended = true
				} else {
					all = append(all, string(r.Value))
				}
			})
		}
	}
	offset := int64(-1)
	if offsets, err := kadm.NewClient(w).FetchOffsets(ctx, "readers"); err == nil {
		if o, ok := offsets.Lookup("rows", 0); ok {
			offset = o.At
		}
	}
	return strings.Join(append(all, fmt.Sprintf("offset %d", offset)), ", ")
}

func kafkaClient(t *testing.T, k *Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.Brokers()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
