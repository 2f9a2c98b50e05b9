package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run everything in the configuration in one process: every source and the consumer",
		Long: `Run streams every source of the configuration into Kafka and the topics into ClickHouse, until it is stopped.

Stop it with Ctrl-C or SIGTERM: what was read is finished within ten seconds and the positions are saved in Kafka. Killed
instead, it goes on at its next start where its last transaction ended; nothing is lost and nothing is there twice.

Run it again elsewhere to share the lake's work and the consumer's partitions; a Postgres or files source runs once.`,
		Example: "  extract run --config extract.yaml\n  extract run -c extract.yaml --log-format json 2>>extract.log",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), func(p *pipeline) ([]part, error) {
				parts, err := p.producerParts(false)
				return append(parts, p.consumerPart(), p.datasetPart()), err
			})
		},
	}
}

func (a *app) produceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "produce files|postgres|lake",
		Short: "Run the sources of one kind: into Kafka only",
		Long: `Produce streams the configuration's sources of one kind into Kafka.

Rows and the position behind them are one Kafka transaction, so a row is in Kafka once, whatever is killed when. A second process
with the same files or Postgres source takes it over and the first one stops; lake readers share the work.`,
		Example:   "  extract produce postgres --config extract.yaml\n  extract produce lake -c extract.yaml --once",
		ValidArgs: []string{"files", "postgres", "lake"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(cmd.ValidArgs, args[0]) {
				return usageError{fmt.Errorf("name one kind of source: files, postgres or lake; see %s --help", cmd.CommandPath())}
			}
			return nil
		},
	}
	once := cmd.Flags().Bool("once", false, "end when everything that is there has been produced (files and lake)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *once && args[0] == "postgres" {
			return usageError{errors.New("a Postgres stream has no end: --once is for files and lake")}
		}
		return a.serve(cmd.Context(), func(p *pipeline) ([]part, error) { return p.producerParts(*once, args[0]) })
	}
	return cmd
}

func (a *app) consumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "consume",
		Short: "Run the consumer: from Kafka into ClickHouse",
		Long: `Consume stores the topics of every source in ClickHouse, and keeps the dataset's SQL in place.

Each range of offsets is committed as an intent before it is written, so a record is stored once, whatever is killed when.
Start as many as there are partitions to share: they are one consumer group.`,
		Example: "  extract consume --config extract.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), func(p *pipeline) ([]part, error) { return []part{p.consumerPart(), p.datasetPart()}, nil })
		},
	}
}

// serve is the life of a long-lived command: configuration, connections, work, end.
func (a *app) serve(ctx context.Context, choose func(*pipeline) ([]part, error)) error {
	log, err := newLog(a.stderr, a.logFormat, a.logLevel)
	if err != nil {
		return err
	}
	c, err := a.findConfig()
	if err != nil {
		return err
	}
	log.Info("launching", "version", version(), "config", c.path)
	p, err := openPipeline(ctx, c, log)
	if err != nil {
		return err
	}
	defer p.close()
	parts, err := choose(p)
	if err != nil {
		return err
	}
	admin, err := openAdmin(c.Admin.Listen, false, p.live)
	if err != nil {
		return err
	}
	admin.serveMetrics(p.metrics)
	admin.serveAudits(p)
	log.Info("connecting", "kafka", c.Kafka.Brokers, "registry", c.Registry.URL, "clickhouse", c.ClickHouse.Addresses)
	served := make(chan error, 1)
	go func() { served <- admin.run(log) }()
	warning, stopWarning := context.WithCancel(ctx)
	warned := make(chan struct{})
	go func() { defer close(warned); p.warnOfKafka(warning) }()
	err = p.runParts(ctx, parts)
	stopWarning()
	<-warned
	admin.close(ctx)
	err = errors.Join(err, <-served)
	p.logEnd()
	return err
}
