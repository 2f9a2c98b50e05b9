package consumers

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	auditEvery = time.Minute
	// auditSoon is how long after a partition was taken up, or read again, it is audited.
	auditSoon = time.Second
	// auditAgain is how soon an audit follows one that has found something: until it is well again, that is what people wait for.
	auditAgain = 5 * time.Second
	// maxRepairs is how often in repairsIn a partition is repaired without anybody asking for it. More often somebody removes the rows on purpose.
	maxRepairs = 3
	repairsIn  = time.Hour
	// maxMarks bounds the tallies at which earlier audits found everything, of one partition.
	maxMarks = 16
)

// auditing is what the loop knows of its audits.
type auditing struct {
	at      time.Time          // of the next one
	cancel  context.CancelFunc // of the one under way, nil when there is none
	done    chan struct{}      // closed at its end
	serving []*auditRequest    // which the one under way answers
	asked   []*auditRequest    // which the next one answers
	repairs map[statusKey][]time.Time
}

func (r *runner) auditEvery() time.Duration { return cmp.Or(r.o.Audit.Every, auditEvery) }

// auditSoon makes the next audit come soon.
func (r *runner) auditSoon(now time.Time) {
	if every := r.auditEvery(); every > 0 {
		if soon := now.Add(min(every, auditSoon)); r.auditing.at.After(soon) {
			r.auditing.at = soon
		}
	}
}

// audit begins an audit when it is time for one, or when somebody has asked for it, and returns how long the loop may wait for the next.
func (r *runner) audit(ctx context.Context) time.Duration {
	a := &r.auditing
	sink, able := r.o.Sink.(Auditor)
	switch {
	case a.cancel != nil:
		return time.Hour
	case !able:
		a.answer(a.asked, nil)
		a.asked = nil
		return time.Hour
	case len(a.asked) > 0:
	case r.auditEvery() < 0:
		return time.Hour
	default:
		if d := time.Until(a.at); d > 0 {
			return d
		}
	}
	a.serving, a.asked = a.asked, nil
	a.done = make(chan struct{})
	ctx, a.cancel = context.WithCancel(ctx)
	l, sights, done := looker{kafka: r.o.Kafka, adm: r.adm, sink: sink, wait: r.o.Limits.WriteTimeout}, r.sights(), a.done
	go func() {
		defer close(done)
		all := l.look(ctx, sights)
		if err := l.heldBack(ctx, all, cmp.Or(r.o.Audit.OpenFor, heldLong)); err != nil {
			r.log.Debug("cannot look for open transactions", "err", err)
		}
		select {
		case r.audits <- all:
		case <-ctx.Done():
		}
	}()
	return time.Hour
}

// sights are the partitions as they are now. Whatever is below a position is written, so what is being written meanwhile is of no matter. What is
// being read again is left for later, unless it waits for a repair: its table may have been dropped.
func (r *runner) sights() []sight {
	var all []sight
	for _, p := range r.parts {
		if len(p.todo) == 0 && (p.tally.below == p.position || p.parked) {
			all = append(all, sight{Partition: p.Partition, tally: p.tally, p: p, marks: slices.Clone(p.marks), last: p.last})
		}
	}
	slices.SortFunc(all, bySight)
	return all
}

// endAudit ends the audit under way. Nobody who has asked waits any longer.
func (r *runner) endAudit() {
	a := &r.auditing
	if a.cancel != nil {
		a.cancel()
		<-a.done
		a.cancel = nil
	}
	a.answer(a.serving, nil)
	a.answer(a.asked, nil)
	a.serving, a.asked = nil, nil
}

func (a *auditing) answer(asked []*auditRequest, all []Finding) {
	for _, req := range asked {
		var some []Finding
		for _, f := range all {
			if req.about(f.Topic) {
				some = append(some, f)
			}
		}
		req.answers <- some
	}
}

