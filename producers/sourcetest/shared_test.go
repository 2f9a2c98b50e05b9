package sourcetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// items is an origin whose lines become work items, each of which a reader turns into rows.
type items struct{ *Lines }

const rowsPerItem = 3

func (o items) Rows(t *testing.T) []Row {
	var rows []Row
	for _, r := range o.Lines.Rows(t) {
		if r.Dataset == DeadLetters {
			rows = append(rows, r)
			continue
		}
		for i := range rowsPerItem {
			rows = append(rows, Row{Dataset: "out", Text: fmt.Sprintf("%s, row %d", r.Text, i)})
		}
	}
	return rows
}

func (o items) Row(dataset string, r *kgo.Record, lookup func(int) *schemas.Schema) (Row, bool, error) {
	row, ok, err := o.Lines.Row(dataset, r, lookup)
	row.Order = ""
	return row, ok, err
}

// splitter is a Worker that makes rows of an item.
type splitter struct{ out producers.Dataset }

func (s *splitter) Work(_ context.Context, item *kgo.Record, emit func(producers.Batch) error) error {
	_, line, err := schemas.ParseFrame(item.Value)
	if err != nil {
		return err
	}
	for i := range rowsPerItem {
		v := schemas.AppendString(schemas.AppendFrame(nil, s.out.ValueID), fmt.Sprintf("%s, row %d", line[1:], i))
		b := producers.Batch{Records: []*kgo.Record{{Topic: s.out.Topic, Value: v, Partition: int32(i)}}, Rows: []producers.RowCount{{Dataset: "out", Produced: 1}}}
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *splitter) Close(context.Context) error { return nil }

func itemsTopic(prefix, source, _ string) string { return prefix + ".items." + source }

// startShared runs the planner and one reader under the name instance, which may be empty.
func startShared(ctx context.Context, o producers.Options, instance string) error {
	planner := o
	planner.TopicOf = itemsTopic
	planned := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		err := producers.Run(ctx, planner)
		if err != nil {
			stop()
		}
		planned <- err
	}()
	so := shared(o)
	so.Instance = instance
	err := producers.RunShared(ctx, so)
	if planErr := <-planned; planErr != nil {
		return planErr
	}
	return err
}

func shared(o producers.Options) producers.SharedOptions {
	return producers.SharedOptions{Options: o, Group: o.Prefix + "." + o.Source, ItemsTopic: itemsTopic(o.Prefix, o.Source, ""), SessionTimeout: 300 * time.Millisecond,
		New: func(ctx context.Context, t producers.Target) (producers.Worker, error) {
			out, err := t.Dataset(ctx, "out", nil, lineSchema)
			return &splitter{out: out}, err
		}}
}

// A reader that comes back is another one to the group, or the same by its name; a zombie has that name as well.
func TestSharedWork(t *testing.T) {
	for kind, instance := range map[string]string{"nameless": "", "named": "here-0"} {
		t.Run(kind, func(t *testing.T) {
			start := func(ctx context.Context, o producers.Options) error { return startShared(ctx, o, instance) }
			Run(t, Harness{New: func(*testing.T) Origin { return items{NewLines(6, 2, "a")} }, Follows: true, Places: 1, Cases: 100, Start: start})
		})
	}
}
