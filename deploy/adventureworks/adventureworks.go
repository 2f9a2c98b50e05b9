// Package adventureworks is the example that ships: a made-up bicycle retailer with a Postgres database, a folder of files and a lake of
// Parquet objects. Generate makes the sample at any scale, Change keeps changing it, and the embedded files describe the dataset that is
// made of it: the configuration (extract.yaml), the Avro schemas of the files, the SQL of the dataset and some queries worth trying.
//
// All names, prices, texts and pictures are made up here. The same seed gives the same bytes.
package adventureworks

import (
	"context"
	"errors"
	"sync"
)

// Options say what Generate makes.
type Options struct {
	// Seed decides everything random.
	Seed uint64
	// Rows is about how many rows all sources have together, images included; 20,000 when it is 0. The catalogue alone has some
	// 6,000, and there are never fewer.
	Rows int
	// Dir is the folder of files that extract watches. Files appear in it complete.
	Dir string
	// LakeDir is the root of the lake.
	LakeDir string
	// DB is the database, which must not hold the sample yet. Generate fills it in one transaction.
	DB Execer
	// BadRows is how many rows that cannot be read are hidden among the reviews, for the dead letters.
	BadRows int
	// Progress, if set, is told how many rows are made of how many, from several goroutines but one at a time.
	Progress func(done, total int)
}

// Generate makes the sample: the database, the files and the lake at the same time, all or as far as it came before an error. After an error
// it may be called again: the database was rolled back, and files and objects are written over by the same bytes.
// Memory does not grow with Rows.
func Generate(ctx context.Context, o Options) error {
	g := newGenerator(o)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{g.loadDatabase, g.writeFiles, g.writeLake}
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			if errs[i] = part(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(withoutCanceled(errs)...); err != nil {
		return err
	}
	return ctx.Err()
}

// withoutCanceled leaves out the errors of the parts that were only stopped because another one failed.
func withoutCanceled(errs []error) []error {
	var out []error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			out = append(out, err)
		}
	}
	return out
}

// plan is how many of everything there are.
type plan struct {
	reviews    int // in the database
	customers  int
	orders     int
	csvReviews int
	train      int // labelled reviews in train.csv; every row is in the archive twice
	test       int
	eval       int // rows of product_eval
	sales      int // rows of sales_history
}

const defaultRows = 20_000

// newPlan shares the rows out: the catalogue takes what it needs, then sales dominate.
func newPlan(rows, catalogRows int) plan {
	rest := max(rows-catalogRows, 1000)
	part := func(percent float64) int { return int(float64(rest) * percent / 100) }
	p := plan{
		reviews:    clamp(part(1), 50, 5000),
		customers:  clamp(part(2), 50, 20_000),
		orders:     max(part(9), 20), // each with a header and three lines
		csvReviews: max(part(15), 100),
		train:      max(part(4.5), 45),
		test:       max(part(0.5), 5),
		eval:       clamp(part(1), 320, 4000), // so that every product is in it
	}
	p.sales = max(rest-p.reviews-3*p.customers-p.orders-orderLines(p.orders)-p.csvReviews-2*(p.train+p.test)-p.eval, months)
	return p
}

func clamp(v, low, high int) int { return min(max(v, low), high) }

func (p plan) rows() int {
	return p.reviews + 3*p.customers + p.orders + orderLines(p.orders) + p.csvReviews + 2*(p.train+p.test) + p.eval + p.sales
}

// fixedRows is how many rows the catalogue has, in tables and as image files.
func (c *catalog) fixedRows() int {
	reference := len(languages) + len(units) + len(locations) + len(categories) + len(lines) + 7 + len(territories) + len(offers)
	return reference + len(c.models)*(1+2*len(languages)) + len(c.products)*(1+2+2+len(offers)+1) + len(c.pictures) + 1 + c.imageFiles()
}

// generator is one run of Generate.
type generator struct {
	Options
	catalog  *catalog
	plan     plan
	progress *progress
}

func newGenerator(o Options) *generator {
	if o.Rows == 0 {
		o.Rows = defaultRows
	}
	g := &generator{Options: o, catalog: newCatalog()}
	fixed := g.catalog.fixedRows()
	g.plan = newPlan(o.Rows, fixed)
	g.progress = &progress{total: fixed + g.plan.rows(), report: o.Progress}
	return g
}

// progress counts rows. The mutex guards done and makes calls of report one at a time.
type progress struct {
	mu     sync.Mutex
	done   int
	total  int
	report func(done, total int)
}

func (p *progress) add(rows int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += rows
	if p.report != nil {
		p.report(p.done, p.total)
	}
}