// finishAudit takes what an audit has found. Partitions may have been lost or written meanwhile.
func (r *runner) finishAudit(all []Finding) {
	a, now := &r.auditing, time.Now()
	a.cancel()
	<-a.done
	a.cancel = nil
	wait := max(r.auditEvery(), 0)
	for i := range all {
		f := &all[i]
		if r.parts[f.p.key()] != f.p {
			continue
		}
		asked := slices.ContainsFunc(a.serving, func(req *auditRequest) bool {
			return req.repair && req.about(f.Topic)
		})
		r.heed(f, asked, now)
		if !f.Fine() {
			wait = min(wait, auditAgain)
		}
	}
	a.at = now.Add(wait)
	a.answer(a.serving, all)
	a.serving = nil
}

// heed makes a finding known, and has what is missing read again where that may be.
func (r *runner) heed(f *Finding, asked bool, now time.Time) {
	p := f.p
	r.o.Metrics.audited(f)
	if f.Err != "" {
		r.log.Debug("cannot audit", "topic", f.Topic, "partition", f.Partition, "err", f.Err)
		return
	}
	switch f.Verdict {
	case Uncounted:
		p.tally.records += f.Held() - f.counted.records
		p.tally.known = true
		r.markDirty(p, now)
		return
	case Complete, Stale, Held:
		if f.Expected != f.counted.records {
			p.tally.records += f.Expected - f.counted.records
			r.log.Info("corrected the count of committed records", "topic", f.Topic, "partition", f.Partition, "offset", f.Committed,
				"counted", f.counted.records, "rows", f.Expected)
			r.markDirty(p, now)
		}
		p.mark(tally{true, f.Expected, f.counted.below})
	}
	if f.Missing > f.Lost {
		r.mend(p, f, asked, now)
	}
	r.publishFinding(p, f, now)
}

// mend has what is missing read again, where that may be and is not being done.
func (r *runner) mend(p *part, f *Finding, asked bool, now time.Time) {
	f.Again = len(p.again) > 0
	if asked && f.Verdict == Dropped {
		r.o.Sink.(Auditor).Recreate(p.Topic)
	}
	if !f.Again && (asked || !r.o.Audit.Only && f.Verdict != Dropped && r.mayRepair(p, now)) {
		p.todo, f.Again = f.MissingAt, true
	}
	if asked && p.parked {
		p.until = now
	}
}

// mayRepair tells whether a partition may be repaired again without anybody asking, and notes that it was.
func (r *runner) mayRepair(p *part, now time.Time) bool {
	a := &r.auditing
	if a.repairs == nil {
		a.repairs = map[statusKey][]time.Time{}
	}
	recent := slices.DeleteFunc(a.repairs[p.key()], func(at time.Time) bool { return now.Sub(at) > repairsIn })
	may := len(recent) < maxRepairs
	if may {
		recent = append(recent, now)
	}
	a.repairs[p.key()] = recent
	return may
}

// mark notes that nothing was missing below an offset. Marks get thinner when there are many, so that some are old and some are new.
func (p *part) mark(t tally) {
	if n := len(p.marks); n > 0 && p.marks[n-1].below >= t.below {
		return
	}
	if p.marks = append(p.marks, t); len(p.marks) > maxMarks {
		var thin []tally
		for i, m := range p.marks {
			if i%2 == 0 || i > maxMarks/2 {
				thin = append(thin, m)
			}
		}
		p.marks = thin
	}
}

// publishFinding shows what an audit has found: in the log when it is another than the last one, in the status always.
func (r *runner) publishFinding(p *part, f *Finding, now time.Time) {
	text := f.String()
	if p.last = (Finding{}); text != "" {
		p.last = *f
	}
	if text != p.finding {
		if p.finding = text; text == "" {
			r.log.Info("nothing is missing any more and nothing is there twice", "topic", f.Topic, "partition", f.Partition, "offset", f.Committed, "rows", f.Expected)
		} else {
			r.log.Error("audit found a difference", "topic", f.Topic, "partition", f.Partition, "offset", f.Committed, "rows", max(f.Missing, f.Twice),
				"verdict", string(f.Verdict), "again", f.Again, "err", text)
		}
	}
	r.o.Status.set(p.Partition, func(s *PartitionStatus) {
		s.Audited, s.Missing, s.Twice, s.Finding = now, f.Missing, f.Twice, text
	})
}
