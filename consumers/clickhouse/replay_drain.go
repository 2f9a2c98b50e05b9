package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// patience is how long inserts under way are waited for before they are cancelled.
const patience = 2 * time.Second

// drain waits until inserts that began before end. One that takes long, as that of a process which is stopped, is cancelled: its writer tries
// again, and is refused. The server keeps a cancelled insert in its list for as long as it waits for the client's rows; it does not take them
// any more, so one that has had no row a second after it was cancelled is over.
func (r *replay) drain(ctx context.Context, tables ...string) error {
	var match []string
	for _, t := range tables {
		match = append(match, "match(query, "+quoteText("(?i)^\\s*INSERT\\s+INTO\\s+(TABLE\\s+)?(`?[^`.\\s]+`?\\s*\\.\\s*)?`?"+regexp.QuoteMeta(t)+"`?([\\s(;]|$)")+")")
	}
	sql := "SELECT query_id, if(is_cancelled AND read_rows + written_rows = 0, 'idle', if(is_cancelled, 'cancelled', 'running')) FROM system.processes " +
		"WHERE query_kind IN ('Insert', 'AsyncInsertFlush') AND (" + strings.Join(match, " OR ") + ")"
	idle := map[string]time.Time{}
	for began := time.Now(); ; {
		rows, err := r.texts(ctx, sql, 2)
		if err != nil {
			return classify(fmt.Errorf("look for inserts under way: %w", err))
		}
		busy := 0
		for _, row := range rows {
			id, state := row[0], row[1]
			since, seen := idle[id]
			switch {
			case state == "idle" && !seen:
				idle[id] = time.Now()
			case state == "idle" && time.Since(since) > time.Second:
				continue
			case state == "running" && time.Since(began) > patience:
				if err := r.exec(ctx, "KILL QUERY WHERE query_id = "+quoteText(id)+" ASYNC"); err != nil {
					return fmt.Errorf("cancel an insert that began before the exchange: %w", err)
				}
			}
			busy++
		}
		if busy == 0 {
			return nil
		}
		r.tell("exchange", fmt.Sprintf("waits for %d inserts that began before", busy))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
