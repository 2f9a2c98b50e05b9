package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// explain gives an error its line of the vocabulary. Errors of Kafka and of the registry, which come through the Target, have theirs or are known by what
// they are; a network that fails is therefore Postgres's.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*producers.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return explainServer(err, e)
	}
	known := faults.Recognize(err)
	if _, ok := errors.AsType[*producers.Error](known); !ok && faults.Unreachable(err) {
		return faults.PostgresDown.Of(err)
	}
	return known
}

// explainServer explains what the server said.
func explainServer(err error, said *pgconn.PgError) error {
	if said.Code == stateNotInState && strings.Contains(said.Message, "wal_level") {
		return faults.PostgresWALLevel.Of(err)
	}
	if f, ok := faults.Find(faults.Postgres, said.Code); ok {
		return f.Of(err)
	}
	return err
}

// explainConnect explains why there is no connection.
func explainConnect(err error, user string, replication bool) error {
	wrapped := fmt.Errorf("connect to postgres: %w", err)
	if replication && sqlState(err) == stateInsufficientPrivilege {
		return faults.PostgresReplication.With(wrapped, "run: ALTER ROLE "+quoteName(user)+" REPLICATION;")
	}
	for _, bad := range []any{new(x509.UnknownAuthorityError), new(x509.HostnameError), new(x509.CertificateInvalidError)} {
		if errors.As(err, bad) {
			return faults.PostgresCertificate.Of(wrapped)
		}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok && sqlState(err) == "" && !errors.Is(err, context.Canceled) {
		return faults.PostgresDown.Of(wrapped) // nobody answered, or not as a server does
	}
	return explain(wrapped)
}

// incompatible explains why a table's topic cannot follow the table's columns any more, and what can be done. The stream has one order, so that it cannot
// go past the row that was written with the new columns: the other tables wait too.
func (s *Source) incompatible(ctx context.Context, t *table, refused *schemas.IncompatibleError) error {
	var reasons []string
	for _, r := range refused.Reasons {
		field := strings.TrimPrefix(strings.TrimPrefix(r.Path, "before."), "after.")
		text := field + ": " + r.Why
		for _, c := range t.plan.columns {
			if c.field == field {
				text = fmt.Sprintf("column %s is %s in Postgres now: %s", c.name, s.typeName(ctx, c.typ), r.Why)
			}
		}
		if !slices.Contains(reasons, text) {
			reasons = append(reasons, text)
		}
	}
	err := fmt.Errorf("table %s.%s is incompatible with its topic: %s: %w", t.schema, t.name, strings.Join(reasons, "; "), refused)
	return faults.PostgresSchema.With(err, "set the compatibility of subject "+refused.Subject+" to NONE in the schema registry, after which only the table's own topic "+
		"waits, to be replayed into a new table; or list "+t.schema+"."+t.name+" under exclude, so that the other tables go on, and take it back when its column "+
		"is as it was: it is copied again then")
}

// typeName is the name of a type as people write it.
func (s *Source) typeName(ctx context.Context, t pgType) string {
	conn, err := s.dial(ctx, false)
	if err != nil {
		return fmt.Sprintf("type %d", t.oid)
	}
	defer s.hangUp(ctx, conn)
	rows, err := query(ctx, conn, fmt.Sprintf("select format_type(%d, %d)", t.oid, t.typmod))
	if err != nil || len(rows) == 0 {
		return fmt.Sprintf("type %d", t.oid)
	}
	return rows[0][0]
}

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
