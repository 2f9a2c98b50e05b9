package sourcetest

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestRequestsAreCalls(t *testing.T) {
	progress := [16]byte{1}
	isProgress := func(name string, id [16]byte) bool { return name == "aw.progress" || id == progress }
	produceTo := func(version int16, txn string, topics ...kmsg.ProduceRequestTopic) kmsg.Request {
		r := kmsg.NewPtrProduceRequest()
		r.SetVersion(version)
		r.TransactionID = &txn
		r.Topics = topics
		return r
	}
	end := func(txn string) kmsg.Request {
		r := kmsg.NewPtrEndTxnRequest()
		r.SetVersion(5)
		r.TransactionalID = txn
		return r
	}
	at := func(r kmsg.Request, version int16) kmsg.Request { r.SetVersion(version); return r }
	rows, positions := kmsg.ProduceRequestTopic{TopicID: [16]byte{2}}, kmsg.ProduceRequestTopic{TopicID: progress}
	byName := kmsg.ProduceRequestTopic{Topic: "aw.progress"}
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("client"))
	open := transactions{}
	for i, c := range []struct {
		req  kmsg.Request
		want call
	}{
		{produceTo(13, "a", rows), begin},
		{produceTo(13, "a", rows), produce},
		{produceTo(13, "b", rows), begin},
		{produceTo(13, "a", rows, positions), position},
		{produceTo(9, "a", byName), position},
		{end("a"), commit},
		{produceTo(13, "b", rows), produce},
		{produceTo(13, "a", rows), begin},
		{at(kmsg.NewPtrInitProducerIDRequest(), 4), takeID},
		{at(kmsg.NewPtrCreateTopicsRequest(), 7), createTopic},
		{at(kmsg.NewPtrTxnOffsetCommitRequest(), 3), position},
		{at(kmsg.NewPtrFetchRequest(), 18), readBack},
		{at(kmsg.NewPtrHeartbeatRequest(), 4), group},
		{at(kmsg.NewPtrMetadataRequest(), 13), lookUp},
	} {
		got, correlation := open.classify(f.AppendRequest(nil, c.req, int32(i)), isProgress)
		if got != c.want || correlation != int32(i) {
			t.Errorf("request %d, key %d: %s with correlation id %d, want %s", i, c.req.Key(), got, correlation, c.want)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 14), {0, 0, 0, 9, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0}} {
		if got, _ := open.classify(b, isProgress); got != produce && got != lookUp {
			t.Errorf("%x is %s", b, got)
		}
	}
}

func TestTableHasEveryCombinationOnce(t *testing.T) {
	all := plans(map[call]int{commit: 10, begin: 1}, 3)
	seen := map[plan]bool{}
	for _, p := range all {
		if seen[p] {
			t.Errorf("%v is there twice", p)
		}
		seen[p] = true
	}
	if want := (3 + 1) * (len(faults)*len(recoveries) + 1); len(all) != want {
		t.Errorf("%d cases, want %d", len(all), want)
	}
	if !seen[plan{commit, 6, hangsAfter, zombie}] || !seen[plan{begin, 0, fails, restart}] {
		t.Error("a combination is not there")
	}
}
