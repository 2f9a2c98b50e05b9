package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = "../../deploy/adventureworks/extract.yaml"

func TestTheExampleIsAValidConfiguration(t *testing.T) {
	c, err := readConfig(example, env("KAFKA_BROKERS", "a:1, b:2", "POSTGRES_URL", "postgres://u@127.0.0.1/db"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Kafka.Brokers) != 2 || c.Kafka.Brokers[1] != "b:2" || len(c.Sources) != 3 || len(c.Dataset.SQL) == 0 {
		t.Errorf("read %+v", c)
	}
	for _, sql := range c.Dataset.SQL {
		if _, err := os.Stat(sql); err != nil {
			t.Error(err)
		}
	}
	kinds := ""
	for _, s := range c.Sources {
		kinds += s.kind() + " "
	}
	if kinds != "postgres files lake " {
		t.Errorf("kinds %q", kinds)
	}
}

func TestConfigurationErrorsSayWhatIsWrong(t *testing.T) {
	good := "prefix: aw\nkafka: {brokers: [127.0.0.1:9092]}\nregistry: {url: 'http://r'}\nclickhouse: {addresses: [localhost:9000]}\n"
	for _, c := range []struct{ name, text, want string }{
		{"all missing", "sources: []\n", "prefix is missing"},
		{"no brokers", "prefix: aw\nsources: []\n", "kafka.brokers is missing"},
		{"no sources", good, "sources is empty"},
		{"two kinds", good + "sources: [{name: a, files: {folder: x}, lake: {folder: y}}]\n", `source "a": give exactly one of postgres, files and lake`},
		{"bad name", good + "sources: [{name: a.b, lake: {folder: y}}]\n", "letters, digits and underscores"},
		{"same name", good + "sources: [{name: a, lake: {folder: y}}, {name: a, lake: {folder: z}}]\n", `two sources are named "a"`},
		{"bad partitions", good + "sources: [{name: a, partitions: -1, lake: {folder: y}}]\n", "-1 partitions: a topic has at least one"},
		{"bad postgres", good + "sources: [{name: a, postgres: {slot: 'A B'}}]\n", "url: it is missing"},
		{"unknown key", good + "sources:\n  - name: a\n    lake: {fodler: y}\n", `:7:12: unknown field "fodler"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "extract.yaml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readConfig(path, env())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one with %q and the file's name", err, c.want)
			}
		})
	}
}

func TestKafkaOptionsRefuseWhatTheyCannotUse(t *testing.T) {
	for _, k := range []KafkaConfig{
		{SASL: &SASLConfig{Mechanism: "GSSAPI"}},
		{TLS: &TLSConfig{CA: "/no/such/file"}},
		{TLS: &TLSConfig{CA: example}}, // not PEM
		{TLS: &TLSConfig{Cert: example, Key: example}},
	} {
		c := &Config{path: "x.yaml", Kafka: k}
		if _, err := c.kafkaOptions(); err == nil {
			t.Errorf("%+v is accepted", k)
		}
	}
	for _, mechanism := range []string{"plain", "SCRAM-SHA-256", "scram-sha-512"} {
		c := &Config{Kafka: KafkaConfig{SASL: &SASLConfig{Mechanism: mechanism, User: "u", Password: "p"}}}
		if _, err := c.kafkaOptions(); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}

func TestCommandLineErrorsAreUsageErrors(t *testing.T) {
	empty := t.TempDir()
	for _, args := range [][]string{
		{"nonsense"}, {"query"}, {"produce"}, {"produce", "tapes"}, {"produce", "postgres", "--once", "--dir", empty}, {"status", "--no-such-flag"},
		{"reconcile", "--format", "pdf", "--dir", empty}, {"run", "-c", "/no/such/file.yaml"}, {"config", "check", "--dir", empty},
		{"status", "--dir", empty}, {"demo", "--rows", "0", "--dir", empty}, {"version", "1"}, {"run", "--log-level", "loud"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Chdir(empty)
			var stdout, stderr bytes.Buffer
			if code := run(context.Background(), args, env(), &stdout, &stderr); code != exitUsage {
				t.Errorf("exit code %d, want %d; stderr %q", code, exitUsage, stderr.String())
			}
			if !strings.HasPrefix(stderr.String(), "extract: ") || strings.Count(stderr.String(), "\n") > 2 {
				t.Errorf("stderr %q is not one clear sentence", stderr.String())
			}
		})
	}
}

func TestHelpTeaches(t *testing.T) {
	for _, command := range []string{"demo", "run", "produce", "consume", "reconcile", "query", "status"} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), []string{command, "--help"}, env(), &stdout, &stderr); code != exitOK {
			t.Errorf("%s --help: exit code %d", command, code)
		}
		if !strings.Contains(stdout.String(), "Examples:") || !strings.Contains(stdout.String(), "extract "+command) {
			t.Errorf("%s --help has no example:\n%s", command, stdout.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"version"}, env(), &stdout, &stderr); code != exitOK || !strings.HasPrefix(stdout.String(), "extract ") {
		t.Errorf("version: exit code %d, printed %q", code, stdout.String())
	}
}

func TestExpandKeepsSecretsOutOfErrors(t *testing.T) {
	c := &Config{path: "x.yaml"}
	text := "prefix: aw\nkafka: {brokers: [127.0.0.1:9092], sasl: {mechanism: PLAIN, user: u, password: '${SECRET}', oops: 1}}\n"
	err := decodeYAML("x.yaml", []byte(text), env("SECRET", "hunter2"), c)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v: want one without the secret", err)
	}
}

func TestPartitionsOfASource(t *testing.T) {
	sources := "sources: [{name: a, postgres: {url: 'postgres://u@h/d'}}, {name: b, files: {folder: f}}, {name: c, lake: {folder: l}}, {name: d, partitions: 7, postgres: {url: 'postgres://u@h/d'}}]\n"
	for _, c := range []struct {
		kafka string
		want  [4]int32
	}{{"", [4]int32{1, 4, 4, 7}}, {", partitions: 12", [4]int32{12, 12, 12, 7}}} {
		path := filepath.Join(t.TempDir(), "extract.yaml")
		text := "prefix: aw\nkafka: {brokers: [127.0.0.1:9092]" + c.kafka + "}\nregistry: {url: 'http://r'}\nclickhouse: {addresses: [localhost:9000]}\n" + sources
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		conf, err := readConfig(path, env())
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if got := conf.partitions(conf.Sources[i]); got != want {
				t.Errorf("source %s with kafka%s has %d partitions, want %d", conf.Sources[i].Name, c.kafka, got, want)
			}
		}
	}
}
