package adventureworks

import (
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"adventureworks.example/extract/deploy/embedded/embeddedtest"
)

// clickHouse is a server with databases of the test's own in the place of raw, current and dataset.
type clickHouse struct {
	t   *testing.T
	url string
	own *strings.Replacer
}

var databases = regexp.MustCompile(`\b(raw|current|dataset)\.|DATABASE IF NOT EXISTS (raw|current|dataset)\b|database = '(dataset)'`)

func openClickHouse(t *testing.T) clickHouse {
	t.Helper()
	server := embeddedtest.ClickHouse(t)
	ch := clickHouse{t: t, url: server.HTTP, own: strings.NewReplacer("raw", "raw"+server.Suffix, "current", "current"+server.Suffix, "dataset", "dataset"+server.Suffix)}
	for _, name := range []string{"raw", "current", "dataset"} {
		ch.query("CREATE DATABASE IF NOT EXISTS " + name)
	}
	t.Cleanup(func() {
		for _, name := range []string{"raw", "current", "dataset"} {
			ch.send("DROP DATABASE " + name + server.Suffix + " SYNC")
		}
	})
	return ch
}

// query runs a statement with the test's own databases and returns its rows as tab-separated lines.
func (ch clickHouse) query(sql string) string {
	ch.t.Helper()
	return ch.send(databases.ReplaceAllStringFunc(sql, ch.own.Replace))
}

func (ch clickHouse) send(sql string) string {
	ch.t.Helper()
	res, err := http.Post(ch.url+"/?default_format=TSV&allow_experimental_refreshable_materialized_view=1", "text/plain", strings.NewReader(sql))
	if err != nil {
		ch.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		ch.t.Fatalf("%s\n%s %v", sql, body, err)
	}
	return strings.TrimSpace(string(body))
}

// applyDataset runs the statements that Files holds and refreshes the views once.
func (ch clickHouse) applyDataset() {
	ch.t.Helper()
	names, err := fs.Glob(Files, "dataset/*.sql")
	if err != nil || len(names) != 4 {
		ch.t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(Files, name)
		if err != nil {
			ch.t.Fatal(err)
		}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			if strings.TrimSpace(statement) != "" {
				ch.query(statement)
			}
		}
	}
	ch.refresh()
}

// refresh makes the dataset anew, sources before what is made of them.
func (ch clickHouse) refresh() {
	ch.t.Helper()
	for _, view := range []string{"image", "text", "product", "sample"} {
		ch.query("SYSTEM REFRESH VIEW dataset." + view + "_refresh")
		ch.query("SYSTEM WAIT VIEW dataset." + view + "_refresh")
	}
	if failed := ch.query("SELECT view, exception FROM system.view_refreshes WHERE database = 'dataset' AND exception <> ''"); failed != "" {
		ch.t.Fatal(failed)
	}
}

