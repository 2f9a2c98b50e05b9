package embedded

import (
	"math"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// guardFetches keeps kfake from showing aborted records to read_committed readers. When an answer reaches the request's MaxBytes in the middle of a
// partition, kfake ends the answer at once and leaves out that partition's list of aborted transactions, so that the client takes its
// records for committed ones. Here a request never reaches that limit: each partition's own limit, at which kfake does it right, is lowered to a
// part of it instead.
func guardFetches(c *kfake.Cluster) {
	const parts, least = 16, 64 << 10
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.FetchRequest)
		share := max(req.MaxBytes/parts, least)
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				p := &req.Topics[i].Partitions[j]
				p.PartitionMaxBytes = min(p.PartitionMaxBytes, share)
			}
		}
		req.MaxBytes = math.MaxInt32
		return nil, nil, false
	})
}
