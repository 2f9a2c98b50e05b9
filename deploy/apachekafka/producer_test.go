package apachekafka

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

var number = schemas.MustParse(`{"type":"record","name":"Number","fields":[{"name":"n","type":"long"}]}`)

const (
	batchRows   = 100
	transaction = 10 // batches
)

// numbers is a source of two transactions of numbers, from 1 on. It resumes behind the last number that is durable. One that sticks says
// so and stops half-way in its second transaction.
type numbers struct {
	sticks  bool
	topic   producers.Dataset
	sent, n int64 // batches of this run, rows of all runs
}

func (s *numbers) Open(ctx context.Context, target producers.Target, positions map[string]string) (err error) {
	if text := positions["numbers"]; text != "" {
		if s.n, err = strconv.ParseInt(text, 10, 64); err != nil {
			return err
		}
	}
	s.topic, err = target.Dataset(ctx, "numbers", nil, number)
	return err
}

func (s *numbers) Next(ctx context.Context) (producers.Batch, error) {
	if s.sticks && s.sent == transaction*3/2 {
		fmt.Println("stuck")
		<-ctx.Done()
		return producers.Batch{}, ctx.Err()
	}
	if s.n == 2*transaction*batchRows {
		return producers.Batch{}, io.EOF
	}
	b := producers.Batch{Rows: []producers.RowCount{{Dataset: "numbers", Produced: batchRows}}}
	for range batchRows {
		s.n++
		value := schemas.AppendLong(schemas.AppendFrame(nil, s.topic.ValueID), s.n)
		b.Records = append(b.Records, &kgo.Record{Topic: s.topic.Topic, Value: value, Partition: int32(s.n)})
	}
	s.sent++
	b.Positions = []producers.Position{{Part: "numbers", Text: strconv.FormatInt(s.n, 10)}}
	b.Open = s.n%(transaction*batchRows) != 0
	return b, nil
}

func (s *numbers) Commit(context.Context, []producers.Position) error { return nil }
func (s *numbers) Close(context.Context) error                        { return nil }

// childProducer runs numbers: its arguments are the broker, the prefix and whether the source sticks.
func childProducer() int {
	err := producers.Run(context.Background(), producers.Options{
		Kafka: []kgo.Opt{kgo.SeedBrokers(os.Args[1])}, Registry: sourcetest.NewRegistry(), Prefix: os.Args[2], Source: "src",
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		New: func(context.Context) (producers.Source, error) { return &numbers{sticks: os.Args[3] == "sticks"}, nil },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A producer that is killed half-way in a transaction leaves it open. The next one aborts it at once, instead of waiting 15 minutes for its
// timeout, and goes on behind the last position that was committed.
func TestProducerKilledInATransaction(t *testing.T) {
	b := start(t)
	const prefix, topic = "killed", "killed.src.numbers"
	first, read := child(t, "producer", b.Addr(), prefix, "sticks")
	read("stuck\n")
	_, admin := client(t, b.Addr())
	// Half of the second transaction has reached the broker, and none of it is visible.
	eventually(t, "the open transaction has reached the broker", func() bool {
		return offsets(t, admin.ListEndOffsets, topic) >= offsets(t, admin.ListCommittedOffsets, topic)+transaction/2*batchRows
	})
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()

	began := time.Now()
	second, _ := child(t, "producer", b.Addr(), prefix, "ends")
	var took time.Duration
	eventually(t, "the last position is committed", func() bool {
		positions, err := producers.ReadPositions(t.Context(), []kgo.Opt{kgo.SeedBrokers(b.Addr())}, prefix, "src")
		took = time.Since(began)
		return err == nil && positions["numbers"] == strconv.Itoa(2*transaction*batchRows)
	})
	t.Logf("all of the killed producer's transaction is committed %v after the next one's start", took.Round(time.Millisecond))
	if err := second.Wait(); err != nil {
		t.Errorf("the second producer: %v", err)
	}
	checkNumbers(t, b.Addr(), topic)
}

// offsets is the sum of a topic's offsets.
func offsets(t testing.TB, list func(context.Context, ...string) (kadm.ListedOffsets, error), topic string) (sum int64) {
	t.Helper()
	listed, err := list(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	listed.Each(func(o kadm.ListedOffset) { sum += max(o.Offset, 0) })
	return sum
}

// checkNumbers sees that every number is there once.
func checkNumbers(t *testing.T, addr, topic string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	records, err := sourcetest.ReadTopics(ctx, []kgo.Opt{kgo.SeedBrokers(addr)}, topic)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range records {
		seen[string(r.Value[schemas.FrameSize:])]++
	}
	var wrong []string
	for n := int64(1); n <= 2*transaction*batchRows; n++ {
		if times := seen[string(schemas.AppendLong(nil, n))]; times != 1 {
			wrong = append(wrong, fmt.Sprintf("%d is there %d times", n, times))
		}
	}
	if len(wrong) > 0 || len(records) != 2*transaction*batchRows {
		t.Errorf("%d records; %s", len(records), strings.Join(wrong[:min(10, len(wrong))], ", "))
	}
}
