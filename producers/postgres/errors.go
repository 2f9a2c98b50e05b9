package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/faults"
	"adventureworks.example/extract/producers"
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

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
