package docker_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

func TestMain(m *testing.M) { embeddedtest.Main(m, removeProgram) }

// built is the program as the image has it, built by the first test that asks for it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func removeProgram() error { return os.RemoveAll(built.dir) }

// program builds what the Dockerfile builds, with its flags.
func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		built.dir, built.err = os.MkdirTemp("", "extract-image-")
		if built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", buildTags(t), "-o", filepath.Join(built.dir, "extract"), "./cmd/extract")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "extract")
}

// TestTheProgramIsStatic reads the executable: an image without any library can only run one that needs none.
func TestTheProgramIsStatic(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the image is of Linux, and this is built for " + runtime.GOOS)
	}
	f, err := elf.Open(program(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program asks for a loader")
		}
	}
	if libraries, err := f.ImportedLibraries(); err == nil && len(libraries) > 0 {
		t.Errorf("the program needs %v", libraries)
	}
}

// stand is the file's services without containers: our programs as they are started there, on the embedded servers.
type stand struct {
	project *types.Project
	program string
	config  string // stands for /etc/extract
	http    string // of ClickHouse
	places  *strings.Replacer
	admin   map[string]string // by service
}

func newStand(t *testing.T) *stand {
	p := mustLoad(t)
	kafka := embeddedtest.StartKafka(t, embedded.KafkaOptions{})
	registry := embeddedtest.StartRegistry(t, kafka.Brokers())
	postgres := standPostgres(t)
	clickhouse := standClickHouse(t)
	dir := t.TempDir()
	s := &stand{project: p, program: program(t), config: filepath.Join(dir, "config"), http: clickhouse.HTTP(), admin: map[string]string{}}
	for _, name := range []string{"files", "lake", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.places = strings.NewReplacer("kafka:19092", strings.Join(kafka.Brokers(), ","), "http://registry:8081", registry.URL(),
		"@postgres:5432", "@"+postgres, "clickhouse:9000", clickhouse.Addr(), "/var/lib/extract", dir)
	for _, name := range []string{"files", "changes", "lake", "consumer"} {
		s.admin[name] = freeAddress(t)
	}
	// The configuration is where the mounts of the consumer put it.
	if err := os.Mkdir(s.config, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, v := range p.Services["consumer"].Volumes {
		if inside, ok := strings.CutPrefix(v.Target, "/etc/extract/"); ok && v.Type == types.VolumeTypeBind {
			if err := os.Symlink(v.Source, filepath.Join(s.config, inside)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// standPostgres makes the database as the image of Postgres does: with the settings of the file, then the role of the init script.
func standPostgres(t *testing.T) (hostport string) {
	t.Helper()
	p := embeddedtest.StartPostgres(t, map[string]string{"wal_level": "logical"})
	db, err := p.Database(t.Context(), "adventureworks")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	_, sql, _ := strings.Cut(readFile(t, "deploy/docker/postgres/10-extract-role.sh"), "<<'SQL'\n")
	sql, _, found := strings.Cut(sql, "\nSQL\n")
	if !found || !strings.Contains(sql, ":'password'") {
		t.Fatalf("the init script has no SQL with a password: %q", sql)
	}
	u, err := url.Parse(p.URL("adventureworks"))
	if err != nil {
		t.Fatal(err)
	}
	sql = strings.ReplaceAll(sql, ":'password'", "'"+secrets["POSTGRES_EXTRACT_PASSWORD"]+"'") +
		"ALTER ROLE " + u.User.Username() + " PASSWORD '" + secrets["POSTGRES_PASSWORD"] + "'"
	if err := db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// serverConfig has what an installed ClickHouse asks a grant for.
const serverConfig = `<clickhouse>
  <users_config>users.xml</users_config>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    <table_engines_require_grant>true</table_engines_require_grant>
  </access_control_improvements>
</clickhouse>`

// serverUsers is what an installed ClickHouse has in users.xml, as far as it matters here. Its user default is the one that the server itself
// works as where there are no containers.
const serverUsers = `<clickhouse>
  <profiles><default/></profiles><quotas><default/></quotas>
  <users><default><password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
</clickhouse>`

// standClickHouse starts ClickHouse with our users.xml in its users.d, and the environment that the file gives it.
func standClickHouse(t *testing.T) *embedded.ClickHouse {
	t.Helper()
	for name, v := range mustLoad(t).Services["clickhouse"].Environment {
		t.Setenv(name, *v)
	}
	const removal = `<default remove="remove"/>`
	users := readFile(t, "deploy/docker/clickhouse/users.xml")
	if !strings.Contains(users, removal) {
		t.Error("users.xml leaves the user default, who has no password")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config.xml":          serverConfig,
		"users.xml":           serverUsers,
		"users.d/extract.xml": strings.Replace(users, removal, "", 1),
	} {
		path := filepath.Join(dir, "files", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	engines, err := embedded.Install(ctx, "", nil)
	if err != nil {
		embeddedtest.Missing(t, "clickhouse", err)
	}
	c, err := embedded.StartClickHouse(ctx, engines, embedded.ClickHouseOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// allowed are statements of a schema that grows, which the sample's does not, and of a dataset that is behind.
var allowed = []string{"CREATE TABLE raw.other (a Int8) ENGINE = MergeTree ORDER BY tuple()", "CREATE TABLE current.other (a Int8) ENGINE = MergeTree ORDER BY tuple()",
	"ALTER TABLE raw.other ADD COLUMN b Int8, MODIFY COLUMN a Int16, MODIFY COMMENT 'grown', ADD CONSTRAINT c CHECK 1", "ALTER TABLE raw.other DROP CONSTRAINT c",
	"ALTER TABLE current.other ADD COLUMN b Int8, MODIFY COLUMN a Int16, MODIFY COMMENT 'grown', ADD CONSTRAINT c CHECK 1", "ALTER TABLE current.other DROP CONSTRAINT c",
	"SYSTEM REFRESH VIEW dataset.product_refresh", "SYSTEM WAIT VIEW dataset.product_refresh", "SELECT count() FROM system.view_refreshes"}

// forbidden are statements that the user extract may not run.
var forbidden = []string{"CREATE DATABASE other", "CREATE USER other", "SELECT * FROM file('/etc/passwd', 'LineAsString')",
	"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", "SYSTEM SHUTDOWN", "DROP DATABASE system", "DROP TABLE raw.deadletters",
	"TRUNCATE TABLE raw.files_reviews", "ALTER TABLE raw.files_reviews DELETE WHERE 1", "ALTER TABLE raw.files_reviews DROP COLUMN title"}

// checkGrants asks ClickHouse as the user extract for what it must give and what it must not.
func checkGrants(t *testing.T, address string) {
	t.Helper()
	for i, sql := range slices.Concat(allowed, forbidden) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(sql))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("extract", secrets["CLICKHOUSE_PASSWORD"])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		switch {
		case i < len(allowed) && res.StatusCode != http.StatusOK:
			t.Errorf("%s: %s", sql, answer)
		case i >= len(allowed) && !strings.Contains(string(answer), "ACCESS_DENIED"):
			t.Errorf("%s is not refused: %s", sql, answer)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ports, err := embedded.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
}

// command is a service's program with the environment that the file gives it and nothing else. args, if any, are in the place of the file's.
func (s *stand) command(ctx context.Context, service string, args ...string) *exec.Cmd {
	c := s.project.Services[service]
	if args == nil {
		args = c.Command
	}
	for i := range args {
		args[i] = s.places.Replace(args[i])
	}
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir = s.config
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	for name, value := range c.Environment {
		v := s.places.Replace(*value)
		if name == "ADMIN_LISTEN" {
			v = s.admin[service]
			if v == "" {
				v = s.admin["consumer"]
			}
		}
		cmd.Env = append(cmd.Env, name+"="+v)
	}
	return cmd
}

// once runs a command to its end.
func (s *stand) once(t *testing.T, service string, args ...string) (string, error) {
	t.Helper()
	out, err := s.command(t.Context(), service, args...).CombinedOutput()
	return string(out), err
}

// start starts a service. At the end of the test it is stopped as a container is, and must end cleanly.
func (s *stand) start(t *testing.T, service string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var log bytes.Buffer
	cmd := s.command(ctx, service)
	cmd.Stderr, cmd.Stdout = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s ended with %v", service, err)
		}
		if t.Failed() {
			said := strings.Split(strings.TrimSpace(log.String()), "\n")
			t.Logf("the last that %s said:\n%s", service, strings.Join(said[max(0, len(said)-20):], "\n"))
		}
	})
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, ask func() (answer string, yes bool)) string {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		answer, yes := ask()
		if yes {
			return answer
		}
		select {
		case <-deadline:
			t.Fatalf("still: %s", answer)
		case <-again.C:
		}
	}
}

// TestThePipelineOfTheFile starts every service of ours with the file's commands and environment, the role of the init script and the
// grants of users.xml, and reconciles. What it does not try is the images and Docker itself.
func TestThePipelineOfTheFile(t *testing.T) {
	s := newStand(t)
	for i, want := range []string{"the sample is written", "is there already", "the sample is written"} {
		if i == 2 { // as after a crash between the database and the end of the files
			if err := os.Remove(filepath.Join(s.config, "..", "files", ".extract-sample")); err != nil {
				t.Fatal(err)
			}
		}
		out, err := s.once(t, "sample")
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("sample, time %d: %v: %s", i+1, err, out)
		}
	}
	services := []string{"files", "changes", "lake", "consumer"}
	for _, service := range services {
		out, err := s.once(t, service, "config", "check")
		if err != nil || !strings.Contains(out, "is a valid configuration") {
			t.Errorf("%s: config check: %v: %s", service, err, out)
		}
		s.start(t, service)
	}
	for _, service := range services {
		check := s.project.Services[service].HealthCheck.Test // CMD, the program, its arguments
		eventually(t, func() (string, bool) {
			out, err := s.once(t, service, check[2:]...)
			return service + ": " + out, err == nil && strings.TrimSpace(out) == "ok"
		})
	}
	eventually(t, func() (string, bool) {
		out, err := s.once(t, "extract", "reconcile")
		return out, err == nil
	})
	eventually(t, func() (string, bool) {
		out, err := s.once(t, "extract", "query", "--format", "csv", "SELECT count() FROM dataset.product WHERE review_count > 0")
		return "dataset.product: " + out, err == nil && !strings.HasSuffix(out, "\n0\n")
	})
	if out, err := s.once(t, "extract"); err != nil || !strings.Contains(out, "aw.sql.production.product") {
		t.Errorf("status: %v: %s", err, out)
	}
	must := func(args ...string) {
		t.Helper()
		if out, err := s.once(t, "extract", args...); err != nil {
			t.Errorf("extract %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	must("replay", "--topic", "aw.files.reviews")
	must("replay", "--topic", "aw.sql.production.product")
	if out, err := s.once(t, "consumer", "replay", "--topic", "aw.files.reviews", "--drop-old"); err == nil ||
		!strings.Contains(out, "the user lacks a right") && !strings.Contains(out, "privileges") {
		t.Errorf("the consumer's user drops tables: %v: %s", err, out)
	}
	must("replay", "--topic", "aw.files.reviews", "--drop-old")
	must("audit", "--full")
	must("reconcile")
	checkGrants(t, s.http)
}
