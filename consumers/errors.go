package consumers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Class says what is done about an error. The vocabulary is the same everywhere.
type Class string

// The classes. Retry: transient, tried again by itself. Pause: needs a person, tried again slowly and goes on by itself once it is
// repaired. Reject: this row can never be stored, it goes to the dead letters. Stop: going on would break a promise.
const (
	Retry  Class = "retry"
	Pause  Class = "pause"
	Reject Class = "reject"
	Stop   Class = "stop"
)

// Error is an error with its class and, for people, what to do.
type Error struct {
	Class  Class
	Err    error
	Remedy string // a sentence; empty when there is nothing to do but wait
}

// Error is the error and the remedy.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v: %s", e.Err, e.Remedy)
}

// Unwrap is the error without its class.
func (e *Error) Unwrap() error { return e.Err }

// Classify is the class of an error: the one that an *Error in it carries, Retry for what the network does and for time that ran out, and
// Pause for anything else, since an error nobody has thought of wants a person but must not cost a row.
func Classify(err error) Class {
	var classed *Error
	if errors.As(err, &classed) {
		return classed.Class
	}
	var network net.Error
	switch {
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Retry
	}
	return Pause
}
