package producers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/schemas/faults"
)

// Worker turns work items into batches of records. RunShared calls it from one goroutine.
//
// Work does one item: it emits the item's batches, in order, and returns. The transaction that carries them carries the item's
// offset too, so an item is done once, whoever does it. emit returns an error when Kafka refuses; Work gives it back. Batch.Positions
// and Batch.Open have no meaning here. After an error the item comes again, here or at another worker; when ctx ends, the item is no longer
// this worker's or the process stops. An item that can never be done is the Worker's to reject: it emits dead letters and returns nil.
//
// Close releases everything.
type Worker interface {
	Work(ctx context.Context, item *kgo.Record, emit func(Batch) error) error
	Close(ctx context.Context) error
}

// SharedOptions are the options of RunShared.
type SharedOptions struct {
	Options // whose New is not used
	// Group is the consumer group of the readers that share the work.
	Group string
	// ItemsTopic is the topic of the work items. It is created, with Topics.Partitions, if it is not there.
	ItemsTopic string
	// Instance names this reader in the group (static membership), so that when it is killed and started again under its name it gets its items back
	// at once and ends the transaction it left open. No two readers may have it at a time; one that finds another under its name goes on without.
	// Empty: the items wait for SessionTimeout first.
	Instance string
	// SessionTimeout is after how long the group gives the items of a reader that is gone to the others; default 10 s.
	SessionTimeout time.Duration
	// New makes a worker. It is called again after an error.
	New func(ctx context.Context, target Target) (Worker, error)
}

// RunShared works on the items of a topic until ctx ends, sharing them with every other process of the group: an item is one Kafka
// transaction, which carries the item's rows and its offset in the group. An item whose transaction was aborted comes again. Errors end an
// attempt and are retried as in Run. When ctx ends, the item at hand is finished within Limits.Grace or left to the others.
func RunShared(ctx context.Context, so SharedOptions) error {
	o, err := so.Options.withDefaults()
	switch {
	case err != nil:
	case so.New == nil:
		err = errors.New("no constructor")
	case so.Group == "" || so.ItemsTopic == "":
		err = errors.New("no group or no topic of items")
	}
	if err != nil {
		return fmt.Errorf("run source %s: %w", o.Source, err)
	}
	o.health = newHealth(o, rand.Text())
	so.Options = o
	so.SessionTimeout = or(so.SessionTimeout, 10*time.Second)
	s := &sharer{so: so}
	defer s.close()
	return again(ctx, o, &s.commits, s.attempt)
}

// sharer is what outlives the attempts of one RunShared. It stays in the group when a worker fails, for leaving and joining again stops every
// reader for a moment; it leaves when Kafka fails, and when workers fail again and again, so that others get its items.
type sharer struct {
	so       SharedOptions
	commits  int64
	failures int // of workers, one after the other

	plain   *kgo.Client // for topics and for leaving
	target  *target
	session *kgo.GroupTransactSession // nil outside the group
	lease   *lease
}

// maxFailures is how many times in a row a worker fails before the group gives its items to others.
const maxFailures = 3

// workError is an error of a worker, after which the session is as good as before.
type workError struct{ err error }

// Error is the text of the worker's error.
func (e *workError) Error() string { return e.err.Error() }

// Unwrap is the worker's error.
func (e *workError) Unwrap() error { return e.err }

// readerPrefix is what the transactional ids of a source's readers start with.
func readerPrefix(o Options) string { return o.Prefix + "." + o.Source + ".reader." }

// lease tells what the group has taken from this member.
type lease struct {
	assigned atomic.Bool // an assignment has come since it was last looked at
	mu       sync.Mutex
	cancel   context.CancelFunc // of the item at hand; nil between items
}

func (l *lease) revoked(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	if len(parts) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
}

// hold begins work on an item under a context that ends when the group takes partitions away: the transaction could not commit then.
func (l *lease) hold(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	return ctx, func() {
		l.mu.Lock()
		l.cancel = nil
		l.mu.Unlock()
		cancel()
	}
}

