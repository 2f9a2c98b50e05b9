package docker_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// root is the folder of docker-compose.yml.
const root = "../.."

// secrets are the variables that must be set, as somebody would set them in .env. Their values are found again where they are used.
var secrets = types.Mapping{"POSTGRES_PASSWORD": "secret-1", "POSTGRES_EXTRACT_PASSWORD": "secret-2", "CLICKHOUSE_PASSWORD": "secret-3",
	"CLICKHOUSE_ADMIN_PASSWORD": "secret-6", "S3_ACCESS_KEY": "secret-4", "S3_SECRET_KEY": "secret-5"}

// dependencies are the services, each with those that it waits for.
var dependencies = map[string]map[string]string{
	"kafka":      {},
	"registry":   {"kafka": types.ServiceConditionHealthy},
	"postgres":   {},
	"clickhouse": {},
	"sample":     {"postgres": types.ServiceConditionHealthy},
	"files": {"kafka": types.ServiceConditionHealthy, "registry": types.ServiceConditionHealthy,
		"sample": types.ServiceConditionCompletedSuccessfully},
	"changes": {"kafka": types.ServiceConditionHealthy, "registry": types.ServiceConditionHealthy, "postgres": types.ServiceConditionHealthy,
		"sample": types.ServiceConditionCompletedSuccessfully},
	"lake": {"kafka": types.ServiceConditionHealthy, "registry": types.ServiceConditionHealthy,
		"sample": types.ServiceConditionCompletedSuccessfully},
	"consumer": {"kafka": types.ServiceConditionHealthy, "registry": types.ServiceConditionHealthy, "clickhouse": types.ServiceConditionHealthy},
	"extract":  {},
	"s3":       {"sample": types.ServiceConditionCompletedSuccessfully},
}

// reads are the variables of the configuration that each of our services makes use of.
var reads = map[string][]string{
	"files":    {"KAFKA_BROKERS", "REGISTRY_URL", "ADMIN_LISTEN", "FILES_FOLDER"},
	"changes":  {"KAFKA_BROKERS", "REGISTRY_URL", "ADMIN_LISTEN", "POSTGRES_URL", "PGPASSWORD"},
	"lake":     {"KAFKA_BROKERS", "REGISTRY_URL", "ADMIN_LISTEN", "LAKE_FOLDER", "STATE_FOLDER"},
	"consumer": {"KAFKA_BROKERS", "REGISTRY_URL", "ADMIN_LISTEN", "CLICKHOUSE_ADDRESSES", "CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD", "STATE_FOLDER"},
	"extract": {"KAFKA_BROKERS", "REGISTRY_URL", "ADMIN_LISTEN", "FILES_FOLDER", "POSTGRES_URL", "PGPASSWORD", "LAKE_FOLDER",
		"CLICKHOUSE_ADDRESSES", "CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD"},
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// load reads a compose file as Docker Compose does, by its schema, with every profile.
func load(text string, env types.Mapping) (*types.Project, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{WorkingDir: dir, Environment: maps.Clone(env),
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "docker-compose.yml"), Content: []byte(text)}}},
		func(o *loader.Options) { o.Profiles = []string{"*"} })
}

func mustLoad(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(readFile(t, "docker-compose.yml"), secrets)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeFileIsSound(t *testing.T) {
	for _, problem := range problems(mustLoad(t)) {
		t.Error(problem)
	}
}

// TestExampleEnvironment shows that the example alone starts nothing, since its passwords are empty, and that nothing else is asked for.
func TestExampleEnvironment(t *testing.T) {
	example := types.Mapping{}
	for line := range strings.Lines(readFile(t, "deploy/docker/example.env")) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "# "))
		if name, value, ok := strings.Cut(line, "="); ok && regexp.MustCompile(`^[A-Z0-9_]+$`).MatchString(name) {
			example[name] = value
		}
	}
	text := readFile(t, "docker-compose.yml")
	if _, err := load(text, example); err == nil || !strings.Contains(err.Error(), "in .env") {
		t.Errorf("with empty passwords: %v, want an error that asks for them", err)
	}
	for name := range secrets {
		if value, ok := example[name]; !ok || value != "" {
			t.Errorf("example.env: %s is %q, want it named and empty", name, value)
		}
		example[name] = secrets[name]
	}
	p, err := load(text, example)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems(p) {
		t.Errorf("with the example's values: %s", problem)
	}
	for _, used := range regexp.MustCompile(`\$\{([A-Z0-9_]+)`).FindAllStringSubmatch(text, -1) {
		if _, ok := example[used[1]]; !ok && used[1] != "EXTRACT_VERSION" {
			t.Errorf("docker-compose.yml uses %s, which example.env does not name", used[1])
		}
	}
}

