package docker_test

import (
	"strings"
	"testing"
)

// TestBrokenFilesAreSeen breaks the file once for every thing that is checked.
func TestBrokenFilesAreSeen(t *testing.T) {
	text := readFile(t, "docker-compose.yml")
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "  read_only: true\n", "  readonly: true\n", "readonly"},
		{"no password", "${CLICKHOUSE_PASSWORD:?set CLICKHOUSE_PASSWORD in .env}", "${NOT_SET:?set it}", "set it"},
		{"service gone", "\n  consumer:\n", "\n  eater:\n", "service consumer is missing"},
		{"image not pinned", "postgres:17.11", "postgres", `postgres: image "postgres" is not pinned`},
		{"latest image", "apache/kafka:4.2.1", "apache/kafka:latest", "is not pinned"},
		{"no Dockerfile", "dockerfile: deploy/docker/Dockerfile", "dockerfile: Dockerfile", "build: stat"},
		{"no health check", `test: ["CMD", "/usr/local/bin/extract", "health"]`, "disable: true", "files: health check"},
		{"not waited for", "    depends_on:\n      kafka: {condition: service_healthy}\n    healthcheck", "    healthcheck", `registry: waits for kafka: ""`},
		{"only started", "kafka: {condition: service_healthy}", "kafka: {condition: service_started}", `waits for kafka: "service_started"`},
		{"a circle", "networks: [stream]\n    healthcheck:\n      # The tool",
			"networks: [stream]\n    depends_on: [registry]\n    healthcheck:\n      # The tool", "dependency cycle"},
		{"open port", "127.0.0.1:${POSTGRES_PORT:-5432}:5432", "${POSTGRES_PORT:-5432}:5432", "postgres: port 5432 is published on"},
		{"port twice", "${LAKE_ADMIN_PORT:-9467}", "${LAKE_ADMIN_PORT:-9466}", "port 9466 is also published"},
		{"no such mount", "./deploy/docker/clickhouse/users.xml", "./deploy/docker/clickhouse/user.xml", "clickhouse: mount: stat"},
		{"writable mount", "users.d/extract.xml:ro", "users.d/extract.xml", "clickhouse: mount"},
		{"nameless volume", "kafka:/var/lib/kafka/data\n    tmpfs", "/var/lib/kafka/data\n    tmpfs", "kafka: the volume at /var/lib/kafka/data has no name"},
		{"undeclared volume", "  state: {}\n", "", "state"},
		{"root", `user: "101:101"`, `user: "0:0"`, `clickhouse: runs as user "0:0"`},
		{"the image's user", "    user: \"999:999\"\n", "", `postgres: runs as user ""`},
		{"writable root", "  read_only: true\n", "", "kafka: its root file system may be written to"},
		{"capabilities", "  cap_drop: [ALL]\n", "  cap_drop: [NET_RAW]\n", "kafka: capabilities"},
		{"privileges", "no-new-privileges:true", "label:disable", "kafka: may gain privileges"},
		{"no limit", "    deploy: {resources: {limits: {cpus: \"4\", memory: 4g, pids: 2048}}}\n", "", "clickhouse: its memory"},
		{"host network", "    networks: [store]\n", "    network_mode: host\n", "clickhouse: is in no network"},
		{"literal secret", "PGPASSWORD: ${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD in .env}", "PGPASSWORD: hunter2", "sample: the value of PGPASSWORD"},
		{"secret in a URL", "postgres://postgres@postgres:5432", "postgres://postgres:hunter2@postgres:5432", "has a password in it"},
		{"inherited secret", "PGPASSWORD: ${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD in .env}", "PGPASSWORD:", "sample: PGPASSWORD is taken over"},
		{"no such host", "http://registry:8081", "http://karapace:8081", "which is not there"},
		{"no such port", "KAFKA_BROKERS: kafka:19092", "KAFKA_BROKERS: kafka:9092", "kafka listens on 19092"},
		{"no such network", "networks: [stream, store]\n    depends_on", "networks: [stream]\n    depends_on", "consumer: clickhouse:9000: no network is shared"},
		{"variable not given", "      FILES_FOLDER: /var/lib/extract/files\n      GOMEMLIMIT", "      GOMEMLIMIT", "files: FILES_FOLDER is not given"},
		{"folder not mounted", "- state:/var/lib/extract/state", "- state:/state", "lake: no volume is mounted at /var/lib/extract/state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			broken := strings.Replace(text, c.old, c.new, 1)
			if broken == text {
				t.Fatalf("the file does not have %q", c.old)
			}
			p, err := load(broken, secrets)
			found := ""
			if err != nil {
				found = err.Error()
			} else {
				found = strings.Join(problems(p), "\n")
			}
			if !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}
