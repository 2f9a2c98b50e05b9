package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/files"
	"adventureworks.example/extract/producers/lake"
	"adventureworks.example/extract/producers/postgres"
	"adventureworks.example/extract/schemas"
)

// Config is the configuration file, deploy/adventureworks/extract.yaml being its commented example.
type Config struct {
	Prefix     string           `yaml:"prefix"`
	Kafka      KafkaConfig      `yaml:"kafka"`
	Registry   RegistryConfig   `yaml:"registry"`
	ClickHouse ClickHouseConfig `yaml:"clickhouse"`
	Sources    []SourceConfig   `yaml:"sources"`
	Dataset    DatasetConfig    `yaml:"dataset"`
	Audit      AuditConfig      `yaml:"audit"`
	Admin      AdminConfig      `yaml:"admin"`
	State      string           `yaml:"state"` // folder of what a process remembers of itself

	path string // of the file
}

// KafkaConfig is how to reach the brokers and what the topics are made with.
type KafkaConfig struct {
	Brokers     []string          `yaml:"brokers"`
	TLS         *TLSConfig        `yaml:"tls"`
	SASL        *SASLConfig       `yaml:"sasl"`
	Partitions  int32             `yaml:"partitions"`
	Replication int16             `yaml:"replication"`
	Topic       map[string]string `yaml:"topic"` // further configuration of topics, such as retention.ms
}

// TLSConfig is TLS with the system's authorities, or with those of a file, and a certificate of the client's own where one is asked for.
type TLSConfig struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// SASLConfig is a login by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
type SASLConfig struct {
	Mechanism string `yaml:"mechanism"`
	User      string `yaml:"user"`
	Password  string `yaml:"password"`
}

// RegistryConfig is the schema registry.
type RegistryConfig struct {
	URL      string     `yaml:"url"` // several, separated by commas, are tried in turn
	User     string     `yaml:"user"`
	Password string     `yaml:"password"`
	TLS      *TLSConfig `yaml:"tls"`
}

// ClickHouseConfig is where the dataset is stored and as whom.
type ClickHouseConfig struct {
	Addresses []string   `yaml:"addresses"` // host:port of the native protocol
	User      string     `yaml:"user"`
	Password  string     `yaml:"password"`
	TLS       *TLSConfig `yaml:"tls"`
	Compress  bool       `yaml:"compress"`
	Raw       string     `yaml:"raw"` // databases; raw, current and dataset when they are not named
	Current   string     `yaml:"current"`
	Dataset   string     `yaml:"dataset"`
	// MaxRejected is how many records of one topic may go to the dead letters within a minute, before the topic pauses.
	MaxRejected maxRejected `yaml:"max_rejected"`
}

// SourceConfig is one source: a name, which is part of its topics' names, and one of the three kinds.
type SourceConfig struct {
	Name       string           `yaml:"name"`
	Partitions int32            `yaml:"partitions"` // of its topics, instead of kafka.partitions
	Postgres   *postgres.Config `yaml:"postgres"`
	Files      *files.Config    `yaml:"files"`
	Lake       *lake.Config     `yaml:"lake"`
	// MaxRejected is how many of its rows may go to the dead letters within a minute, before it pauses.
	MaxRejected maxRejected `yaml:"max_rejected"`
}

// DatasetConfig names the SQL files that make the dataset, in their order.
type DatasetConfig struct {
	SQL []string `yaml:"sql"`
}

// AuditConfig is how the consumer compares the tables with what it has committed.
type AuditConfig struct {
	Every  *time.Duration `yaml:"every"`  // a minute when it is not given; 0s for never
	Repair *bool          `yaml:"repair"` // fetch what is missing without being asked; true when it is not given
}

// options are those of a consumer that can be asked through asked.
func (c AuditConfig) options(asked *consumers.Audits) consumers.AuditOptions {
	o := consumers.AuditOptions{Asked: asked, Only: c.Repair != nil && !*c.Repair}
	if c.Every != nil {
		if o.Every = *c.Every; o.Every <= 0 {
			o.Every = -1
		}
	}
	return o
}

// AdminConfig is where a long-lived command serves metrics, health and status.
type AdminConfig struct {
	Listen string `yaml:"listen"`
}

// kind is postgres, files or lake.
func (s SourceConfig) kind() string {
	switch {
	case s.Postgres != nil:
		return "postgres"
	case s.Files != nil:
		return "files"
	case s.Lake != nil:
		return "lake"
	}
	return ""
}

// check reports what is wrong with a source.
func (s SourceConfig) check() error {
	kinds := 0
	for _, given := range []bool{s.Postgres != nil, s.Files != nil, s.Lake != nil} {
		if given {
			kinds++
		}
	}
	switch {
	case s.Name == "":
		return errors.New("name is missing: it is part of its topics' names")
	case schemas.Name(s.Name) != s.Name:
		return errors.New("a name has letters, digits and underscores only and does not start with a digit")
	case s.Name == "items":
		return errors.New("the name items is taken: the topics of work items have it")
	case s.Name == producers.LettersSource:
		return errors.New("the name deadletters is taken: the dead letters have it")
	case s.Partitions < 0:
		return fmt.Errorf("%d partitions: a topic has at least one", s.Partitions)
	case kinds != 1:
		return errors.New("give exactly one of postgres, files and lake")
	case s.Postgres != nil:
		return s.Postgres.Validate()
	}
	return nil
}

