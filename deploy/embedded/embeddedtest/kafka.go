package embeddedtest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"adventureworks.example/extract/deploy/embedded"
)

// Kafka returns the brokers of a Kafka: those of KAFKA_BROKERS, which other tests use too, or a cluster of the test's own.
func Kafka(t testing.TB) []string {
	t.Helper()
	if brokers := os.Getenv("KAFKA_BROKERS"); brokers != "" {
		return strings.Split(brokers, ",")
	}
	return KafkaCluster(t).ListenAddrs()
}

// KafkaCluster returns a cluster of the test's own, in memory, for tests that make it fail (ControlKey). It is the embedded stack's: one
// broker, records of up to 16 MiB. It ends with the test.
func KafkaCluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	return StartKafka(t, embedded.KafkaOptions{Options: opts}).Cluster()
}

// StartKafka starts a Kafka of the test's own, which can be given a folder and restarted. It ends with the test.
func StartKafka(t testing.TB, o embedded.KafkaOptions) *embedded.Kafka {
	t.Helper()
	k, err := embedded.StartKafka(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// Registry returns the address of a schema registry: SCHEMA_REGISTRY_URL, which other tests use too, or an empty one of the test's own.
func Registry(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("SCHEMA_REGISTRY_URL"); url != "" {
		return url
	}
	return StartRegistry(t, KafkaCluster(t).ListenAddrs()).URL()
}

// StartRegistry starts a schema registry of the test's own that keeps its schemas in the Kafka that is given. It ends with the test.
func StartRegistry(t testing.TB, brokers []string) *embedded.Registry {
	t.Helper()
	r, err := embedded.StartRegistry(t.Context(), brokers, embedded.RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := grace(5 * time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}
