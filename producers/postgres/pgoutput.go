package postgres

import (
	"encoding/binary"
	"errors"
)

// errMessage is returned for a message of pgoutput that does not have the shape of protocol version 1.
var errMessage = errors.New("malformed pgoutput message")

// message reads the fields of one message, in order. After a field that is not there, every further one is zero and bad is true.
// See the PostgreSQL documentation, "Logical Replication Message Formats".
type message struct {
	b   []byte
	bad bool
}

func (m *message) bytes(n int) []byte {
	if m.bad || n < 0 || n > len(m.b) {
		m.bad = true
		return nil
	}
	out := m.b[:n]
	m.b = m.b[n:]
	return out
}

func (m *message) uint8() byte {
	if b := m.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (m *message) uint16() int {
	if b := m.bytes(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (m *message) uint32() uint32 {
	if b := m.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (m *message) uint64() uint64 {
	if b := m.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (m *message) lsn() LSN { return LSN(m.uint64()) }

// string reads up to a zero byte.
func (m *message) string() string {
	for i, c := range m.b {
		if c == 0 {
			s := string(m.b[:i])
			m.b = m.b[i+1:]
			return s
		}
	}
	m.bad = true
	return ""
}

// epoch2000 is 2000-01-01 in microseconds since 1970, where Postgres counts from.
const epoch2000 = 946_684_800_000_000

// micros reads a time as microseconds since 1970.
func (m *message) micros() int64 { return int64(m.uint64()) + epoch2000 }

// tuple reads TupleData into t, sharing the message's memory.
func (m *message) tuple(t *tuple, columns int) {
	if n := m.uint16(); n != columns {
		m.bad = true
		return
	}
	t.reset(columns)
	for i := range columns {
		state := m.uint8()
		t.state[i], t.text[i] = state, nil
		switch state {
		case valueNull, valueUnchanged:
		case valueText:
			t.text[i] = m.bytes(int(m.uint32()))
		default: // b, binary, is never asked for
			m.bad = true
		}
		if m.bad {
			return
		}
	}
}

// relation is a Relation message: what a table looks like from now on.
type relation struct {
	oid      uint32
	schema   string
	name     string
	identity byte // d, n, f or i (pg_class.relreplident)
	columns  []rawColumn
}

func (m *message) relation() relation {
	r := relation{oid: m.uint32(), schema: m.string(), name: m.string(), identity: m.uint8()}
	n := m.uint16()
	for range n {
		if m.bad {
			break
		}
		key := m.uint8()&1 != 0
		r.columns = append(r.columns, rawColumn{name: m.string(), oid: m.uint32(), typmod: int32(m.uint32()), key: key})
	}
	return r
}
