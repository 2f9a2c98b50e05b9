package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

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
		if err := w.openSide(ctx); err != nil {
			return err
		}
		if err := w.awaitVisible(ctx); err != nil {
			return err
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

// openSide connects for questions about rows, at the first.
func (w *stream) openSide(ctx context.Context) (err error) {
	if w.side == nil {
		w.side, err = w.source.dial(ctx, false)
	}
	return err
}

// visible tells whether a transaction, by the 32 bits of its number, is visible to a query that begins now. The upper bits are those that bring
// it nearest to the newest number.
const visible = `WITH s AS (SELECT txid_current_snapshot() AS now),
x AS (SELECT now, txid_snapshot_xmax(now) AS newest, (txid_snapshot_xmax(now) & ~4294967295::bigint) | $1::bigint AS id FROM s)
SELECT txid_visible_in_snapshot(CASE WHEN id > newest + 2147483648 THEN id - 4294967296 WHEN id < newest - 2147483648 THEN id + 4294967296 ELSE id END, now) FROM x`

// awaitVisible waits until queries see the transaction that is being read. The server streams a transaction once its commit is in the WAL, which is a
// moment before anybody sees it, and as long as a synchronous standby takes.
func (w *stream) awaitVisible(ctx context.Context) error {
	xid := [][]byte{strconv.AppendUint(nil, uint64(w.at.xid), 10)}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		result := w.side.ExecParams(ctx, visible, xid, nil, nil, nil).Read()
		if result.Err != nil {
			return fmt.Errorf("wait until transaction %d is visible: %w", w.at.xid, result.Err)
		}
		if len(result.Rows) == 1 && string(result.Rows[0][0]) == "t" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
