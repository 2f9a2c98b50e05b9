// Command extract streams files, Postgres changes and big-data records into Kafka as Avro and aggregates them in ClickHouse.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"adventureworks.example/extract/deploy/embedded"
)

func main() {
	embedded.RunChild() // returns at once unless this process was started to be ClickHouse's
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