func (s *sharer) attempt(ctx context.Context) error {
	o := s.so.Options
	work, cancel := graceful(ctx, o.Limits.Grace)
	defer cancel()
	if s.session == nil {
		if err := s.open(ctx); err != nil {
			s.close()
			return err
		}
	}
	err := s.runWorker(ctx, work)
	if err == nil {
		o.Status.state(o.Source, Stopped)
		return nil
	}
	if _, ok := errors.AsType[*workError](err); ok && s.failures < maxFailures {
		s.failures++
		return err
	}
	s.failures = 0
	s.close()
	if s.so.Instance == "" || !isFencing(err) && !errors.Is(err, kerr.FencedInstanceID) {
		return err
	}
	o.Log.Warn("another reader has this one's name, going on without a name", "name", s.so.Instance, "group", s.so.Group, "err", err)
	s.so.Instance = ""
	return s.attempt(ctx)
}

// open joins the group. Topics and schemas come first, so that the group joins for a topic that is there.
func (s *sharer) open(ctx context.Context) (err error) {
	o := s.so.Options
	if s.plain, err = kgo.NewClient(o.Kafka...); err != nil {
		return faults.KafkaSettings.Of(fmt.Errorf("open kafka client: %w", err))
	}
	s.target = newTarget(o, s.plain)
	if err := s.target.prepare(ctx); err != nil {
		return faults.RecognizeKafka(err)
	}
	if err := s.target.ensureTopic(ctx, s.so.ItemsTopic, o.Topics.Partitions, s.target.dataConfig()); err != nil {
		return faults.RecognizeKafka(err)
	}
	l := &lease{}
	s.lease = l
	id := readerPrefix(o) + cmp.Or(s.so.Instance, rand.Text())
	options := clientOptions(o, id)
	if s.so.Instance != "" {
		options = append(options, kgo.InstanceID(s.so.Instance))
	}
	s.session, err = kgo.NewGroupTransactSession(append(options,
		kgo.ClientID(id), // so that the group's description tells which transactional ids are alive
		kgo.ConsumerGroup(s.so.Group), kgo.ConsumeTopics(s.so.ItemsTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(250*time.Millisecond), // an item that comes again waits until the fetch at hand has returned
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.SessionTimeout(s.so.SessionTimeout), kgo.HeartbeatInterval(s.so.SessionTimeout/10),
		kgo.RebalanceTimeout(2*s.so.SessionTimeout), // giving items back takes no time: the transaction is aborted
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { l.assigned.Store(true) }),
		kgo.OnPartitionsRevoked(l.revoked), kgo.OnPartitionsLost(l.revoked),
	)...)
	if err != nil {
		s.session = nil
		return faults.KafkaSettings.Of(fmt.Errorf("open kafka session: %w", err))
	}
	return faults.RecognizeKafka(takeID(ctx, s.session.Client(), id))
}

// close leaves the group and closes what is open.
func (s *sharer) close() {
	if s.session != nil {
		s.leave()
		s.session = nil
	}
	if s.plain != nil {
		s.plain.Close()
		s.plain = nil
	}
}

// runWorker makes a worker and serves items until it fails or ctx ends.
func (s *sharer) runWorker(ctx, work context.Context) error {
	o := s.so.Options
	worker, err := s.so.New(ctx, s.target)
	if err != nil {
		return &workError{fmt.Errorf("make worker: %w", err)}
	}
	o.Status.state(o.Source, Running)
	o.health.opened()
	err = s.serve(ctx, work, s.session, s.target, worker, s.lease)
	closing, cancel := last(work, o.Limits.Grace)
	defer cancel()
	if closeErr := worker.Close(closing); closeErr != nil {
		o.Log.Warn("worker closed with an error", "err", closeErr)
	}
	return err
}

// leaveTime bounds leaving a group: a stop has used up its grace by then, where Kafka does not answer.
const leaveTime = 2 * time.Second

// leave leaves the group, so that the others go on at once, and closes the session. What fails here the group finds out by itself.
func (s *sharer) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	member, _ := s.session.Client().GroupMetadata()
	_ = s.session.Client().LeaveGroupContext(ctx)
	s.session.Close()
	if s.so.Instance == "" || member == "" {
		return
	}
	// A static member does not leave by itself. The member's id keeps this from throwing out a reader that has taken the name over.
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = s.so.Group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID, m.Reason = member, &s.so.Instance, kmsg.StringPtr("the reader ends")
	req.Members = append(req.Members, m)
	if _, err := req.RequestWith(ctx, s.plain); err != nil {
		s.so.Options.Log.Debug("cannot leave group", "group", s.so.Group, "err", err)
	}
}

