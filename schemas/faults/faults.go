// Package faults is the vocabulary of what goes wrong outside of this program: one table (Table) that says of each fault of Kafka, the schema registry,
// ClickHouse, Postgres, files and the lake how it is known, what the program does about it (its Class) and what a person does (its remedy). The
// producers and the consumers share it, so that a status, a metric and a log line mean the same everywhere. docs/errors.md shows the table.
//
// Episodes turn errors that come again and again into one message when they begin and one when they are over.
package faults

import (
	"errors"
	"strings"
)

// Class says what is done about an error.
type Class string

// The classes. Retry: transient, tried again by itself. Pause: needs a person, tried again slowly and goes on by itself once it is
// repaired. Reject: this row can never be stored, it goes to the dead letters. Stop: going on would break a promise.
const (
	Retry  Class = "retry"
	Pause  Class = "pause"
	Reject Class = "reject"
	Stop   Class = "stop"
)

// Place is where a fault is.
type Place string

// The places. Input is the rows themselves.
const (
	Kafka      Place = "kafka"
	Registry   Place = "registry"
	ClickHouse Place = "clickhouse"
	Postgres   Place = "postgres"
	Files      Place = "files"
	Input      Place = "input"
)

// Fault is one line of the vocabulary.
type Fault struct {
	Name  Name  `json:"name"`
	Place Place `json:"place"`
	// By is how the fault is known where the server says it: the code first, its name after a blank. Kafka's are names, ClickHouse's numbers,
	// Postgres's SQLSTATEs, of which two digits mean the whole class, the operating system's errno names. Faults without any are seen by the program itself.
	By    []string `json:"known_by,omitempty"`
	Class Class    `json:"class"`
	What  string   `json:"what"` // what has happened, a clause
	// Remedy is what a person does, a clause; empty when there is nothing to do. An error may carry a more exact one, with the names filled in.
	Remedy string `json:"remedy,omitempty"`
	// Wide faults are of a server as a whole: they make one episode, however many topics wait for it. The others make one a topic or source.
	Wide bool `json:"wide,omitempty"`
}

// Error is an error whose class is known, with what is to be done about it.
type Error struct {
	Class  Class
	Err    error
	Remedy string // a sentence for a person; may be empty
	Fault  Name   // its line in the table; empty where it has none
}

// Error is the cause, then the remedy.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; " + e.Remedy
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Find returns the line of a place that knows a code: Kafka's error name, ClickHouse's number, Postgres's SQLSTATE, an errno's name.
func Find(place Place, code string) (Fault, bool) {
	var class *Fault
	for i := range Table {
		f := &Table[i]
		if f.Place != place {
			continue
		}
		for _, by := range f.By {
			known, _, _ := strings.Cut(by, " ")
			if known == code {
				return *f, true
			}
			if place == Postgres && len(known) == 2 && strings.HasPrefix(code, known) {
				class = f
			}
		}
	}
	if class != nil {
		return *class, true
	}
	return Fault{}, false
}

// Lookup is the name's line in the table.
func (n Name) Lookup() (Fault, bool) {
	for _, f := range Table {
		if f.Name == n {
			return f, true
		}
	}
	return Fault{}, false
}

// Of makes err an error of this fault, with the table's class and remedy. It is nil for nil.
func (n Name) Of(err error) error {
	if err == nil {
		return nil
	}
	f, _ := n.Lookup()
	return f.Of(err)
}

// With is Of with a remedy of its own.
func (n Name) With(err error, remedy string) error {
	f, _ := n.Lookup()
	return &Error{Class: f.Class, Err: err, Remedy: remedy, Fault: n}
}

// Of makes err an error of this fault. A fault that is not in the table is Unknown's.
func (f Fault) Of(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Class: f.Class, Err: err, Remedy: f.Remedy, Fault: f.Name}
}

// Known is the line that an error carries, see Error.Fault; ok is false where it carries none.
func Known(err error) (Fault, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Fault == "" {
		return Fault{}, false
	}
	return e.Fault.Lookup()
}

// Split parts an error's text from what a person should do about it.
func Split(err error) (text, remedy string) {
	text = err.Error()
	if e, ok := errors.AsType[*Error](err); ok && e.Remedy != "" {
		return strings.Replace(text, "; "+e.Remedy, "", 1), e.Remedy
	}
	return text, ""
}
