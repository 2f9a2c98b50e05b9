package consumers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Mark is a place in every partition of a topic: an offset, or the first record of a time or later. The zero Mark is none.
type Mark struct {
	Set    bool
	Offset int64
	Time   time.Time // instead of the offset, when it is not zero
}

// ParseMark reads `earliest`, an offset, or a time: RFC 3339 (2026-11-24T13:00:00Z), or a day with or without an hour in UTC. The text
// `latest`, and no text, is the zero Mark.
func ParseMark(text string) (Mark, error) {
	switch text {
	case "", "latest":
		return Mark{}, nil
	case "earliest":
		return Mark{Set: true}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 0 {
			return Mark{}, fmt.Errorf("%q is no offset: offsets begin at 0", text)
		}
		return Mark{Set: true, Offset: n}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return Mark{Set: true, Time: t}, nil
		}
	}
	return Mark{}, fmt.Errorf("%q is none of earliest, latest, an offset, and a time such as 2026-11-24T13:00:00Z", text)
}

// String is the text that ParseMark reads.
func (m Mark) String() string {
	switch {
	case !m.Set:
		return "latest"
	case !m.Time.IsZero():
		return m.Time.UTC().Format(time.RFC3339Nano)
	case m.Offset == 0:
		return "earliest"
	}
	return strconv.FormatInt(m.Offset, 10)
}

// Extent is what a topic holds, and where marks are in it.
type Extent struct {
	TopicID [16]byte
	// Ranges are the offsets between the marks that the topic still has, by partition: its first offset and one past its last when
	// there is no mark.
	Ranges map[int32]Range
	// Committed are the offsets that the group has committed for this very topic. A partition without one is missing.
	Committed map[int32]int64
}

// Survey asks Kafka for the extent of a topic between two marks, and for the commits of a group.
func Survey(ctx context.Context, kafka []kgo.Opt, topic, group string, from, to Mark) (*Extent, error) {
	cl, err := kgo.NewClient(kafka...)
	if err != nil {
		return nil, fmt.Errorf("survey topic %s: %w", topic, err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("survey topic %s: %w", topic, err)
	}
	detail := topics[topic]
	if detail.Err != nil {
		return nil, fmt.Errorf("survey topic %s: %w", topic, detail.Err)
	}
	e := &Extent{TopicID: detail.ID, Ranges: map[int32]Range{}, Committed: map[int32]int64{}}
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list start offsets of %s: %w", topic, err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	first, err := from.offsets(ctx, adm, topic, starts)
	if err != nil {
		return nil, err
	}
	last, err := to.offsets(ctx, adm, topic, ends)
	if err != nil {
		return nil, err
	}
	for n := range detail.Partitions {
		start, end := starts[topic][n], ends[topic][n]
		if err := errors.Join(start.Err, end.Err); err != nil {
			return nil, fmt.Errorf("list offsets of %s/%d: %w", topic, n, err)
		}
		r := Range{max(start.Offset, first[n]), min(end.Offset, last[n])}
		r.End = max(r.Start, r.End)
		e.Ranges[n] = r
	}
	return e, e.addCommits(ctx, adm, topic, group)
}

func (e *Extent) addCommits(ctx context.Context, adm *kadm.Client, topic, group string) error {
	committed, err := adm.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil // it has committed nothing yet
	}
	if err != nil {
		return fmt.Errorf("fetch offsets of group %s: %w", group, err)
	}
	for n := range e.Ranges {
		at, ok := committed.Lookup(topic, n)
		if !ok || at.Err != nil || at.At < 0 {
			continue
		}
		if i, ours := parseIntent(at.Metadata); !ours || i.topic == e.TopicID {
			e.Committed[n] = at.At
		}
	}
	return nil
}

// offsets are the places of the mark, by partition. all is where it is when it is not set. No record at or after a time: the end.
func (m Mark) offsets(ctx context.Context, adm *kadm.Client, topic string, all kadm.ListedOffsets) (map[int32]int64, error) {
	at := map[int32]int64{}
	if m.Set && !m.Time.IsZero() {
		listed, err := adm.ListOffsetsAfterMilli(ctx, m.Time.UnixMilli(), topic)
		if err != nil {
			return nil, fmt.Errorf("list offsets of %s at %s: %w", topic, m, err)
		}
		all = listed
	}
	for n, o := range all[topic] {
		if o.Err != nil {
			return nil, fmt.Errorf("list offsets of %s/%d at %s: %w", topic, n, m, o.Err)
		}
		at[n] = o.Offset
		if m.Set && m.Time.IsZero() {
			at[n] = m.Offset
		}
	}
	return at, nil
}
