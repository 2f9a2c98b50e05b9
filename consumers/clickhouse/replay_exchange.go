package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"adventureworks.example/extract/consumers"
)

// errLate says that an exchange would take longer than the writers may wait.
var errLate = errors.New("the exchange took longer than the writers may wait")

// exchange puts the new tables in the place of those in use, when they hold the same.
func (r *replay) exchange(ctx context.Context) error {
	if r.gens.raw == nil {
		return r.putInPlace(ctx)
	}
	if err := r.persist(ctx, "compare", r.settle); err != nil {
		return err
	}
	if err := r.verdict(r.mark.found); err != nil {
		return err
	}
	if err := r.persist(ctx, "compare", r.compareCurrent); err != nil {
		return err
	}
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	for lease, tries := r.o.Lease, 0; ; lease, tries = 2*lease, tries+1 {
		final, err := r.exchangeWithin(ctx, lease)
		if err == nil || ctx.Err() != nil || final || tries == 5 || !errors.Is(err, errLate) && consumers.Classify(classify(err)) != consumers.Retry {
			return err
		}
		r.tell("exchange", err.Error())
		if err := r.catchUp(ctx); err != nil {
			return err
		}
		if err := r.persist(ctx, "compare", r.settle); err != nil {
			return err
		}
	}
}

// exchangeWithin keeps the writers out of the table in use, reads and compares what is left, and exchanges. Whatever goes wrong, the fence is
// lifted, unless the process dies: then its time ends. An error is final when the fence or the outcome is not in this process's hands any more.
//
// The time is measured from before the server is asked for its own, so the deadline here is over when that of the fence is not.
func (r *replay) exchangeWithin(ctx context.Context, lease time.Duration) (final bool, err error) {
	if err := r.at("fence"); err != nil {
		return false, err
	}
	began := time.Now()
	now, err := r.now(ctx)
	if err != nil {
		return false, err
	}
	until := now + int64(lease/time.Second) + 1
	deadline := began.Add(lease)
	fence := "ALTER TABLE " + r.inUse() + " ADD CONSTRAINT IF NOT EXISTS " + quoteName(fenceName(until)) + " CHECK 0"
	if err := r.persist(ctx, "fence", func(ctx context.Context) error { return r.exec(ctx, fence) }); err != nil {
		return false, fmt.Errorf("fence table %s: %w", r.inUse(), err)
	}
	defer func() {
		r.report.Fenced += time.Since(began)
		if err != nil {
			lifted := r.giveUp(ctx, until, final && !errors.Is(err, errTaken)) // whoever took the tables renamed them
			final = final || lifted != nil
			err = errors.Join(err, lifted)
		}
	}()
	fenced, cancel := context.WithDeadlineCause(ctx, deadline, errLate)
	defer cancel()
	err = r.finish(fenced)
	if ctx.Err() == nil && fenced.Err() != nil {
		return false, errLate
	}
	if err != nil {
		return false, err
	}
	if err := r.at("swap"); err != nil {
		return false, err
	}
	return true, r.swap(ctx, deadline)
}

// giveUp lifts the replay's own fence. An exchange that was asked for and not seen to be done may still come about, until its tables have
// other names.
func (r *replay) giveUp(ctx context.Context, until int64, tried bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if tried {
		return r.liftFence(ctx, r.o.Topic, until)
	}
	return r.dropFence(ctx, r.inUse(), until)
}

// finish makes the new tables equal to those in use, in which nothing is written any more.
func (r *replay) finish(ctx context.Context) error {
	if err := r.at("drain"); err != nil {
		return err
	}
	if _, err := r.exchanged(ctx); err != nil { // another replay may have exchanged the tables before the fence stood
		return err
	}
	if err := r.drain(ctx, r.gens.name); err != nil {
		return err
	}
	if err := r.at("read the rest"); err != nil {
		return err
	}
	_, todo, err := r.behind(ctx)
	if err != nil {
		return err
	}
	if err := r.readOn(ctx, "exchange", todo); err != nil {
		return err
	}
	state, err := r.stateBelow(ctx, r.mark.ends)
	if err != nil {
		return err
	}
	if state != r.mark.state {
		return errLate // somebody has changed old rows: everything is compared again
	}
	rest := map[int32]consumers.Range{}
	for n, end := range r.done {
		rest[n] = consumers.Range{Start: r.mark.ends[n], End: end}
	}
	if err := r.at("compare the rest"); err != nil {
		return err
	}
	d, err := r.compareRanges(ctx, rest)
	if err != nil {
		return err
	}
	d.add(r.mark.found)
	r.report.Same, r.report.Restored, r.report.Twice, r.report.Different = d.same, d.restored, d.twice, d.different
	if err := r.verdict(d); err != nil {
		return err
	}
	if err := r.nothingLeft(ctx); err != nil {
		return err
	}
	return r.buryRefused(ctx)
}

