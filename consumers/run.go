package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/schemas/faults"
)

// dirtyDelay is how long the commit of a finished range waits for the intent of the next one, of any partition, to go along with.
const dirtyDelay = 250 * time.Millisecond

// pollRecords bounds one poll, so that the loop is never long in one step.
const pollRecords = 50_000

// Run reads the topics `<prefix>.<source>.*` of the sources and the dead letters, as a member of a consumer group, and writes them to the
// sink until ctx ends. It picks up topics that appear later within seconds. It returns nil after a clean stop: what was being written
// is finished, within Limits.Grace.
//
// Per partition it commits the range that it is about to write (the intent), writes it as one batch, and commits its end together with
// the next intent. The group's coordinator refuses the intent of a process that lost the partition, so such a process never begins a write.
// One it began before, or a request of its that lands late, is met by the sink's idempotence: the next owner finds the intent,
// asks the sink what it holds of that very range and writes the same batch again. The group is balanced eagerly: whatever changes, every
// partition is given back and taken up again from what the coordinator holds, so that no state outlives a generation.
//
// An error that only concerns one topic stops its partitions alone: what was read of them is dropped, and they are tried again
// slowly from the intent on, the same way as after a crash.
func Run(ctx context.Context, o Options) error {
	r := newRunner(o)
	clientCtx, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	r.abandon = abandon
	var err error
	if r.side, err = kgo.NewClient(o.Kafka...); err != nil {
		return fmt.Errorf("open kafka client: %w", err)
	}
	defer r.side.Close()
	r.adm = kadm.NewClient(r.side)
	if r.cl, err = kgo.NewClient(append(append([]kgo.Opt{kgo.WithContext(clientCtx)}, o.Kafka...), r.clientOpts()...)...); err != nil {
		return fmt.Errorf("open kafka client of group %s: %w", r.o.Group, err)
	}
	return r.run(ctx)
}

// runner is one Run. Its loop, in run, owns every field that is not a channel and not set before the loop starts.
type runner struct {
	o        Options
	log      *slog.Logger
	episodes *faults.Episodes   // errors that last
	cl       *kgo.Client        // the member of the group
	abandon  context.CancelFunc // ends whatever cl waits for
	side     *kgo.Client        // for requests that are not the member's own
	adm      *kadm.Client       // on side

	joined   time.Time // when the group last gave partitions, until that has lasted settleTime
	parts    map[statusKey]*part
	budgets  map[string]*faults.Budget // of rejected records, by topic
	buffered int                       // bytes read and not yet written, over all partitions
	writing  int                       // writes under way, of lost partitions too
	commitAt time.Time
	backoff  time.Duration // of commits that fail

	seeks    int64 // how often the client was told where to go on
	auditing auditing

	fetches chan polled    // from the polling goroutine
	taken   chan struct{}  // to it: the fetches are in the loop's hands
	room    chan int64     // to it: there is room for more, and how many seeks there were
	results chan result    // from the writing goroutines
	events  chan event     // from the group's callbacks
	audits  chan []Finding // from the auditing goroutine
	done    chan struct{}  // closed when the loop no longer answers events
}

// polled is what one poll has brought, and how many seeks there were when it began.
type polled struct {
	fetches kgo.Fetches
	seeks   int64
}

func newRunner(o Options) *runner {
	o.Limits = o.Limits.withDefaults()
	set(&o.Group, DefaultGroup(o.Prefix))
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	episodes := &faults.Episodes{}
	if o.Status != nil {
		episodes = &o.Status.episodes
	}
	episodes.Tell(o.Log, "topic")
	return &runner{
		o: o, log: o.Log, episodes: episodes, parts: map[statusKey]*part{}, budgets: map[string]*faults.Budget{},
		fetches: make(chan polled), taken: make(chan struct{}), room: make(chan int64),
		results: make(chan result), events: make(chan event), audits: make(chan []Finding), done: make(chan struct{}),
	}
}

