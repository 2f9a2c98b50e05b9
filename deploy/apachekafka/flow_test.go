package apachekafka

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"adventureworks.example/extract/deploy/adventureworks"
	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// flow is the whole of the example on Apache Kafka: servers, sample, and the program as a process.
type flow struct {
	t       *testing.T
	broker  *Broker
	db      *embedded.DB
	dir     string
	program string
	config  string
	env     []string
}

const sampleRows = 8000

func newFlow(t *testing.T) *flow {
	t.Helper()
	f := &flow{t: t, broker: start(t), dir: t.TempDir()}
	registry := embeddedtest.StartRegistry(t, []string{f.broker.Addr()})
	clickhouse := embeddedtest.StartClickHouse(t)
	postgres := embeddedtest.StartPostgres(t, nil)
	var err error
	if f.db, err = postgres.Database(t.Context(), "adventureworks"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.db.Close(context.Background()) })
	err = adventureworks.Generate(t.Context(), adventureworks.Options{Seed: 1, Rows: sampleRows, Dir: f.folder("files"), LakeDir: f.folder("lake"), DB: f.db, BadRows: 3})
	if err != nil {
		t.Fatal(err)
	}
	f.env = append(os.Environ(), "KAFKA_BROKERS="+f.broker.Addr(), "REGISTRY_URL="+registry.URL(), "CLICKHOUSE_ADDRESSES="+clickhouse.Addr(),
		"POSTGRES_URL="+postgres.URL("adventureworks"), "FILES_FOLDER="+f.folder("files"), "LAKE_FOLDER="+f.folder("lake"),
		"ADMIN_LISTEN=127.0.0.1:0", "STATE_FOLDER="+f.folder("state"))
	f.build()
	return f
}

func (f *flow) folder(name string) string {
	f.t.Helper()
	dir := filepath.Join(f.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	return dir
}

// build builds the program and writes the example's configuration out.
func (f *flow) build() {
	f.t.Helper()
	f.program = filepath.Join(f.dir, "extract")
	if out, err := exec.CommandContext(f.t.Context(), "go", "build", "-o", f.program, "../../cmd/extract").CombinedOutput(); err != nil {
		f.t.Fatalf("go build: %v: %s", err, out)
	}
	f.config = filepath.Join(f.folder("config"), "extract.yaml")
	if err := copyFiles(filepath.Dir(f.config), adventureworks.Files); err != nil {
		f.t.Fatal(err)
	}
}

func copyFiles(to string, from fs.FS) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, from)
}

// run runs the program until the test ends. What it says is shown when the test fails.
func (f *flow) run() {
	f.t.Helper()
	cmd := exec.Command(f.program, "run", "--config", f.config)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = f.env, &out, &out
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			f.t.Errorf("extract run: %v", err)
		}
		if f.t.Failed() {
			f.t.Logf("extract run said:\n%s", out.String())
		}
	})
}

// change goes on changing the sources until stop is called.
func (f *flow) change() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- adventureworks.Change(ctx, adventureworks.ChangeOptions{Seed: 2, PerSecond: 100, Dir: f.folder("files"), LakeDir: f.folder("lake"), DB: f.db})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("change the sources: %v", err)
		}
	}
	f.t.Cleanup(stop)
	return stop
}

// produced is how far the topics of the sources have got: the sum of their offsets. It is 0 while the broker does not answer.
func (f *flow) produced(admin *kadm.Client) (sum int64) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	listed, err := admin.ListCommittedOffsets(ctx)
	if err != nil {
		return 0
	}
	listed.Each(func(o kadm.ListedOffset) {
		if strings.HasPrefix(o.Topic, "aw.") && !strings.HasPrefix(o.Topic, "aw.progress") {
			sum += max(o.Offset, 0)
		}
	})
	return sum
}

// TestOnApacheKafkaTheBrokerIsKilledTwice runs the whole example, kills the broker while the first copy and while changes flow, and sees that every row
// is stored once.
func TestOnApacheKafkaTheBrokerIsKilledTwice(t *testing.T) {
	f := newFlow(t)
	f.run()
	stop := f.change()
	_, admin := client(t, f.broker.Addr())
	for _, more := range []int64{500, 2000} {
		before := f.produced(admin)
		eventually(t, "rows flow", func() bool { return f.produced(admin) >= before+more })
		t.Logf("killed with %d records produced", f.produced(admin))
		if err := f.broker.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := f.broker.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := f.produced(admin)
	eventually(t, "rows flow again", func() bool { return f.produced(admin) > before })
	stop()
	f.reconcile()
}

// reconcile waits until every row of every source is stored.
func (f *flow) reconcile() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.program, "reconcile", "--config", f.config, "--format", "json", "--wait", "2m")
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = f.env, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		f.t.Errorf("extract reconcile: %v: %s", err, stderr.String())
		for _, args := range [][]string{{"status"}, {"audit"}, {"deadletters", "list"}} {
			look := exec.CommandContext(ctx, f.program, append(args, "--config", f.config)...)
			look.Env = f.env
			out, err := look.CombinedOutput()
			f.t.Logf("extract %s: %v:\n%s", args[0], err, out)
		}
	}
	var report struct {
		Complete bool `json:"complete"`
		Datasets []struct {
			Source, Dataset                  string
			Held, Produced, Stored, Rejected int64
			Gaps                             []string
		} `json:"datasets"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		f.t.Fatalf("read the report: %v:\n%s", err, stdout.String())
	}
	var stored int64
	for _, d := range report.Datasets {
		stored += d.Stored
		if len(d.Gaps) > 0 {
			f.t.Errorf("gaps of %+v", d)
		}
	}
	if !report.Complete || stored < sampleRows {
		f.t.Errorf("complete %v with %d records stored", report.Complete, stored)
	}
	f.t.Logf("%d records of %d datasets are stored, and complete", stored, len(report.Datasets))
}
