package consumers

import "testing"

// What a process stored stays counted when its partitions are given back, as they are at every rebalance, and is not counted twice when they return.
func TestStatusKeepsCountsOverRebalances(t *testing.T) {
	var s Status
	wrote := func(n int32, stored, rejected int64) {
		s.set(Partition{Topic: "a", Partition: n}, func(p *PartitionStatus) {
			p.Stored += stored
			p.Rejected += rejected
			p.Position, p.End = 5, 15
		})
	}
	expect := func(when string, partitions int, stored, rejected, lag int64) {
		t.Helper()
		all := s.Topics()
		if len(all) != 1 || len(all[0].Partitions) != partitions || all[0].Stored != stored || all[0].Rejected != rejected || all[0].Lag != lag {
			t.Errorf("%s: status is %+v, want %d partitions, %d stored, %d rejected and a lag of %d", when, all, partitions, stored, rejected, lag)
		}
	}
	wrote(0, 10, 1)
	wrote(1, 20, 2)
	expect("at first", 2, 30, 3, 20)
	s.forget(Partition{Topic: "a", Partition: 0})
	s.forget(Partition{Topic: "a", Partition: 1})
	s.forget(Partition{Topic: "a", Partition: 1}) // told twice
	expect("given back", 0, 30, 3, 0)
	wrote(0, 5, 0)
	expect("taken again", 1, 35, 3, 10)
	if p := s.Topics()[0].Partitions[0]; p.Stored != 15 || p.Rejected != 1 {
		t.Errorf("partition 0 is %+v, want 15 stored and 1 rejected", p)
	}
	(*Status)(nil).forget(Partition{Topic: "a"})
}
