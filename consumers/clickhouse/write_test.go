package clickhouse

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
)

func payload(text string, n int64) []byte {
	return schemas.AppendLong(schemas.AppendString(nil, text), n)
}

// Records that nobody can decode go to the dead letters, each with its bytes, its place and a reason.
func TestBadRecordsAreDeadLetters(t *testing.T) {
	b := newBench(t)
	id := b.id("aw.files.bad-value", numbered)
	recs := b.records("aw.files.bad", id, payload("good", 1), payload("good", 2))
	for n := range 5 {
		r := b.records("aw.files.bad", id, nil)[0]
		r.Value = []byte{0, 0, 0, 0, byte(id)}[:n]
		recs = append(recs, r)
	}
	null := b.records("aw.files.bad", id, nil)[0]
	null.Value = nil
	recs = append(recs, null)
	recs = append(recs, b.records("aw.files.bad", 4711, payload("unknown", 1))...)
	recs = append(recs, b.records("aw.files.bad", id, payload("truncated", 1)[:4], append(payload("too long", 1), 0))...)
	magic := b.records("aw.files.bad", id, payload("magic", 1))[0]
	magic.Value[0] = 9
	recs = append(recs, magic)

	batch := b.batch(recs...)
	if w := b.write(batch); w.Stored != 2 || w.Rejected != len(recs)-2 {
		t.Errorf("written %+v, want 2 stored and %d rejected", w, len(recs)-2)
	}
	held, err := b.Held(t.Context(), batch.Partition, batch.Range)
	if err != nil || len(held) != len(recs) {
		t.Errorf("held are %v: %v", held, err)
	}
	rows := b.query(4, "SELECT toString(_offset), raw, reason, place FROM %s ORDER BY _offset", b.dead.fullName())
	if len(rows) != len(recs)-2 {
		t.Fatalf("%d dead letters, want %d", len(rows), len(recs)-2)
	}
	for i, r := range rows {
		rec := recs[i+2]
		if r[0] != strconv.Itoa(int(rec.Offset)) || r[1] != string(rec.Value) || r[2] == "" || !strings.Contains(r[3], "offset "+r[0]) {
			t.Errorf("dead letter %d is %q, want the bytes %q", i, r, rec.Value)
		}
	}
	b.write(batch) // nothing changes
	if n := b.one("SELECT toString(count()) FROM %s", b.dead.fullName()); n != strconv.Itoa(len(recs)-2) {
		t.Errorf("%s dead letters after a repeat", n)
	}
	if next, err := b.Next(t.Context(), batch.Partition); err != nil || next != recs[len(recs)-1].Offset+1 {
		t.Errorf("next is %d: %v", next, err)
	}
}

// Values that ClickHouse would change go to the dead letters; those at the limits are stored as they are.
func TestValuesOutOfRangeAreNeverClamped(t *testing.T) {
	b := newBench(t)
	s := schemas.MustParse(`{"type":"record","name":"Times","fields":[{"name":"us","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"day","type":["null",{"type":"int","logicalType":"date"}]},{"name":"list","type":{"type":"array","items":{"type":"long","logicalType":"timestamp-millis"}}}]}`)
	id := b.id("times", s)
	row := func(us, day, ms int64) []byte {
		p := schemas.AppendBranch(schemas.AppendLong(nil, us), 1)
		p = schemas.AppendBlock(schemas.AppendLong(p, day), 2)
		return schemas.AppendBlock(schemas.AppendLong(schemas.AppendLong(p, 0), ms), 0)
	}
	first, last := firstSecond*1e6, lastSecond*1e6+999_999
	good := [][]byte{row(first, firstDay, firstSecond*1000), row(last, lastDay, lastSecond*1000+999), row(0, 0, 0)}
	bad := [][]byte{row(first-1, 0, 0), row(last+1, 0, 0), row(0, firstDay-1, 0), row(0, lastDay+1, 0), row(0, 0, firstSecond*1000-1), row(-1<<63, 0, 0)}
	w := b.write(b.batch(b.records("aw.files.times", id, append(good, bad...)...)...))
	if w.Stored != len(good) || w.Rejected != len(bad) {
		t.Errorf("written %+v, want %d stored and %d rejected", w, len(good), len(bad))
	}
	want := "1900-01-01 00:00:00.000000|1900-01-01 2299-12-31 23:59:59.999999|2299-12-31 1970-01-01 00:00:00.000000|1970-01-01"
	var got []string
	for _, r := range b.query(1, "SELECT concat(toString(us), '|', assumeNotNull(toString(day))) FROM %s.files_times ORDER BY _offset", quoteName(b.conf.Raw)) {
		got = append(got, r[0])
	}
	if strings.Join(got, " ") != want {
		t.Errorf("stored are %s, want %s", strings.Join(got, " "), want)
	}
}

