package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// heldLong is after how long without a record an open transaction counts as holding its partition back. Our producers end theirs within a minute.
const heldLong = 90 * time.Second

// HeldBack is a partition of which nobody reads the committed records to its end, because a transaction that has written to it has not ended there. Its lag
// is 0 all the same: a reader of committed records is never told of more.
//
// Either somebody has the transaction (Owner): a producer at work, or one that was killed and did not come back. Or nobody has it: its coordinator ended
// it without marking the partition. Kafka 4.3.0 and 4.3.1 do that at a start, where the partition has no leader yet (KAFKA-20734). It would stay so for ever.
type HeldBack struct {
	Topic         string    `json:"topic"`
	Partition     int32     `json:"partition"`
	From          int64     `json:"from"` // offset of the transaction's first record
	To            int64     `json:"to"`   // offset behind the partition's last record
	ProducerID    int64     `json:"producer_id"`
	ProducerEpoch int16     `json:"producer_epoch"`
	Since         time.Time `json:"since"`             // of the transaction's last record
	ID            string    `json:"transactional_id"`  // empty when no coordinator knows the producer id any more
	Owner         bool      `json:"owned"`             // the coordinator of ID still has the transaction open, or is ending it
	Outcome       Outcome   `json:"outcome,omitempty"` // of a transaction without an owner
	Ended         bool      `json:"ended,omitempty"`   // EndHeldBack has ended it
	OutcomeErr    string    `json:"unknown,omitempty"` // why the outcome is not known
	coordinator   int32     // epoch of the coordinator at the producer's last record
}

// Outcome is how a transaction ended, as its coordinator wrote it down. It is empty when that is not known.
type Outcome string

// The outcomes.
const (
	Committed Outcome = "committed"
	Aborted   Outcome = "aborted"
)

// String says for people what is held back by what, and what ends it.
func (h HeldBack) String() string {
	text := fmt.Sprintf("nobody reads %s/%d from offset %d to %d: ", h.Topic, h.Partition, h.From, h.To-1)
	since := h.Since.UTC().Format(time.RFC3339)
	switch {
	case h.Ended:
		return fmt.Sprintf("%s/%d was held back from offset %d to %d by a transaction without an end; it is ended now, as %s", h.Topic, h.Partition, h.From, h.To-1, h.Outcome)
	case h.Owner:
		return text + fmt.Sprintf("the transaction of %s is open, its last record is of %s: start that producer, which ends it, or wait for Kafka to end it", h.ID, since)
	}
	text += fmt.Sprintf("a transaction of producer id %d, epoch %d, last record of %s, ", h.ProducerID, h.ProducerEpoch, since)
	if h.OutcomeErr != "" {
		return text + "is not open any more and has no end in the partition, and how it ended is not known: " + h.OutcomeErr
	}
	return text + "is not open any more and has no end in the partition: extract audit --repair writes it"
}

// HeldBackOptions are what FindHeldBack needs.
type HeldBackOptions struct {
	Kafka  []kgo.Opt
	Prefix string        // of the topics to look at, and of the transactional ids in Kafka's topic of offsets
	Topics []string      // only these, where there are any
	Older  time.Duration // leaves out transactions with a younger record; 90 s when zero
	// Outcome also finds out how transactions without an owner ended. It reads Kafka's own topic of transactions, which takes the right to.
	Outcome bool
}

// offsetsTopic is where Kafka keeps the offsets of groups, those committed in transactions too.
const offsetsTopic = "__consumer_offsets"

// FindHeldBack looks for partitions that are held back. It changes nothing.
func FindHeldBack(ctx context.Context, o HeldBackOptions) ([]HeldBack, error) {
	cl, err := kgo.NewClient(o.Kafka...)
	if err != nil {
		return nil, fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	adm, topics := kadm.NewClient(cl), o.Topics
	if len(topics) == 0 {
		listed, err := adm.ListTopicsWithInternal(ctx)
		if err != nil {
			return nil, fmt.Errorf("list topics: %w", err)
		}
		for _, topic := range listed.Names() {
			if strings.HasPrefix(topic, o.Prefix+".") || topic == offsetsTopic {
				topics = append(topics, topic)
			}
		}
	}
	all, err := findHeldBack(ctx, adm, topics, cmp.Or(o.Older, heldLong))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(h HeldBack) bool {
		return h.Topic == offsetsTopic && !strings.HasPrefix(h.ID, o.Prefix+".")
	})
	if o.Outcome && slices.ContainsFunc(all, func(h HeldBack) bool { return !h.Owner }) {
		outcomes(ctx, o.Kafka, adm, all)
	}
	return all, nil
}

// findHeldBack looks at topics. It asks for no more than the ends of partitions where nothing is held back.
func findHeldBack(ctx context.Context, adm *kadm.Client, topics []string, older time.Duration) ([]HeldBack, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	// What is stable is asked for first: what is committed between the two is no sign of anything.
	stable, err := adm.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list last stable offsets: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	behind := kadm.TopicsSet{}
	stable.Each(func(at kadm.ListedOffset) {
		if end, ok := ends.Lookup(at.Topic, at.Partition); ok && at.Err == nil && end.Err == nil && at.Offset < end.Offset {
			behind.Add(at.Topic, at.Partition)
		}
	})
	if len(behind) == 0 {
		return nil, nil
	}
	described, err := adm.DescribeProducers(ctx, behind)
	if err != nil {
		return nil, fmt.Errorf("describe producers: %w", err)
	}
	var all []HeldBack
	for _, p := range described.SortedProducers() {
		at, _ := stable.Lookup(p.Topic, p.Partition)
		end, _ := ends.Lookup(p.Topic, p.Partition)
		since := time.UnixMilli(p.LastTimestamp)
		if p.CurrentTxnStartOffset < 0 || p.CurrentTxnStartOffset > at.Offset || time.Since(since) < older {
			continue // another one holds the partition back, or this one is at work
		}
		all = append(all, HeldBack{Topic: p.Topic, Partition: p.Partition, From: p.CurrentTxnStartOffset, To: end.Offset, ProducerID: p.ProducerID,
			ProducerEpoch: p.ProducerEpoch, Since: since, coordinator: p.CoordinatorEpoch})
	}
	return all, owners(ctx, adm, all)
}