// sourceTables have the columns that the dataset reads, with the types that the tables of a topic have.
var sourceTables = []string{
	"current.sql_production_product (productid Int32, name Nullable(String), productnumber Nullable(String), color Nullable(String), listprice Nullable(String), size Nullable(String), productsubcategoryid Nullable(Int32), productmodelid Nullable(Int32), sellenddate Nullable(DateTime64(6, 'UTC')))",
	"current.sql_production_productsubcategory (productsubcategoryid Int32, productcategoryid Nullable(Int32), name Nullable(String))",
	"current.sql_production_productcategory (productcategoryid Int32, name Nullable(String))",
	"current.sql_production_productmodel (productmodelid Int32, name Nullable(String))",
	"current.sql_production_productdescription (productdescriptionid Int32, description Nullable(String), modifieddate Nullable(DateTime64(6, 'UTC')))",
	"current.sql_production_productmodelproductdescriptionculture (productmodelid Int32, productdescriptionid Int32, cultureid String)",
	"current.sql_production_productphoto (productphotoid Int32, largephoto Nullable(String), largephotofilename Nullable(String))",
	"current.sql_production_productproductphoto (productid Int32, productphotoid Int32)",
	"current.sql_production_productreview (productreviewid Int32, productid Nullable(Int32), reviewdate Nullable(DateTime64(6, 'UTC')), emailaddress Nullable(String), rating Nullable(Int32), comments Nullable(String))",
	"current.sql_sales_salesorderheader (salesorderid Int32, orderdate Nullable(DateTime64(6, 'UTC')))",
	"current.sql_sales_salesorderdetail (salesorderid Int32, salesorderdetailid Int32, orderqty Nullable(Int32), productid Nullable(Int32), unitprice Nullable(Decimal(19, 4)))",
	"raw.files_images (sha256 String, media_type String, width Nullable(Int32), height Nullable(Int32), name String, bytes String, product_number Nullable(String), view Nullable(String), `_origin.uri` String, `_origin.modified` DateTime64(6, 'UTC'))",
	"raw.files_reviews (review_id Int64, product_number String, author Nullable(String), email Nullable(String), rating Int32, title String, text String, language String, posted_at DateTime64(6, 'UTC'), `_origin.uri` String, `_origin.row` Int64)",
	"raw.lake_product_eval (`image.bytes` Nullable(String), `image.path` Nullable(String), item_ID Nullable(String), query Nullable(String), title Nullable(String), position Nullable(Int32), `_origin.uri` String, `_origin.row` Int64, `_origin.modified` DateTime64(6, 'UTC'))",
	"raw.lake_sales_history (order_id Nullable(Int64), product_number Nullable(String), quantity Nullable(Int32), unit_price Nullable(Decimal(18, 2)), ordered_at Nullable(DateTime64(6, 'UTC')), `_origin.modified` DateTime64(6, 'UTC'))",
}

// hexed is the SQL of a picture's bytes.
func hexed(t *testing.T, width int, color, format string) string {
	t.Helper()
	m := drawNoImage(width)
	if color != "" {
		m = drawProduct(&lines[0], 0, color, 0, 0, width)
	}
	b, err := encodePicture(m, format)
	if err != nil {
		t.Fatal(err)
	}
	return "unhex('" + hex.EncodeToString(b) + "')"
}

