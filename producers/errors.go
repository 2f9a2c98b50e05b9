package producers

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"adventureworks.example/extract/schemas/faults"
)

// ErrFenced means that another process has taken over the source: Kafka refuses what this one writes.
var ErrFenced = errors.New("another process runs this source")

// Error is an error whose class is known, with what is to be done about it. A Source returns one to choose the class.
type Error = faults.Error

// Classify says what is done about an error: the class of the outermost *Error, else that of the vocabulary's line, else Retry. It is
// empty for nil.
func Classify(err error) Class {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](explain(err)); ok {
		return e.Class
	}
	return Retry
}

// explain gives a bare error its line of the vocabulary; other errors come back as they are.
func explain(err error) error {
	if errors.Is(err, ErrFenced) {
		if _, ok := errors.AsType[*Error](err); !ok {
			return faults.KafkaFenced.Of(err)
		}
	}
	return faults.RecognizeFile(faults.Recognize(err)) // what is left is of the source itself, which may read files
}

// isFencing tells whether Kafka refused because of the transactional id's epoch. Another process may have taken the id, or the broker may
// have ended a transaction that lasted too long.
func isFencing(err error) bool {
	for _, e := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState, kerr.UnknownProducerID} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
