package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// scoreboard puts the live figures together: what the sources hold (by reading them again now and then), what was produced (by counting the
// topics once, then by the producers' own counts), what is stored (by asking ClickHouse).
type scoreboard struct {
	p      *pipeline
	before map[string]int64 // records by topic before this process produced any

	mu      sync.Mutex       // guards held and retried
	held    map[string]int64 // by topic
	retried map[string]int64 // dead letters whose rows were brought in since, by topic
}

func newScoreboard(p *pipeline) *scoreboard {
	return &scoreboard{p: p, before: map[string]int64{}, held: map[string]int64{}}
}

// countBefore counts what the topics hold already. Call it before any producer runs.
func (b *scoreboard) countBefore(ctx context.Context) error {
	topics, err := datasetTopics(ctx, b.p)
	if err != nil {
		return err
	}
	b.before, err = countRecords(ctx, b.p.kafka, topics)
	return err
}

// datasetTopics are the topics of the configured sources that are there.
func datasetTopics(ctx context.Context, p *pipeline) ([]string, error) {
	cl, err := kgo.NewClient(p.kafka...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	there, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	var topics []string
	for _, t := range there.Names() {
		source, _, ok := schemas.SplitTopic(p.c.Prefix, t)
		if ok && slices.ContainsFunc(p.c.Sources, func(s SourceConfig) bool { return s.Name == source }) {
			topics = append(topics, t)
		}
	}
	return topics, nil
}

// countHeld counts what the sources hold, again and again, with pauses so long that it takes a tenth of the time.
func (b *scoreboard) countHeld(ctx context.Context) {
	r := &reconciler{b.p}
	for ctx.Err() == nil {
		started := time.Now()
		for _, s := range b.p.c.Sources {
			held, err := r.held(ctx, s)
			if err != nil {
				b.p.log.Debug("counting what a source holds", "source", s.Name, "err", err)
				continue
			}
			b.mu.Lock()
			for _, h := range held {
				b.held[schemas.Topic(b.p.c.Prefix, s.Name, h.Dataset)] = h.Rows
			}
			b.mu.Unlock()
		}
		if err := b.countRetried(ctx); err != nil {
			b.p.log.Debug("counting dead letters that were retried", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(10*time.Since(started), 5*time.Second)):
		}
	}
}

// countRetried counts the dead letters whose rows were brought in since.
func (b *scoreboard) countRetried(ctx context.Context) error {
	closings, err := producers.ReadClosings(ctx, b.p.kafka, b.p.c.Prefix)
	if err != nil {
		return err
	}
	retried := map[string]int64{}
	for _, c := range closings {
		if c.State == producers.LetterRetried {
			retried[schemas.Topic(b.p.c.Prefix, c.Source, c.Dataset)]++
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retried = retried
	return nil
}

// rows are the figures now. An error is ClickHouse's; what else is known is returned with it.
func (b *scoreboard) rows(ctx context.Context) ([]liveRow, error) {
	byTopic := map[string]*liveRow{}
	row := func(topic string) *liveRow {
		if byTopic[topic] == nil {
			source, dataset, _ := schemas.SplitTopic(b.p.c.Prefix, topic)
			byTopic[topic] = &liveRow{Source: source, Dataset: dataset, Held: -1}
		}
		return byTopic[topic]
	}
	for topic, n := range b.before {
		row(topic).Produced = n
	}
	status := b.p.live.report()
	for _, src := range status.Sources {
		for _, d := range src.Datasets {
			row(schemas.Topic(b.p.c.Prefix, src.Source, d.Dataset)).Produced += d.Produced
		}
	}
	for _, t := range status.Topics {
		if _, dataset, ok := schemas.SplitTopic(b.p.c.Prefix, t.Topic); ok && dataset != "" {
			row(t.Topic).Lag = t.Lag
		}
	}
	b.mu.Lock()
	for topic, n := range b.held {
		row(topic).Held = n
	}
	b.mu.Unlock()
	err := b.stored(ctx, byTopic)
	var rows []liveRow
	for _, s := range b.p.c.Sources { // in the order of the configuration
		var mine []liveRow
		for _, r := range byTopic {
			if r.Source == s.Name {
				mine = append(mine, *r)
			}
		}
		slices.SortFunc(mine, func(a, b liveRow) int { return cmp.Compare(a.Dataset, b.Dataset) })
		rows = append(rows, mine...)
	}
	return rows, err
}

// stored asks ClickHouse for the rows of the raw tables and of the dead letters: two small queries of its system tables and an index.
func (b *scoreboard) stored(ctx context.Context, byTopic map[string]*liveRow) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	raw := cmp.Or(b.p.c.ClickHouse.Raw, "raw")
	counts, err := b.pairs(ctx, "SELECT table, toString(sum(rows)) FROM system.parts WHERE active AND database = '"+raw+"' GROUP BY table")
	if err != nil {
		return err
	}
	for topic, r := range byTopic {
		r.Stored = counts[schemas.Table(b.p.c.Prefix, topic)]
	}
	if counts["deadletters"] == 0 {
		return nil
	}
	rejected, err := b.pairs(ctx, "SELECT concat(source, '.', dataset), toString(count()) FROM "+raw+".deadletters GROUP BY 1")
	b.mu.Lock()
	defer b.mu.Unlock()
	for topic, r := range byTopic {
		r.Rejected = max(rejected[strings.TrimPrefix(topic, b.p.c.Prefix+".")]-b.retried[topic], 0)
	}
	return err
}

// pairs runs a query of a name and a number.
func (b *scoreboard) pairs(ctx context.Context, sql string) (map[string]int64, error) {
	p := pairReader{}
	err := b.p.sink.Query(ctx, sql, p)
	return p, err
}

type pairReader map[string]int64

// Columns takes any two.
func (pairReader) Columns(_, _ []string) error { return nil }

// Row takes a name and a number.
func (p pairReader) Row(values []*string) error {
	if len(values) == 2 && values[0] != nil && values[1] != nil {
		n, err := strconv.ParseInt(*values[1], 10, 64)
		if err != nil {
			return err
		}
		p[*values[0]] = n
	}
	return nil
}
