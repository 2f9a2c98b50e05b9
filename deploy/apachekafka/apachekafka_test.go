package apachekafka

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// The test binary is also the processes that its tests kill: a variable of the environment says which.
const childVariable = "APACHEKAFKA_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "broker":
		os.Exit(childBroker())
	case "producer":
		os.Exit(childProducer())
	}
	embeddedtest.Main(m)
}

// patience is how long anything may take.
const patience = time.Minute

// start starts a broker that ends with the test.
func start(t testing.TB) *Broker {
	t.Helper()
	return startWith(t, nil)
}

func startWith(t testing.TB, config map[string]string) *Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	b, err := Start(ctx, Options{Dir: t.TempDir(), Config: config})
	if err != nil {
		embeddedtest.Missing(t, "apache kafka", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// client is a client of a broker, with an admin client over it.
func client(t testing.TB, addr string, opts ...kgo.Opt) (*kgo.Client, *kadm.Client) {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.MetadataMinAge(10 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl, kadm.NewClient(cl)
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// What a broker has acknowledged is there after kill -9 and a start, on the same port; stopped cleanly and started by somebody else too.
func TestKilledAndRestarted(t *testing.T) {
	dir := t.TempDir()
	b, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		embeddedtest.Missing(t, "apache kafka", err)
	}
	addr, pid := b.Addr(), b.PID()
	cl, admin := client(t, addr)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	produce := func(n int) {
		t.Helper()
		for range n {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "kept", Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	produce(10)
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("answers %v after its restart", time.Since(began).Round(time.Millisecond))
	if b.Addr() != addr || b.PID() == pid {
		t.Errorf("after the restart: %s, process %d; before: %s, %d", b.Addr(), b.PID(), addr, pid)
	}
	produce(10)
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop(context.Background())
	if again.Addr() != addr {
		t.Errorf("the folder's next broker is at %s, not %s", again.Addr(), addr)
	}
	ends, err := admin.ListEndOffsets(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("kept", 0); end.Offset != 20 {
		t.Errorf("%d records, want 20", end.Offset)
	}
}

// childBroker starts a broker in the folder that is its argument, says so and waits to be killed.
func childBroker() int {
	b, err := Start(context.Background(), Options{Dir: os.Args[1]})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(b.PID())
	select {}
}

// child starts this test binary as another process, which is killed when the test ends.
func child(t testing.TB, kind string, args ...string) (*exec.Cmd, func(format string, into ...any)) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"="+kind)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return cmd, func(format string, into ...any) {
		t.Helper()
		if _, err := fmt.Fscanf(out, format, into...); err != nil {
			t.Fatalf("read from the child: %v", err)
		}
	}
}

func TestDoesNotOutliveItsParent(t *testing.T) {
	start(t) // so that the jars are there, or the test skipped
	parent, read := child(t, "broker", t.TempDir())
	var pid int
	read("%d\n", &pid)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the broker does not run: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the broker has ended", func() bool { return syscall.Kill(pid, 0) != nil })
}

// BenchmarkTransaction measures a transaction of ten records and a position, one after the other, on a broker that is warm. A transaction that
// follows another closely comes before the last one's markers are written, and the broker waits by add.partitions.to.txn.retry.backoff.ms until it
// looks again: that, 20 ms by default, is most of the time.
func BenchmarkTransaction(b *testing.B) {
	for _, ms := range []string{"20", "2"} { // Kafka's default, and ours
		config := map[string]string{"add.partitions.to.txn.retry.backoff.ms": ms}
		b.Run("backoff="+ms+"ms", func(b *testing.B) { benchmarkTransaction(b, startWith(b, config).Addr()) })
	}
}

func benchmarkTransaction(b *testing.B, addr string) {
	prefix := embeddedtest.Prefix(b, []string{addr})
	cl, admin := client(b, addr, kgo.TransactionalID(prefix), kgo.ProducerLinger(0))
	for _, topic := range []string{"rows", "progress"} {
		if _, err := admin.CreateTopic(b.Context(), 4, 1, nil, prefix+"."+topic); err != nil {
			b.Fatal(err)
		}
	}
	value := make([]byte, 200)
	one := func() time.Duration {
		began := time.Now()
		if err := cl.BeginTransaction(); err != nil {
			b.Fatal(err)
		}
		for i := range 10 {
			cl.Produce(b.Context(), &kgo.Record{Topic: prefix + ".rows", Key: []byte{byte(i)}, Value: value}, nil)
		}
		cl.Produce(b.Context(), &kgo.Record{Topic: prefix + ".progress", Key: []byte("k"), Value: []byte("v")}, nil)
		if err := cl.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := cl.EndTransaction(b.Context(), kgo.TryCommit); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	for range 300 { // Java compiles what it runs often
		one()
	}
	var took []time.Duration
	for b.Loop() {
		took = append(took, one())
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
