package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// completeMoved fills in the columns of a row that has got another key, where the server did not send them (TOAST, without REPLICA IDENTITY FULL).
// The consumer keeps unchanged columns by the row's key, and under the new key it has none yet; those under the old key may lie in a partition that
// it has not read as far. So they are asked of the server. It answers with the row as it is now, which may be ahead of the stream; whatever
// changed it comes later in the stream and says so in full, so the row ends right. A row that is gone by now, or a table that is another
// one, leaves the columns unchanged: what took it away is in the stream too.
func (w *stream) completeMoved(ctx context.Context, t *table, row *tuple) error {
	var columns, where []string
	var wanted []int
	var key [][]byte
	for i, c := range t.plan.columns {
		if row.state[i] == valueUnchanged {
			columns, wanted = append(columns, quoteName(c.name)), append(wanted, i)
		}
	}
	for _, i := range t.plan.keys {
		if row.state[i] != valueText {
			return nil
		}
		key = append(key, row.text[i])
		where = append(where, fmt.Sprintf("%s = $%d", quoteName(t.plan.columns[i].name), len(key)))
	}
	if len(wanted) == 0 || len(key) == 0 {
		return nil
	}
	sql := "SELECT " + strings.Join(columns, ", ") + " FROM " + quoteTable(t.schema, t.name) + " WHERE " + strings.Join(where, " AND ")
	return w.whileAlive(ctx, func(ctx context.Context) error {
		if w.side == nil {
			conn, err := w.source.dial(ctx, false)
			if err != nil {
				return err
			}
			w.side = conn
		}
		result := w.side.ExecParams(ctx, sql, key, nil, nil, nil).Read()
		if refused, ok := errors.AsType[*pgconn.PgError](result.Err); ok && !w.side.IsClosed() {
			w.source.log.Warn("values of a row with another key are not to be had", "table", t.schema+"."+t.name, "position", w.commit, "err", refused)
			return nil
		}
		if result.Err != nil {
			return fmt.Errorf("read the row that got another key in %s.%s: %w", t.schema, t.name, result.Err)
		}
		for _, found := range result.Rows {
			for n, i := range wanted {
				row.state[i], row.text[i] = valueText, found[n]
				if found[n] == nil {
					row.state[i] = valueNull
				}
			}
		}
		return nil
	})
}
