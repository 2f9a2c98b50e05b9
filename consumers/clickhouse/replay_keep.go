package clickhouse

import (
	"context"
	"fmt"
	"strings"
)

// keep gives the older tables the names under which they are kept, and shows the columns of the new current rows.
func (r *replay) keep(ctx context.Context) error {
	if t, err := r.Sink.table(r.o.Topic); err == nil {
		t.forget()
	}
	var err error
	if r.gens, err = r.generations(ctx, r.o.Topic); err != nil {
		return err
	}
	if err := r.keepOld(ctx); err != nil {
		return err
	}
	r.table.mu.Lock()
	st := r.table.state
	r.table.mu.Unlock()
	if st != nil && st.current != nil {
		shown := *st.current
		shown.hidden, shown.rows = false, rowsPrefix+r.gens.name
		if err := shown.createView(ctx, "CREATE OR REPLACE VIEW"); err != nil {
			return err
		}
	}
	rows, err := r.ints(ctx, "SELECT toInt64(count()) FROM "+r.inUse())
	if err != nil {
		return classify(err)
	}
	r.report.Rows = rows[0]
	r.report.Old, err = r.Generations(ctx, r.o.Topic)
	for _, o := range r.report.Old {
		if o.Database == r.conf.Raw && o.Generation == r.report.Generation-1 {
			r.report.Before = o.Rows
		}
	}
	return err
}

// keepOld names older tables that still have the name of a table being built.
func (r *replay) keepOld(ctx context.Context) error {
	for _, o := range r.gens.others {
		if o.Building || !strings.Contains(o.Table, newMark) && !o.aside() {
			continue
		}
		kept := fmt.Sprintf("%s~%d", o.base(), o.Generation)
		if err := r.rename(ctx, o.Database, o.Table, kept); err != nil && !isMissing(err) {
			return fmt.Errorf("keep table %s.%s as %s: %w", o.Database, o.Table, kept, err)
		}
	}
	return nil
}

// refresh makes the dataset anew.
func (r *replay) refresh(ctx context.Context) error {
	return r.persist(ctx, "refresh", r.Refresh)
}