// TestDatasetRules fills the sources with few rows, each there for one of the rules, and reads the dataset.
func TestDatasetRules(t *testing.T) {
	ch := openClickHouse(t)
	for _, table := range sourceTables {
		ch.query("CREATE TABLE " + table + " ENGINE = MergeTree ORDER BY tuple()")
	}
	red, blue, none := hexed(t, 320, "Red", "jpg"), hexed(t, 160, "Blue", "webp"), hexed(t, 320, "", "png")
	small := hexed(t, 80, "Black", "png")
	for _, values := range []string{
		"current.sql_production_product VALUES (1, 'Bike One', 'B-1', 'Red', '649.00', '54', 1, 1, NULL), (2, 'Bike Two', 'B-2', 'Blue', '1.123456', NULL, NULL, 2, '2026-01-01 00:00:00')",
		"current.sql_production_productsubcategory VALUES (1, 1, 'Road Bikes')",
		"current.sql_production_productcategory VALUES (1, 'Bikes')",
		"current.sql_production_productmodel VALUES (1, 'One'), (2, 'Two')",
		"current.sql_production_productdescription VALUES (1, 'A bike.', '2024-01-01 00:00:00'), (2, '一辆自行车。', '2024-01-01 00:00:00'), (3, ' A bike. ', '2024-02-01 00:00:00')",
		"current.sql_production_productmodelproductdescriptionculture VALUES (1, 1, 'en    '), (1, 2, 'zh    '), (1, 3, 'en    ')",
		"current.sql_production_productphoto VALUES (1, " + none + ", 'no_image_available.png'), (2, " + red + ", 'red.jpg')",
		"current.sql_production_productproductphoto VALUES (1, 2), (2, 1)",
		"current.sql_production_productreview VALUES (1, 1, '2025-01-01 00:00:00', 'Ann@example.com', 5, 'אופניים טובים'), (2, 1, '2025-01-02 00:00:00', 'b@example.com', 2, 'Rien à dire, les freins sont bons.')",
		"current.sql_sales_salesorderheader VALUES (1, '2026-05-05 10:00:00')",
		"current.sql_sales_salesorderdetail VALUES (1, 1, 2, 1, 649), (1, 2, 1, 2, 10)",
		"raw.files_images VALUES ('x', 'image/jpeg', 320, 240, 'a', " + red + ", 'B-1', 'side', 'images/a.jpg', '2026-01-01 00:00:00')," + // as in the database
			"('y', 'image/webp', 160, 120, 'b', " + blue + ", 'B-1', 'side', 'images/z.webp', '2026-01-01 00:00:00')," +
			"('y', 'image/webp', 160, 120, 'c', " + blue + ", 'B-1', 'copy', 'images/b.webp', '2026-01-01 00:00:00')," + // again, under a smaller name
			"('n', 'image/png', 320, 240, 'd', " + none + ", 'B-2', 'side', 'images/none.png', '2026-01-01 00:00:00')," + // the placeholder
			"('u', 'image/png', 320, 240, 'e', " + small + ", 'B-9', 'side', 'images/unknown.png', '2026-01-01 00:00:00')", // no such product
		"raw.files_reviews VALUES (1, 'B-1', 'Ann', 'ANN@example.com', 4, 'Good', 'Fine.', 'en', '2026-01-01 00:00:00', 'reviews_1.csv', 1)," +
			"(2, 'B-1', 'Ann', 'ann@example.com', 4, 'Good', 'Fine.', 'en', '2026-02-01 00:00:00', 'reviews_1.csv', 2)," + // said twice
			"(3, 'B-1', NULL, NULL, 1, 'Bad', 'Broke.', 'en', '2026-01-03 00:00:00', 'reviews_1.csv', 3), (4, 'B-9', 'X', NULL, 1, 'Bad', 'No such.', 'en', '2026-01-03 00:00:00', 'reviews_1.csv', 4)",
		"raw.lake_product_eval VALUES (" + small + ", 'eval/1.png', 'B-1', 'red bike', 'One - Red', 3, 'product_eval/p.parquet', 1, '2026-01-01 00:00:00')," +
			"(" + small + ", 'eval/1.png', 'B-1', 'red bike', 'One - Red', 2, 'product_eval/p.parquet', 2, '2026-01-01 00:00:00')," +
			"(NULL, NULL, 'B-1', 'bike', NULL, 7, 'product_eval/p.parquet', 3, '2026-01-01 00:00:00')",
		"raw.lake_sales_history VALUES (7, 'B-1', 3, 600.50, '2025-03-03 00:00:00', '2026-01-01 00:00:00'), (7, 'B-1', 4, 600.50, '2025-03-03 00:00:00', '2026-01-02 00:00:00')," + // written again
			"(8, 'B-1', 1, 500, '2026-03-03 00:00:00', '2026-01-01 00:00:00'), (9, NULL, 1, 500, '2026-03-03 00:00:00', '2026-01-01 00:00:00')",
	} {
		ch.query("INSERT INTO " + values)
	}
	ch.applyDataset()
	for _, c := range []struct{ rule, sql, want string }{
		{"R1 R2 R3 R4 R5", "SELECT product_number, media_type, width, height, place, source FROM dataset.image ORDER BY ALL",
			"B-1\timage/jpeg\t320\t240\t1\tsql production.productphoto 2 red.jpg\nB-1\timage/png\t80\t60\t3\tlake product_eval/p.parquet eval/1.png\nB-1\timage/webp\t160\t120\t2\tfiles images/b.webp"},
		{"R4", "SELECT count(), uniqExact(sha256), countIf(sha256 = lower(hex(SHA256(bytes)))) FROM dataset.image", "3\t3\t3"},
		{"R6 R7 R8", "SELECT kind, language, text, rating, source FROM dataset.text ORDER BY ALL",
			"description\ten\tA bike.\t0\tsql production.productdescription 3\ndescription\tzh\t一辆自行车。\t0\tsql production.productdescription 2\n" +
				"query\ten\tbike\t0\tlake product_eval/p.parquet row 3\nquery\ten\tred bike\t0\tlake product_eval/p.parquet row 1\n" +
				"review\ten\tBroke.\t1\tfiles reviews_1.csv row 3\nreview\ten\tFine.\t4\tfiles reviews_1.csv row 2\n" +
				"review\tfr\tRien à dire, les freins sont bons.\t2\tsql production.productreview 2\nreview\the\tאופניים טובים\t5\tsql production.productreview 1\n" +
				"title\ten\tOne - Red\t0\tlake product_eval/p.parquet row 1"},
		{"R9", "SELECT uniqExact(author_hash), countIf(author_hash = '' OR match(author_hash, '^[0-9a-f]{64}$')) FROM dataset.text WHERE kind = 'review'", "3\t4"},
		{"R9", "SELECT count() FROM dataset.product WHERE toString(tuple(*)) ILIKE '%example.com%' OR toString(tuple(*)) ILIKE '%''Ann''%'", "0"},
		{"R10", "SELECT product_id, name, category, subcategory, model, color, size, price, on_sale FROM dataset.product ORDER BY 1",
			"1\tBike One\tBikes\tRoad Bikes\tOne\tRed\t54\t649\ttrue\n2\tBike Two\t\t\tTwo\tBlue\t\t\\N\tfalse"},
		{"R11 R12", "SELECT product_id, descriptions, rating, review_count, arrayMap(r -> (r.rating, r.text), reviews) FROM dataset.product ORDER BY 1",
			"1\t{'en':'A bike.','zh':'一辆自行车。'}\t3\t4\t[(4,'Fine.'),(1,'Broke.'),(2,'Rien à dire, les freins sont bons.'),(5,'אופניים טובים')]\n2\t{}\t\\N\t0\t[]"},
		{"R13", "SELECT titles, queries FROM dataset.product WHERE product_id = 1", "['One - Red']\t[('red bike',2,2),('bike',1,7)]"},
		{"R14", "SELECT product_id, pieces, turnover FROM dataset.product ORDER BY 1", "1\t{2025:4,2026:3}\t{2025:2402,2026:1798}\n2\t{2026:1}\t{2026:10}"},
		{"images", "SELECT product_id, arrayMap(i -> (i.media_type, i.width, i.source), images) FROM dataset.product ORDER BY 1",
			"1\t[('image/jpeg',320,'sql production.productphoto 2 red.jpg'),('image/webp',160,'files images/b.webp'),('image/png',80,'lake product_eval/p.parquet eval/1.png')]\n2\t[]"},
		{"R15", "SELECT kind, groupArray((language, media_type)) FROM (SELECT * FROM dataset.sample ORDER BY kind, language, text, media_type) GROUP BY kind ORDER BY kind",
			"description\t[('en','image/jpeg'),('en','image/png'),('en','image/webp'),('zh','image/jpeg'),('zh','image/png'),('zh','image/webp')]\n" +
				"query\t[('en','image/png'),('en','image/png')]\n" +
				"review\t[('en','image/jpeg'),('en','image/jpeg'),('fr','image/jpeg'),('he','image/jpeg')]\ntitle\t[('en','image/png')]"},
		{"R16", "SELECT uniqExact(split), countIf(split IN ('train', 'validation', 'test')) = count(), countIf(sha256 = lower(hex(SHA256(image)))) = count() FROM dataset.sample", "1\ttrue\ttrue"},
	} {
		if got := ch.query(c.sql); got != c.want && got != strings.ReplaceAll(c.want, "true", "1") {
			t.Errorf("%s: %s\ngot:  %q\nwant: %q", c.rule, c.sql, got, c.want)
		}
	}
	ch.query("DELETE FROM current.sql_production_product WHERE productid = 2")
	ch.refresh()
	if got := ch.query("SELECT groupArray(product_number) FROM dataset.product"); got != "['B-1']" {
		t.Errorf("after a delete the products are %s", got)
	}
	for _, q := range Queries() {
		if got := ch.query(q.SQL); got == "" {
			t.Errorf("%s: no row", q.Title)
		}
	}
}

