package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/adventureworks"
	"adventureworks.example/extract/deploy/apachekafka"
	"adventureworks.example/extract/deploy/embedded"
)

// cluster is everything that runs.
type cluster struct {
	o       Options
	prefix  string
	brokers []string
	members []*member // in the order they are started

	registry   string // http://host:port
	clickhouse *embedded.ClickHouse
	postgres   *embedded.Postgres
	config     string
	env        []string
}

const (
	database = "adventureworks"
	apache   = "apache"
)

// kafkaName is how the report calls Kafka.
func (c *cluster) kafkaName() string {
	switch c.o.Kafka {
	case "":
		return "embedded"
	case apache:
		return "Apache Kafka"
	}
	return c.o.Kafka
}

func (c *cluster) names() (names []string) {
	for _, m := range c.members {
		names = append(names, m.name)
	}
	return names
}

func (c *cluster) member(name string) *member {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (c *cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.o.Dir}, names...)...)
}

// add takes a member up once it was started.
func (c *cluster) add(name string, l life) {
	c.members = append(c.members, &member{name: name, life: l})
}

// startCluster starts the servers, makes the sample and starts the program's processes. What was started is in the cluster, also after an error.
func startCluster(ctx context.Context, o Options) (*cluster, error) {
	c := &cluster{o: o, prefix: "aw"}
	if err := c.startKafka(ctx); err != nil {
		return c, err
	}
	if err := c.startDatabases(ctx); err != nil {
		return c, err
	}
	fmt.Fprintln(o.Out, "the servers run; making the sample")
	if err := c.makeSample(ctx); err != nil {
		return c, err
	}
	if err := c.writeConfig(); err != nil {
		return c, err
	}
	for _, args := range [][]string{{"produce", "files"}, {"produce", "postgres"}, {"produce", "lake"}, {"consume"}, {"consume"}} {
		if err := c.startProgram(ctx, args...); err != nil {
			return c, err
		}
	}
	return c, nil
}

// startKafka starts the broker, unless there is one, and the registry.
func (c *cluster) startKafka(ctx context.Context) error {
	switch c.o.Kafka {
	case "":
		ports, err := embedded.FreePorts(1)
		if err != nil {
			return err
		}
		addr := "127.0.0.1:" + strconv.Itoa(ports[0])
		c.brokers = []string{addr}
		s, err := c.startServer(ctx, "kafka", c.kafkaAnswers, "chaos", "kafka", "--data", c.path("kafka", "data"), "--port", strconv.Itoa(ports[0]))
		if err != nil {
			return err
		}
		c.add("kafka", s)
	case apache:
		b, err := apachekafka.Start(ctx, apachekafka.Options{Dir: c.path("kafka")})
		if err != nil {
			return err
		}
		c.brokers = []string{b.Addr()}
		c.add("kafka", b)
	default:
		c.brokers = strings.Split(c.o.Kafka, ",")
		c.prefix = "chaos" + strconv.FormatInt(time.Now().UnixMilli(), 36)
	}
	ports, err := embedded.FreePorts(1)
	if err != nil {
		return err
	}
	c.registry = "http://127.0.0.1:" + strconv.Itoa(ports[0])
	s, err := c.startServer(ctx, "registry", c.registryAnswers, "chaos", "registry", "--brokers", strings.Join(c.brokers, ","),
		"--topic", "_schemas."+c.prefix, "--port", strconv.Itoa(ports[0]))
	if err != nil {
		return err
	}
	c.add("registry", s)
	return nil
}

// startServer starts the program as one of the trial's servers.
func (c *cluster) startServer(ctx context.Context, name string, answers func(context.Context) error, args ...string) (*embedded.Server, error) {
	return embedded.StartServer(ctx, embedded.ServerOptions{Name: name, Path: c.o.Program, Args: args, Dir: c.path(name), Answers: answers})
}

func (c *cluster) kafkaAnswers(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kadm.NewClient(cl).ListBrokers(ctx)
	return err
}

func (c *cluster) registryAnswers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.registry+"/subjects", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the registry answers %s", res.Status)
	}
	return nil
}

func (c *cluster) startDatabases(ctx context.Context) (err error) {
	engines, err := embedded.Install(ctx, "", nil)
	if err != nil {
		return err
	}
	if c.clickhouse, err = embedded.StartClickHouse(ctx, engines, embedded.ClickHouseOptions{Dir: c.path("clickhouse")}); err != nil {
		return err
	}
	c.add("clickhouse", c.clickhouse)
	if c.postgres, err = embedded.StartPostgres(ctx, engines, embedded.PostgresOptions{Dir: c.path("postgres"), Unsafe: true,
		Settings: map[string]string{"wal_sender_timeout": "10s"}}); err != nil {
		return err
	}
	c.add("postgres", c.postgres)
	return nil
}

// badRows is how many rows of the sample cannot be read: they must be in the dead letters.
const badRows = 3

