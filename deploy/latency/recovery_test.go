package latency

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkRecovery runs the producer and the consumer as processes of their own, kills one of them with kill -9 while rows are committed and starts it
// again at once, as a supervisor would. It measures the time from the kill until a row that was committed after it can be queried. Run it with
// -benchtime 5x.
func BenchmarkRecovery(b *testing.B) {
	for _, half := range []string{"producer", "consumer"} {
		b.Run(half, func(b *testing.B) {
			f := newFlow(b)
			var took []time.Duration
			for range b.N {
				took = append(took, f.kill(half))
			}
			slices.Sort(took)
			b.Logf("%s killed %d times, load average %s: rows flowed again after %v", half, len(took), loadAverage(), took)
			b.ReportMetric(0, "ns/op") // it is the duration of the measurement
			b.ReportMetric(Quantile(took, 0.5).Seconds(), "p50-s")
			b.ReportMetric(Quantile(took, 1).Seconds(), "max-s")
		})
	}
}

// TestRowsFlowAgainAfterKills kills both halves once, and sees that every row is there once.
func TestRowsFlowAgainAfterKills(t *testing.T) {
	f := newFlow(t)
	for _, half := range []string{"producer", "consumer"} {
		t.Logf("rows flowed again %v after the kill of the %s, load average %s", f.kill(half).Round(time.Millisecond), half, loadAverage())
	}
	f.stop()
	f.complete()
}

// flow is a chain whose halves are processes, with rows that are committed all the time.
type flow struct {
	*chain
	halves map[string]*exec.Cmd
	last   atomic.Int64 // the last row committed
	stop   func()       // ends the commits
}

func newFlow(t testing.TB) *flow {
	t.Helper()
	f := &flow{chain: newChain(t, 5), halves: map[string]*exec.Cmd{}}
	for _, half := range []string{"producer", "consumer"} {
		f.launch(half)
	}
	t.Cleanup(func() {
		for _, half := range f.halves {
			end(half)
		}
	})
	f.trickle()
	t.Cleanup(func() { f.stop() })
	f.wait("rows flow", func() bool { return f.highest() > 0 })
	return f
}

// kill kills one half, starts it again and returns how long it took from the kill until a later row could be queried.
func (f *flow) kill(half string) time.Duration {
	f.t.Helper()
	committed := f.last.Load()
	f.wait("all rows are there", func() bool { return f.highest() >= committed })
	began := time.Now()
	end(f.halves[half])
	committed = f.last.Load()
	f.launch(half)
	f.wait("rows flow again", func() bool { return f.highest() > committed })
	return time.Since(began)
}

// launch starts one half as a process.
func (f *flow) launch(half string) {
	f.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(f.environment(), childVariable+"="+half), os.Stderr
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.halves[half] = cmd
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // that it has ended already shows in that no rows flow
	_ = cmd.Wait()
}

// trickle commits two rows every 10 ms until stop is called.
func (f *flow) trickle() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			rows, err := f.write(context.WithoutCancel(ctx), 2)
			if err != nil {
				done <- err
				return
			}
			f.last.Store(rows[len(rows)-1])
			<-tick.C
		}
	}()
	f.stop = func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	}
}

// highest is the highest row that ClickHouse shows, 0 for none.
func (c *chain) highest() int64 {
	c.t.Helper()
	if c.query("SELECT count() FROM system.tables WHERE database = 'raw"+c.suffix+"' AND name LIKE 'sql_public_line_%'") == "0" {
		return 0
	}
	n, err := strconv.ParseInt(c.query("SELECT max(`after.id`) FROM merge('raw"+c.suffix+"', '^sql_public_line_')"), 10, 64)
	if err != nil {
		return 0 // no rows, so NULL
	}
	return n
}