// TestSplitKeepsModelsTogether has forty models of two sizes with one photo each: R16 says that no photo may be in two parts.
func TestSplitKeepsModelsTogether(t *testing.T) {
	ch := openClickHouse(t)
	for _, table := range sourceTables {
		ch.query("CREATE TABLE " + table + " ENGINE = MergeTree ORDER BY tuple()")
	}
	for _, sql := range []string{
		"current.sql_production_productmodel SELECT number, concat('Model ', toString(number)) FROM numbers(1, 40)",
		"current.sql_production_product SELECT number, concat('Bike ', toString(number)), concat('B-', toString(number)), 'Red', '1.00', NULL, NULL, if(number <= 80, intDiv(number + 1, 2), NULL), NULL FROM numbers(1, 81)",
		"current.sql_production_productphoto SELECT number, concat(unhex('FFD8FF'), toString(number)), 'bike.jpg' FROM numbers(1, 41)",
		"current.sql_production_productproductphoto SELECT number, intDiv(number + 1, 2) FROM numbers(1, 81)",
		"current.sql_production_productreview SELECT number, number, '2025-01-01 00:00:00', 'a@example.com', 5, concat('Good ', toString(number)) FROM numbers(1, 81)",
	} {
		ch.query("INSERT INTO " + sql)
	}
	ch.applyDataset()
	if got := ch.query("SELECT uniqExact(product_number), uniqExact(sha256), uniqExact(split) FROM dataset.sample"); got != "81\t41\t3" {
		t.Errorf("products, photos and parts: %s", got)
	}
	if got := ch.query("SELECT count() FROM (SELECT sha256 FROM dataset.sample GROUP BY sha256 HAVING uniqExact(split) > 1)"); got != "0" {
		t.Errorf("%s photos are in two parts", got)
	}
	if got := ch.query("SELECT countIf(split = 'train') BETWEEN 50 AND 78 FROM dataset.sample"); got != "1" && got != "true" {
		t.Error("the parts have odd sizes: " + ch.query("SELECT split, count() FROM dataset.sample GROUP BY split"))
	}
}

// TestReviewLanguageByScript checks the sentences that R7 tells languages by against the reviews the sample makes up.
func TestReviewLanguageByScript(t *testing.T) {
	ch := openClickHouse(t)
	text, err := fs.ReadFile(Files, "dataset/020_text.sql")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)multiIf\(match\(r\.comments.*?\) AS language`).FindString(string(text))
	expression := strings.ReplaceAll(strings.TrimSuffix(found, " AS language"), "r.comments", "tupleElement(v, 2)")
	d, c := newDice(3, "languages"), newCatalog()
	var values []string
	for range 500 {
		v := newReview(d, c, true)
		values = append(values, fmt.Sprintf("('%s', '%s')", v.language, strings.ReplaceAll(v.text, "'", `\'`)))
	}
	wrong := ch.query("SELECT groupArray(v) FROM (SELECT arrayJoin([" + strings.Join(values, ", ") + "]) AS v) WHERE tupleElement(v, 1) <> " + expression)
	if wrong != "[]" {
		t.Errorf("told wrong: %s", wrong)
	}
}
