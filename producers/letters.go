package producers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

// LettersSource is the name under which dead letters are closed. Its positions in the progress topic say what became of each, so no other source may
// have it.
const LettersSource = "deadletters"

// LetterState is what has become of a dead letter.
type LetterState string

// The states: nothing yet, or a retry that failed; its row was brought in; somebody decided that it is not to be brought in.
const (
	LetterOpen      LetterState = "open"
	LetterRetried   LetterState = "retried"
	LetterDiscarded LetterState = "discarded"
)

// Closing is what is on record about a dead letter beside the letter itself. It is kept in the progress topic, compacted and for ever, and in the same
// transaction as the record that a retry brings in.
type Closing struct {
	State   LetterState `json:"state"`
	Source  string      `json:"source"`
	Dataset string      `json:"dataset"`
	At      time.Time   `json:"at"`
	By      string      `json:"by"`               // who did it: user and host
	Why     string      `json:"why,omitempty"`    // their words
	Reason  string      `json:"reason,omitempty"` // why the last retry failed
	Tries   int         `json:"tries,omitempty"`  // retries that failed
	// Produced tells that the row came in by a record of this closing's transaction: the letter was a producer's. Corrected tells that its
	// bytes were not those of the source, and Digest is then that of the row.
	Produced  bool   `json:"produced,omitempty"`
	Corrected bool   `json:"corrected,omitempty"`
	SHA256    string `json:"sha256,omitempty"` // of the bytes that were used instead
	Digest    string `json:"digest,omitempty"`
}

// String is the closing as it is stored.
func (c Closing) String() string {
	b, _ := json.Marshal(c) // texts, numbers and a time always marshal
	return string(b)
}

// ParseClosing undoes String.
func ParseClosing(text string) (Closing, error) {
	var c Closing
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("parse closing %.80q: %w", text, err)
	}
	switch c.State {
	case LetterOpen, LetterRetried, LetterDiscarded:
		return c, nil
	}
	return c, fmt.Errorf("parse closing %.80q: unknown state %q", text, c.State)
}

// ReadClosings returns what is on record about dead letters, by their ids.
func ReadClosings(ctx context.Context, kafka []kgo.Opt, prefix string) (map[string]Closing, error) {
	positions, err := ReadPositions(ctx, kafka, prefix, LettersSource)
	if err != nil {
		return nil, err
	}
	return parseClosings(positions)
}

func parseClosings(positions map[string]string) (map[string]Closing, error) {
	all := make(map[string]Closing, len(positions))
	for id, text := range positions {
		c, err := ParseClosing(text)
		if err != nil {
			return nil, fmt.Errorf("dead letter %s: %w", id, err)
		}
		all[id] = c
	}
	return all, nil
}

// Repaired is a row made again.
type Repaired struct {
	Records []*kgo.Record
	Digest  schemas.Digest // of the row, for the inventory
}

// Repairer is a Source that can make the records of a row again which it rejected. d is the dead letter as it was read back; its bytes may be
// corrected ones. An error of the class Reject says why the row still cannot be produced.
type Repairer interface {
	Repair(ctx context.Context, target Target, d DeadLetter) (Repaired, error)
}

// Letter is a dead letter that is to be closed.
type Letter struct {
	ID      string // of the letter, never used for another one
	Source  string
	Dataset string
	// Bring does what brings the row in, and returns the records to produce, if it is by producing them. It must bear a repeat: when the process dies
	// before the closing is durable, it is called again. An error of the class Reject leaves the letter open with that reason. Nil for a
	// letter that is discarded.
	Bring func(ctx context.Context, target Target) (Repaired, error)
	// Closing is what to put on record. State, Source, Dataset, Tries, Reason and Digest are filled in.
	Closing Closing
}

// LetterResult is what became of a letter.
type LetterResult struct {
	Letter
	Closing Closing // as it is on record now
	Err     error   // why it is still open; nil when it is closed
	Before  bool    // it was closed already, by an earlier call or by another process
}

// CloseLetters closes dead letters of one source, in their order: the record that a letter's row becomes and the word that it was retried are one Kafka
// transaction, so a row is brought in once, however often CloseLetters is called and wherever it dies. done is called for each
// letter, in order, once its result is durable. o is as for Run; its Source and New are not used.
//
// One process at a time closes letters: a second one takes over, and the first ends with ErrFenced.
func CloseLetters(ctx context.Context, o Options, letters []Letter, done func(LetterResult)) error {
	if len(letters) == 0 {
		return nil
	}
	source, topicOf := letters[0].Source, o.TopicOf
	if topicOf == nil {
		topicOf = schemas.Topic
	}
	ids := map[string]bool{}
	for _, l := range letters {
		if l.Source != source || ids[l.ID] {
			return fmt.Errorf("close dead letters: %s of source %s is given twice, or is not of source %s", l.ID, l.Source, source)
		}
		ids[l.ID] = true
	}
	c := &closer{letters: letters, done: done, wrote: map[string]string{}}
	o.Source, o.New = LettersSource, func(context.Context) (Source, error) { return &lettersSource{closer: c}, nil }
	o.TopicOf = func(prefix, _, dataset string) string { return topicOf(prefix, source, dataset) }
	if err := Run(ctx, o); err != nil {
		return fmt.Errorf("close dead letters: %w", err)
	}
	if c.next < len(letters) {
		return errors.Join(ctx.Err(), fmt.Errorf("close dead letters: %d of %d are left", len(letters)-c.next, len(letters)))
	}
	return nil
}

