package adventureworks

import (
	"context"
	"fmt"
	"image"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"adventureworks.example/extract/deploy/adventureworks/lakesample"
)

// months is how many months the calendar has.
const months = 46

// evalObjectRows is how many rows one object of product_eval holds.
const evalObjectRows = 1000

func (g *generator) writeLake(ctx context.Context) error {
	if err := g.writeEval(ctx); err != nil {
		return err
	}
	for m := range months {
		start := calendarStart.AddDate(0, m, 0)
		rows := g.plan.sales*(m+1)/months - g.plan.sales*m/months
		path := filepath.Join(g.LakeDir, "sales_history", fmt.Sprintf("year=%04d", start.Year()), fmt.Sprintf("month=%02d", start.Month()), "part-00000.parquet")
		err := writeFile(path, func(w io.Writer) error {
			return lakesample.WriteSales(w, g.sales(ctx, newDice(g.Seed, start.Format("sales 2006-01")), start, rows))
		})
		if err := firstError(ctx.Err(), err); err != nil {
			return err
		}
	}
	return nil
}

// sales are the rows of one month. They end early when ctx does.
func (g *generator) sales(ctx context.Context, d dice, month time.Time, rows int) iter.Seq[lakesample.Sale] {
	span := int(month.AddDate(0, 1, 0).Sub(month) / time.Second)
	return func(yield func(lakesample.Sale) bool) {
		for i := range rows {
			if i%1000 == 0 {
				if ctx.Err() != nil {
					return
				}
				g.progress.add(min(1000, rows-i))
			}
			s := newSale(d, g.catalog)
			s.OrderID = int64(month.Year())*1e10 + int64(month.Month())*1e8 + int64(i) + 1
			s.OrderedAt = month.Add(time.Duration(d.IntN(span))*time.Second + time.Duration(d.IntN(1e6))*time.Microsecond)
			if !yield(s) {
				return
			}
		}
	}
}

var (
	saleChannels   = []string{"marketplace", "marketplace", "outlet", "wholesale", "rental"}
	saleTags       = []string{"gift", "express", "first order", "return customer", "bulk", "store pickup"}
	saleAttributes = [][2]string{{"device", "phone"}, {"device", "tablet"}, {"coupon", "RIDE10"}, {"coupon", "AUTUMN"}, {"wrapping", "yes"}}
)

// newSale makes up a sale, all but its number and its time.
func newSale(d dice, c *catalog) lakesample.Sale {
	p := &c.products[d.IntN(len(c.products))]
	s := lakesample.Sale{ProductNumber: p.number, Quantity: int32(1 + d.IntN(3)*d.IntN(2)), Cents: p.cents * int64(d.between(80, 100)) / 100, Channel: pick(d, saleChannels)}
	first := d.IntN(len(saleTags))
	s.Tags = saleTags[first:min(first+d.IntN(3), len(saleTags))]
	s.Attributes = []lakesample.Attribute{{Key: "warehouse", Value: pick(d, []string{"Lille", "Haifa", "Chiang Mai"})}}
	if d.IntN(2) == 0 {
		a := pick(d, saleAttributes)
		s.Attributes = append(s.Attributes, lakesample.Attribute{Key: a[0], Value: a[1]})
	}
	return s
}

func (g *generator) writeEval(ctx context.Context) error {
	images := make([][]byte, len(g.catalog.products))
	for i := range images {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &g.catalog.products[i]
		var m image.Image
		if p.photoID == noImageID {
			m = drawNoImage(160)
		} else {
			m = drawProduct(p.line, p.variant, p.color, sizeOf(p.line, p.size), i+3, 160)
		}
		var err error
		if images[i], err = encodePicture(m, "jpg"); err != nil {
			return err
		}
	}
	d, next := newDice(g.Seed, "eval"), 0
	order := d.Perm(len(images))
	for object := 0; object*evalObjectRows < g.plan.eval; object++ {
		rows := min(evalObjectRows, g.plan.eval-object*evalObjectRows)
		err := writeFile(filepath.Join(g.LakeDir, "product_eval", fmt.Sprintf("part-%05d.parquet", object)), func(w io.Writer) error {
			return lakesample.WriteEval(w, func(yield func(lakesample.Eval) bool) {
				for range rows {
					i := order[next%len(order)] // every product before any comes again
					next++
					if !yield(newEval(d, &g.catalog.products[i], images[i])) {
						return
					}
				}
			})
		})
		if err != nil {
			return err
		}
		g.progress.add(rows)
	}
	return nil
}

// newEval makes up a search that found the product.
func newEval(d dice, p *product, image []byte) lakesample.Eval {
	thing := strings.ToLower(singular(p.line))
	query := pick(d, []string{"%c %t", "%t %c", "cheap %t", "best %t", "%t for commuting", "%t gift"})
	return lakesample.Eval{
		Image:    lakesample.Image{Bytes: image, Path: "eval/" + p.number + ".jpg"},
		ItemID:   p.number,
		Query:    strings.NewReplacer("%c", strings.ToLower(p.color), "%t", thing).Replace(query),
		Title:    p.line.models[p.variant].name + " - " + p.color + " " + singular(p.line),
		Position: int32(1 + d.IntN(20)),
	}
}

// singular is the name of one article of a line.
func singular(l *line) string {
	if l.code == "WS" {
		return l.name // a pair of shorts
	}
	return strings.TrimSuffix(l.name, "s")
}
