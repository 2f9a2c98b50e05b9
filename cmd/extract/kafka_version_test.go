package main

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// The latest metadata.version as the brokers themselves have given it: 29 that of Kafka 4.2.1, 30 that of 4.3.1.
func TestWarnOfKafka(t *testing.T) {
	for latest, warns := range map[int16]bool{29: false, 30: true, 31: false, 0: false} {
		cluster := embeddedtest.KafkaCluster(t)
		cluster.ControlKey(int16(kmsg.ApiVersions), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			resp := kreq.ResponseKind().(*kmsg.ApiVersionsResponse)
			resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: int16(kmsg.ApiVersions), MaxVersion: 4}, {ApiKey: int16(kmsg.Metadata), MaxVersion: 13}}
			if latest > 0 {
				resp.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{{Name: "group.version", MaxVersion: 30}, {Name: "metadata.version", MinVersion: 7, MaxVersion: latest}}
			}
			return resp, nil, true
		})
		var said bytes.Buffer
		log, err := newLog(&said, "text", "info")
		if err != nil {
			t.Fatal(err)
		}
		(&pipeline{log: log, kafka: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}}).warnOfKafka(t.Context())
		if got := bytes.Contains(said.Bytes(), []byte("KAFKA-20734")); got != warns {
			t.Errorf("of a Kafka with metadata.version %d it says %q", latest, said.String())
		}
	}
}
