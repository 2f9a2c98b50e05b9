package consumers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// NothingStored tells whether a group has never stored a record of a topic: whatever it read of it went to the dead letters, or it has read nothing. A
// table that is not there was never made then. Otherwise somebody took it away.
func NothingStored(ctx context.Context, adm *kadm.Client, group, topic string) (bool, error) {
	committed, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return false, fmt.Errorf("fetch offsets of group %s: %w", group, err)
	}
	for _, at := range committed[topic] {
		if at.At <= 0 {
			continue
		}
		if i, ours := parseIntent(at.Metadata); !ours || !i.first {
			return false, nil
		}
	}
	return true, nil
}