// makeSample fills the sources with what is there before anything flows.
func (c *cluster) makeSample(ctx context.Context) error {
	db, err := c.postgres.Database(ctx, database)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	for _, dir := range []string{c.path("files"), c.path("lake")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	err = adventureworks.Generate(ctx, adventureworks.Options{Seed: c.o.Seed, Rows: c.o.Rows, Dir: c.path("files"), LakeDir: c.path("lake"), DB: db, BadRows: badRows})
	if err != nil {
		return fmt.Errorf("make the sample: %w", err)
	}
	return db.Exec(ctx, feedTables)
}

// writeConfig writes the example's configuration with what the trial needs otherwise: its own tables, and sources that are looked at more often.
func (c *cluster) writeConfig() error {
	dir := c.path("config")
	if err := os.CopyFS(dir, adventureworks.Files); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	c.config = filepath.Join(dir, "extract.yaml")
	text, err := os.ReadFile(c.config)
	if err != nil {
		return err
	}
	for _, change := range [][2]string{
		{"prefix: aw\n", "prefix: " + c.prefix + "\n"}, {"  # partitions: 4 ", fmt.Sprintf("  partitions: %d ", partitions)},
		{`"person.*"]`, `"person.*", "chaos.*"]`}, {"settle: 2s", "settle: 500ms"}, {"scan_every: 5s", "scan_every: 1s"},
	} {
		if !bytes.Contains(text, []byte(change[0])) {
			return fmt.Errorf("%s has no %q any more", c.config, change[0])
		}
		text = bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
	}
	c.env = []string{"KAFKA_BROKERS=" + strings.Join(c.brokers, ","), "REGISTRY_URL=" + c.registry, "CLICKHOUSE_ADDRESSES=" + c.clickhouse.Addr(),
		"POSTGRES_URL=" + c.postgres.URL(database), "FILES_FOLDER=" + c.path("files"), "LAKE_FOLDER=" + c.path("lake"),
		"ADMIN_LISTEN=127.0.0.1:0", "STATE_FOLDER=" + c.path("state")}
	return os.WriteFile(c.config, text, 0o600)
}

// startProgram starts the program as a member that goes by its arguments. A consumer gets a number too.
func (c *cluster) startProgram(ctx context.Context, args ...string) error {
	name := strings.Join(args, " ")
	for n := 1; name == "consume" || c.member(name) != nil; n++ {
		name = fmt.Sprintf("consume %d", n)
	}
	s, err := embedded.StartServer(ctx, embedded.ServerOptions{Name: name, Path: c.o.Program, Args: append(args, "--config", c.config), Env: c.env,
		Dir: c.path(strings.ReplaceAll(name, " ", "_")), Answers: func(context.Context) error { return nil }})
	if err != nil {
		return err
	}
	c.add(name, s)
	return nil
}

// stopPrograms stops the producers and consumers for good, each of which must end by itself within its grace.
func (c *cluster) stopPrograms(ctx context.Context, r *Report) {
	for _, m := range c.members {
		if isServer(m.name) {
			continue
		}
		m.mu.Lock()
		took, problem, err := m.end(ctx)
		m.mu.Unlock()
		if err != nil {
			problem = err.Error()
		}
		r.count(func() { r.stopped(m.name, took, problem) })
	}
}

// close ends everything, the last started first.
func (c *cluster) close(ctx context.Context) error {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var errs []error
	for n := range c.members {
		m := c.members[len(c.members)-1-n]
		m.mu.Lock()
		errs = append(errs, m.life.Stop(grace))
		m.mu.Unlock()
	}
	return errors.Join(errs...)
}

// reconcile runs the program's own comparison until it finds nothing missing or the time is over.
func (c *cluster) reconcile(ctx context.Context, r *Report) error {
	ctx, cancel := context.WithTimeout(ctx, 4*c.o.Drain) // a comparison that has begun may go on behind --wait
	defer cancel()
	cmd := exec.CommandContext(ctx, c.o.Program, "reconcile", "--config", c.config, "--format", "json", "--wait", c.o.Drain.String())
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = append(os.Environ(), c.env...), &stdout, &stderr, 10*time.Second
	runErr := cmd.Run()
	if err := os.WriteFile(c.path("reconcile.json"), stdout.Bytes(), 0o644); err != nil {
		return err
	}
	var found struct {
		Complete bool `json:"complete"`
		Datasets []struct {
			Source, Dataset string
			Gaps            []string
		} `json:"datasets"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &found); err != nil {
		r.problem("extract reconcile gave no report: %v: %s", errors.Join(runErr, err), stderr.String())
		return nil
	}
	for _, d := range found.Datasets {
		for _, gap := range d.Gaps {
			r.problem("extract reconcile: %s.%s: %s", d.Source, d.Dataset, gap)
		}
	}
	if (runErr != nil || !found.Complete) && r.Kept() {
		r.problem("extract reconcile ended with %v, complete %v: %s", runErr, found.Complete, stderr.String())
	}
	return nil
}
