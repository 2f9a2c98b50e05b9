package consumers

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// intent is what a commit says besides its offset, in the commit's metadata: the range that is about to be written, which starts at the
// offset, the topic it was written for, and how many records the sink is to hold. Its text is
//
//	topic=<32 hex digits> [pending=<start>-<end>] [first] [n=<records>@<offset>]
type intent struct {
	topic   [16]byte
	pending Range
	first   bool
	tally   tally
}

// tally is how many records of a partition the sink is to hold below an offset: what an audit compares with. The offset is that of the commit, or
// lies above it while a range that was stored already is read again.
type tally struct {
	known   bool // not so in commits of before there were audits
	records int64
	below   int64
}

// add counts the records of a range that ends at end and has just been stored. What lies below the tally was counted before.
func (t *tally) add(records []*kgo.Record, end int64) {
	if end <= t.below {
		return
	}
	for _, rec := range records {
		if rec.Offset >= t.below {
			t.records++
		}
	}
	t.below = end
}

// String is the text that parseIntent reads.
func (i intent) String() string {
	s := "topic=" + hex.EncodeToString(i.topic[:])
	if !i.pending.Empty() {
		s += fmt.Sprintf(" pending=%d-%d", i.pending.Start, i.pending.End)
	}
	if i.first {
		s += " first"
	}
	if i.tally.known {
		s += fmt.Sprintf(" n=%d@%d", i.tally.records, i.tally.below)
	}
	return s
}

// parseIntent undoes String. ok is false for text that is not an intent's, such as the empty text of another tool's commit.
func parseIntent(text string) (i intent, ok bool) {
	for _, word := range strings.Fields(text) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "topic":
			id, err := hex.DecodeString(value)
			if err != nil || len(id) != len(i.topic) {
				return intent{}, false
			}
			copy(i.topic[:], id)
			ok = true
		case "pending":
			start, end, _ := strings.Cut(value, "-")
			var err1, err2 error
			i.pending.Start, err1 = strconv.ParseInt(start, 10, 64)
			i.pending.End, err2 = strconv.ParseInt(end, 10, 64)
			if err1 != nil || err2 != nil || i.pending.Empty() {
				return intent{}, false
			}
		case "first":
			i.first = true
		case "n":
			records, below, _ := strings.Cut(value, "@")
			var err1, err2 error
			i.tally.known = true
			i.tally.records, err1 = strconv.ParseInt(records, 10, 64)
			i.tally.below, err2 = strconv.ParseInt(below, 10, 64)
			if err1 != nil || err2 != nil || i.tally.records < 0 || i.tally.below < 0 {
				return intent{}, false
			}
		default:
			return intent{}, false
		}
	}
	return i, ok
}
