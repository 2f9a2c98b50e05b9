package adventureworks

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// linesOf is how many lines an order has; the orders of any five numbers in a row have fifteen.
func linesOf(order int) int { return [...]int{1, 3, 2, 5, 4}[order%5] }

// orderLines is how many lines the first n orders have, whose numbers begin at 1.
func orderLines(n int) int {
	lines := n / 5 * 15
	for order := n/5*5 + 1; order <= n; order++ {
		lines += linesOf(order)
	}
	return lines
}

// orderLine is one line of a sales order.
type orderLine struct {
	product *product
	offer   int // from 1
	qty     int
	cents   int64 // for one piece
}

// orders makes up sales orders. An order depends on its number alone, so headers and lines can be made in two passes.
type orders struct {
	seed    uint64
	catalog *catalog
	dice    dice
	lines   []orderLine // of the order that was made last
}

// order makes order n up and returns when it was placed.
func (o *orders) order(n, of int) time.Time {
	d := o.dice
	d.reseed(o.seed, uint64(n))
	o.lines = o.lines[:0]
	for range linesOf(n) {
		p := &o.catalog.products[d.IntN(len(o.catalog.products))]
		offer := max(1, d.IntN(len(offers)*3)-len(offers)*2+1)
		o.lines = append(o.lines, orderLine{p, offer, 1 + d.IntN(4)*d.IntN(2), p.cents})
	}
	// Orders come in the order of their numbers, some minutes apart from an even pace.
	span := calendarEnd.Sub(calendarStart)
	at := calendarStart.Add(time.Duration(float64(span) * float64(n-1) / float64(of)))
	return at.Add(time.Duration(d.IntN(240)) * time.Second).Truncate(time.Second)
}

const headerColumns = "salesorderid revisionnumber orderdate duedate shipdate paidat status channel purchaseordernumber accountnumber customerid territoryid subtotal taxamt freight " +
	"comment rowguid modifieddate"

var channels = []string{"online", "online", "online", "shop", "shop", "phone", "partner"}

func (g *generator) loadOrders(ctx context.Context) error {
	n := g.plan.orders
	o := &orders{seed: g.Seed + 1, catalog: g.catalog, dice: newDice(g.Seed, "orders")}
	d := o.dice
	order, line := 0, 0 // of the lines' pass
	var at time.Time
	return firstError(
		g.load(ctx, "sales.salesorderheader", headerColumns, n, func(r *copyRow, i int) {
			at := o.order(i+1, n)
			g.headerRow(r, o, i+1, at)
		}),
		g.load(ctx, "sales.salesorderdetail", "salesorderid salesorderdetailid carriertrackingnumber orderqty productid specialofferid unitprice unitpricediscount rowguid modifieddate",
			orderLines(n), func(r *copyRow, i int) {
				if line == len(o.lines) || i == 0 {
					order, line = order+1, 0
					at = o.order(order, n)
				}
				l := o.lines[line]
				line++
				r.int(order)
				r.int(i + 1)
				r.field()
				r.b = strconv.AppendUint(append(r.b, "CT-"...), d.Uint64N(1<<40)|1<<40, 36)
				r.int(l.qty)
				r.int(l.product.id)
				r.int(l.offer)
				r.money(l.cents)
				r.money(int64(offers[l.offer-1].percent))
				r.uuid(d)
				r.time(at, timestampLayout)
			}))
}

func (g *generator) headerRow(r *copyRow, o *orders, n int, at time.Time) {
	var subtotal int64
	for _, l := range o.lines {
		subtotal += l.cents * int64(l.qty) * int64(100-offers[l.offer-1].percent) / 100
	}
	d := o.dice
	customer := d.IntN(g.plan.customers) + 1
	channel := pick(d, channels)
	r.int(n)
	r.int(d.IntN(4))
	r.time(at, timestampLayout)
	r.time(at.AddDate(0, 0, 12), timestampLayout)
	if calendarEnd.Sub(at) > 72*time.Hour {
		r.time(at.AddDate(0, 0, 1+d.IntN(4)), timestampLayout)
		r.time(at.Add(time.Duration(d.IntN(86400_000_000))*time.Microsecond), "2006-01-02 15:04:05.000000-07")
		r.int(5)
	} else {
		r.null()
		r.null()
		r.int(1)
	}
	r.text(channel)
	if channel == "partner" {
		r.text("PO" + strconv.Itoa(n*7))
	} else {
		r.null()
	}
	r.field()
	r.b = fmt.Appendf(r.b, "AW%08d", customer)
	r.int(customer)
	r.int((customer-1)%len(territories) + 1)
	r.money(subtotal)
	r.money(subtotal / 5)
	r.money(max(0, 1500-subtotal/100))
	r.textOrNull([]string{"", "", "", "", "", "", "", "Please ring twice", "Gift: no invoice in the box"}[d.IntN(9)])
	r.uuid(d)
	r.time(at, timestampLayout)
}