// A row that the server refuses is found among 100,000, and the others are kept, whatever happens on the way.
func TestRefusedRowIsFound(t *testing.T) {
	b := newBench(t)
	id := b.id("refuse", numbered)
	b.write(b.batch(b.records("aw.files.refuse", id, payload("first", 0))...))
	if err := b.exec(t.Context(), "ALTER TABLE "+quoteName(b.conf.Raw)+".files_refuse ADD CONSTRAINT positive CHECK n >= 0"); err != nil {
		t.Fatal(err)
	}
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	var payloads [][]byte
	for i := range n {
		v := int64(i)
		if i == n/3 {
			v = -1
		}
		payloads = append(payloads, payload("row", v))
	}
	batch := b.batch(b.records("aw.files.refuse", id, payloads...)...)
	for range 2 {
		if w := b.write(batch); w.Stored != n-1 || w.Rejected != 1 {
			t.Errorf("written %+v, want %d stored and 1 rejected", w, n-1)
		}
		batch.Again = true
		held, err := b.Held(t.Context(), batch.Partition, batch.Range)
		if err != nil || len(held) != n {
			t.Fatalf("%d offsets held, want %d: %v", len(held), n, err)
		}
		if got := b.one("SELECT toString((count(), uniqExact(_offset))) FROM %s.files_refuse", quoteName(b.conf.Raw)); got != fmt.Sprintf("(%d,%d)", n, n) {
			t.Errorf("raw has %s rows and offsets, want %d", got, n)
		}
	}
	if got := b.one("SELECT concat(toString(_offset), ' ', reason) FROM %s", b.dead.fullName()); !strings.HasPrefix(got, strconv.Itoa(n/3+1)+" refused by the server") {
		t.Errorf("the dead letter is %s", got)
	}
}

// A batch in which nothing is good makes no table, and the table can be made later.
func TestFirstRecordsAllBad(t *testing.T) {
	f := newFlow(newBench(t))
	topic := f.topic("allbad", 1)
	f.run(nil)
	if err := f.producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("no frame")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f.wait(func() bool { st := f.status.Topics(); return len(st) == 1 && st[0].Rejected == 1 }, "a dead letter")
	f.produce(topic, 0, 10)
	f.arrive(topic, 10)
}

// When a server refuses every row, it is the table that is wrong, and nothing goes to the dead letters.
func TestTableThatRefusesEverythingPauses(t *testing.T) {
	b := newBench(t)
	id := b.id("refuse", numbered)
	b.write(b.batch(b.records("aw.files.refuse", id, payload("first", 0))...))
	if err := b.exec(t.Context(), "ALTER TABLE "+quoteName(b.conf.Raw)+".files_refuse ADD CONSTRAINT never CHECK n < 0"); err != nil {
		t.Fatal(err)
	}
	var payloads [][]byte
	for i := range 300 {
		payloads = append(payloads, payload("row", int64(i)))
	}
	_, err := b.Write(t.Context(), b.batch(b.records("aw.files.refuse", id, payloads...)...))
	if consumers.Classify(err) != consumers.Pause || !strings.Contains(err.Error(), "constraints") {
		t.Errorf("error is %v", err)
	}
	if n := b.one("SELECT toString(count()) FROM %s", b.dead.fullName()); n != "0" {
		t.Errorf("%s dead letters, want none", n)
	}
}

