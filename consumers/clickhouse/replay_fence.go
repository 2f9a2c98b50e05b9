package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"adventureworks.example/extract/consumers"
)

// A raw table refuses what is not meant for it, by constraints that the server checks with every insert.
//
// Every table has generationCheck: it takes inserts whose token names its topic and generation, and those of people, who send no token. So an insert of a process that slept while a
// replay put a new generation in the table's place is refused, however late it comes; the new table could not know its token, and would
// store the rows a second time.
//
// A table that is about to be replaced has a fence besides, which refuses everything. Its name says until when, in seconds since 1970 by the
// server's clock. A replay that has not exchanged the tables by then counts as dead: whoever is refused after that time takes the new
// tables their names, so that the replay cannot exchange them any more even if it was only slow, and then drops the fence.
const (
	generationCheck = "extract_generation"
	fencePrefix     = "extract_replay_until_"
)

// tokenPrefix begins the deduplication tokens of everything that is inserted into a table of this generation.
func (m *meta) tokenPrefix() string { return fmt.Sprintf("%s.%d", m.TopicID, m.Generation) }

// generationConstraint is the definition of generationCheck. The expression is constant within an insert, so it costs nothing per row.
func (m *meta) generationConstraint() string {
	const tok = "getSetting('insert_deduplication_token')"
	return "CONSTRAINT " + quoteName(generationCheck) + " CHECK empty(" + tok + ") OR startsWith(" + tok + ", " + quoteText(m.tokenPrefix()+".") + ")"
}

var guardViolated = regexp.MustCompile("^(?:DB::Exception: )?Constraint `(" + generationCheck + "|" + fencePrefix + `(\d+)` + ")` for table")

// guarded tells whether the server refused an insert because the table is, or soon will be, of another generation than the process knows. until is
// the end of the fence, 0 where there is none.
func guarded(err error) (until int64, ok bool) {
	_, message, said := exception(err)
	if !said {
		return 0, false
	}
	m := guardViolated.FindStringSubmatch(message)
	if m == nil {
		return 0, false
	}
	if m[2] != "" {
		until, _ = strconv.ParseInt(m[2], 10, 64) // of digits; too many of them are no time
	}
	return until, true
}

// guardedError is what a refusal of that kind means: it passes within seconds, and the table's description is read again before the next try.
func guardedError(until int64, err error) error {
	remedy := "the table was built anew by a replay: this process reads its description again and goes on by itself"
	if until > 0 {
		remedy = "a replay is exchanging the table: writing goes on by itself within seconds"
	}
	return &consumers.Error{Class: consumers.Retry, Err: err, Remedy: remedy}
}

// afterRefusal lifts the fence that refused a write, if its time is over. The write is tried again in any case.
func (s *Sink) afterRefusal(ctx context.Context, topic string, refusal error) {
	until, ok := guarded(refusal)
	if !ok || until == 0 {
		return
	}
	now, err := s.now(ctx)
	if err == nil && now <= until {
		return
	}
	if err == nil {
		err = s.liftFence(ctx, topic, until)
	}
	if err != nil {
		s.log.Warn("cannot lift the fence that a replay left, trying again", "topic", topic, "err", err)
		return
	}
	s.log.Warn("a replay ended without exchanging the tables, its fence is lifted", "topic", topic)
}

// now is the server's time in seconds since 1970.
func (s *Sink) now(ctx context.Context) (int64, error) {
	now, err := s.ints(ctx, "SELECT toInt64(toUnixTimestamp(now()))")
	if err != nil {
		return 0, classify(fmt.Errorf("ask for the server's time: %w", err))
	}
	return now[0], nil
}

// liftFence makes an exchange by the owner of the fence impossible, by setting its tables aside, and lifts the fence. Both can be repeated, and
// done by several processes at once.
func (s *Sink) liftFence(ctx context.Context, topic string, until int64) error {
	g, err := s.generations(ctx, topic)
	if err != nil {
		return err
	}
	for _, b := range g.building() {
		if b.aside() {
			continue
		}
		if err := s.rename(ctx, b.Database, b.Table, b.asideName()); err != nil && !isMissing(err) {
			return fmt.Errorf("set table %s.%s aside: %w", b.Database, b.Table, err)
		}
	}
	return s.dropFence(ctx, quoteName(s.conf.Raw)+"."+quoteName(g.name), until)
}

func (s *Sink) dropFence(ctx context.Context, table string, until int64) error {
	sql := "ALTER TABLE " + table + " DROP CONSTRAINT IF EXISTS " + quoteName(fenceName(until))
	if err := s.exec(ctx, sql); err != nil {
		return fmt.Errorf("lift fence of table %s: %w", table, err)
	}
	return nil
}

func fenceName(until int64) string { return fencePrefix + strconv.FormatInt(until, 10) }

// isMissing tells whether the server knows no table of the name.
func isMissing(err error) bool {
	code, _, said := exception(err)
	return said && code == 60
}

// errTaken is what a replay ends with whose tables another replay has taken over, or a writer has set aside because the fence's time was over.
var errTaken = errors.New("the tables being built were taken over by another replay, or set aside since the exchange took too long")
