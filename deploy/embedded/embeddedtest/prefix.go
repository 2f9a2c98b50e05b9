package embeddedtest

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// KafkaShared tells whether Kafka is one that other tests use too: that of KAFKA_BROKERS.
func KafkaShared() bool { return os.Getenv("KAFKA_BROKERS") != "" }

// Prefix is a prefix for the topics, groups and transactional ids of a test that no other test has. On a shared Kafka its topics are deleted
// when the test has ended, so that thousands of them do not pile up.
func Prefix(t testing.TB, brokers []string) string {
	t.Helper()
	prefix := "t" + suffix()
	if KafkaShared() {
		t.Cleanup(func() {
			if err := deleteTopics(brokers, prefix+"."); err != nil {
				t.Errorf("delete the test's topics: %v", err)
			}
		})
	}
	return prefix
}

func deleteTopics(brokers []string, prefix string) error {
	ctx, cancel := grace(20 * time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	deleted, err := admin.DeleteTopics(ctx, names...)
	for _, d := range deleted {
		if !errors.Is(d.Err, kerr.UnknownTopicOrPartition) { // another cleanup was there first
			err = errors.Join(err, d.Err)
		}
	}
	return err
}
