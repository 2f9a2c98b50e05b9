package sourcetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

var (
	_ Origin           = (*Lines)(nil)
	_ producers.Source = (*lineSource)(nil)
)

// Lines is the simplest origin: lines in memory, by dataset. It shows what a Source and an Origin are made of, and tests the suite and
// producers.Run themselves. A line with a colon has a key, what stands before it; a line that starts with "!" is rejected.
type Lines struct {
	mu       sync.Mutex
	datasets []string
	lines    map[string][]string
	acked    map[string]int // lines acknowledged by Commit
	perBatch int
}

// NewLines makes an origin with n lines in each dataset, read perBatch at a time.
func NewLines(n, perBatch int, datasets ...string) *Lines {
	l := &Lines{datasets: datasets, lines: map[string][]string{}, acked: map[string]int{}, perBatch: perBatch}
	for _, d := range datasets {
		l.add(d, n)
	}
	return l
}

func (l *Lines) add(dataset string, n int) {
	for range n {
		i := len(l.lines[dataset])
		line := fmt.Sprintf("k%d:%s line %d", i%3, dataset, i)
		switch i % 7 {
		case 3:
			line = fmt.Sprintf("%s line %d without a key", dataset, i)
		case 5:
			line = fmt.Sprintf("!%s line %d", dataset, i)
		}
		l.lines[dataset] = append(l.lines[dataset], line)
	}
}

// Add adds two lines to each dataset.
func (l *Lines) Add(*testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.datasets {
		l.add(d, 2)
	}
}

// Rows lists the lines.
func (l *Lines) Rows(*testing.T) []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []Row
	for _, d := range l.datasets {
		for _, line := range l.lines[d] {
			rows = append(rows, lineRow(d, line))
		}
	}
	return rows
}

func lineRow(dataset, line string) Row {
	if strings.HasPrefix(line, "!") {
		return Row{Dataset: DeadLetters, Text: line}
	}
	key, _, keyed := strings.Cut(line, ":")
	if !keyed {
		key = "unkeyed"
	}
	return Row{Dataset: dataset, Order: key, Text: line}
}

// Row reads a line back.
func (l *Lines) Row(dataset string, r *kgo.Record, _ func(int) *schemas.Schema) (Row, bool, error) {
	_, b, err := schemas.ParseFrame(r.Value)
	if err != nil {
		return Row{}, false, err
	}
	skip := 0
	if dataset == DeadLetters {
		skip = 3 // source, dataset, place; then the raw bytes
	}
	for ; ; skip-- {
		n, size := binary.Varint(b)
		if size <= 0 || n < 0 || int(n) > len(b)-size {
			return Row{}, false, errors.New("not a string")
		}
		if skip == 0 {
			return lineRow(dataset, string(b[size:size+int(n)])), true, nil
		}
		b = b[size+int(n):]
	}
}

// Check says whether everything was acknowledged.
func (l *Lines) Check(t *testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.datasets {
		if l.acked[d] > len(l.lines[d]) {
			t.Errorf("%d lines of %s acknowledged of %d", l.acked[d], d, len(l.lines[d]))
		}
	}
}

// Source is a source that ends behind the last line.
func (l *Lines) Source(context.Context) (producers.Source, error) {
	return &lineSource{l: l, at: map[string]int{}}, nil
}

var lineSchema = schemas.MustParse(`{"type":"record","name":"Line","fields":[{"name":"line","type":"string"}]}`)

// lineSource reads the datasets one after the other.
type lineSource struct {
	l       *Lines
	target  producers.Target
	at      map[string]int // lines read
	batches int
	topics  map[string]producers.Dataset
}

// Open resumes behind the positions: the number of lines, by dataset.
func (s *lineSource) Open(ctx context.Context, t producers.Target, positions map[string]string) error {
	s.target, s.topics = t, map[string]producers.Dataset{}
	for part, text := range positions {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("position of %s: %w", part, err)
		}
		s.at[part] = n
	}
	for _, d := range s.l.datasets {
		ready, err := t.Dataset(ctx, d, lineSchema, lineSchema)
		if err != nil {
			return err
		}
		s.topics[d] = ready
	}
	return nil
}

// Next reads some lines of the first dataset that is not read to its end. Every third batch has no position and the one after it is open, so
// that all three go together.
func (s *lineSource) Next(ctx context.Context) (b producers.Batch, err error) {
	if err := ctx.Err(); err != nil {
		return b, err
	}
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	for _, d := range s.l.datasets {
		lines := s.l.lines[d]
		from, to := s.at[d], min(s.at[d]+s.l.perBatch, len(lines))
		if from >= len(lines) {
			continue
		}
		count := producers.RowCount{Dataset: d}
		for i := from; i < to; i++ {
			b.Records = append(b.Records, s.record(d, lines[i], i, &count))
		}
		s.at[d] = to
		s.batches++
		atEnd := to == len(lines)
		if s.batches%3 != 1 || atEnd {
			b.Positions = []producers.Position{{Part: d, Text: strconv.Itoa(to)}}
		}
		b.Open = s.batches%3 == 2 && !atEnd
		b.Rows = []producers.RowCount{count}
		return b, nil
	}
	return b, io.EOF
}

func (s *lineSource) record(dataset, line string, i int, count *producers.RowCount) *kgo.Record {
	if strings.HasPrefix(line, "!") {
		count.Rejected++
		return s.target.DeadLetter(producers.DeadLetter{Dataset: dataset, Place: fmt.Sprintf("line %d", i+1), Raw: []byte(line), Reason: "it starts with an exclamation mark"})
	}
	count.Produced++
	ready := s.topics[dataset]
	r := &kgo.Record{Topic: ready.Topic, Value: schemas.AppendString(schemas.AppendFrame(nil, ready.ValueID), line)}
	if key, _, keyed := strings.Cut(line, ":"); keyed {
		r.Key = schemas.AppendString(schemas.AppendFrame(nil, ready.KeyID), key)
	}
	return r
}

// Commit counts what is durable.
func (s *lineSource) Commit(_ context.Context, positions []producers.Position) error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	for _, p := range positions {
		n, err := strconv.Atoi(p.Text)
		if err != nil {
			return fmt.Errorf("position of %s: %w", p.Part, err)
		}
		s.l.acked[p.Part] = max(s.l.acked[p.Part], n)
	}
	return nil
}

// Close has nothing to release.
func (s *lineSource) Close(context.Context) error { return nil }
