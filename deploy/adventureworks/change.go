package adventureworks

import (
	"context"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"adventureworks.example/extract/deploy/adventureworks/lakesample"
)

// ChangeOptions say how Change goes about it.
type ChangeOptions struct {
	// Seed decides which changes are made, in which order.
	Seed uint64
	// PerSecond is how many changes are made a second, at least 1.
	PerSecond int
	// Dir and LakeDir are the folders that Generate filled, and DB is the database.
	Dir     string
	LakeDir string
	DB      Execer
	// Report, if set, is told every change once it is made: a word for its kind.
	Report func(kind string)
}

// changeTime bounds one change once it has begun.
const changeTime = 30 * time.Second

// Change goes on changing the sources until ctx ends, and then returns nil: orders, prices, reviews, stock and photos in the database, tables of
// reviews and images in the folder, objects in the lake. A change that has begun is finished. New files bear the time in their names, so that a
// later run never makes one of the same name.
func Change(ctx context.Context, o ChangeOptions) error {
	c := &changer{ChangeOptions: o, catalog: newCatalog(), dice: newDice(o.Seed, "changes")}
	tick := time.NewTicker(time.Second / time.Duration(max(o.PerSecond, 1)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// What was begun is finished: a cancelled statement would cost the connection.
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTime)
		kind, err := c.change(once, time.Now().UTC())
		cancel()
		if err != nil {
			return fmt.Errorf("make a change (%s): %w", kind, err)
		}
		if o.Report != nil {
			o.Report(kind)
		}
	}
}

type changer struct {
	ChangeOptions
	catalog *catalog
	dice    dice
	made    int
}

// change makes the next change. Files come seldom, since each one stands for many rows.
func (c *changer) change(ctx context.Context, now time.Time) (kind string, err error) {
	c.made++
	p := pick(c.dice, c.catalog.products)
	switch {
	case c.made%100 == 20:
		return "reviews", c.reviewFile(now)
	case c.made%100 == 50:
		return "image", c.imageFile(&p, now)
	case c.made%200 == 80:
		return "lake object", c.lakeObject(now)
	case c.made%100 == 90:
		sql, err := c.photo(&p)
		return "photo", errors.Join(err, c.exec(ctx, sql))
	}
	kind, sql := c.statement(&p)
	return kind, c.exec(ctx, sql)
}

func (c *changer) exec(ctx context.Context, sql string) error {
	if sql == "" {
		return nil
	}
	return c.DB.Exec(ctx, sql)
}

// statement is a change of the database by SQL.
func (c *changer) statement(p *product) (kind, sql string) {
	d := c.dice
	switch d.IntN(10) {
	case 0, 1, 2, 3:
		return "order", c.order()
	case 4:
		// The old price ends where the new one begins, in one transaction.
		price := string(appendMoney(nil, p.cents*int64(d.between(85, 115))/100))
		return "price", fmt.Sprintf(`BEGIN;
UPDATE production.productlistpricehistory SET enddate = now(), modifieddate = now() WHERE productid = %[1]d AND enddate IS NULL;
INSERT INTO production.productlistpricehistory (productid, startdate, listprice) VALUES (%[1]d, now(), %[2]s);
UPDATE production.product SET listprice = %[2]s, modifieddate = now() WHERE productid = %[1]d;
COMMIT`, p.id, price)
	case 5:
		v := newReview(d, c.catalog, true)
		return "review", fmt.Sprintf("INSERT INTO production.productreview (productid, reviewername, emailaddress, rating, comments) VALUES (%d, %s, %s, %d, %s)",
			v.product.id, quote(v.author), quote(v.email), v.rating, quote(v.text))
	case 6:
		return "review deleted", "DELETE FROM production.productreview WHERE productreviewid = (SELECT min(productreviewid) FROM production.productreview)"
	case 7:
		// A key change: a shelf moves to another location.
		return "stock moved", fmt.Sprintf(`UPDATE production.productinventory SET locationid = CASE locationid WHEN 4 THEN 6 ELSE 4 END, modifieddate = now()
WHERE productid = %d AND locationid IN (4, 6)`, p.id)
	case 8:
		return "order shipped", `UPDATE sales.salesorderheader SET status = 5, shipdate = now() + interval '1 hour', paidat = now(), modifieddate = now()
WHERE salesorderid = (SELECT max(salesorderid) FROM sales.salesorderheader WHERE status = 1)`
	default:
		return "stock", fmt.Sprintf("UPDATE production.productinventory SET quantity = %d, modifieddate = now() WHERE productid = %d AND locationid = 5", d.IntN(900), p.id)
	}
}