// owners finds out whose the transactions are.
func owners(ctx context.Context, adm *kadm.Client, all []HeldBack) error {
	if len(all) == 0 {
		return nil
	}
	var ids []int64
	for _, h := range all {
		ids = append(ids, h.ProducerID)
	}
	listed, err := adm.ListTransactions(ctx, ids, nil)
	if err != nil {
		return fmt.Errorf("list transactions: %w", err)
	}
	if len(listed) == 0 {
		return nil
	}
	described, err := adm.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil {
		return fmt.Errorf("describe transactions: %w", err)
	}
	for i := range all {
		h := &all[i]
		for _, t := range described {
			if t.ProducerID != h.ProducerID {
				continue
			}
			h.ID = t.TxnID
			_, has := t.Topics[h.Topic][h.Partition]
			// A transaction that is being ended has the next epoch already.
			h.Owner = has && (t.ProducerEpoch == h.ProducerEpoch || t.ProducerEpoch == h.ProducerEpoch+1)
		}
	}
	return nil
}

// transactionsTopic is where Kafka's coordinators write down what becomes of transactions.
const transactionsTopic = "__transaction_state"

// outcomes finds out how the transactions without an owner ended.
func outcomes(ctx context.Context, kafka []kgo.Opt, adm *kadm.Client, all []HeldBack) {
	found, err := readOutcomes(ctx, kafka, adm, all)
	for i := range all {
		h := &all[i]
		switch outcome := found[transactionKey{h.ProducerID, h.ProducerEpoch}]; {
		case h.Owner:
		case outcome != "":
			h.Outcome = outcome
		case err != nil:
			h.OutcomeErr = err.Error()
		default:
			h.OutcomeErr = transactionsTopic + " does not tell of it any more"
		}
	}
}

// transactionKey is one transaction of a producer: where Kafka's transaction.version is 2, each has an epoch of its own.
type transactionKey struct {
	producer int64
	epoch    int16
}

// readOutcomes reads what the coordinators have written down of the producers, for the transactions of which each has an epoch of its own.
func readOutcomes(ctx context.Context, kafka []kgo.Opt, adm *kadm.Client, all []HeldBack) (map[transactionKey]Outcome, error) {
	starts, err := adm.ListStartOffsets(ctx, transactionsTopic)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", transactionsTopic, err)
	}
	ends, err := adm.ListEndOffsets(ctx, transactionsTopic)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", transactionsTopic, err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for n, end := range ends[transactionsTopic] {
		start, _ := starts.Lookup(transactionsTopic, n)
		if err := errors.Join(start.Err, end.Err); err != nil {
			return nil, fmt.Errorf("read %s: %w", transactionsTopic, err)
		}
		if start.Offset < end.Offset {
			from[n], left[n] = kgo.NewOffset().At(start.Offset), end.Offset
		}
	}
	found := map[transactionKey]Outcome{}
	if len(left) == 0 {
		return found, nil
	}
	cl, err := kgo.NewClient(append(slices.Clone(kafka), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{transactionsTopic: from}), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", transactionsTopic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if key, outcome := outcomeOf(r.Value); outcome != "" {
				found[key] = outcome
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return found, nil
}

// outcomeOf reads what a coordinator has written down: a transaction is decided once it is to be ended, with the epoch after its own.
func outcomeOf(value []byte) (transactionKey, Outcome) {
	v := kmsg.NewTxnMetadataValue()
	if len(value) == 0 || v.ReadFrom(value) != nil || v.ClientTransactionVersion < 2 || v.ProducerEpoch < 1 {
		return transactionKey{}, ""
	}
	key := transactionKey{v.ProducerID, v.ProducerEpoch - 1}
	switch v.State {
	case kmsg.TransactionStatePrepareCommit, kmsg.TransactionStateCompleteCommit:
		return key, Committed
	case kmsg.TransactionStatePrepareAbort, kmsg.TransactionStateCompleteAbort:
		return key, Aborted
	}
	return key, ""
}

// EndHeldBack writes the marks that transactions without an owner lack, as their coordinator has decided them, and notes it in their Ended. Those whose
// outcome is not known are left alone. It takes the right to alter the cluster.
func EndHeldBack(ctx context.Context, kafka []kgo.Opt, all []HeldBack) error {
	cl, err := kgo.NewClient(kafka...)
	if err != nil {
		return fmt.Errorf("open kafka client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	var errs []error
	for i := range all {
		h := &all[i]
		if h.Owner || h.Outcome == "" {
			continue
		}
		in := kadm.TopicsSet{}
		in.Add(h.Topic, h.Partition)
		responses, err := adm.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch,
			Commit: h.Outcome == Committed, CoordinatorEpoch: max(h.coordinator, 0), Topics: in})
		if err == nil {
			err = responses[h.ProducerID].Topics[h.Topic].Partitions[h.Partition].Err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("end the transaction that holds back %s/%d: %w", h.Topic, h.Partition, err))
			continue
		}
		h.Ended = true
	}
	return errors.Join(errs...)
}
