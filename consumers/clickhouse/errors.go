package clickhouse

import (
	"errors"

	"github.com/ClickHouse/ch-go"
	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"adventureworks.example/extract/consumers"
)

// verdict is what is done about an exception of the server.
type verdict struct {
	class  consumers.Class
	remedy string
}

// verdicts are by the server's error codes, see src/Common/ErrorCodes.cpp of ClickHouse. A code that is not here wants a person.
var verdicts = map[int]verdict{
	60:   {consumers.Pause, "the table is missing: restore it, or replay the topic into a new one"},
	81:   {consumers.Pause, "the database is missing: create it again"},
	164:  {consumers.Pause, "the user may only read: give it the right to insert, create and alter"},
	192:  {consumers.Pause, "check user and password"},
	193:  {consumers.Pause, "check user and password"},
	194:  {consumers.Pause, "check user and password"},
	516:  {consumers.Pause, "check user and password"},
	497:  {consumers.Pause, "give the user the right that is named"},
	242:  {consumers.Pause, "the table is read-only: check the server and its Keeper"},
	243:  {consumers.Pause, "free disk space on the server"},
	252:  {consumers.Pause, "the server merges more slowly than rows come in: it goes on by itself once it has caught up"},
	1001: {consumers.Pause, "look at the server's log"},

	159: {consumers.Retry, ""}, // TIMEOUT_EXCEEDED
	160: {consumers.Retry, ""}, // TOO_SLOW
	202: {consumers.Retry, ""}, // TOO_MANY_SIMULTANEOUS_QUERIES
	209: {consumers.Retry, ""}, // SOCKET_TIMEOUT
	210: {consumers.Retry, ""}, // NETWORK_ERROR
	236: {consumers.Retry, ""}, // ABORTED
	241: {consumers.Retry, ""}, // MEMORY_LIMIT_EXCEEDED
	279: {consumers.Retry, ""}, // ALL_CONNECTION_TRIES_FAILED
	319: {consumers.Retry, ""}, // UNKNOWN_STATUS_OF_INSERT
	394: {consumers.Retry, ""}, // QUERY_WAS_CANCELLED
	425: {consumers.Retry, ""}, // SYSTEM_ERROR
	999: {consumers.Retry, ""}, // KEEPER_EXCEPTION

	// What one row can bring about, by a constraint or a materialized view on the table: the batch is cut until the row is found.
	6: {consumers.Reject, ""}, 27: {consumers.Reject, ""}, 38: {consumers.Reject, ""}, 41: {consumers.Reject, ""}, 43: {consumers.Reject, ""},
	69: {consumers.Reject, ""}, 72: {consumers.Reject, ""}, 117: {consumers.Reject, ""}, 128: {consumers.Reject, ""}, 131: {consumers.Reject, ""},
	153: {consumers.Reject, ""}, 321: {consumers.Reject, ""}, 349: {consumers.Reject, ""}, 395: {consumers.Reject, ""}, 407: {consumers.Reject, ""},
	469: {consumers.Reject, ""},
}

// stale are the codes that say the table is not as this process remembers it.
var stale = map[int]bool{8: true, 10: true, 16: true, 20: true, 44: true, 47: true, 53: true, 70: true}

// exception is the server's word in an error, whichever of the two libraries brought it.
func exception(err error) (code int, message string, ok bool) {
	var block *ch.Exception
	if errors.As(err, &block) {
		return int(block.Code), block.Message, true
	}
	var statement *clickhouse.Exception
	if errors.As(err, &statement) {
		return int(statement.Code), statement.Message, true
	}
	return 0, "", false
}

// classify puts the class to an error of the server. Errors of the network have theirs already, see consumers.Classify.
func classify(err error) error {
	var classed *consumers.Error
	if err == nil || errors.As(err, &classed) {
		return err
	}
	if errors.Is(err, clickhouse.ErrAcquireConnTimeout) || errors.Is(err, clickhouse.ErrConnectionClosed) {
		return &consumers.Error{Class: consumers.Retry, Err: err}
	}
	code, _, said := exception(err)
	if !said {
		return err
	}
	v, ok := verdicts[code]
	switch {
	case stale[code]:
		v = verdict{consumers.Retry, ""}
	case !ok:
		v = verdict{consumers.Pause, ""}
	}
	return &consumers.Error{Class: v.class, Err: err, Remedy: v.remedy}
}

// cannotConvert stops on a change of a table that the server cannot make, such as that of a union's int into a double.
func cannotConvert(err error) error {
	if code, _, _ := exception(err); code != 70 {
		return err
	}
	return &consumers.Error{Class: consumers.Stop, Err: err, Remedy: "make the schema compatible, or replay the topic into a new table"}
}

func isStale(err error) bool {
	code, _, _ := exception(err)
	return stale[code] || code == 60
}
