package producers

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestPartitionOfKeyIsJavas compares with the hashes that Kafka's own UtilsTest lists for murmur2.
func TestPartitionOfKeyIsJavas(t *testing.T) {
	p := partitioner(Options{Prefix: "aw", Source: "sql"})
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		for _, n := range []int{1, 4, 7, 16} {
			if got, want := p.ForTopic("aw.sql.t").Partition(&kgo.Record{Key: []byte(key), Partition: 3}, n), int(hash&0x7fffffff)%n; got != want {
				t.Errorf("%q of %d partitions: %d, want %d", key, n, got, want)
			}
		}
	}
}

func TestPartitionWithoutKey(t *testing.T) {
	p := partitioner(Options{Prefix: "aw", Source: "sql"}).ForTopic("aw.sql.t")
	for partition, want := range map[int32]int{0: 0, 3: 3, 4: 0, 9: 1, -1: 3} {
		if got := p.Partition(&kgo.Record{Partition: partition}, 4); got != want {
			t.Errorf("partition %d of 4: %d, want %d", partition, got, want)
		}
	}
	// Every position of a source is in one partition, whatever its part and its schema's id.
	progress := partitioner(Options{Prefix: "aw", Source: "sql"}).ForTopic("aw.progress")
	for _, key := range []string{"a", "b", "c"} {
		if got := progress.Partition(&kgo.Record{Key: []byte(key)}, 16); got != int(partitionOf([]byte("sql"), 16)) {
			t.Errorf("position %s is in partition %d", key, got)
		}
	}
}
