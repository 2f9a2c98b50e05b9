//go:build unix

package chaos

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"adventureworks.example/extract/deploy/embedded"
	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// The trials can be longer, and be made again:
//
//	go test ./deploy/chaos -run TestChaos -v -seed 42 -for 20m -kills 200 -timeout 1h
//	EXTRACT_STOP_ROWS=3000000 go test ./deploy/chaos -run TestCleanStops -v -timeout 1h
var (
	seedFlag  = flag.Uint64("seed", 0, "makes the plan of kills; 0 for another one each time")
	forFlag   = flag.Duration("for", 60*time.Second, "how long members are killed")
	killsFlag = flag.Int("kills", 18, "how many times")
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// options are those of a trial in a folder of the test's own, whose logs are shown when the test fails.
func options(t *testing.T) Options {
	t.Helper()
	if _, err := embedded.Install(t.Context(), "", nil); err != nil {
		embeddedtest.Missing(t, "the embedded stack", err)
	}
	dir, err := os.MkdirTemp("", "extract-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "extract")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/extract").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kept %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("-seed %d", seed)
	return Options{Program: program, Dir: filepath.Join(dir, "trial"), Seed: seed, For: *forFlag, Kills: *killsFlag, Out: testOutput{t},
		Log: slog.New(slog.NewTextHandler(testOutput{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

// testOutput writes into the test's log.
type testOutput struct{ t *testing.T }

func (o testOutput) Write(p []byte) (int, error) {
	o.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}

// judge writes the report into the log and fails the test when a promise was not kept.
func judge(t *testing.T, r *Report, err error) {
	t.Helper()
	if r != nil {
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil {
			t.Error(err)
		}
		t.Log(text.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if !r.Kept() {
		t.Fail()
	}
}

// TestChaos kills every member at least once while rows come in, on the embedded Kafka or on that of KAFKA_BROKERS.
func TestChaos(t *testing.T) {
	o := options(t)
	o.Kafka = os.Getenv("KAFKA_BROKERS")
	r, err := Run(t.Context(), o)
	judge(t, r, err)
	for name, m := range r.ByMember {
		if m.Kills+m.Stops+m.Freezes == 0 {
			t.Errorf("nothing was done to %s", name)
		}
	}
	if r.Kills() != o.Kills || len(r.Recovery) != o.Kills || r.Records < int64(8000) || r.Current == 0 || r.Files == 0 {
		t.Errorf("the trial was none: %d kills, %d times overcome, %d records, %d and %d rows compared", r.Kills(), len(r.Recovery), r.Records, r.Current, r.Files)
	}
}

// TestChaosOnApacheKafka is the same with Apache Kafka, which is killed as well.
func TestChaosOnApacheKafka(t *testing.T) {
	if embeddedtest.KafkaShared() {
		t.Skip("TestChaos runs on the Kafka of KAFKA_BROKERS")
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			embeddedtest.Missing(t, "Apache Kafka", err)
		}
	}
	o := options(t)
	o.Kafka = "apache"
	r, err := Run(t.Context(), o)
	judge(t, r, err)
	if r.ByMember["kafka"].Kills == 0 || r.Kills() != o.Kills {
		t.Errorf("%d kills, %d of them of Kafka", r.Kills(), r.ByMember["kafka"].Kills)
	}
}

// TestCleanStops stops and starts producers and consumers twenty times while rows load: 60,000, or EXTRACT_STOP_ROWS.
func TestCleanStops(t *testing.T) {
	const stops = 20
	o := options(t)
	o.Rows = 60_000
	if given := os.Getenv("EXTRACT_STOP_ROWS"); given != "" {
		if _, err := fmt.Sscan(given, &o.Rows); err != nil {
			t.Fatal(err)
		}
	}
	r, err := CleanStops(t.Context(), o, stops)
	judge(t, r, err)
	done := 0
	for _, m := range r.ByMember {
		done += m.Stops
		if m.LongestStop > stopGrace {
			t.Errorf("a stop took %s", m.LongestStop)
		}
	}
	if programs := 5; done != stops+programs || r.Records < int64(o.Rows)*9/10 {
		t.Errorf("%d stops, %d records", done, r.Records)
	}
}
