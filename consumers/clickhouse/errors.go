package clickhouse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go"
	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas/faults"
)

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

// noSpace is what the operating system says of a full disk, which the server passes on under several codes.
const noSpace = "No space left on device"

// classify gives an error of the server its line of the vocabulary. A code that is not there wants a person. A network that fails is ClickHouse's,
// as nobody else was called.
func classify(err error) error {
	var classed *consumers.Error
	if err == nil || errors.As(err, &classed) {
		return err
	}
	if until, refused := guarded(err); refused {
		return guardedError(until, err)
	}
	if code, message, said := exception(err); said {
		if f, ok := faults.Find(faults.ClickHouse, strconv.Itoa(code)); ok && f.Name != faults.ClickHouseUnknown {
			return f.Of(err)
		}
		if strings.Contains(message, noSpace) {
			return faults.ClickHouseDiskFull.Of(err)
		}
		return faults.ClickHouseUnknown.Of(err)
	}
	if faults.Unreachable(err) || errors.Is(err, clickhouse.ErrAcquireConnTimeout) || errors.Is(err, clickhouse.ErrConnectionClosed) {
		return faults.ClickHouseDown.Of(err)
	}
	return err
}

// cannotChange gives an error of a change of a table its line. One that the server cannot make stops, such as that of a union's int into a double. One whose mark
// is not there, or is there already, was made by another process, or by this one before it lost the answer.
func cannotChange(err error) error {
	code, message, _ := exception(err)
	switch {
	case code == 70:
		return faults.ClickHouseSchema.Of(err)
	case strings.Contains(message, changePrefix):
		return faults.ClickHouseStale.Of(err)
	}
	return err
}

// isStale tells whether a table is not as this process remembers it, as the server says or as what it sends shows.
func isStale(err error) bool {
	if _, refused := guarded(err); refused {
		return true
	}
	f, known := faults.Known(classify(err))
	return known && (f.Name == faults.ClickHouseStale || f.Name == faults.ClickHouseTableMissing)
}