// readConfig reads and checks a configuration file.
func readConfig(path string, env lookup) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("read configuration: %w", err)}
	}
	c := &Config{path: path}
	if err := decodeYAML(path, text, env, c); err != nil {
		return nil, usageError{err}
	}
	if err := c.complete(); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return c, nil
}

// complete sets defaults, makes paths relative to the file and reports everything that is missing or contradicts itself.
func (c *Config) complete() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Prefix == "" {
		fail("prefix is missing: it starts the name of every topic, such as aw")
	}
	c.Kafka.Brokers = splitList(c.Kafka.Brokers)
	if len(c.Kafka.Brokers) == 0 {
		fail("kafka.brokers is missing, such as [127.0.0.1:9092]")
	}
	if c.Registry.URL == "" {
		fail("registry.url is missing, such as http://127.0.0.1:8081")
	}
	c.ClickHouse.Addresses = splitList(c.ClickHouse.Addresses)
	if c.Admin.Listen == "" {
		c.Admin.Listen = "127.0.0.1:9464"
	}
	if len(c.Sources) == 0 {
		fail("sources is empty: name at least one")
	}
	names := map[string]bool{}
	for i := range c.Sources {
		s := &c.Sources[i]
		if names[s.Name] {
			fail("two sources are named %q", s.Name)
		}
		names[s.Name] = true
		if err := s.check(); err != nil {
			fail("source %q: %w", s.Name, err)
		}
	}
	for i, sql := range c.Dataset.SQL {
		c.Dataset.SQL[i] = under(filepath.Dir(c.path), sql)
	}
	c.State = under(filepath.Dir(c.path), c.State)
	return errors.Join(errs...)
}

// under makes a path of the configuration relative to its file's folder.
func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// fullTopic is the name of a topic that is given with or without the prefix.
func (c *Config) fullTopic(name string) string {
	if strings.HasPrefix(name, c.Prefix+".") {
		return name
	}
	return c.Prefix + "." + name
}

// partitions is how many partitions the topics of a source get when they are made. Rows of one table trickle in: each partition that gets some costs a write
// of its own, so that a table has one. Files and objects come by the thousand, and several partitions are written side by side.
func (c *Config) partitions(s SourceConfig) int32 {
	switch {
	case s.Partitions > 0:
		return s.Partitions
	case c.Kafka.Partitions > 0:
		return c.Kafka.Partitions
	case s.Postgres != nil:
		return 1
	}
	return 4
}

// lake is a lake's configuration with its folder relative to the file.
func (c *Config) lake(s SourceConfig) lake.Config {
	conf := *s.Lake
	conf.Folder = under(filepath.Dir(c.path), conf.Folder)
	return conf
}

// splitList splits elements at commas, so that one environment variable can hold several.
func splitList(in []string) []string {
	var out []string
	for _, s := range in {
		for _, part := range strings.Split(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// kafkaOptions are the brokers, TLS and login for every client.
func (c *Config) kafkaOptions() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(c.Kafka.Brokers...), kgo.ClientID("extract")}
	if t := c.Kafka.TLS; t != nil {
		conf, err := t.load(filepath.Dir(c.path))
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: kafka.tls: %w", c.path, err)}
		}
		opts = append(opts, kgo.DialTLSConfig(conf))
	}
	if s := c.Kafka.SASL; s != nil {
		m, err := s.mechanism()
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: kafka.sasl: %w", c.path, err)}
		}
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

func (s SASLConfig) mechanism() (sasl.Mechanism, error) {
	switch strings.ToUpper(s.Mechanism) {
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("mechanism %q: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
}

func (t TLSConfig) load(dir string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(under(dir, t.CA))
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(under(dir, t.Cert), under(dir, t.Key))
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// findConfig finds the configuration of a command: --config, else the demo that --dir holds, else ./extract.yaml.
func (a *app) findConfig() (*Config, error) {
	if a.config != "" {
		return readConfig(a.config, a.env)
	}
	c, err := a.demoConfig()
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if _, statErr := os.Stat("extract.yaml"); statErr == nil {
		return readConfig("extract.yaml", a.env)
	}
	return nil, usageError{fmt.Errorf("no demo runs in %s and there is no extract.yaml here; start `extract demo`, or name a file with --config", a.dir)}
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Work with the configuration file"}
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Read the configuration and say what is wrong, by file, line and column",
		Example: "  extract config check --config extract.yaml\n" +
			"  PGPASSWORD=... extract config check -c deploy/adventureworks/extract.yaml",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.findConfig()
			if err != nil {
				return err
			}
			if _, err := c.kafkaOptions(); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s is a valid configuration: prefix %s, brokers %s\n", c.path, c.Prefix, strings.Join(c.Kafka.Brokers, ", "))
			for _, s := range c.Sources {
				fmt.Fprintf(a.stdout, "  source %s (%s)\n", s.Name, s.kind())
			}
			return nil
		},
	})
	return cmd
}