// A table that somebody took away is not made again: that would hide a loss. It is used again once it is back.
func TestMissingTablePauses(t *testing.T) {
	b := newBench(t)
	id := b.id("missing", numbered)
	b.write(b.batch(b.records("aw.files.missing", id, payload("a", 1))...))
	table := quoteName(b.conf.Raw) + ".files_missing"
	if err := b.exec(t.Context(), "RENAME TABLE "+table+" TO "+table+"_away"); err != nil {
		t.Fatal(err)
	}
	batch := b.batch(b.records("aw.files.missing", id, payload("b", 2))...)
	for range 2 {
		_, err := b.Write(t.Context(), batch)
		if consumers.Classify(err) != consumers.Pause || !strings.Contains(err.Error(), "files_missing") || !strings.Contains(err.Error(), "missing") {
			t.Errorf("error is %v", err)
		}
	}
	if err := b.exec(t.Context(), "RENAME TABLE "+table+"_away TO "+table); err != nil {
		t.Fatal(err)
	}
	b.write(batch)
	if n := b.one("SELECT toString(count()) FROM %s", table); n != "2" {
		t.Errorf("the table has %s rows, want 2", n)
	}
}

// A topic that was made again has another id, and does not get mixed up with what the old one left.
func TestTopicMadeAgainPauses(t *testing.T) {
	b := newBench(t)
	id := b.id("again", numbered)
	b.write(b.batch(b.records("aw.files.again", id, payload("a", 1))...))
	b.topicID, b.next = [16]byte{9}, map[string]int64{}
	_, err := b.Write(t.Context(), b.batch(b.records("aw.files.again", id, payload("b", 2))...))
	if consumers.Classify(err) != consumers.Pause || !strings.Contains(err.Error(), "made again") {
		t.Errorf("error is %v", err)
	}
}

// Rows that were deleted and are written again under the token they had are written again, and not dropped without a word.
func TestDeletedRowsCanBeWrittenAgain(t *testing.T) {
	b := newBench(t)
	id := b.id("deleted", numbered)
	batch := b.batch(b.records("aw.files.deleted", id, payload("a", 1), payload("b", 2))...)
	b.write(batch)
	table := quoteName(b.conf.Raw) + ".files_deleted"
	if err := b.exec(t.Context(), "ALTER TABLE "+table+" DELETE WHERE 1 SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	b.write(batch)
	if n := b.one("SELECT toString(count()) FROM %s", table); n != "2" {
		t.Errorf("the table has %s rows, want 2", n)
	}
}

// Two topics whose tables would share a name stop, the second of them.
func TestTopicsThatShareATableStop(t *testing.T) {
	b := newBench(t)
	id := b.id("share", numbered)
	b.write(b.batch(b.records("aw.files.a.b", id, payload("a", 1))...))
	_, err := b.Write(t.Context(), b.batch(b.records("aw.files.a_b", id, payload("b", 2))...))
	var e *consumers.Error
	if !errors.As(err, &e) || e.Class != consumers.Stop || !strings.Contains(err.Error(), "share the table files_a_b") {
		t.Errorf("error is %v", err)
	}
}

func TestKeyAndTimestampAreKept(t *testing.T) {
	b := newBench(t)
	id := b.id("keys", numbered)
	recs := b.records("aw.files.keys", id, payload("a", 1), payload("b", 2), payload("c", 3))
	recs[1].Key, recs[2].Key = []byte{}, []byte("k")
	recs[2].Timestamp = time.UnixMilli(1_234_567_890_123)
	b.write(b.batch(recs...))
	got := b.one("SELECT toString(groupArray((_topic, _partition, _offset, ifNull(_key, 'NULL'), _timestamp))) FROM (SELECT * FROM %s.files_keys ORDER BY _offset)", quoteName(b.conf.Raw))
	want := "[('aw.files.keys',0,0,'NULL','2023-11-14 22:13:20.000'),('aw.files.keys',0,1,'','2023-11-14 22:13:20.000'),('aw.files.keys',0,2,'k','2009-02-13 23:31:30.123')]"
	if got != want {
		t.Errorf("stored are %s, want %s", got, want)
	}
}
