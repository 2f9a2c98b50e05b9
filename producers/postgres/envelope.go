package postgres

import (
	"adventureworks.example/extract/schemas"
)

// table is one captured table as it is now: its shape, where its records go and since when. The goroutine that reads the database owns it.
type table struct {
	oid     uint32
	schema  string
	name    string
	dataset string
	copied  copiedState
	full    bool // REPLICA IDENTITY FULL: the server sends the whole old row

	plan  *rowPlan
	topic string // empty until the topic and the schemas' ids are ready
	keyID int
	value int

	origin []byte // version, connector and name of the envelope's source
	place  []byte // db, schema and table of the envelope's source
}

// version of the envelope's source, as Debezium has one of its connector.
const version = "1"

// bind fills in where the table's records go. name is the topic's prefix and source.
func (t *table) bind(topic string, keyID, valueID int, database string) {
	t.topic, t.keyID, t.value = topic, keyID, valueID
	name := topic[:len(topic)-len(t.dataset)-1]
	t.origin = appendStrings(nil, version, "postgresql", name)
	t.place = appendStrings(nil, database, t.schema, t.name)
}

func appendStrings(dst []byte, values ...string) []byte {
	for _, v := range values {
		dst = schemas.AppendString(dst, v)
	}
	return dst
}

// change is what the envelope says about a row beside its values.
type change struct {
	op         schemas.Op
	micros     int64 // commit time, since 1970
	millis     int64 // when it was read, since 1970
	snapshot   bool
	xid        uint32 // 0 for none
	lsn        LSN    // of the row, 0 for none
	commit     LSN
	number     int64
	generation int64
}

// appendSource appends the record `source` (schemas.Envelope).
func (t *table) appendSource(dst []byte, c *change) []byte {
	dst = append(dst, t.origin...)
	dst = schemas.AppendLong(dst, c.micros/1000)
	dst = schemas.AppendLong(dst, c.micros)
	if c.snapshot {
		dst = append(dst, "\x08true"...) // length 4, zigzag
	} else {
		dst = append(dst, "\x0afalse"...)
	}
	dst = append(dst, t.place...)
	dst = appendNullableLong(dst, int64(c.xid))
	dst = appendNullableLong(dst, int64(c.lsn))
	dst = schemas.AppendLong(dst, int64(c.commit))
	dst = schemas.AppendLong(dst, c.number)
	return schemas.AppendLong(dst, c.generation)
}

// appendNullableLong appends [null, long], null for 0.
func appendNullableLong(dst []byte, v int64) []byte {
	if v == 0 {
		return append(dst, 0)
	}
	return schemas.AppendLong(append(dst, 2), v)
}

// appendEnvelope appends a framed value. before and after may be nil. On an error dst comes back as it was.
func (t *table) appendEnvelope(dst []byte, c *change, before, after *tuple) ([]byte, error) {
	out := schemas.AppendFrame(dst, t.value)
	for _, row := range [2]*tuple{before, after} {
		if row == nil {
			out = append(out, 0)
			continue
		}
		var err error
		if out, err = t.plan.appendRow(append(out, 2), row); err != nil {
			return dst, err
		}
	}
	out = t.appendTail(out, c)
	if after == nil {
		return append(out, 0), nil
	}
	return t.plan.appendUnchanged(out, after), nil
}

// appendTail appends source, op and ts_ms: what follows the rows and, for the rows of a copy, is the same for each.
func (t *table) appendTail(dst []byte, c *change) []byte {
	dst = t.appendSource(dst, c)
	dst = schemas.AppendString(dst, string(c.op))
	return appendNullableLong(dst, c.millis)
}

// appendFramedKey appends the framed key of row.
func (t *table) appendFramedKey(dst []byte, row, old *tuple) ([]byte, error) {
	out, err := t.plan.appendKey(schemas.AppendFrame(dst, t.keyID), row, old)
	if err != nil {
		return dst, err
	}
	return out, nil
}
