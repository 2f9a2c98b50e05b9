package consumers

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// intent is what a commit says besides its offset, in the commit's metadata: the range that is about to be written, which starts at the
// offset, and the topic it was written for. Its text is
//
//	topic=<32 hex digits> [pending=<start>-<end>] [first]
type intent struct {
	topic   [16]byte
	pending Range
	first   bool
}

func (i intent) String() string {
	s := "topic=" + hex.EncodeToString(i.topic[:])
	if !i.pending.Empty() {
		s += fmt.Sprintf(" pending=%d-%d", i.pending.Start, i.pending.End)
	}
	if i.first {
		s += " first"
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
		default:
			return intent{}, false
		}
	}
	return i, ok
}