// closer is what outlives the attempts of one CloseLetters.
type closer struct {
	letters []Letter
	done    func(LetterResult)
	next    int               // letters before it are reported; it moves in Commit alone
	wrote   map[string]string // closings of this call by id, durable or not
}

// lettersSource is the source of one attempt: every letter is a part.
type lettersSource struct {
	*closer
	target Target
	closed map[string]Closing // Next's alone
	at     int                // the letter that Next takes up, Next's alone

	mu      sync.Mutex // guards results, which Next writes and Commit reads
	results map[string]LetterResult
}

var _ Source = (*lettersSource)(nil)

// Open takes up what is on record. Letters whose results were told are passed over.
func (s *lettersSource) Open(_ context.Context, target Target, positions map[string]string) (err error) {
	s.target, s.at, s.results = target, s.next, map[string]LetterResult{}
	if s.closed, err = parseClosings(positions); err != nil {
		return &Error{Class: Stop, Err: err, Remedy: "something else writes to the progress topic: stop it"}
	}
	return nil
}

// Next brings in one letter. One that is closed already is put on record again as it is, so that its result comes in its turn.
func (s *lettersSource) Next(ctx context.Context) (Batch, error) {
	if s.at == len(s.letters) {
		return Batch{}, io.EOF
	}
	l := s.letters[s.at]
	was := s.closed[l.ID]
	if was.State == LetterRetried || was.State == LetterDiscarded {
		ours := s.wrote[l.ID] == was.String() // by an attempt that did not learn that its transaction had committed
		return s.batch(LetterResult{Letter: l, Closing: was, Before: !ours}, nil), nil
	}
	now := l.Closing
	now.Source, now.Dataset, now.Tries = l.Source, l.Dataset, was.Tries
	if l.Bring == nil {
		now.State, now.Reason = LetterDiscarded, was.Reason
		return s.batch(LetterResult{Letter: l, Closing: now}, nil), nil
	}
	brought, err := l.Bring(ctx, s.target)
	if err == nil {
		err = s.tooLarge(brought.Records)
	}
	switch {
	case err != nil && Classify(err) != Reject:
		return Batch{}, fmt.Errorf("retry dead letter %s: %w", l.ID, err)
	case err != nil:
		now.State, now.Reason, now.Tries = LetterOpen, cutText(err.Error()), was.Tries+1
		now.Corrected, now.SHA256 = false, ""
		return s.batch(LetterResult{Letter: l, Closing: now, Err: err}, nil), nil
	}
	now.State, now.Produced = LetterRetried, len(brought.Records) > 0
	if now.Corrected {
		now.Digest = brought.Digest.String()
	}
	return s.batch(LetterResult{Letter: l, Closing: now}, brought.Records), nil
}

// tooLarge refuses what would only become a dead letter again.
func (s *lettersSource) tooLarge(records []*kgo.Record) error {
	for _, r := range records {
		if n := recordBytes(r); n > s.target.MaxRecordBytes() {
			return &Error{Class: Reject, Err: fmt.Errorf("the record has %d bytes, and its topic takes %d", n, s.target.MaxRecordBytes())}
		}
	}
	return nil
}

func (s *lettersSource) batch(r LetterResult, records []*kgo.Record) Batch {
	s.at++
	text := r.Closing.String()
	s.closed[r.ID], s.wrote[r.ID] = r.Closing, text
	s.mu.Lock()
	s.results[r.ID] = r
	s.mu.Unlock()
	b := Batch{Records: records, Positions: []Position{{Part: r.ID, Text: text}}}
	if len(records) > 0 {
		b.Rows = []RowCount{{Dataset: r.Dataset, Produced: int64(len(records))}}
	}
	return b
}

// Commit tells the results that are durable now.
func (s *lettersSource) Commit(_ context.Context, positions []Position) error {
	for _, p := range positions {
		s.mu.Lock()
		r, ok := s.results[p.Part]
		s.mu.Unlock()
		if !ok || s.next == len(s.letters) || s.letters[s.next].ID != p.Part {
			return &Error{Class: Stop, Err: fmt.Errorf("dead letter %s is committed out of its turn", p.Part), Remedy: "this is a defect of the program"}
		}
		s.next++
		s.done(r)
	}
	return nil
}

// Close has nothing to release.
func (s *lettersSource) Close(context.Context) error { return nil }
