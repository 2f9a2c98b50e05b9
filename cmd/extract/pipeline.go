package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/consumers/clickhouse"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/files"
	"adventureworks.example/extract/producers/lake"
	"adventureworks.example/extract/producers/postgres"
	"adventureworks.example/extract/schemas"
)

// pipeline wires the parts of one process by a configuration: which of them run is the command's choice.
type pipeline struct {
	c        *Config
	log      *slog.Logger
	kafka    []kgo.Opt
	registry *schemas.Registry
	sink     *clickhouse.Sink
	metrics  *prometheus.Registry
	live     *liveStatus

	producing *producers.Metrics
	consuming *consumers.Metrics
	audits    *consumers.Audits
	consumes  atomic.Bool // a consumer runs, which answers audits
}

// openPipeline connects to nothing yet: every part connects, and waits for what is not there, by itself.
func openPipeline(ctx context.Context, c *Config, log *slog.Logger) (*pipeline, error) {
	kafka, err := c.kafkaOptions()
	if err != nil {
		return nil, err
	}
	registry, err := c.openRegistry()
	if err != nil {
		return nil, err
	}
	sink, err := c.openClickHouse(ctx, registry, log)
	if err != nil {
		registry.Close()
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &pipeline{c: c, log: log, kafka: kafka, registry: registry, sink: sink, metrics: metrics, live: newLiveStatus(c.Prefix),
		producing: producers.NewMetrics(metrics), consuming: consumers.NewMetrics(metrics), audits: consumers.NewAudits()}, nil
}

// close releases what the pipeline holds.
func (p *pipeline) close() {
	if err := p.sink.Close(); err != nil {
		p.log.Warn("clickhouse connections closed with an error", "err", err)
	}
	p.registry.Close()
}

func (c *Config) openRegistry() (*schemas.Registry, error) {
	conf := schemas.RegistryConfig{URLs: splitList([]string{c.Registry.URL}), User: c.Registry.User, Password: c.Registry.Password}
	if c.Registry.TLS != nil {
		t, err := c.Registry.TLS.load(filepath.Dir(c.path))
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: registry.tls: %w", c.path, err)}
		}
		conf.TLS = t
	}
	r, err := schemas.OpenRegistry(conf)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: registry: %w", c.path, err)}
	}
	return r, nil
}

func (c *Config) openClickHouse(ctx context.Context, registry *schemas.Registry, log *slog.Logger) (*clickhouse.Sink, error) {
	conf := clickhouse.Config{Addresses: c.ClickHouse.Addresses, User: c.ClickHouse.User, Password: c.ClickHouse.Password,
		Compress: c.ClickHouse.Compress, Raw: c.ClickHouse.Raw, Current: c.ClickHouse.Current, Dataset: c.ClickHouse.Dataset, Prefix: c.Prefix, Log: log}
	if c.ClickHouse.TLS != nil {
		t, err := c.ClickHouse.TLS.load(filepath.Dir(c.path))
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: clickhouse.tls: %w", c.path, err)}
		}
		conf.TLS = t
	}
	sink, err := clickhouse.Open(ctx, conf, registry)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: clickhouse: %w", c.path, err)}
	}
	return sink, nil
}

// part is one long-lived piece of work of a process.
type part struct {
	name string
	run  func(context.Context) error
}

// producerParts are the sources of the kinds, or all when none is given. With once, they end when their origin is drained; a Postgres
// stream has no end and goes on until its context ends.
func (p *pipeline) producerParts(once bool, kinds ...string) ([]part, error) {
	var parts []part
	for _, s := range p.c.Sources {
		if len(kinds) > 0 && !slices.Contains(kinds, s.kind()) {
			continue
		}
		made, err := p.sourceParts(s, once)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: source %s: %w", p.c.path, s.Name, err)}
		}
		parts = append(parts, made...)
	}
	if len(parts) == 0 {
		return nil, usageError{fmt.Errorf("%s has no source of kind %s", p.c.path, strings.Join(kinds, ", "))}
	}
	return parts, nil
}

func (p *pipeline) sourceParts(s SourceConfig, once bool) ([]part, error) {
	o := p.options(s)
	o.Rejects = s.MaxRejected.budget()
	switch s.kind() {
	case "postgres":
		if _, err := postgres.New(s.Name, *s.Postgres, p.log); err != nil {
			return nil, err
		}
		o.New = func(context.Context) (producers.Source, error) { return postgres.New(s.Name, *s.Postgres, o.Log) }
	case "files":
		conf := *s.Files
		if once {
			conf.Follow = new(bool)
		}
		if src, err := files.New(conf, filepath.Dir(p.c.path), o.Log); err != nil {
			return nil, err
		} else if err := src.Close(context.Background()); err != nil {
			return nil, err
		}
		o.New = func(context.Context) (producers.Source, error) { return files.New(conf, filepath.Dir(p.c.path), o.Log) }
	case "lake":
		conf := p.c.lake(s)
		if once {
			conf.Follow = new(bool)
		}
		if _, err := lake.New(conf, o.Log); err != nil {
			return nil, err
		}
		return []part{{s.Name, func(ctx context.Context) error {
			name, release, err := p.takeInstance(lake.Group(p.c.Prefix, s.Name))
			if err != nil {
				return err
			}
			defer release()
			return lake.Run(ctx, conf, o, name)
		}}}, nil
	}
	return []part{{s.Name, func(ctx context.Context) error { return producers.Run(ctx, o) }}}, nil
}

