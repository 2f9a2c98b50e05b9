package sourcetest

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// call is a kind of call that a running source makes to the world outside.
type call string

// The calls. A transaction begins at the broker with the first request that writes into it, so that request is the call begin.
const (
	takeID      call = "take-id"      // the transactional id
	createTopic call = "create-topic" // or ask for the configuration of one that is there
	register    call = "register"     // a schema
	position    call = "position"     // a position is written: to the progress topic, or as the offset of a group
	readBack    call = "read-back"    // of the positions, or of the items of shared work
	open        call = "open"         // Source.Open
	next        call = "next"         // Source.Next
	begin       call = "begin"
	produce     call = "produce"
	commit      call = "commit"
	acknowledge call = "acknowledge" // Source.Commit
	group       call = "group"       // membership of readers that share work
	lookUp      call = "look-up"     // brokers, leaders, coordinators, offsets
)

var calls = []call{takeID, createTopic, register, position, readBack, open, next, begin, produce, commit, acknowledge, group, lookUp}

// transactions knows which transactions of a process are open at the broker.
type transactions map[string]bool

// classify tells which call a request is. It also gives the request's correlation id, which its answer bears. isProgress knows the progress topic by its
// name or its id.
func (open transactions) classify(b []byte, isProgress func(name string, id [16]byte) bool) (c call, correlation int32) {
	req, correlation := parseRequest(b)
	switch r := req.(type) {
	case *kmsg.InitProducerIDRequest:
		if r.TransactionalID != nil {
			open[*r.TransactionalID] = false
		}
		return takeID, correlation
	case *kmsg.CreateTopicsRequest, *kmsg.DescribeConfigsRequest:
		return createTopic, correlation
	case *kmsg.ProduceRequest:
		return open.produce(r, isProgress), correlation
	case *kmsg.AddPartitionsToTxnRequest:
		open[r.TransactionalID] = true
		return begin, correlation
	case *kmsg.TxnOffsetCommitRequest, *kmsg.AddOffsetsToTxnRequest:
		return position, correlation
	case *kmsg.EndTxnRequest:
		open[r.TransactionalID] = false
		return commit, correlation
	case *kmsg.FetchRequest:
		return readBack, correlation
	case *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest, *kmsg.HeartbeatRequest, *kmsg.LeaveGroupRequest, *kmsg.OffsetFetchRequest, *kmsg.OffsetCommitRequest:
		return group, correlation
	}
	return lookUp, correlation
}

func (open transactions) produce(r *kmsg.ProduceRequest, isProgress func(name string, id [16]byte) bool) call {
	for _, t := range r.Topics {
		if isProgress(t.Topic, t.TopicID) {
			return position
		}
	}
	if r.TransactionID == nil || open[*r.TransactionID] {
		return produce
	}
	open[*r.TransactionID] = true
	return begin
}

// parseRequest reads a request as it is on the wire: its size, the header (key, version, correlation id, client id, tags), the body. It is nil where the
// bytes are none.
func parseRequest(b []byte) (kmsg.Request, int32) {
	const header = 4 + 2 + 2 + 4 + 2
	if len(b) < header {
		return nil, 0
	}
	req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(b[4:])))
	correlation := int32(binary.BigEndian.Uint32(b[8:]))
	if req == nil {
		return nil, correlation
	}
	req.SetVersion(int16(binary.BigEndian.Uint16(b[6:])))
	body := b[header:]
	if n := int(int16(binary.BigEndian.Uint16(b[12:]))); n > 0 {
		body = body[min(n, len(body)):]
	}
	if req.IsFlexible() && len(body) > 0 {
		body = body[1:] // no tags are ever sent in a header
	}
	if req.ReadFrom(body) != nil {
		return nil, correlation
	}
	return req, correlation
}
