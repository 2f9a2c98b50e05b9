package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// SQLSTATEs that are told apart (PostgreSQL, appendix A).
const (
	stateInsufficientPrivilege = "42501"
	stateObjectInUse           = "55006"
	stateTooManySlots          = "53400"
	stateUndefinedObject       = "42704"
	stateUndefinedTable        = "42P01"
	stateUndefinedColumn       = "42703"
	stateNotInState            = "55000"
)

// sessionSettings make every server write values in one form, and see to it that nothing is cut short or filtered. They hold on the replication connection
// too, where pgoutput writes the values.
func sessionSettings() map[string]string {
	return map[string]string{
		"client_encoding":                     "UTF8",
		"datestyle":                           "ISO, MDY",
		"intervalstyle":                       "postgres",
		"timezone":                            "UTC",
		"extra_float_digits":                  "3",
		"bytea_output":                        "hex",
		"row_security":                        "off", // a policy that hides rows is an error
		"statement_timeout":                   "0",
		"idle_in_transaction_session_timeout": "0",
	}
}

// dial connects. A replication connection speaks the replication protocol and plain queries without parameters.
func (s *Source) dial(ctx context.Context, replication bool) (*pgconn.PgConn, error) {
	c, err := pgconn.ParseConfig(s.config.URL)
	if err != nil {
		return nil, fmt.Errorf("parse url: %w", err)
	}
	for k, v := range sessionSettings() {
		c.RuntimeParams[k] = v
	}
	if s.money {
		c.RuntimeParams["lc_monetary"] = "C"
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "extract " + s.name
	}
	if replication {
		c.RuntimeParams["replication"] = "database"
	}
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, explainConnect(err, c.User, replication)
	}
	s.mu.Lock()
	s.open[conn] = struct{}{}
	s.mu.Unlock()
	return conn, nil
}

// query runs one statement and returns its rows as text, NULL as the empty string. Parameters need a connection that is not a replication one.
func query(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][]string, error) {
	var result *pgconn.Result
	if len(args) == 0 {
		results, err := conn.Exec(ctx, sql).ReadAll()
		if err != nil {
			return nil, err
		}
		if len(results) == 0 {
			return nil, nil
		}
		result = results[len(results)-1]
	} else {
		params := make([][]byte, len(args))
		for i, a := range args {
			params[i] = []byte(a)
		}
		if result = conn.ExecParams(ctx, sql, params, nil, nil, nil).Read(); result.Err != nil {
			return nil, result.Err
		}
	}
	rows := make([][]string, len(result.Rows))
	for i, r := range result.Rows {
		rows[i] = make([]string, len(r))
		for j, v := range r {
			rows[i][j] = string(v)
		}
	}
	return rows, nil
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func quoteTable(schema, name string) string { return quoteName(schema) + "." + quoteName(name) }

// drainReady reads what is left of a failed command, up to the server's readiness for the next.
func drainReady(ctx context.Context, conn *pgconn.PgConn) error {
	for {
		m, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			return nil
		}
	}
}

const closePatience = 2 * time.Second

// hangUp says goodbye, whether ctx has ended or not.
func (s *Source) hangUp(ctx context.Context, conn *pgconn.PgConn) {
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	_ = conn.Close(ctx) // the server notices by itself
}
