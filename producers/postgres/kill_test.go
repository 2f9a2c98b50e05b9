package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
	"adventureworks.example/extract/schemas"
)

// load is the size of the tests that end a producer's process: EXTRACT_TEST_FULL=1 makes it that of the promise. The tests log, and do not judge, how
// long it takes until rows flow again: a machine may be slow.
type load struct {
	copyRows     int // in one COPY transaction
	stops, kills int // inside COPY transactions
	tableRows    int // of the first copy
	copyKills    int // inside it
}

func loadOf() load {
	if os.Getenv("EXTRACT_TEST_FULL") == "1" {
		return load{copyRows: 100_000, stops: 10, kills: 10, tableRows: 2_000_000, copyKills: 5}
	}
	return load{copyRows: 20_000, stops: 2, kills: 2, tableRows: 200_000, copyKills: 2}
}

// flood is a database whose table `big` is filled, a producer in a process of its own, and a read_committed reader who counts every row.
type flood struct {
	*stack
	config childConfig
	topic  string
	admin  *kadm.Client
	next   int // id of the next row
	// From the start of a process to its first new record, and to the first that a read_committed reader sees.
	writes, flows []time.Duration

	mu    sync.Mutex // guards what follows
	count []uint8    // by id, how often its row was read
	rows  int
	wrong []string
	base  int64           // records that were written when the process ended
	mark  map[int32]int64 // by partition, the offset before which everything was committed when the process ended
	first time.Time       // when a record behind the mark was read
}

func newFlood(t *testing.T, rows int) *flood {
	t.Helper()
	f := &flood{stack: newStack(t), count: make([]uint8, rows)}
	f.exec("create table big (id bigint primary key, v text not null)")
	f.topic = f.prefix + ".sql.public.big"
	c := f.stack.config()
	c.Heartbeat, c.Discover, c.CopyWorkers = 0, 0, 0
	f.config = childConfig{Kafka: f.kafka, Registry: embeddedtest.Registry(t), Prefix: f.prefix, Postgres: c}
	cl, err := kgo.NewClient(f.clientOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	f.admin = kadm.NewClient(cl)
	return f
}

func valueOf(id int) string { return fmt.Sprintf("row %d as it was", id) }

// fill adds rows, by one COPY in one transaction.
func (f *flood) fill(rows int) {
	f.t.Helper()
	var b bytes.Buffer
	for range rows {
		fmt.Fprintf(&b, "%d\t%s\n", f.next, valueOf(f.next))
		f.next++
	}
	if _, err := f.conn.PgConn().CopyFrom(context.Background(), &b, "copy big from stdin"); err != nil {
		f.t.Fatal(err)
	}
}

// watch reads the topic until the test ends.
func (f *flood) watch() {
	cl, err := kgo.NewClient(append(f.clientOptions(), kgo.ConsumeTopics(f.topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(f.take)
		}
	})
	f.t.Cleanup(func() { cancel(); wg.Wait(); cl.Close() })
}

func (f *flood) take(r *kgo.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mark != nil && f.first.IsZero() && r.Offset >= f.mark[r.Partition] {
		f.first = time.Now()
	}
	if r.Key == nil {
		return // the mark of a copy that began again
	}
	_, key, err := schemas.ParseFrame(r.Key)
	id, n := binary.Varint(key)
	if err != nil || n <= 0 || id < 0 || int(id) >= len(f.count) || !bytes.Contains(r.Value, []byte(valueOf(int(id)))) {
		f.wrong = append(f.wrong, fmt.Sprintf("key %x, value %q", r.Key, r.Value))
		return
	}
	f.rows++
	f.count[id]++
}

func (f *flood) read() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows
}

// written is how many records the topic has, those of open transactions too; committed is up to where transactions have ended.
func (f *flood) written() (n int64) {
	f.t.Helper()
	return f.sum(f.admin.ListEndOffsets(context.Background(), f.topic))
}

func (f *flood) committed() (n int64) {
	f.t.Helper()
	return f.sum(f.admin.ListCommittedOffsets(context.Background(), f.topic))
}

func (f *flood) sum(ends kadm.ListedOffsets, err error) (n int64) {
	f.t.Helper()
	if err = errors.Join(err, ends.Error()); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		f.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += max(o.Offset, 0) })
	return n
}

// inside waits until the producer has written n records that are not committed; it is false if the transaction has ended before.
func (f *flood) inside(p *child, n int64, rows int) bool {
	f.t.Helper()
	hit := false
	f.eventually("the producer is inside a transaction", func() bool {
		select {
		case <-p.done:
			f.t.Fatalf("the producer has ended: %v\n%s", p.err, p.said())
		default:
		}
		hit = f.written()-f.committed() >= n
		return hit || f.read() >= rows
	})
	return hit
}

// again starts the producer, and notes how long it takes until a committed row comes from it.
func (f *flood) again() *child {
	f.t.Helper()
	written, mark := f.written(), map[int32]int64{}
	ends, err := f.admin.ListCommittedOffsets(context.Background(), f.topic)
	if err != nil {
		f.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { mark[o.Partition] = o.Offset })
	f.mu.Lock()
	f.mark, f.first, f.base = mark, time.Time{}, written
	f.mu.Unlock()
	return startChild(f.t, f.config)
}

