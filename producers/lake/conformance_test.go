package lake

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

var _ sourcetest.Origin = (*salesLake)(nil)

// salesLake is a lake of known rows: good objects of several items each, and one that is broken.
type salesLake struct {
	*lakeFolder
	rows []sourcetest.Row
	sale int
}

func newSalesLake(t *testing.T) sourcetest.Origin {
	l := &salesLake{lakeFolder: newLake(t)}
	l.object("sales/year=2025/b.parquet", 7)
	l.object("sales/year=2026/a.parquet", 4)
	l.put("sales/year=2026/broken.parquet", []byte("PAR1 and no more"))
	l.rows = append(l.rows, sourcetest.Row{Dataset: sourcetest.DeadLetters, Text: "PAR1 and no more"})
	return l
}

func (l *salesLake) object(key string, n int) {
	l.sales(key, l.sale, n, 5)
	for range n {
		l.rows = append(l.rows, sourcetest.Row{Dataset: "sales", Text: saleText(int64(l.sale))})
		l.sale++
	}
}

func saleText(id int64) string { return fmt.Sprintf("%d: sale %d", id, id) }

func (l *salesLake) Source(context.Context) (producers.Source, error) {
	conf := l.conf()
	follow := true
	conf.Follow = &follow
	return New(conf, nil)
}

func (l *salesLake) Add(*testing.T) {
	l.object(fmt.Sprintf("sales/year=2024/added%d.parquet", l.sale), 3)
}

func (l *salesLake) Rows(*testing.T) []sourcetest.Row { return l.rows }

func (l *salesLake) Row(dataset string, r *kgo.Record, lookup func(int) *schemas.Schema) (sourcetest.Row, bool, error) {
	id, payload, err := schemas.ParseFrame(r.Value)
	if err != nil {
		return sourcetest.Row{}, false, err
	}
	codec, err := goavro.NewCodec(lookup(id).String())
	if err != nil {
		return sourcetest.Row{}, false, err
	}
	native, _, err := codec.NativeFromBinary(payload)
	if err != nil {
		return sourcetest.Row{}, false, err
	}
	row := plainValue(native).(map[string]any)
	if dataset == sourcetest.DeadLetters {
		return sourcetest.Row{Dataset: dataset, Text: row["raw"].(string)}, true, nil
	}
	return sourcetest.Row{Dataset: dataset, Text: fmt.Sprintf("%v: %v", row["id"], row["title"])}, true, nil
}

// startLake runs a planner and a reader of the origin's folder, as Run does.
func startLake(folder func() Config) func(context.Context, producers.Options) error {
	return func(ctx context.Context, o producers.Options) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		planned := make(chan error, 1)
		go func() {
			err := producers.Run(ctx, plannerOptions(o))
			if err != nil {
				stop()
			}
			planned <- err
		}()
		so := readerOptions(folder(), o)
		so.SessionTimeout = 300 * time.Millisecond
		err := producers.RunShared(ctx, so)
		if planErr := <-planned; planErr != nil {
			return planErr
		}
		return err
	}
}

func TestConformance(t *testing.T) {
	var latest *salesLake // the cases run one after the other
	h := sourcetest.Harness{
		New: func(t *testing.T) sourcetest.Origin {
			o := newSalesLake(t)
			latest = o.(*salesLake)
			return o
		},
		Follows: true, Places: 1, Cases: 80,
	}
	h.Start = startLake(func() Config { return latest.conf() })
	sourcetest.Run(t, h)
}
