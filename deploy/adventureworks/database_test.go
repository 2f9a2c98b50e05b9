package adventureworks

import (
	"context"
	"testing"
)

// TestDatabase fills a real database and asks it whether what it holds fits together.
func TestDatabase(t *testing.T) {
	db := openPostgres(t)
	o := Options{Seed: 1, Rows: 20_000, Dir: t.TempDir(), LakeDir: t.TempDir(), DB: db}
	if err := Generate(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]any{
		"SELECT count(*) >= 300 FROM production.product":                                                                                   true,
		"SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('production', 'person', 'sales')":                           int64(23),
		"SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace::regnamespace::text IN ('production', 'person', 'sales')": int64(24),
		"SELECT count(*) FROM information_schema.tables t WHERE table_schema IN ('production', 'person', 'sales') AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = (t.table_schema || '.' || t.table_name)::regclass AND indisprimary)": int64(0),
		"SELECT count(*) FROM (SELECT cultureid FROM production.productmodelproductdescriptionculture GROUP BY 1 HAVING count(*) = (SELECT count(*) FROM production.productmodel)) x":                                                            int64(6),
		"SELECT sum(h.subtotal - d.s)::text FROM sales.salesorderheader h JOIN (SELECT salesorderid, sum(trunc(unitprice * orderqty * (1 - unitpricediscount), 2)) s FROM sales.salesorderdetail GROUP BY 1) d USING (salesorderid)":             "0.0000",
		"SELECT bool_and((xpath('/catalog/model/text()', catalogdescription))[1]::text = name) FROM production.productmodel":                                                                                                                     true,
		"SELECT count(*) > 20 FROM production.productproductphoto WHERE productphotoid = 1":                                                                                                                                                      true,
		"SELECT count(*) FROM production.productdescription WHERE length(description) < 12":                                                                                                                                                      int64(0),
		"SELECT nextval(pg_get_serial_sequence('sales.salesorderheader', 'salesorderid')) - max(salesorderid) FROM sales.salesorderheader":                                                                                                       int64(1),
		"SELECT count(*) > 1000 AND max(salesorderdetailid) = count(*) FROM sales.salesorderdetail":                                                                                                                                              true,
		"SELECT count(*) FROM sales.salesorderheader h JOIN sales.customer c USING (customerid) WHERE h.accountnumber <> c.accountnumber":                                                                                                        int64(0),
	} {
		if got := db.one(t, sql); got != want {
			t.Errorf("%s: %v, not %v", sql, got, want)
		}
	}
	if err := Generate(context.Background(), o); err == nil {
		t.Error("the sample was generated over itself")
	}
	if got := db.one(t, "SELECT count(*) > 300 FROM production.product"); got != true {
		t.Error("the second start harmed the first one's rows")
	}
}
