package apachekafka

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/consumers"
)

// A transaction that was ended without its mark in a partition holds that back for ever. Its end is written as its coordinator has decided it, and only
// where it has. Kafka 4.3 leaves such partitions behind at a start; here an old client writes to one without a word to the coordinator.
func TestTransactionEndedWithoutItsMark(t *testing.T) {
	broker := startWith(t, map[string]string{"transaction.partition.verification.enable": "false"})
	kafka := []kgo.Opt{kgo.SeedBrokers(broker.Addr())}
	cl, admin := client(t, broker.Addr(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	const topic = "aw.files.held"
	if _, err := admin.CreateTopic(t.Context(), 4, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for partition, outcome := range []consumers.Outcome{consumers.Committed, consumers.Aborted, ""} {
		writer, _ := client(t, broker.Addr(), kgo.TransactionalID(fmt.Sprintf("aw.writer%d", partition)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 3, Value: []byte("known")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		id, epoch, err := writer.ProducerID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if outcome == "" {
			id += 1000 // no coordinator has ever heard of it
		}
		writeUnknown(t, writer, topic, int32(partition), id, epoch, old)
		if err := writer.EndTransaction(t.Context(), kgo.TransactionEndTry(outcome != consumers.Aborted)); err != nil {
			t.Fatal(err)
		}
		// What others commit behind it is held back too.
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: int32(partition), Value: []byte("behind")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}

	find := func() []consumers.HeldBack {
		t.Helper()
		all, err := consumers.FindHeldBack(t.Context(), consumers.HeldBackOptions{Kafka: kafka, Prefix: "aw", Outcome: true})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := readable(t, admin, topic); !slices.Equal(got, []int64{0, 0, 0, 6}) {
		t.Fatalf("can be read up to %v", got)
	}
	all := find()
	if len(all) != 3 {
		t.Fatalf("held back: %+v", all)
	}
	for partition, want := range []consumers.Outcome{consumers.Committed, consumers.Aborted, ""} {
		h := all[partition]
		if h.Partition != int32(partition) || h.From != 0 || h.To != 3 || h.Owner || h.Outcome != want || (h.OutcomeErr == "") != (want != "") {
			t.Errorf("held back: %+v, want outcome %q", h, want)
		}
	}
	if err := consumers.EndHeldBack(t.Context(), kafka, all); err != nil {
		t.Fatal(err)
	}
	if !all[0].Ended || !all[1].Ended || all[2].Ended {
		t.Errorf("ended: %+v", all)
	}
	if got := readable(t, admin, topic); !slices.Equal(got, []int64{4, 4, 0, 6}) {
		t.Errorf("can be read up to %v", got)
	}
	if all = find(); len(all) != 1 || all[0].Partition != 2 {
		t.Errorf("still held back: %+v", all)
	}
	if got := committedValues(t, broker.Addr(), topic); !slices.Equal(got, []string{"0 behind", "0 unknown 0", "0 unknown 1", "1 behind", "3 known", "3 known"}) {
		t.Errorf("committed: %q", got)
	}
}

// readable is up to where readers of committed records get, by partition.
func readable(t *testing.T, admin *kadm.Client, topic string) (to []int64) {
	t.Helper()
	listed, err := admin.ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range listed.Offsets().Sorted() {
		to = append(to, o.At)
	}
	return to
}

// committedValues reads what readers of committed records get, as partition and value, sorted.
func committedValues(t *testing.T, addr, topic string) (all []string) {
	t.Helper()
	reader, _ := client(t, addr, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { all = append(all, fmt.Sprintf("%d %s", r.Partition, r.Value)) })
	}
	slices.Sort(all)
	return all
}

// writeUnknown writes two records of a transaction to a partition as an old client does that does not tell the coordinator of it.
func writeUnknown(t *testing.T, cl *kgo.Client, topic string, partition int32, producer int64, epoch int16, at time.Time) {
	t.Helper()
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1 << 4, // of a transaction
		LastOffsetDelta: 1, FirstTimestamp: at.UnixMilli(), MaxTimestamp: at.UnixMilli(),
		ProducerID: producer, ProducerEpoch: epoch, NumRecords: 2,
	}
	for i := range int32(2) {
		r := kmsg.Record{OffsetDelta: i, Value: fmt.Appendf(nil, "unknown %d", i)}
		const lengthBytes = 1 // of so short a record
		r.Length = int32(len(r.AppendTo(nil)) - lengthBytes)
		batch.Records = r.AppendTo(batch.Records)
	}
	const beforeLength, beforeCRC = 12, 21
	raw := batch.AppendTo(nil)
	batch.Length = int32(len(raw) - beforeLength)
	batch.CRC = int32(crc32.Checksum(raw[beforeCRC:], crc32.MakeTable(crc32.Castagnoli)))

	req := kmsg.NewPtrProduceRequest()
	id := fmt.Sprintf("aw.writer%d", partition)
	req.TransactionID, req.Acks, req.TimeoutMillis, req.Version = &id, -1, 5000, 11
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch.AppendTo(nil)
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	broker := cl.Broker(1)
	resp, err := broker.Request(t.Context(), pinned{req})
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// pinned is a request of an old client: version 11, before transactions of version 2.
type pinned struct{ *kmsg.ProduceRequest }

// MaxVersion is the version that the client asks for.
func (pinned) MaxVersion() int16 { return 11 }