// nothingLeft sees to it that the table in use has no row beyond what was read and compared, as in a partition that was added meanwhile.
func (r *replay) nothingLeft(ctx context.Context) error {
	n, err := r.ints(ctx, "SELECT toInt64(count()) FROM "+r.inUse()+" WHERE NOT ("+whereBelow(r.done)+")")
	if err != nil {
		return err
	}
	if n[0] > 0 {
		return fmt.Errorf("%w: %d rows are beyond what was read, perhaps of partitions that were added meanwhile; run the replay again", errDiffers, n[0])
	}
	return nil
}

// swap exchanges the tables, those of the current rows first: whoever writes to the new raw table must find the new current rows. Where those in use are
// missing, the new ones take their place before, which they may: they have every change that was stored, and nothing is written to the raw table. A
// statement that fails may have been carried out, so what is in use tells whether it was.
func (r *replay) swap(ctx context.Context, deadline time.Time) error {
	pairs := append(r.rowsPair(), r.inUse()+" AND "+r.table.fullName())
	for {
		exchanged, err := r.exchanged(ctx)
		if exchanged || errors.Is(err, errTaken) {
			return err
		}
		if err == nil {
			if time.Now().After(deadline) {
				return errLate
			}
			if err = r.placeRows(ctx); err == nil {
				err = r.exec(ctx, "EXCHANGE TABLES "+strings.Join(pairs, ", "))
			}
			if isMissing(err) {
				return errTaken
			}
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if consumers.Classify(err) != consumers.Retry {
			return fmt.Errorf("exchange the tables: %w", err)
		}
		r.tell("exchange", err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// exchanged tells whether the table that this replay has made is in use: then the older one has its name. It is errTaken when none has.
func (r *replay) exchanged(ctx context.Context) (bool, error) {
	g, err := r.generations(ctx, r.o.Topic)
	if err != nil {
		return false, err
	}
	for _, o := range g.others {
		if o.Database == r.conf.Raw && o.Table == r.table.name {
			return !o.Building, nil
		}
	}
	return false, errTaken
}

// rowsPair is the tables of current rows that are to be exchanged, none where those in use are missing.
func (r *replay) rowsPair() []string {
	if !r.table.hasCurrent() || r.gens.current == nil {
		return nil
	}
	return []string{r.currentInUse() + " AND " + quoteName(r.conf.Current) + "." + quoteName(rowsPrefix+r.table.name)}
}

// placeRows gives the new table of current rows the name of the missing one. What is missing may have been made good by an earlier try.
func (r *replay) placeRows(ctx context.Context) error {
	if !r.table.hasCurrent() || r.gens.current != nil {
		return nil
	}
	err := r.rename(ctx, r.conf.Current, rowsPrefix+r.table.name, rowsPrefix+r.gens.name)
	if isMissing(err) {
		if g, lookErr := r.generations(ctx, r.o.Topic); lookErr == nil && g.current != nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("put table %s in place: %w", rowsPrefix+r.table.name, err)
	}
	return nil
}

func (t *table) hasCurrent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state != nil && t.state.current != nil
}

// putInPlace gives the new tables the names of the missing ones. Nobody can write to a table that is not there, so there is nothing to wait for.
func (r *replay) putInPlace(ctx context.Context) error {
	if err := r.at("swap"); err != nil {
		return err
	}
	if err := r.placeRows(ctx); err != nil {
		return err
	}
	for _, pair := range r.rowsPair() {
		if err := r.exec(ctx, "EXCHANGE TABLES "+pair); err != nil {
			return fmt.Errorf("put table %s in place: %w", rowsPrefix+r.table.name, err)
		}
	}
	if err := r.rename(ctx, r.conf.Raw, r.table.name, r.gens.name); err != nil {
		return fmt.Errorf("put table %s in place: %w", r.table.name, err)
	}
	return nil
}
