package consumers

import (
	"context"
	"errors"

	"adventureworks.example/extract/schemas/faults"
)

// Class says what is done about an error. The vocabulary is that of faults.
type Class = faults.Class

// The classes, see faults.Class.
const (
	Retry  = faults.Retry
	Pause  = faults.Pause
	Reject = faults.Reject
	Stop   = faults.Stop
)

// Error is an error with its class and, for people, what to do.
type Error = faults.Error

// Classify is the class of an error: the one that an *Error in it carries, that of the vocabulary's line, Retry for what the network does and for time
// that ran out, and Pause for anything else, since an error nobody has thought of wants a person but must not cost a row.
func Classify(err error) Class {
	if e, ok := errors.AsType[*Error](faults.Recognize(err)); ok {
		return e.Class
	}
	if faults.Unreachable(err) || errors.Is(err, context.Canceled) {
		return Retry
	}
	return Pause
}
