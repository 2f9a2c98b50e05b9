package producers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"adventureworks.example/extract/schemas/faults"
)

// dataConfig is the configuration of a topic of rows.
func (t *target) dataConfig() map[string]string {
	c := map[string]string{"retention.ms": "-1", "max.message.bytes": strconv.Itoa(t.o.Limits.MaxRecordBytes)}
	maps.Copy(c, t.o.Topics.Config)
	return c
}

// ensureTopic creates a topic, or checks the one that is there: a topic that would lose or refuse rows is an error.
func (t *target) ensureTopic(ctx context.Context, topic string, partitions int32, config map[string]string) error {
	values := make(map[string]*string, len(config))
	for k, v := range config {
		values[k] = kadm.StringPtr(v)
	}
	resp, err := t.admin.CreateTopic(ctx, partitions, t.o.Topics.ReplicationFactor, values, topic)
	if err == nil {
		err = resp.Err
	}
	switch {
	case err == nil:
		t.o.Log.Info("topic created", "topic", topic, "partitions", partitions)
		return t.await(ctx, topic)
	case errors.Is(err, kerr.TopicAlreadyExists):
		return t.checkTopic(ctx, topic, config)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		if there, lookErr := t.admin.ListTopics(ctx, topic); lookErr == nil && there.Has(topic) {
			return t.checkTopic(ctx, topic, config)
		}
		return faults.KafkaTopicRefused.With(fmt.Errorf("create topic %s: %w", topic, err), "grant Create on it, or create it by hand")
	}
	return faults.RecognizeKafka(fmt.Errorf("create topic %s: %w", topic, err))
}

// checkTopic looks at the configuration of a topic that is there. One that may not be read is trusted.
func (t *target) checkTopic(ctx context.Context, topic string, want map[string]string) error {
	c, err := t.describe(ctx, topic)
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.o.Log.Warn("topic configuration is not checked: DescribeConfigs is not granted", "topic", topic)
		return nil
	}
	if err != nil {
		return faults.RecognizeKafka(fmt.Errorf("describe topic %s: %w", topic, err))
	}
	for _, entry := range c.Configs {
		if problem := topicProblem(entry.Key, entry.MaybeValue(), want); problem != "" {
			return faults.KafkaTopicSettings.With(fmt.Errorf("topic %s: %s", topic, problem), "change the topic, or the configuration here")
		}
	}
	return nil
}

// newTopicWait is how long a broker may not know a topic that the controller has.
const newTopicWait = 5 * time.Second

// untilKnown asks again, for newTopicWait, while the answer is that the topic is not there.
func untilKnown(ctx context.Context, ask func() error) error {
	deadline := time.Now().Add(newTopicWait)
	for {
		err := ask()
		young := errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.LeaderNotAvailable) || errors.Is(err, kerr.NotLeaderForPartition)
		if !young || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// await waits until the leaders of a topic that was made a moment ago know that they lead: before that they refuse its records, and a refused
// record costs the whole transaction.
func (t *target) await(ctx context.Context, topic string) error {
	err := untilKnown(ctx, func() error {
		ends, err := t.admin.ListEndOffsets(ctx, topic)
		return cmp.Or(err, ends.Error())
	})
	if err != nil {
		return faults.RecognizeKafka(fmt.Errorf("wait for the new topic %s: %w", topic, err))
	}
	return nil
}

// describe reads the configuration of a topic that is there. One that another process has only just made may be unknown to the broker that
// is asked, for some milliseconds.
func (t *target) describe(ctx context.Context, topic string) (c kadm.ResourceConfig, err error) {
	err = untilKnown(ctx, func() error {
		configs, err := t.admin.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return err
		}
		if c, err = configs.On(topic, nil); err == nil {
			err = c.Err
		}
		return err
	})
	return c, err
}

// topicProblem says what is wrong with one setting of a topic; it is empty when nothing is.
func topicProblem(key, have string, want map[string]string) string {
	wantCompact := want["cleanup.policy"] == "compact"
	switch key {
	case "cleanup.policy":
		switch compact := strings.Contains(have, "compact"); {
		case compact && !strings.Contains(want[key], "compact"):
			return "cleanup.policy is " + have + ", which would remove all but the last row of a key"
		case wantCompact && (!compact || strings.Contains(have, "delete")):
			return "cleanup.policy is " + have + ", which would forget positions: it must be compact"
		}
	case "max.message.bytes":
		h, err1 := strconv.Atoi(have)
		w, err2 := strconv.Atoi(want[key])
		if err1 == nil && err2 == nil && h < w {
			return fmt.Sprintf("max.message.bytes is %d, less than the %d of max_record_bytes", h, w)
		}
	}
	return ""
}