// clientOpts are the options that the protocol rests on.
func (r *runner) clientOpts() []kgo.Opt {
	l := r.o.Limits
	var sources []string
	for _, s := range r.o.Sources {
		sources = append(sources, regexp.QuoteMeta(s))
	}
	prefix := "^" + regexp.QuoteMeta(r.o.Prefix) + `\.`
	topics := []string{prefix + "deadletters$"}
	if len(sources) > 0 {
		topics = append(topics, prefix+"("+strings.Join(sources, "|")+`)\..+$`)
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(r.o.Group),
		kgo.ConsumeRegex(), kgo.ConsumeTopics(topics...),
		kgo.Balancers(kgo.StickyBalancer()), // eager: see Run
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),                    // so that the position passes the marks of transactions and a lag of 0 means all is there
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is an error, not a jump
		kgo.SessionTimeout(l.SessionTimeout),
		kgo.RebalanceTimeout(2*l.Grace + l.SessionTimeout), // drain, commit and join again; a lost answer to a join costs as much
		kgo.HeartbeatInterval(min(time.Second, l.SessionTimeout/4)),
		kgo.MetadataMaxAge(3 * time.Second), kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.FetchMaxBytes(l.FetchBytes), kgo.FetchMaxPartitionBytes(max(l.FetchBytes/4, 1<<20)),
		kgo.FetchMaxWait(time.Second),
		kgo.WithHooks(r),
		kgo.AdjustFetchOffsetsFn(r.assigned),
		kgo.OnPartitionsRevoked(r.revoked), kgo.OnPartitionsLost(r.lost),
	}
	if len(r.o.Exclude) > 0 {
		var exclude []string
		for _, t := range r.o.Exclude {
			exclude = append(exclude, "^"+regexp.QuoteMeta(t)+"$")
		}
		opts = append(opts, kgo.ConsumeExcludeTopics(exclude...))
	}
	if r.o.Instance != "" {
		opts = append(opts, kgo.InstanceID(r.o.Instance))
	}
	return opts
}

func (r *runner) run(ctx context.Context) error {
	pollCtx, stopPolling := context.WithCancel(ctx)
	polled := make(chan struct{})
	go func() { defer close(polled); r.poll(pollCtx) }()
	pinged := make(chan struct{})
	go func() { defer close(pinged); r.ping(pollCtx) }()
	err := r.loop(ctx)
	stopPolling()
	r.endAudit()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Limits.Grace)
	defer cancel()
	r.stop(ending)
	<-polled
	<-pinged
	r.leave(ending)
	return err
}

// loop moves everything until ctx ends or the group is lost to another process of the same name.
func (r *runner) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(min(r.turn(ctx), r.audit(ctx)))
		room := r.room
		if r.buffered >= r.o.Limits.BufferBytes {
			room = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case room <- r.seeks:
		case f := <-r.fetches:
			err := r.take(f)
			r.taken <- struct{}{}
			if err != nil {
				return err
			}
		case res := <-r.results:
			r.finish(res)
		case e := <-r.events:
			r.handle(ctx, e)
		case all := <-r.audits:
			r.finishAudit(all)
		case ask := <-r.o.Audit.Asked.asks():
			r.auditing.asked = append(r.auditing.asked, ask)
		case <-timer.C:
		}
	}
}

// poll hands fetches to the loop and lets the group rebalance as soon as the loop has them.
func (r *runner) poll(ctx context.Context) {
	for {
		var seeks int64
		select {
		case seeks = <-r.room:
		case <-ctx.Done():
			return
		}
		f := r.cl.PollRecords(ctx, pollRecords)
		if len(f) == 0 || ctx.Err() != nil {
			r.cl.AllowRebalance()
			continue
		}
		select {
		case r.fetches <- polled{f, seeks}:
			<-r.taken
		case <-ctx.Done():
		}
		r.cl.AllowRebalance()
	}
}

// stop finishes what is being written, until ctx ends, and commits it.
func (r *runner) stop(ctx context.Context) {
	var all []*part
	for _, p := range r.parts {
		all = append(all, p)
	}
	r.drain(ctx, all)
	r.commitFinished(ctx, all)
	close(r.done)
	for r.writing > 0 { // cancelled by drain, so they end soon
		r.finish(<-r.results)
	}
}

// leave tells the group, so that the others need not wait for the session to time out.
func (r *runner) leave(ctx context.Context) {
	ctx, cancel := last(ctx, r.o.Limits.Grace)
	defer cancel()
	member, _ := r.cl.GroupMetadata()
	r.cl.AllowRebalance()
	if err := r.cl.LeaveGroupContext(ctx); err != nil {
		r.log.Warn("cannot leave group in time", "err", err)
	}
	r.abandon()
	r.cl.CloseAllowingRebalance()
	if r.o.Instance == "" || member == "" {
		return
	}
	// A static member does not leave by itself. The member's id keeps this from throwing out a process that has taken the name over.
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = r.o.Group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID, m.Reason = member, &r.o.Instance, kmsg.StringPtr("clean stop")
	req.Members = append(req.Members, m)
	if _, err := req.RequestWith(ctx, r.side); err != nil {
		r.log.Warn("cannot leave group", "err", err)
	}
}
