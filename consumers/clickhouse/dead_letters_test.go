package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// forgetful is a registry that has lost an id until it is restored.
type forgetful struct {
	*schemas.Registry
	mu   sync.Mutex // guards lost
	lost map[int]bool
}

func (f *forgetful) ByID(ctx context.Context, id int) (*schemas.Schema, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost[id] {
		return nil, fmt.Errorf("look up schema %d: %w", id, schemas.ErrUnknownSchema)
	}
	return f.Registry.ByID(ctx, id)
}

func (f *forgetful) lose(id int, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost[id] = lost
}

func (b *bench) forget() *forgetful {
	f := &forgetful{Registry: b.registry, lost: map[int]bool{}}
	b.schemas = f
	return f
}

// letters are the dead letters of a topic, by offset.
func (b *bench) letters(topic string) map[int64]DeadLetter {
	b.t.Helper()
	all := map[int64]DeadLetter{}
	err := b.DeadLetters(b.t.Context(), DeadLetterFilter{Raw: true}, func(d DeadLetter) error {
		if d.Topic == topic {
			all[d.Offset] = d
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// A record whose schema is in the registry again is stored at its own offset, once, and its letter counts no more.
func TestRetryStoresTheRecordOnce(t *testing.T) {
	b := newBench(t)
	registry := b.forget()
	const topic = "aw.files.again"
	good := b.id("again-value", numbered)
	lost := b.id("again-lost", schemas.MustParse(`{"type":"record","name":"Numbered","fields":[{"name":"text","type":"string"},{"name":"n","type":"long"},{"name":"more","type":["null","int"],"default":null}]}`))
	registry.lose(lost, true)
	recs := append(b.records(topic, good, payload("a", 1)), b.records(topic, lost, schemas.AppendBranch(payload("b", 2), 0))...)
	recs = append(recs, b.records(topic, good, payload("cut short", 3)[:3])...)
	recs[1].Key = []byte("key of b")
	batch := b.batch(recs...)
	if w := b.write(batch); w.Stored != 1 || w.Rejected != 2 {
		t.Fatalf("written %+v", w)
	}
	p := batch.Partition
	for range 2 { // still lost: nothing changes
		if err := b.Retry(t.Context(), p, recs[1], false); consumers.Classify(err) != consumers.Reject || !strings.Contains(err.Error(), "unknown schema") {
			t.Errorf("retry of what is still unknown: %v", err)
		}
	}
	registry.lose(lost, false)
	for range 2 {
		if err := b.Retry(t.Context(), p, recs[1], false); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Retry(t.Context(), p, recs[2], false); consumers.Classify(err) != consumers.Reject {
		t.Errorf("retry of what nobody can decode: %v", err)
	}
	if got := b.one("SELECT arrayStringConcat(groupArray(concat(toString(_offset), ' ', text, ' ', ifNull(_key, '-'), ' ', toString(_schema_id))), '; ') FROM (SELECT * FROM %s.files_again ORDER BY _offset)", quoteName(b.conf.Raw)); got !=
		fmt.Sprintf("0 a - %d; 1 b key of b %d", good, lost) {
		t.Errorf("stored are %s", got)
	}
	letters := b.letters(topic)
	if len(letters) != 2 || !letters[1].Stored || letters[2].Stored || string(letters[1].Raw) != string(recs[1].Value) || string(letters[1].Key) != "key of b" || letters[1].Unproduced {
		t.Errorf("letters are %+v", letters)
	}
	held, err := b.Held(t.Context(), p, batch.Range)
	if err != nil || fmt.Sprint(held) != "[0 1 2]" {
		t.Errorf("held are %v, %v", held, err)
	}
	st, err := b.Stored(t.Context(), topic)
	if err != nil || st[0].Rows != 2 || st[0].Offsets != 2 || st[0].Rejected != 1 {
		t.Errorf("counted are %+v, %v", st, err)
	}
	batch.Again, batch.Held = true, held
	b.write(batch) // the consumer comes again: everything is held
	if n := b.one("SELECT toString(count()) FROM %s.files_again", quoteName(b.conf.Raw)); n != "2" {
		t.Errorf("%s rows after the consumer came again", n)
	}
}

// Where nothing was ever stored, a retry makes the table; where somebody took it away, it does not.
func TestRetryMakesTheFirstTable(t *testing.T) {
	b := newBench(t)
	registry := b.forget()
	id := b.id("firsts-value", numbered)
	registry.lose(id, true)
	batch := b.batch(b.records("aw.files.firsts", id, payload("a", 1))...)
	b.write(batch)
	registry.lose(id, false)
	if err := b.Retry(t.Context(), batch.Partition, batch.Records[0], false); consumers.Classify(err) != consumers.Pause || !strings.Contains(err.Error(), "missing") {
		t.Errorf("retry into a table that was taken away: %v", err)
	}
	if err := b.Retry(t.Context(), batch.Partition, batch.Records[0], true); err != nil {
		t.Fatal(err)
	}
	if n := b.one("SELECT toString(count()) FROM %s.files_firsts", quoteName(b.conf.Raw)); n != "1" {
		t.Errorf("%s rows", n)
	}
}

// A change that comes late changes what no later change has changed, and nothing else.
func TestRetryOfAChange(t *testing.T) {
	b := newBench(t)
	registry := b.forget()
	c := newChangeTopic(b, "aw.sql.late")
	recs := []*kgo.Record{
		c.change(schemas.OpCreate, 10, 0, nil, &image{id: 1, a: "one"}),
		c.change(schemas.OpUpdate, 20, 0, nil, &image{id: 1, a: "two"}),
		c.change(schemas.OpCreate, 20, 1, nil, &image{id: 2, a: "other"}),
		c.change(schemas.OpUpdate, 30, 0, nil, &image{id: 1, a: "three"}),
	}
	lost := b.id("late-lost", schemas.MustParse(`{"type":"record","name":"L","fields":[]}`)) + 1000
	registry.lose(lost, true)
	kept := map[int][]byte{}
	for _, i := range []int{1, 2} {
		kept[i] = recs[i].Value
		recs[i].Value = append(schemas.AppendFrame(nil, lost), recs[i].Value[schemas.FrameSize:]...)
	}
	batch := b.batch(recs...)
	if w := b.write(batch); w.Rejected != 2 {
		t.Fatalf("written %+v", w)
	}
	for i, value := range kept {
		recs[i].Value = value // as if the registry had the lost id again, for this very schema
		if err := b.Retry(t.Context(), batch.Partition, recs[i], false); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.one("SELECT arrayStringConcat(groupArray(concat(toString(id), ' ', a)), '; ') FROM (SELECT * FROM %s.sql_late ORDER BY id)", quoteName(b.conf.Current)); got != "1 three; 2 other" {
		t.Errorf("current rows are %s", got)
	}
	if n := b.one("SELECT toString((count(), uniqExact(_offset))) FROM %s.sql_late", quoteName(b.conf.Raw)); n != "(4,4)" {
		t.Errorf("raw has %s rows and offsets", n)
	}
}

// A retry that remembers a table which a replay has replaced since is refused, and stores the record in the new one when it is tried again. What was retried
// before the replay is a row of the new table too, and its letter still does not count.
func TestRetryAndReplay(t *testing.T) {
	f := newFlow(newBench(t))
	registry := f.forget()
	topic := f.topic("both", 1)
	stop := f.run(nil)
	f.produce(topic, 0, 10)
	f.arrive(topic, 10)
	lost := f.bench.id("both-lost", schemas.MustParse(`{"type":"record","name":"Numbered","fields":[{"name":"text","type":"string"},{"name":"n","type":"long"},{"name":"more","type":["null","int"],"default":null}]}`))
	registry.lose(lost, true)
	for i := range 3 {
		rec := &kgo.Record{Topic: topic, Value: append(schemas.AppendFrame(nil, lost), schemas.AppendBranch(payload("row", int64(10+i)), 0)...)}
		if err := f.producer.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	f.wait(func() bool { return len(f.letters(topic)) == 3 }, "dead letters of %s", topic)
	stop()
	registry.lose(lost, false)
	client, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	recs := map[int64]*kgo.Record{}
	for len(recs) < 13 {
		for _, r := range client.PollFetches(t.Context()).Records() {
			recs[r.Offset] = r
		}
	}
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	p := consumers.Partition{Topic: topic, TopicID: topics[topic].ID}
	other, err := Open(t.Context(), f.conf, registry)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Retry(t.Context(), p, recs[10], false); err != nil {
		t.Fatal(err)
	}
	f.replay(topic, nil) // it stores what can be stored by now, so one row is taken out for the retry
	if err := f.exec(t.Context(), "ALTER TABLE "+quoteName(f.conf.Raw)+".files_both DELETE WHERE _offset = 11 SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	if err := other.Retry(t.Context(), p, recs[11], false); consumers.Classify(err) != consumers.Retry {
		t.Errorf("a retry into the table that was replaced: %v", err)
	}
	for _, offset := range []int64{11, 11, 10, 12} {
		if err := other.Retry(t.Context(), p, recs[offset], false); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := f.counts(topic), [3]int64{13, 13, 13}; got != want {
		t.Errorf("rows, numbers and offsets are %v, want %v", got, want)
	}
	for offset, l := range f.letters(topic) {
		if !l.Stored {
			t.Errorf("the letter of offset %d counts though the table has its row", offset)
		}
	}
}

// killer is a way to the server on which a process dies: with its nth request, before the server has it or after it has answered.
type killer struct {
	net.Listener
	server string
	at     int
	after  bool

	mu    sync.Mutex // guards the rest
	seen  int
	dead  bool
	conns []net.Conn
}

func newKiller(t *testing.T, server string, at int, after bool) *killer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{Listener: l, server: server, at: at, after: after}
	t.Cleanup(func() { l.Close(); k.die() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go k.serve(c)
		}
	}()
	return k
}

func (k *killer) die() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dead = true
	for _, c := range k.conns {
		c.Close()
	}
}

// step counts a request and tells whether it is the one.
func (k *killer) step() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen++
	return k.seen-1 == k.at
}

func (k *killer) serve(client net.Conn) {
	server, err := net.Dial("tcp", k.server)
	if err != nil {
		client.Close()
		return
	}
	k.mu.Lock()
	k.conns = append(k.conns, client, server)
	dead := k.dead
	k.mu.Unlock()
	if dead {
		k.die()
		return
	}
	var mu sync.Mutex
	last := false
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			mu.Lock()
			end := last
			mu.Unlock()
			if end && n > 0 {
				k.die()
				return
			}
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				client.Close()
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			server.Close()
			return
		}
		if k.step() {
			if !k.after {
				k.die()
				return
			}
			mu.Lock()
			last = true
			mu.Unlock()
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A process dies at each of its requests, before and after the server has it; then another retries. The offset is held once all the time, and the
// row is there once in the end.
func TestRetryThatDies(t *testing.T) {
	b := newBench(t)
	registry := b.forget()
	c := newChangeTopic(b, "aw.sql.dies")
	const lost = 100_000
	registry.lose(lost, true)
	b.write(b.batch(c.change(schemas.OpCreate, 1, 0, nil, &image{id: 1_000_000, a: "first"})))
	open := func(addr string) *Sink {
		conf := b.conf
		conf.Addresses = []string{addr}
		s, err := Open(t.Context(), conf, registry)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	cases, rows := 0, 1
	once := func(at int, after bool) (finished bool) {
		rec := c.change(schemas.OpCreate, int64(rows+1), 0, nil, &image{id: int32(rows), a: "row " + strconv.Itoa(rows)})
		bad := *rec
		bad.Value = append(schemas.AppendFrame(nil, lost), rec.Value[schemas.FrameSize:]...)
		batch := b.batch(&bad)
		if w := b.write(batch); w.Rejected != 1 {
			t.Fatalf("written %+v", w)
		}
		k := newKiller(t, b.conf.Addresses[0], at, after)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		first := open(k.Addr().String())
		err := first.Retry(ctx, batch.Partition, rec, false)
		k.die()
		if held, err := b.Held(t.Context(), batch.Partition, batch.Range); err != nil || len(held) != 1 {
			t.Errorf("request %d, after %v: held are %v, %v", at, after, held, err)
		}
		for range 2 {
			if err := open(b.conf.Addresses[0]).Retry(t.Context(), batch.Partition, rec, false); err != nil {
				t.Fatalf("request %d, after %v: the second process: %v", at, after, err)
			}
		}
		rows++
		want := fmt.Sprintf("(%d,%d,%d)", rows, rows, rows)
		if got := b.one("SELECT toString((count(), uniqExact(_offset), (SELECT count() FROM %s.sql_dies))) FROM %s.sql_dies", quoteName(b.conf.Current), quoteName(b.conf.Raw)); got != want {
			t.Errorf("request %d, after %v: rows, offsets and current rows are %s, want %s", at, after, got, want)
		}
		cases++
		return err == nil && k.seen <= at
	}
	for _, after := range []bool{false, true} {
		for at := 0; at < 200 && !once(at, after); at++ {
		}
	}
	t.Logf("%d cases", cases)
	if cases < 10 {
		t.Errorf("only %d cases: the requests are not seen", cases)
	}
}

// Thousands of letters are listed by what is asked for, the newest first, and the reading ends when enough is read.
func TestLettersAreListed(t *testing.T) {
	b := newBench(t)
	const n = 5000
	var payloads [][]byte
	for i := range n {
		payloads = append(payloads, []byte(fmt.Sprint("not decodable ", i)))
	}
	b.write(b.batch(b.records("aw.files.many", 77_777, payloads...)...))
	b.write(b.batch(b.records("aw.lake.few", 77_777, payloads[:3]...)...))
	ids := map[string]bool{}
	count := func(f DeadLetterFilter) (n int) {
		t.Helper()
		var last time.Time
		err := b.DeadLetters(t.Context(), f, func(d DeadLetter) error {
			if n > 0 && d.At.After(last) {
				t.Fatalf("letter %s of %v comes after one of %v", d.ID, d.At, last)
			}
			if last = d.At; (len(d.Raw) > 0) != f.Raw || d.Kept != d.Size || d.Size == 0 || len(d.SHA256) != 32 || len(d.ID) != 16 {
				t.Fatalf("letter %+v", d)
			}
			ids[d.ID] = true
			n++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		f    DeadLetterFilter
		want int
	}{{DeadLetterFilter{}, n + 3}, {DeadLetterFilter{Source: "lake"}, 3}, {DeadLetterFilter{Source: "files", Dataset: "many", Raw: true}, n}, {DeadLetterFilter{Dataset: "it's none"}, 0},
		{DeadLetterFilter{Class: "reject"}, n + 3}, {DeadLetterFilter{Class: "stop"}, 0}, {DeadLetterFilter{Since: time.Now().Add(-time.Hour)}, n + 3}, {DeadLetterFilter{Since: time.Now().Add(time.Hour)}, 0}} {
		if got := count(c.f); got != c.want {
			t.Errorf("%d letters of %+v, want %d", got, c.f, c.want)
		}
	}
	if len(ids) != n+3 {
		t.Errorf("%d ids", len(ids))
	}
	for id := range ids {
		if got := count(DeadLetterFilter{ID: strings.ToUpper(id)}); got != 1 {
			t.Errorf("%d letters of id %s", got, id)
		}
		break
	}
	read, enough := 0, errors.New("enough")
	if err := b.DeadLetters(t.Context(), DeadLetterFilter{}, func(DeadLetter) error {
		if read++; read == 10 {
			return enough
		}
		return nil
	}); !errors.Is(err, enough) || read != 10 {
		t.Errorf("%d read, %v", read, err)
	}
}

// A table that an earlier version made has no context; it gets the column and keeps its rows.
func TestLettersOfAnEarlierVersion(t *testing.T) {
	b := newBench(t)
	b.write(b.batch(b.records("aw.files.old", 77_777, []byte("x"))...))
	if err := b.exec(t.Context(), "ALTER TABLE "+b.dead.fullName()+" DROP COLUMN context"); err != nil {
		t.Fatal(err)
	}
	b.dead.seen = false
	if got := b.letters("aw.files.old"); len(got) != 1 || got[0].Context != "" {
		t.Errorf("letters are %+v", got)
	}
	more := b.batch(b.records("aw.files.old", 77_777, []byte("y"))...)
	more.First = true // rejected rows make no table
	b.write(more)
	if got := b.letters("aw.files.old"); len(got) != 2 {
		t.Errorf("letters are %+v", got)
	}
}

// A burst pauses the topic before a dead letter of it is written; when the registry has the schema again, it goes on by itself.
func TestBurstPausesTheTopic(t *testing.T) {
	f := newFlow(newBench(t))
	registry := f.forget()
	most := int64(20)
	burst, fine := f.topic("burst", 1), f.topic("fine", 1)
	f.run(func(o *consumers.Options) { o.MaxRejected = &most })
	f.produce(burst, 0, 10)
	f.arrive(burst, 10)
	registry.lose(f.id, true)
	f.produce(burst, 10, 100)
	f.wait(func() bool { return f.status.Topics()[0].Err != "" }, "a pause of %s", burst)
	st := f.status.Topics()[0]
	if !strings.Contains(st.Err, "more than 20 rows of topic "+burst) || !strings.Contains(st.Err, "offset 10: ") {
		t.Errorf("the error is %q", st.Err)
	}
	registry.lose(f.id, false)
	f.produce(fine, 0, 50)
	f.arrive(fine, 50)
	f.arrive(burst, 110)
	if n := len(f.letters(burst)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	f.wait(func() bool { return f.status.Topics()[0].Err == "" }, "the error of %s to go away", burst)
}

// What was taken for a write that failed can be taken again.
func TestBudgetOfAWriteThatFailed(t *testing.T) {
	b := newBench(t)
	batch := b.batch(b.records("aw.files.budget", 77_777, []byte("x"), []byte("y"))...)
	batch.Rejects = faults.NewBudget(2)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := b.Write(ctx, batch); err != nil { // makes the table
		t.Fatal(err)
	}
	batch = b.batch(b.records("aw.files.budget", 77_777, []byte("x"), []byte("y"))...)
	batch.Rejects = faults.NewBudget(2)
	if err := b.exec(t.Context(), "RENAME TABLE "+b.dead.fullName()+" TO "+b.dead.fullName()[:len(b.dead.fullName())-1]+"_away`"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := b.Write(ctx, batch); err == nil || strings.Contains(err.Error(), "would go to the dead letters") {
			t.Fatalf("write without a table: %v", err)
		}
	}
	cancel()
	if !batch.Rejects.Take(2) {
		t.Error("writes that failed have used up the budget")
	}
}
