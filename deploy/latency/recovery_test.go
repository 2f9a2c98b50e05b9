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
		b.Run(half, func(b *testing.B) { benchmarkRecovery(b, half) })
	}
}

func benchmarkRecovery(b *testing.B, half string) {
	c := newChain(b, 5)
	halves := map[string]*exec.Cmd{"producer": c.launch("producer"), "consumer": c.launch("consumer")}
	defer func() {
		for _, h := range halves {
			kill(h)
		}
	}()
	last, stop := c.trickle()
	defer stop()
	c.wait("rows flow", func() bool { return c.highest() > 0 })
	var took []time.Duration
	for range b.N {
		caughtUp := last.Load()
		c.wait("all rows are there", func() bool { return c.highest() >= caughtUp })
		killed := time.Now()
		kill(halves[half])
		committed := last.Load()
		halves[half] = c.launch(half)
		c.wait("rows flow again", func() bool { return c.highest() > committed })
		took = append(took, time.Since(killed))
	}
	slices.Sort(took)
	b.Logf("%s killed %d times, load average %s: rows flowed again after %v", half, len(took), loadAverage(), took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(Quantile(took, 0.5).Seconds(), "p50-s")
	b.ReportMetric(Quantile(took, 1).Seconds(), "max-s")
}

// launch starts one half as a process.
func (c *chain) launch(half string) *exec.Cmd {
	c.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(c.environment(), childVariable+"="+half), os.Stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // that it has ended already shows in that no rows flow
	_ = cmd.Wait()
}

// trickle commits two rows every 10 ms until stop is called. last is the last row committed.
func (c *chain) trickle() (last *atomic.Int64, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	last, done := new(atomic.Int64), make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			rows, err := c.write(ctx, 2)
			if err != nil && ctx.Err() == nil {
				done <- err
				return
			} else if err != nil {
				break
			}
			last.Store(rows[len(rows)-1])
			<-tick.C
		}
		done <- nil
	}()
	return last, func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
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