// problems is everything that is wrong with a project.
func problems(p *types.Project) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for name := range dependencies {
		if _, ok := p.Services[name]; !ok {
			add("service %s is missing", name)
		}
	}
	published := map[string]string{}
	for _, s := range p.Services {
		add := func(format string, args ...any) { add(s.Name+": "+format, args...) }
		checkImage(s, add)
		checkWaits(p, s, add)
		checkPorts(s, published, add)
		checkMounts(s, add)
		checkContainment(s, add)
		checkSecrets(s, add)
		checkAddresses(p, s, add)
		checkEnvironment(s, add)
	}
	return all
}

type report func(format string, args ...any)

func checkImage(s types.ServiceConfig, add report) {
	name, tag, _ := strings.Cut(s.Image[strings.LastIndexByte(s.Image, '/')+1:], ":")
	if name == "" || tag == "" || tag == "latest" {
		add("image %q is not pinned", s.Image)
	}
	if s.Build != nil {
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			add("build: %v", err)
		}
	}
}

// oneShot is a service that ends by itself.
func oneShot(s types.ServiceConfig) bool { return s.Restart == types.RestartPolicyNo }

func checkWaits(p *types.Project, s types.ServiceConfig, add report) {
	if healthy := s.HealthCheck != nil && !s.HealthCheck.Disable && len(s.HealthCheck.Test) > 1; healthy == oneShot(s) {
		add("health check %v; a service that stays needs one, one that ends has none", s.HealthCheck)
	}
	want, known := dependencies[s.Name]
	if !known {
		add("unknown service")
	}
	for name, condition := range want {
		if d, ok := s.DependsOn[name]; !ok || d.Condition != condition {
			add("waits for %s: %q, want %q", name, d.Condition, condition)
		}
	}
	for name, d := range s.DependsOn {
		if _, ok := want[name]; !ok {
			add("waits for %s, which it does not need", name)
		}
		if ends := oneShot(p.Services[name]); ends != (d.Condition == types.ServiceConditionCompletedSuccessfully) {
			add("waits for %s to be %s", name, d.Condition)
		}
	}
	if waitsFor(p, s.Name, s.Name, map[string]bool{}) {
		add("waits for itself")
	}
}

// waitsFor tells whether from waits for to, by any number of steps.
func waitsFor(p *types.Project, from, to string, seen map[string]bool) bool {
	for next := range p.Services[from].DependsOn {
		if next == to {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if waitsFor(p, next, to, seen) {
				return true
			}
		}
	}
	return false
}

func checkPorts(s types.ServiceConfig, published map[string]string, add report) {
	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" {
			add("port %s is published on %q, not on 127.0.0.1", port.Published, port.HostIP)
		}
		if other, taken := published[port.Published]; taken {
			add("port %s is also published by %s", port.Published, other)
		}
		published[port.Published] = s.Name
	}
}

func checkMounts(s types.ServiceConfig, add report) {
	for _, v := range s.Volumes {
		switch v.Type {
		case types.VolumeTypeBind:
			if _, err := os.Stat(v.Source); err != nil {
				add("mount: %v", err)
			}
			if !v.ReadOnly {
				add("mount %s may be written to", v.Source)
			}
		case types.VolumeTypeVolume:
			if v.Source == "" {
				add("the volume at %s has no name", v.Target)
			}
		default:
			add("mount of type %s at %s", v.Type, v.Target)
		}
	}
}

func checkContainment(s types.ServiceConfig, add report) {
	user, _, _ := strings.Cut(s.User, ":")
	if user == "" || user == "0" || user == "root" {
		add("runs as user %q", s.User)
	}
	if !s.ReadOnly {
		add("its root file system may be written to")
	}
	if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged {
		add("capabilities: dropped %v, added %v", s.CapDrop, s.CapAdd)
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		add("may gain privileges")
	}
	if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 ||
		s.Deploy.Resources.Limits.NanoCPUs == 0 || s.Deploy.Resources.Limits.Pids == 0 {
		add("its memory, processors or processes have no limit")
	}
	if len(s.Networks) == 0 || s.NetworkMode != "" {
		add("is in no network of its own")
	}
}

var secretName = regexp.MustCompile(`PASS|SECRET|TOKEN|ACCESS_KEY|CREDENTIAL`)