// options are what every source of this process shares.
func (p *pipeline) options(s SourceConfig) producers.Options {
	return producers.Options{Kafka: p.kafka, Registry: p.registry, Prefix: p.c.Prefix, Source: s.Name,
		Topics: producers.TopicConfig{Partitions: p.c.partitions(s), ReplicationFactor: p.c.Kafka.Replication, Config: p.c.Kafka.Topic},
		Log:    p.log, Metrics: p.producing, Status: p.live.producer(s.Name)}
}

// consumerPart is the consumer of every source's topics.
func (p *pipeline) consumerPart() part {
	return part{"consumer", func(ctx context.Context) error {
		p.consumes.Store(true)
		defer p.consumes.Store(false)
		o := p.consumerOptions()
		o.Audit = p.c.Audit.options(p.audits)
		name, release, err := p.takeInstance(consumers.DefaultGroup(p.c.Prefix))
		if err != nil {
			return err
		}
		defer release()
		o.Instance = name
		return consumers.Run(ctx, o)
	}}
}

// takeInstance takes a name for this process in a group, none without a folder to keep it in.
func (p *pipeline) takeInstance(group string) (name string, release func(), err error) {
	if p.c.State == "" {
		return "", func() {}, nil
	}
	return consumers.TakeInstance(p.c.State, group)
}

// consumerOptions are what every consumer of this process shares.
func (p *pipeline) consumerOptions() consumers.Options {
	o := consumers.Options{Kafka: p.kafka, Prefix: p.c.Prefix, Sink: p.sink, Log: p.log.With("part", "consumer"), Metrics: p.consuming, Status: p.live.consumer()}
	for _, s := range p.c.Sources {
		o.Sources = append(o.Sources, s.Name)
	}
	o.MaxRejected = p.c.ClickHouse.MaxRejected.limit()
	return o
}

// datasetPause is how long the dataset's SQL waits after ClickHouse has refused it, before it is tried again.
const datasetPause = 15 * time.Second

// datasetPart puts the dataset's SQL in place: it waits for the tables that the SQL reads and ends when everything is applied. A statement that
// ClickHouse refuses pauses it, is said once, and is tried again until somebody has repaired the reason.
func (p *pipeline) datasetPart() part {
	const name = "dataset"
	return part{name, func(ctx context.Context) error {
		for last := ""; ; {
			err := p.applyDataset(ctx)
			if err == nil || ctx.Err() != nil {
				p.live.ended(name, nil)
				return nil
			}
			p.live.ended(name, err)
			if err.Error() != last {
				last = err.Error()
				p.log.Error("paused", "part", name, "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(datasetPause):
			}
		}
	}}
}

func (p *pipeline) applyDataset(ctx context.Context) error {
	var all []clickhouse.SQLFile
	for _, path := range p.c.Dataset.SQL {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: dataset.sql: %w", p.c.path, err)
		}
		all = append(all, clickhouse.SQLFile{Name: filepath.Base(path), Text: string(text)})
	}
	return p.sink.ApplySQL(ctx, all)
}

// runParts runs the parts until ctx ends or all have ended. A part that fails does not stop the others: what can go on goes on, the
// health check says what does not, and the error is returned at the end.
func (p *pipeline) runParts(ctx context.Context, parts []part) error {
	var wait sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, part := range parts {
		p.log.Info("starting", "part", part.name)
		wait.Go(func() {
			err := part.run(ctx)
			p.live.ended(part.name, err)
			if err != nil {
				p.log.Error("stopped on an error", "part", part.name, "err", err)
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", part.name, err))
				mu.Unlock()
				return
			}
			p.log.Info("stopped", "part", part.name)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// logEnd says what was done and what is saved, as the last lines of a process.
func (p *pipeline) logEnd() {
	s := p.live.report()
	for _, src := range s.Sources {
		p.log.Info("saved position", "source", src.Source, "position", src.Position.Text, "rows", src.Records, "transactions", src.Transactions)
	}
	var stored, rejected, lag int64
	for _, t := range s.Topics {
		stored, rejected, lag = stored+t.Stored, rejected+t.Rejected, lag+t.Lag
	}
	if len(s.Topics) > 0 {
		p.log.Info("saved offsets", "topics", len(s.Topics), "rows", stored, "rejected", rejected, "lag", lag)
	}
	p.log.Info("ended")
}