// flow waits until a committed row comes from the producer and notes how long that has taken since its start.
func (f *flood) flow(p *child) {
	f.t.Helper()
	wrote := false
	f.eventually("rows flow again", func() bool {
		select {
		case <-p.done:
			f.t.Fatalf("the producer has ended: %v\n%s", p.err, p.said())
		default:
		}
		if n := f.written(); !wrote && n > f.base+int64(len(f.mark)) { // a marker in each partition is from taking over
			wrote = true
			f.writes = append(f.writes, time.Since(p.started))
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.first.IsZero() {
			return f.rows >= f.next // all was committed before its end, and only read later
		}
		f.flows = append(f.flows, f.first.Sub(p.started))
		return true
	})
}

// check waits for every row and says what is missing or there twice.
func (f *flood) check() {
	f.t.Helper()
	f.eventually("every row is read", func() bool { return f.read() >= f.next })
	f.eventually("every transaction has ended", func() bool { return f.written() == f.committed() })
	f.mu.Lock()
	defer f.mu.Unlock()
	lost, twice := 0, 0
	for _, n := range f.count[:f.next] {
		switch {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost+twice+len(f.wrong) > 0 || f.rows != f.next {
		f.t.Errorf("of %d rows %d are lost, %d there twice, %d wrong: %.300s", f.next, lost, twice, len(f.wrong), strings.Join(f.wrong, "; "))
	}
}

func (f *flood) report(what string) {
	f.t.Helper()
	f.t.Logf("%s: %d rows, 0 lost, 0 twice; from the start of the process to its first row in Kafka %s, to the first that is committed %s", what, f.next,
		spanOf(f.writes), spanOf(f.flows))
}

func spanOf(d []time.Duration) string {
	if len(d) == 0 {
		return "not seen"
	}
	slices.Sort(d)
	return fmt.Sprintf("median %v, longest %v", d[len(d)/2].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond))
}

func skipIfShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("a load test of processes")
	}
}

// TestEndedInsideCopyTransactions ends the producer while it sends a transaction that a COPY has made: cleanly, and by kill -9.
func TestEndedInsideCopyTransactions(t *testing.T) {
	skipIfShort(t)
	l := loadOf()
	for name, c := range map[string]struct {
		signal syscall.Signal
		times  int
	}{"stopped": {syscall.SIGTERM, l.stops}, "killed": {syscall.SIGKILL, l.kills}} {
		t.Run(name, func(t *testing.T) {
			f := newFlood(t, l.copyRows*(10*c.times+1))
			p := startChild(t, f.config)
			f.eventually("it streams", f.streams)
			f.watch()
			f.fill(l.copyRows)
			f.eventually("the first transaction is read", func() bool { return f.read() >= f.next })
			rnd := rand.New(rand.NewPCG(1, 2))
			hits := 0
			for range 10 * c.times { // a transaction may end before its process does
				if hits == c.times {
					break
				}
				f.fill(l.copyRows)
				hit := f.inside(p, int64(1+rnd.IntN(l.copyRows/2)), f.next)
				p.end(c.signal)
				if hit && f.read() < f.next {
					hits++
				}
				p = f.again()
				if f.read() < f.next {
					f.flow(p)
				}
			}
			f.check()
			p.end(syscall.SIGTERM)
			if hits < c.times {
				t.Errorf("%d of %d ends were inside a transaction", hits, c.times)
			}
			f.report(fmt.Sprintf("%s %d times inside COPY transactions of %d rows", name, hits, l.copyRows))
		})
	}
}

// TestKilledInsideFirstCopy kills the producer while it copies a large table, in one transaction and by ranges, while rows are added.
func TestKilledInsideFirstCopy(t *testing.T) {
	skipIfShort(t)
	l := loadOf()
	for name, rangeBytes := range map[string]int64{"whole": 1 << 40, "by ranges": int64(l.tableRows) * 2} {
		t.Run(name, func(t *testing.T) {
			f := newFlood(t, l.tableRows+1000*(l.copyKills+1))
			f.config.Postgres.CopyRangeBytes = rangeBytes
			f.fill(l.tableRows)
			f.exec("vacuum analyze big")
			p := startChild(t, f.config)
			f.eventually("the topic is there", func() bool { return f.written() > 0 })
			f.watch()
			if name != "whole" { // the process that made the publication leaves a range behind
				f.eventually("a range is durable", func() bool { return f.committed() > 0 })
			}
			rnd := rand.New(rand.NewPCG(3, 4))
			kills := 0
			for range l.copyKills {
				if !f.inside(p, int64(1+rnd.IntN(l.tableRows/100)), l.tableRows) {
					break
				}
				p.end(syscall.SIGKILL)
				kills++
				f.fill(1000)
				p = f.again()
				if name != "whole" {
					f.flow(p)
				}
			}
			if name == "whole" {
				f.flow(p)
			}
			f.check()
			p.end(syscall.SIGTERM)
			if kills == 0 { // the copy may be over before the last one
				t.Errorf("%d of %d kills were inside the copy", kills, l.copyKills)
			}
			f.report(fmt.Sprintf("killed %d times inside the first copy, %s: %s", kills, name, f.tablePosition("big")))
		})
	}
}
