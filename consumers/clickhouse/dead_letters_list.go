package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"adventureworks.example/extract/schemas"
)

// What counts as held. A record of a topic is held once when its offset is in the topic's raw table, or else in the dead letters. A dead letter
// stays in its table for good, retried or discarded; so an offset that both tables have was retried, the raw table's row is the one that
// counts, and the letter does not. Whoever counts offsets counts the raw table's and, of the dead letters', those that the raw
// table has not (notStored).

// DeadLetter is a row of the dead letters' table.
type DeadLetter struct {
	ID        string // 16 hexadecimal digits made of topic, partition and offset
	Topic     string // of the record that could not be stored; the dead letters' own for a row that could not be produced
	Partition int32
	Offset    int64
	Timestamp time.Time // of the record
	Key       []byte    // nil without one
	Source    string
	Dataset   string
	Place     string
	Raw       []byte // only when the filter asks for it
	Size      int64  // of the whole row
	Kept      int64  // bytes of Raw
	SHA256    []byte // of the whole row
	Class     string
	Reason    string
	At        time.Time
	Context   string // what the producer needs to read Raw again; empty when it left none
	// Unproduced tells that the row never was in its topic: its producer rejected it. Otherwise the record is in Topic, and this sink could not store it.
	Unproduced bool
	// Stored tells that the raw table holds the record by now.
	Stored bool
}

// DeadLetterFilter chooses dead letters; what is empty chooses all.
type DeadLetterFilter struct {
	ID      string      // or the start of one
	Of      *DeadLetter // this one alone, by its topic, partition and offset
	Source  string
	Dataset string
	Class   string
	Since   time.Time
	Raw     bool // with their bytes
}

// letterID is the SQL of a dead letter's id.
const letterID = "leftPad(lower(hex(xxHash64(concat(_topic, '/', toString(_partition), '/', toString(_offset))))), 16, '0')"

// DeadLetters gives the chosen dead letters, the newest first, to each until that returns an error, which is returned as it is.
func (s *Sink) DeadLetters(ctx context.Context, f DeadLetterFilter, each func(DeadLetter) error) error {
	there, err := s.ints(ctx, "SELECT toInt64(count()) FROM system.tables WHERE database = "+quoteText(s.conf.Raw)+" AND name = "+quoteText(deadName))
	if err != nil || there[0] == 0 {
		return classify(err)
	}
	if err := s.dead.ensure(ctx); err != nil {
		return err
	}
	stored, err := s.dead.stored(ctx, f.Of)
	if err != nil {
		return classify(fmt.Errorf("look for dead letters that are stored by now: %w", err))
	}
	raw := "''"
	if f.Raw {
		raw = "raw"
	}
	own := quoteText(s.conf.Prefix + "." + deadName)
	sql := "SELECT " + letterID + " AS id, toString(_topic), _partition, _offset, _timestamp, _key, source, dataset, place, " + raw + ", size, toInt64(length(raw)), sha256, class, reason, at," +
		" ifNull(context, ''), _topic = " + own + ", " + stored + " FROM " + s.dead.fullName() + " WHERE " + f.where() + " ORDER BY at DESC, _topic, _partition, _offset DESC"
	ctx, cancel := context.WithCancel(ctx)
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		cancel()
		return classify(fmt.Errorf("list dead letters: %w", err))
	}
	defer func() {
		cancel() // or Close would read what is left to its end
		rows.Close()
	}()
	for rows.Next() {
		d, err := scanDeadLetter(rows)
		if err != nil {
			return fmt.Errorf("list dead letters: %w", err)
		}
		if err := each(d); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return classify(fmt.Errorf("list dead letters: %w", err))
	}
	return nil
}

func scanDeadLetter(rows driver.Rows) (DeadLetter, error) {
	var d DeadLetter
	var key *string
	var raw, sum string
	var unproduced, stored uint8
	err := rows.Scan(&d.ID, &d.Topic, &d.Partition, &d.Offset, &d.Timestamp, &key, &d.Source, &d.Dataset, &d.Place, &raw, &d.Size, &d.Kept, &sum, &d.Class, &d.Reason, &d.At,
		&d.Context, &unproduced, &stored)
	d.Raw, d.SHA256, d.Unproduced, d.Stored = []byte(raw), []byte(sum), unproduced == 1, stored == 1
	if key != nil {
		d.Key = []byte(*key)
	}
	return d, err
}

func (f DeadLetterFilter) where() string {
	all := []string{"1"}
	for _, c := range []struct{ column, value string }{{"source", f.Source}, {"dataset", f.Dataset}, {"class", f.Class}} {
		if c.value != "" {
			all = append(all, c.column+" = "+quoteText(c.value))
		}
	}
	if f.Of != nil {
		all = append(all, fmt.Sprintf("_topic = %s AND _partition = %d AND _offset = %d", quoteText(f.Of.Topic), f.Of.Partition, f.Of.Offset))
	}
	if f.ID != "" {
		all = append(all, "startsWith("+letterID+", "+quoteText(strings.ToLower(f.ID))+")")
	}
	if !f.Since.IsZero() {
		all = append(all, fmt.Sprintf("at >= fromUnixTimestamp64Micro(%d, 'UTC')", f.Since.UnixMicro()))
	}
	return strings.Join(all, " AND ")
}

// stored is the SQL that tells of a dead letter, of one alone or of any, whether the raw table of its topic holds the record by now.
func (d *deadLetters) stored(ctx context.Context, of *DeadLetter) (string, error) {
	own := d.sink.conf.Prefix + "." + deadName
	where, and := "_topic != "+quoteText(own), ""
	if of != nil {
		where = fmt.Sprintf("_topic = %s AND _topic != %s", quoteText(of.Topic), quoteText(own))
		and = fmt.Sprintf(" AND _partition = %d AND _offset = %d", of.Partition, of.Offset)
	}
	rows, err := d.sink.texts(ctx, "SELECT DISTINCT toString(_topic) FROM "+d.fullName()+" WHERE "+where, 1)
	if err != nil || len(rows) == 0 {
		return "toUInt8(0)", err
	}
	tables, err := d.sink.texts(ctx, "SELECT name FROM system.tables WHERE database = "+quoteText(d.sink.conf.Raw), 1)
	if err != nil {
		return "", err
	}
	there := map[string]bool{}
	for _, t := range tables {
		there[t[0]] = true
	}
	var held []string
	for _, r := range rows {
		if name := schemas.Table(d.sink.conf.Prefix, r[0]); there[name] {
			held = append(held, "SELECT "+quoteText(r[0])+", _partition, _offset FROM "+quoteName(d.sink.conf.Raw)+"."+quoteName(name)+
				" WHERE (_partition, _offset) IN (SELECT _partition, _offset FROM "+d.fullName()+" WHERE _topic = "+quoteText(r[0])+and+")")
		}
	}
	if len(held) == 0 {
		return "toUInt8(0)", nil
	}
	return "toUInt8((toString(_topic), _partition, _offset) IN (" + strings.Join(held, " UNION ALL ") + "))", nil
}

// notStored is the SQL, behind WHERE, that leaves of a topic's dead letters those whose offsets its raw table does not hold. raw is that table's full
// name, empty where there is none.
func (d *deadLetters) notStored(topic, raw string) string {
	of := "_topic = " + quoteText(topic)
	if raw == "" {
		return of
	}
	return of + " AND (_partition, _offset) NOT IN (SELECT _partition, _offset FROM " + raw +
		" WHERE (_partition, _offset) IN (SELECT _partition, _offset FROM " + d.fullName() + " WHERE " + of + "))"
}