// checkSecrets looks for secrets that are written in the file: every one must be a variable's value.
func checkSecrets(s types.ServiceConfig, add report) {
	given := map[string]bool{}
	for _, v := range secrets {
		given[v] = true
	}
	words := slices.Clone([]string(s.Command))
	for name, value := range s.Environment {
		if value == nil {
			add("%s is taken over from whatever environment there is", name)
			continue
		}
		if secretName.MatchString(name) && !given[*value] {
			add("the value of %s is written in the file", name)
		}
		words = append(words, *value)
	}
	for _, w := range words {
		if u, err := url.Parse(w); err == nil && u.User != nil {
			if _, has := u.User.Password(); has {
				add("%s has a password in it", u.Redacted())
			}
		}
	}
}

// listens are the ports of the services inside their networks.
var listens = map[string]string{"kafka": "19092", "registry": "8081", "postgres": "5432", "clickhouse": "9000", "consumer": "9464"}

var address = regexp.MustCompile(`(?:^|[/@,])([a-z][a-z0-9]*):([0-9]+)(?:$|[/,?])`)

// checkAddresses looks at every service that is named as host:port: it must be there, listen on that port, and share a network.
func checkAddresses(p *types.Project, s types.ServiceConfig, add report) {
	words := slices.Concat([]string(s.Command), []string(s.Entrypoint))
	for _, name := range []string{"KAFKA_BROKERS", "REGISTRY_URL", "POSTGRES_URL", "CLICKHOUSE_ADDRESSES", "ADMIN_LISTEN", "KARAPACE_BOOTSTRAP_URI"} {
		if v := s.Environment[name]; v != nil {
			words = append(words, *v)
		}
	}
	for _, w := range words {
		for _, m := range address.FindAllStringSubmatch(w, -1) {
			other, ok := p.Services[m[1]]
			switch {
			case !ok:
				add("%s names the service %s, which is not there", w, m[1])
			case listens[m[1]] != m[2]:
				add("%s: %s listens on %s", w, m[1], listens[m[1]])
			case !shareNetwork(s, other):
				add("%s: no network is shared with %s", w, m[1])
			}
		}
	}
}

func shareNetwork(a, b types.ServiceConfig) bool {
	for name := range a.Networks {
		if _, ok := b.Networks[name]; ok {
			return true
		}
	}
	return false
}

func checkEnvironment(s types.ServiceConfig, add report) {
	for _, name := range reads[s.Name] {
		if v := s.Environment[name]; v == nil || *v == "" {
			add("%s is not given", name)
		}
	}
	for _, folder := range []string{"FILES_FOLDER", "LAKE_FOLDER", "STATE_FOLDER"} {
		v := s.Environment[folder]
		if v == nil {
			continue
		}
		if !slices.ContainsFunc(s.Volumes, func(m types.ServiceVolumeConfig) bool { return m.Target == *v && m.Type == types.VolumeTypeVolume }) {
			add("no volume is mounted at %s, its %s", *v, folder)
		}
	}
}

// TestVariablesOfTheConfiguration compares the table above with the configuration itself.
func TestVariablesOfTheConfiguration(t *testing.T) {
	var used []string
	for _, names := range reads {
		used = append(used, names...)
	}
	found := 0
	for line := range strings.Lines(readFile(t, "deploy/adventureworks/extract.yaml")) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, m := range regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]*)[:}]`).FindAllStringSubmatch(line, -1) {
			found++
			if !slices.Contains(used, m[1]) {
				t.Errorf("extract.yaml reads %s: say which service reads it", m[1])
			}
		}
	}
	if found < 8 {
		t.Errorf("found %d variables in extract.yaml; it was not read", found)
	}
}

// TestThePageHasEveryService compares docs/compose.md with the file: every service with its ports.
func TestThePageHasEveryService(t *testing.T) {
	page := readFile(t, "docs/compose.md")
	for _, s := range mustLoad(t).Services {
		row := regexp.MustCompile("(?m)^\\| `" + s.Name + "` \\| .*$").FindString(page)
		if row == "" {
			t.Errorf("the page has no %s", s.Name)
		}
		for _, port := range s.Ports {
			if !strings.Contains(row, port.Published) {
				t.Errorf("the page does not say that %s is at %s: %s", s.Name, port.Published, row)
			}
		}
	}
	for name := range mustLoad(t).Volumes {
		if !strings.Contains(page, "`extract_"+name+"`") {
			t.Errorf("the page does not have the volume %s", name)
		}
	}
}