// order is a new order with its lines, in one transaction.
func (c *changer) order() string {
	d := c.dice
	var lines []string
	var subtotal int64
	for i := range 1 + d.IntN(4) {
		p, qty := pick(d, c.catalog.products), 1+d.IntN(3)
		subtotal += p.cents * int64(qty)
		lines = append(lines, fmt.Sprintf("(%d, %d, %d, %s)", i+1, qty, p.id, appendMoney(nil, p.cents)))
	}
	return fmt.Sprintf(`WITH placed AS (
  INSERT INTO sales.salesorderheader (duedate, channel, customerid, accountnumber, territoryid, subtotal, taxamt, freight)
  SELECT now() + interval '12 days', %s, customerid, accountnumber, territoryid, %s, %s, 0 FROM sales.customer ORDER BY customerid OFFSET %d %% (SELECT count(*) FROM sales.customer) LIMIT 1
  RETURNING salesorderid)
INSERT INTO sales.salesorderdetail (salesorderid, salesorderdetailid, orderqty, productid, specialofferid, unitprice)
SELECT salesorderid, n, qty, productid, 1, price FROM placed, (VALUES %s) AS l (n, qty, productid, price)`,
		quote(pick(d, channels)), appendMoney(nil, subtotal), appendMoney(nil, subtotal/5), d.IntN(50), strings.Join(lines, ", "))
}

// photo paints a model's photo anew.
func (c *changer) photo(p *product) (string, error) {
	if p.photoID == noImageID {
		return "", nil
	}
	b, err := encodePicture(drawProduct(p.line, p.variant, p.color, c.dice.Float64(), c.dice.IntN(100), 320), "jpg")
	return fmt.Sprintf("UPDATE production.productphoto SET largephoto = '\\x%s', modifieddate = now() WHERE productphotoid = %d", hex.EncodeToString(b), p.photoID), err
}

// quote is an SQL literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

const stampLayout = "20060102T150405.000000"

func (c *changer) reviewFile(now time.Time) error {
	return writeFile(filepath.Join(c.Dir, "reviews_"+now.Format(stampLayout)+".csv"), func(w io.Writer) error {
		out := csv.NewWriter(w)
		out.Write(reviewHeader) // errors are kept for Flush
		for i := range c.dice.between(20, 60) {
			row := reviewRow(c.dice, c.catalog, int(now.UnixMicro())+i)
			row[9] = now.Format(time.RFC3339)
			out.Write(row)
		}
		out.Flush()
		return out.Error()
	})
}

func (c *changer) imageFile(p *product, now time.Time) error {
	format := pick(c.dice, imageFormats)
	b, err := encodePicture(drawProduct(p.line, p.variant, p.color, c.dice.Float64(), c.dice.IntN(100), 320), format)
	if err != nil {
		return err
	}
	return writeBytes(filepath.Join(c.Dir, "images", imageName(p, "new-"+strings.ReplaceAll(now.Format(stampLayout), ".", "-"), format)), b)
}

func (c *changer) lakeObject(now time.Time) error {
	path := filepath.Join(c.LakeDir, "sales_history", "year="+strconv.Itoa(now.Year()), fmt.Sprintf("month=%02d", now.Month()), "part-"+now.Format(stampLayout)+".parquet")
	return writeFile(path, func(w io.Writer) error {
		return lakesample.WriteSales(w, func(yield func(lakesample.Sale) bool) {
			for i := range c.dice.between(50, 150) {
				s := newSale(c.dice, c.catalog)
				s.OrderID, s.OrderedAt = now.UnixMicro()*1000+int64(i), now
				if !yield(s) {
					return
				}
			}
		})
	})
}