// serve does one item after the other until ctx ends.
func (s *sharer) serve(ctx, work context.Context, session *kgo.GroupTransactSession, t *target, worker Worker, l *lease) error {
	for ctx.Err() == nil {
		if l.assigned.Swap(false) {
			s.reap(ctx, session.Client(), t.admin)
		}
		slice, cancel := context.WithTimeout(ctx, time.Second)
		fetches := session.PollRecords(slice, 1)
		cancel()
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
				return faults.RecognizeKafka(fmt.Errorf("read items of %s/%d: %w", e.Topic, e.Partition, e.Err))
			}
		}
		for _, rec := range fetches.Records() {
			if err := s.one(work, session, t, worker, rec, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// one does an item in a transaction. It returns nil when the group has given the item to somebody else.
func (s *sharer) one(ctx context.Context, session *kgo.GroupTransactSession, t *target, worker Worker, rec *kgo.Record, l *lease) error {
	o := s.so.Options
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	start := time.Now()
	x := newTransaction(session.Client(), t)
	item, release := l.hold(ctx)
	err := worker.Work(item, rec, func(b Batch) error { return x.add(item, Batch{Records: b.Records, Rows: b.Rows}) })
	if err == nil {
		err = x.flush(item)
	}
	taken := item.Err() != nil && ctx.Err() == nil
	release()
	o.Metrics.took(o.Source, "produce", start)

	start = time.Now()
	committed, endErr := session.End(ctx, kgo.TransactionEndTry(err == nil && !taken))
	switch {
	case committed && endErr == nil:
		s.commits++
		s.failures = 0
		o.health.passed()
		o.Metrics.commit(o.Source, x.counts)
		o.Status.committed(x.counts, []Position{{Part: fmt.Sprintf("%s/%d", rec.Topic, rec.Partition), Text: fmt.Sprint(rec.Offset)}})
		o.Metrics.took(o.Source, "commit", start)
		return nil
	case endErr != nil:
		o.Metrics.transactions.WithLabelValues(o.Source, "unknown").Inc()
		endErr = faults.RecognizeKafka(fmt.Errorf("end transaction of item %s/%d at offset %d: %w", rec.Topic, rec.Partition, rec.Offset, endErr))
	default:
		x.giveRejects()
		o.Metrics.transactions.WithLabelValues(o.Source, "aborted").Inc()
	}
	if err != nil && !taken {
		err = fmt.Errorf("work on item %s/%d at offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
		if endErr == nil && x.err() == nil {
			return &workError{err}
		}
		return errors.Join(err, endErr)
	}
	return endErr
}

// reap aborts what readers that are gone have left open: without it, their transactions would hold back every read_committed reader
// until they time out. A reader is gone when it has a transaction but is not in the group. One that is alive and has only just been put out
// of the group loses its transaction too, which it could not have committed; it starts again under a new id.
func (s *sharer) reap(ctx context.Context, cl *kgo.Client, admin *kadm.Client) {
	o := s.so.Options
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	listed, err := admin.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil {
		o.Log.Debug("transactions are not listed", "err", err)
		return
	}
	groups, err := admin.DescribeGroups(ctx, s.so.Group)
	if err != nil || groups[s.so.Group].Err != nil {
		o.Log.Debug("group is not described", "err", errors.Join(err, groups[s.so.Group].Err))
		return
	}
	var alive []string
	for _, m := range groups[s.so.Group].Members {
		alive = append(alive, m.ClientID)
	}
	for _, id := range listed.TransactionalIDs() {
		if !strings.HasPrefix(id, readerPrefix(o)) || slices.Contains(alive, id) {
			continue
		}
		id := id
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID = &id
		req.TransactionTimeoutMillis = int32(o.Limits.TransactionTimeout.Milliseconds())
		if _, err := req.RequestWith(ctx, cl); err != nil {
			o.Log.Warn("transaction of a reader that is gone could not be aborted", "transactional_id", id, "err", err)
			continue
		}
		o.Log.Info("transaction of a reader that is gone aborted", "transactional_id", id)
	}
}
