package clickhouse

import (
	"context"
	"fmt"
	"net"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// maxStatements bounds the connections of statements: every write asks few of them, and one after the other.
const maxStatements = 32

// openStatements makes the pool of connections for whatever is not a block of rows: definitions, look-ups, the dataset's statements and people's
// queries. It connects when the first statement needs it. A statement takes as long as it takes: its context bounds it, and a peer
// that is gone is noticed by the keep-alive of TCP.
func openStatements(conf Config) (driver.Conn, error) {
	o := &clickhouse.Options{
		Addr: conf.Addresses, DialTimeout: dialTimeout, ReadTimeout: 24 * time.Hour,
		DialContext: func(ctx context.Context, addr string) (net.Conn, error) {
			return dialer{conf.TLS}.DialContext(ctx, "tcp", addr)
		},
		MaxOpenConns: maxStatements, MaxIdleConns: maxIdle, ConnMaxLifetime: time.Hour, ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		Auth:       clickhouse.Auth{Username: conf.User, Password: conf.Password, Database: "system"},
		ClientInfo: clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{"extract", ""}}},
	}
	if conf.Compress {
		o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open clickhouse: %w", err)
	}
	return conn, nil
}

// exec runs a statement that returns nothing.
func (s *Sink) exec(ctx context.Context, sql string) error { return classify(s.conn.Exec(ctx, sql)) }

// ints runs a query whose one column is Int64.
func (s *Sink) ints(ctx context.Context, sql string) ([]int64, error) {
	var all []int64
	err := s.scan(ctx, sql, func(rows driver.Rows) error {
		var n int64
		err := rows.Scan(&n)
		all = append(all, n)
		return err
	})
	return all, err
}

// texts runs a query whose columns are all String.
func (s *Sink) texts(ctx context.Context, sql string, columns int) ([][]string, error) {
	var all [][]string
	err := s.scan(ctx, sql, func(rows driver.Rows) error {
		line, dests := make([]string, columns), make([]any, columns)
		for i := range line {
			dests[i] = &line[i]
		}
		err := rows.Scan(dests...)
		all = append(all, line)
		return err
	})
	return all, err
}

// scan runs a query and calls row for every row of its result.
func (s *Sink) scan(ctx context.Context, sql string, row func(driver.Rows) error) error {
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
