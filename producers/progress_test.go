package producers

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

func TestProgressRecordIsAvro(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_123_456).UTC()
	r := progressRecord("aw", "sql", progressIDs{key: 3, value: 4}, Position{Part: "stream", Text: "0/1A2B"}, at)
	if r.Topic != "aw.progress" {
		t.Errorf("topic %s", r.Topic)
	}
	key, value := decode(t, schemas.ProgressKey, 3, r.Key), decode(t, schemas.Progress, 4, r.Value)
	if key["source"] != "sql" || key["part"] != "stream" || value["position"] != "0/1A2B" || !value["at"].(time.Time).Equal(at) {
		t.Errorf("key %v, value %v", key, value)
	}
	source, p, err := parseProgress(r.Key, r.Value)
	if err != nil || source != "sql" || p != (Position{Part: "stream", Text: "0/1A2B"}) {
		t.Errorf("read back: %s %+v %v", source, p, err)
	}
	if forget := progressRecord("aw", "sql", progressIDs{3, 4}, Position{Part: "stream"}, at); forget.Value != nil || string(forget.Key) != string(r.Key) {
		t.Errorf("forgetting is not a tombstone of the same key: %+v", forget)
	}
}

func FuzzParseProgress(f *testing.F) {
	r := progressRecord("aw", "sql", progressIDs{1, 2}, Position{Part: "p", Text: "t"}, time.Now())
	f.Add(r.Key, r.Value)
	f.Add(r.Key[:7], r.Value[:6])
	f.Add([]byte{0, 0, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		source, p, err := parseProgress(key, value)
		if err != nil {
			return
		}
		again := progressRecord("aw", source, progressIDs{1, 2}, p, time.Now())
		if s, q, err := parseProgress(again.Key, again.Value); err != nil || s != source || q != p {
			t.Errorf("%q %+v came back as %q %+v, %v", source, p, s, q, err)
		}
	})
}

func TestProgressFollowsTheMarkers(t *testing.T) {
	rec := func(pid int64, part, text string) *kgo.Record {
		r := progressRecord("aw", "sql", progressIDs{1, 2}, Position{Part: part, Text: text}, time.Now())
		r.ProducerID, r.Attrs = pid, kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true})
		return r
	}
	marker := func(pid int64, kind byte) *kgo.Record {
		return &kgo.Record{ProducerID: pid, Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true, Control: true}), Key: []byte{0, 0, 0, kind}}
	}
	p := progress{positions: map[string]string{}, open: map[int64][]*kgo.Record{}}
	for _, r := range []*kgo.Record{
		rec(1, "a", "1"), rec(2, "a", "2"), rec(1, "", "me"), marker(1, 1), // 1 commits a=1
		marker(2, 0),                                    // 2 aborts
		rec(1, "b", "5"), rec(1, "a", ""), marker(1, 1), // forgets a
		rec(3, "b", "6"), // never ends
	} {
		if err := p.see(r, "sql", false); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.positions) != 1 || p.positions["b"] != "5" || p.owner != "me" {
		t.Errorf("positions %v, owner %q", p.positions, p.owner)
	}
}
