package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// warnOfKafka waits until Kafka answers and says so when it is a version that breaks the promise. It ends with ctx.
func (p *pipeline) warnOfKafka(ctx context.Context) {
	cl, err := kgo.NewClient(p.kafka...)
	if err != nil {
		return // every part says it
	}
	defer cl.Close()
	for ctx.Err() == nil {
		for _, shard := range cl.RequestSharded(ctx, kmsg.NewPtrApiVersionsRequest()) {
			if versions, ok := shard.Resp.(*kmsg.ApiVersionsResponse); ok && shard.Err == nil {
				if losesEnds(versions) {
					p.log.Warn("this Kafka can lose the ends of transactions when a broker starts, so that rows stay unread or come twice: use 4.2, or a 4.3 with the fix of KAFKA-20734, see docs/audit.md",
						"broker", fmt.Sprintf("%s:%d", shard.Meta.Host, shard.Meta.Port))
				}
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

// losesEnds tells whether a broker is of Kafka 4.3: its coordinator takes a partition without a leader for deleted and leaves it without the transaction's
// mark (KAFKA-20734). What it supports tells the minor version, but not whether it has the fix.
func losesEnds(versions *kmsg.ApiVersionsResponse) bool {
	const metadata43 = 30 // metadata.version 4.3-IV0, the latest of Kafka 4.3
	for _, f := range versions.SupportedFeatures {
		if f.Name == "metadata.version" {
			return f.MaxVersion == metadata43
		}
	}
	return false
}
