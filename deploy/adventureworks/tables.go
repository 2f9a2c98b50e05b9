package adventureworks

import (
	"context"
	_ "embed"
	"fmt"
	"image"
	"strconv"
	"strings"
	"time"
)

//go:embed schema.sql
var schemaSQL string

//go:embed constraints.sql
var constraintsSQL string

// loadDatabase makes and fills the tables in one transaction, so that an interrupted start leaves nothing behind.
func (g *generator) loadDatabase(ctx context.Context) error {
	if err := g.DB.Exec(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := g.fillDatabase(ctx)
	if err != nil {
		// What went wrong is said by err; the server rolls back by itself when this cannot be sent.
		_ = g.DB.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		return err
	}
	if err := g.DB.Exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (g *generator) fillDatabase(ctx context.Context) error {
	if err := g.DB.Exec(ctx, schemaSQL); err != nil {
		return fmt.Errorf("create the tables of schema.sql (do they exist already?): %w", err)
	}
	for _, part := range []func(context.Context) error{g.loadReference, g.loadModels, g.loadProducts, g.loadPhotos, g.loadProductReviews, g.loadPeople, g.loadOrders} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if err := g.DB.Exec(ctx, constraintsSQL); err != nil {
		return fmt.Errorf("add the foreign keys of constraints.sql: %w", err)
	}
	return g.DB.Exec(ctx, g.restartIdentities())
}

// restartIdentities makes the tables' own numbers go on behind the rows that were loaded.
func (g *generator) restartIdentities() string {
	var b strings.Builder
	for _, t := range []struct {
		table, column string
		rows          int
	}{
		{"production.productcategory", "productcategoryid", len(categories)}, {"production.productsubcategory", "productsubcategoryid", len(lines)},
		{"production.productmodel", "productmodelid", len(g.catalog.models)}, {"production.product", "productid", len(g.catalog.products)},
		{"production.productdescription", "productdescriptionid", len(g.catalog.models) * len(languages)},
		{"production.productphoto", "productphotoid", len(g.catalog.pictures) + 1}, {"production.productreview", "productreviewid", g.plan.reviews},
		{"person.person", "businessentityid", g.plan.customers}, {"sales.salesterritory", "territoryid", len(territories)},
		{"sales.customer", "customerid", g.plan.customers}, {"sales.specialoffer", "specialofferid", len(offers)},
		{"sales.salesorderheader", "salesorderid", g.plan.orders},
	} {
		fmt.Fprintf(&b, "ALTER TABLE %s ALTER COLUMN %s RESTART WITH %d;\n", t.table, t.column, t.rows+1)
	}
	return b.String()
}

var territories = []struct{ code, country, name, group string }{
	{"FR", "France", "France North", "Europe"}, {"FR", "France", "France South", "Europe"}, {"GB", "United Kingdom", "United Kingdom", "Europe"},
	{"IL", "Israel", "Israel", "Middle East"}, {"MA", "Morocco", "Morocco", "Africa"}, {"TH", "Thailand", "Thailand", "Asia"},
	{"CN", "China", "China East", "Asia"}, {"CA", "Canada", "Canada", "America"},
}

var units = [][2]string{{"CM", "Centimetre"}, {"IN", "Inch"}, {"MM", "Millimetre"}, {"G", "Gram"}, {"KG", "Kilogram"}}

var locations = []string{"Frame Workshop", "Paint Booth", "Wheel Bench", "Final Assembly", "Finished Goods", "Returns"}

var offers = []struct {
	description, kind, category string
	percent                     int
}{
	{"No Discount", "None", "None", 0}, {"Spring Tune-Up", "Season", "Customer", 10}, {"Helmet Week", "Promotion", "Customer", 15},
	{"Dozen or More", "Volume", "Reseller", 8}, {"End of Line", "Discontinued", "Customer", 30},
}

const dateLayout = "2006-01-02"

// modified is when the rows of the catalogue were last changed.
var modified = calendarStart.AddDate(0, 2, 14)

// loadReference fills the tables that the others point to. All of them throw one and the same dice, one after the other.
func (g *generator) loadReference(ctx context.Context) error {
	d := newDice(g.Seed, "reference")
	return firstError(g.loadWorkshop(ctx, d), g.loadTerritories(ctx, d), g.loadOffers(ctx))
}

// loadWorkshop fills the tables about how products are described, made and grouped.
func (g *generator) loadWorkshop(ctx context.Context, d dice) error {
	return firstError(
		g.load(ctx, "production.culture", "cultureid name modifieddate", len(languages), func(r *copyRow, i int) {
			r.text(languages[i].code)
			r.text(languages[i].name)
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "production.unitmeasure", "unitmeasurecode name modifieddate", len(units), func(r *copyRow, i int) {
			r.text(units[i][0])
			r.text(units[i][1])
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "production.location", "locationid name costrate availability opensat closesat modifieddate", len(locations), func(r *copyRow, i int) {
			r.int(i + 1)
			r.text(locations[i])
			r.money(int64(d.between(0, 40)) * 25)
			r.money(int64(d.between(40, 120)) * 100)
			r.text("0" + strconv.Itoa(6+i%3) + ":30:00")
			r.text([]string{"24:00:00", "18:00:00", "22:15:00"}[i%3])
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "production.productcategory", "productcategoryid name rowguid modifieddate", len(categories), func(r *copyRow, i int) {
			r.int(i + 1)
			r.text(categories[i])
			r.uuid(d)
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "production.productsubcategory", "productsubcategoryid productcategoryid name rowguid modifieddate", len(lines), func(r *copyRow, i int) {
			r.int(i + 1)
			r.int(lines[i].category + 1)
			r.text(lines[i].name)
			r.uuid(d)
			r.time(modified, timestampLayout)
		}),
	)
}

func (g *generator) loadTerritories(ctx context.Context, d dice) error {
	countries := []string{}
	seen := map[string]bool{}
	for _, t := range territories {
		if !seen[t.code] {
			seen[t.code] = true
			countries = append(countries, t.code+"\t"+t.country)
		}
	}
	return firstError(
		g.load(ctx, "person.countryregion", "countryregioncode name modifieddate", len(countries), func(r *copyRow, i int) {
			code, name, _ := strings.Cut(countries[i], "\t")
			r.text(code)
			r.text(name)
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "sales.salesterritory", "territoryid name countryregioncode group salesytd modifieddate", len(territories), func(r *copyRow, i int) {
			r.int(i + 1)
			r.text(territories[i].name)
			r.text(territories[i].code)
			r.text(territories[i].group)
			r.money(int64(d.between(10_000, 9_000_000)) * 10)
			r.time(modified, timestampLayout)
		}),
	)
}

func (g *generator) loadOffers(ctx context.Context) error {
	return g.load(ctx, "sales.specialoffer", "specialofferid description discountpct type category startdate enddate minqty maxqty modifieddate", len(offers), func(r *copyRow, i int) {
		o := offers[i]
		r.int(i + 1)
		r.text(o.description)
		r.money(int64(o.percent))
		r.text(o.kind)
		r.text(o.category)
		r.time(calendarStart.AddDate(0, 3*i, 0), dateLayout)
		r.time(calendarEnd.AddDate(1, 0, 0), dateLayout)
		r.int(1 + i/3*11)
		r.null()
		r.time(modified, timestampLayout)
	})
}

// firstError is the first of the errors that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) loadModels(ctx context.Context) error {
	models, d := g.catalog.models, newDice(g.Seed, "models")
	texts := len(models) * len(languages)
	return firstError(
		g.load(ctx, "production.productmodel", "productmodelid name catalogdescription specification rowguid modifieddate", len(models), func(r *copyRow, i int) {
			m := models[i]
			r.int(i + 1)
			r.text(m.name)
			r.text("<catalog><model>" + m.name + "</model><line code=\"" + m.line.code + "\">" + m.line.name + "</line><summary>" + lineTexts[m.line.code][1] + "</summary></catalog>")
			r.text(fmt.Sprintf(`{"line": %q, "grams": %d, "warranty": {"years": %d, "transferable": %t}, "sizes": ["%s"], "ratio": %d.%018d}`,
				m.line.name, m.line.grams, 2+i%4, i%2 == 0, strings.Join(m.line.sizes, `", "`), 1+i%3, d.Uint64N(1e18)))
			r.uuid(d)
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "production.productdescription", "productdescriptionid description rowguid modifieddate", texts, func(r *copyRow, i int) {
			r.int(i + 1)
			r.text(description(models[i/len(languages)], i%len(languages)))
			r.uuid(d)
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "production.productmodelproductdescriptionculture", "productmodelid productdescriptionid cultureid modifieddate", texts, func(r *copyRow, i int) {
			r.int(i/len(languages) + 1)
			r.int(i + 1)
			r.text(languages[i%len(languages)].code)
			r.time(modified, timestampLayout)
		}),
	)
}

const productColumns = "productid name productnumber makeflag finishedgoodsflag color safetystocklevel reorderpoint standardcost listprice size sizeunitmeasurecode " +
	"weightunitmeasurecode weight daystomanufacture productline class style productsubcategoryid productmodelid sellstartdate sellenddate tags rowguid modifieddate"

func (g *generator) loadProducts(ctx context.Context) error {
	d := newDice(g.Seed, "products")
	products := g.catalog.products
	return firstError(
		g.load(ctx, "production.product", productColumns, len(products), func(r *copyRow, i int) { g.productRow(r, &products[i], d) }),
		g.load(ctx, "production.productinventory", "productid locationid shelf bin quantity rowguid modifieddate", 2*len(products), func(r *copyRow, i int) {
			r.int(i/2 + 1)
			r.int([]int{4, 5}[i%2])
			r.text(string(rune('A' + d.IntN(8))))
			r.int(d.IntN(100))
			r.int(d.IntN(900))
			r.uuid(d)
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "production.productlistpricehistory", "productid startdate enddate listprice modifieddate", 2*len(products), func(r *copyRow, i int) {
			p, change := products[i/2], calendarStart.AddDate(2, 0, 0)
			r.int(p.id)
			if i%2 == 0 {
				r.time(calendarStart, timestampLayout)
				r.time(change.Add(-time.Second), timestampLayout)
				r.money(p.cents * 95 / 100)
			} else {
				r.time(change, timestampLayout)
				r.null()
				r.money(p.cents)
			}
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "sales.specialofferproduct", "specialofferid productid modifieddate", len(offers)*len(products), func(r *copyRow, i int) {
			r.int(i%len(offers) + 1)
			r.int(i/len(offers) + 1)
			r.time(modified, timestampLayout)
		}),
	)
}

func (g *generator) productRow(r *copyRow, p *product, d dice) {
	l := p.line
	r.int(p.id)
	r.text(p.name)
	r.text(p.number)
	r.bool(l.category < 2)
	r.bool(true)
	r.text(p.color)
	r.int(100 * (1 + d.IntN(8)))
	r.int(50 * (1 + d.IntN(8)))
	r.money(p.cents * int64(d.between(45, 65)) / 100)
	r.money(p.cents)
	r.textOrNull(p.size)
	r.textOrNull(l.unit)
	r.text("G")
	r.money(int64(l.grams+d.IntN(l.grams/8+1)) * 100)
	r.int(l.category*l.category + 1)
	r.textOrNull(map[string]string{"BR": "R", "BM": "M", "BT": "T"}[l.code])
	r.text([]string{"L", "M", "H"}[min(p.variant, 2)])
	r.text("U")
	r.int(p.lineID)
	r.int(p.modelID)
	r.time(calendarStart.AddDate(0, d.IntN(4), 0), timestampLayout)
	if d.IntN(25) == 0 {
		r.time(calendarEnd.AddDate(0, -d.IntN(12)-1, 0), timestampLayout)
	} else {
		r.null()
	}
	r.text(`{` + strings.ToLower(p.color) + `,"` + strings.ToLower(l.name) + `"}`)
	r.uuid(d)
	r.time(modified, timestampLayout)
}

// photoFormats are the formats of the pictures in the database, in turn.
var photoFormats = []string{"jpg", "png"}

func (g *generator) loadPhotos(ctx context.Context) error {
	pictures, products := g.catalog.pictures, g.catalog.products
	var failed error
	err := g.load(ctx, "production.productphoto", "productphotoid thumbnailphoto thumbnailphotofilename largephoto largephotofilename modifieddate", len(pictures)+1, func(r *copyRow, i int) {
		name, format := "no_image_available", "png"
		var large, small image.Image
		if i == 0 {
			large, small = drawNoImage(320), drawNoImage(80)
		} else {
			p := pictures[i-1]
			name, format = p.name, photoFormats[i%len(photoFormats)]
			size := float64(i%3) / 2
			large, small = drawProduct(p.line, p.variant, p.color, size, i, 320), drawProduct(p.line, p.variant, p.color, size, i, 80)
		}
		largeBytes, err := encodePicture(large, format)
		smallBytes, err2 := encodePicture(small, "png")
		failed = firstError(failed, err, err2)
		r.int(i + 1)
		r.bytea(smallBytes)
		r.text(name + "_small.png")
		r.bytea(largeBytes)
		r.text(name + "." + format)
		r.time(modified, timestampLayout)
	})
	return firstError(failed, err,
		g.load(ctx, "production.productproductphoto", "productid productphotoid primary modifieddate", len(products), func(r *copyRow, i int) {
			r.int(products[i].id)
			r.int(products[i].photoID)
			r.bool(true)
			r.time(modified, timestampLayout)
		}))
}

func (g *generator) loadProductReviews(ctx context.Context) error {
	d := newDice(g.Seed, "product reviews")
	return g.load(ctx, "production.productreview", "productreviewid productid reviewername reviewdate emailaddress rating comments modifieddate", g.plan.reviews, func(r *copyRow, i int) {
		v, at := newReview(d, g.catalog, true), d.moment()
		r.int(i + 1)
		r.int(v.product.id)
		r.text(v.author)
		r.time(at, timestampLayout)
		r.text(v.email)
		r.int(v.rating)
		r.text(v.text)
		r.time(at, timestampLayout)
	})
}

func (g *generator) loadPeople(ctx context.Context) error {
	d, n := newDice(g.Seed, "people"), g.plan.customers
	person := func(i int) (first, last string) {
		d.reseed(g.Seed, uint64(i))
		return pick(d, firstNames), pick(d, lastNames)
	}
	return firstError(
		g.load(ctx, "person.person", "businessentityid persontype title firstname middlename lastname emailpromotion demographics rowguid modifieddate", n, func(r *copyRow, i int) {
			first, last := person(i)
			r.int(i + 1)
			r.text("IN")
			r.null()
			r.text(first)
			r.textOrNull([]string{"", "", "", "J.", "M."}[d.IntN(5)])
			r.text(last)
			r.int(d.IntN(3))
			r.text(fmt.Sprintf(`{"bikes": %d, "commutes": %t}`, d.IntN(5), d.IntN(2) == 0))
			r.uuid(d)
			r.time(d.moment(), timestampLayout)
		}),
		g.load(ctx, "person.emailaddress", "businessentityid emailaddressid emailaddress rowguid modifieddate", n, func(r *copyRow, i int) {
			first, last := person(i)
			r.int(i + 1)
			r.int(1)
			r.text(strings.ToLower(first+"."+last) + strconv.Itoa(i+1) + "@" + pick(d, mailDomains))
			r.uuid(d)
			r.time(modified, timestampLayout)
		}),
		g.load(ctx, "sales.customer", "customerid personid territoryid accountnumber rowguid modifieddate", n, func(r *copyRow, i int) {
			r.int(i + 1)
			r.int(i + 1)
			r.int(i%len(territories) + 1)
			r.text(fmt.Sprintf("AW%08d", i+1))
			r.uuid(d)
			r.time(modified, timestampLayout)
		}),
	)
}
