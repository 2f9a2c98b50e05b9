package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"adventureworks.example/extract/deploy/oracle"
)

// readable is a dataset of files or objects that ClickHouse can read itself: every row as a text, on both sides.
type readable struct {
	table  string // in raw
	source string // SQL that reads the files: one column named row
	stored string // SQL expression of the same text in the raw table
	// bad is how many rows of the files cannot be read, and so are not stored.
	bad int64
}

// compareFiles has ClickHouse read the files and objects and compares the rows as sets that may hold a row several times. The rows of archives are counted,
// by the trial's own book.
func (c *cluster) compareFiles(ctx context.Context, r *Report) error {
	for _, d := range c.readables() {
		counts, err := c.numbers(ctx, "SELECT sum(s), sum(t), sum(greatest(s - t, 0)), sum(greatest(t - s, 0)) FROM (SELECT toInt64(countIf(side = 0)) AS s, toInt64(countIf(side = 1)) AS t "+
			"FROM (SELECT 0 AS side, row FROM ("+d.source+") UNION ALL SELECT 1, "+d.stored+" FROM raw."+d.table+") GROUP BY row)")
		if err != nil {
			return fmt.Errorf("dataset %s: %w", d.table, err)
		}
		r.Files += counts[0]
		if counts[0] == 0 || counts[2] != d.bad || counts[3] != 0 {
			r.problem("raw.%s: the files hold %d rows, the table %d; %d are missing of which %d cannot be read, %d are there too often", d.table, counts[0], counts[1],
				counts[2], d.bad, counts[3])
		}
	}
	counts, err := c.numbers(ctx, "SELECT toInt64(count()), toInt64(uniqExact(title)) FROM raw.files_labelled_reviews WHERE startsWith(title, 'chaos ')")
	if err != nil {
		return err
	}
	want := r.labelled
	r.Files += want
	if counts[0] != want || counts[1] != want {
		r.problem("raw.files_labelled_reviews: %d rows were written into archives, the table holds %d, %d of them different", want, counts[0], counts[1])
	}
	return nil
}

// textOf is an SQL expression that joins columns into one text.
func textOf(columns ...string) string {
	for i, c := range columns {
		columns[i] = "ifNull(toString(" + c + "), '')"
	}
	return "concatWithSeparator('\\x01', " + strings.Join(columns, ", ") + ")"
}

func (c *cluster) readables() []readable {
	quoted := func(pattern string) string { return "'" + strings.ReplaceAll(c.path(pattern), "'", "\\'") + "'" }
	reviews := []string{"product_number", "author", "email", "title", "text", "language"}
	sale := []string{"order_id", "product_number", "quantity", "unit_price", "ordered_at", "channel", "tags", "attributes"}
	return []readable{
		{
			table: "files_reviews", bad: badRows,
			source: "SELECT " + textOf(append([]string{"review_id", "rating"}, reviews...)...) + " AS row FROM file(" + quoted("files/processed/reviews_*.csv") +
				", 'CSV', 'review_id String, product_number String, author String, email String, rating String, title String, text String, language String, verified String, posted_at String')" +
				" WHERE review_id != 'review_id'",
			stored: textOf(append([]string{"review_id", "rating"}, reviews...)...),
		},
		{
			table:  "files_images",
			source: "SELECT " + textOf("extract(_path, '/processed/(.*)')", "hex(SHA256(raw_blob))") + " AS row FROM file(" + quoted("files/processed/images/**") + ", 'RawBLOB')",
			stored: textOf("`_origin.uri`", "hex(SHA256(bytes))"),
		},
		{
			table:  "lake_sales_history",
			source: "SELECT " + textOf(sale...) + " AS row FROM file(" + quoted("lake/sales_history/**/*.parquet") + ", 'Parquet')",
			stored: textOf(sale...),
		},
		{
			table:  "lake_product_eval",
			source: "SELECT " + textOf("item_ID", "query", "title", "position", "image.path", "hex(SHA256(image.bytes))") + " AS row FROM file(" + quoted("lake/product_eval/**/*.parquet") + ", 'Parquet')",
			stored: textOf("item_ID", "query", "title", "position", "`image.path`", "hex(SHA256(ifNull(`image.bytes`, '')))"),
		},
	}
}

// numbers runs a query of one row of numbers.
func (c *cluster) numbers(ctx context.Context, sql string) (all []int64, err error) {
	text, err := oracle.Ask(ctx, c.clickhouse.HTTP(), sql)
	if err != nil {
		return nil, err
	}
	for cell := range strings.SplitSeq(strings.TrimSpace(text), "\t") {
		n, err := strconv.ParseInt(cell, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("clickhouse answers %q to %s", text, sql)
		}
		all = append(all, n)
	}
	return all, nil
}
