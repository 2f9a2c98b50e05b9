-- dataset.product: one row a product, with everything that is known about it.
--
-- R10 Products. One row for each current row of production.product; a product that is deleted leaves at the next refresh. Category and subcategory are
--     empty where the product has none. The price is the list price, exact; the empty value (NULL) where it has more than four decimals.
-- R11 Descriptions. One a language; where a model has two in a language, the smaller text in alphabetical order.
-- R12 Reviews. Counted and averaged over all; listed are the newest hundred, ties by source.
-- R13 Search. Queries with how often they were asked and the best position the product had; the twenty most frequent, ties in alphabetical order.
--     Titles are the distinct ones in alphabetical order.
-- R14 Sales. By year: pieces and turnover of sales_history (the lake) and of the sales orders (the database) together, before discounts. Rows of the
--     lake count once for an order and product, since an object may have been written again.

CREATE DATABASE IF NOT EXISTS dataset;

CREATE TABLE IF NOT EXISTS dataset.product
(
    product_id     Int32,
    product_number String,
    name           String,
    category       LowCardinality(String),
    subcategory    LowCardinality(String),
    model          String,
    color          LowCardinality(String),
    size           LowCardinality(String),
    price          Nullable(Decimal(19, 4)),
    on_sale        Bool COMMENT 'It is sold today: sellenddate is not there.',
    descriptions   Map(String, String) COMMENT 'By language.',
    images         Array(Tuple(sha256 String, media_type String, width UInt32, height UInt32, source String)),
    rating         Nullable(Float64) COMMENT 'Average of the stars.',
    review_count   UInt64,
    reviews        Array(Tuple(rating UInt8, title String, text String, language String, author_hash String, source String)),
    titles         Array(String),
    queries        Array(Tuple(query String, asked UInt64, best_position Int32)),
    pieces         Map(UInt16, Int64) COMMENT 'Sold, by year.',
    turnover       Map(UInt16, Decimal(38, 4)) COMMENT 'By year.'
)
ENGINE = MergeTree ORDER BY product_number;

CREATE MATERIALIZED VIEW IF NOT EXISTS dataset.product_refresh REFRESH EVERY 15 SECOND DEPENDS ON dataset.image_refresh, dataset.text_refresh TO dataset.product AS
WITH
    pictures AS
    (
        SELECT product_number, arrayMap(i -> (i.3, i.4, i.5, i.6, i.2), arraySort(groupArray((place, source, sha256, toString(media_type), width, height)))) AS list
        FROM dataset.image GROUP BY product_number
    ),
    described AS
    (
        SELECT product_number, mapSort(CAST(groupArray((l, t)), 'Map(String, String)')) AS list
        FROM (SELECT product_number, toString(language) AS l, min(text) AS t FROM dataset.text WHERE kind = 'description' GROUP BY product_number, l)
        GROUP BY product_number
    ),
    reviewed AS
    (
        SELECT product_number, avg(rating) AS stars, count() AS n,
               arrayMap(r -> (r.3, r.4, r.5, r.6, r.7, r.2),
                        groupArraySorted(100)((-toUnixTimestamp64Micro(at), source, rating, title, text, toString(language), author_hash))) AS list
        FROM dataset.text WHERE kind = 'review' GROUP BY product_number
    ),
    titled AS
    (
        SELECT product_number, arraySort(groupUniqArray(text)) AS list FROM dataset.text WHERE kind = 'title' GROUP BY product_number
    ),
    searched AS
    (
        SELECT number, arrayMap(q -> (q.2, toUInt64(-q.1), q.3), groupArraySorted(20)((-toInt64(n), q, best))) AS list
        FROM
        (
            SELECT assumeNotNull(item_ID) AS number, assumeNotNull(query) AS q, count() AS n, min(assumeNotNull(position)) AS best
            FROM raw.lake_product_eval WHERE query IS NOT NULL AND item_ID IS NOT NULL GROUP BY number, q
        )
        GROUP BY number
    ),
    sold AS
    (
        SELECT number, mapSort(CAST(groupArray((y, n)), 'Map(UInt16, Int64)')) AS pieces, mapSort(CAST(groupArray((y, amount)), 'Map(UInt16, Decimal(38, 4))')) AS turnover
        FROM
        (
            SELECT number, y, sum(n) AS n, sum(amount) AS amount
            FROM
            (
                SELECT number, y, toInt64(n) AS n, CAST(n * price, 'Decimal(38, 4)') AS amount
                FROM
                (
                    SELECT assumeNotNull(product_number) AS number, toYear(assumeNotNull(ordered_at)) AS y, order_id,
                           argMax(assumeNotNull(quantity), `_origin.modified`) AS n, argMax(assumeNotNull(unit_price), `_origin.modified`) AS price
                    FROM raw.lake_sales_history
                    WHERE product_number IS NOT NULL AND ordered_at IS NOT NULL AND quantity IS NOT NULL AND unit_price IS NOT NULL
                    GROUP BY number, y, order_id
                )
                UNION ALL
                SELECT assumeNotNull(p.productnumber) AS number, toYear(assumeNotNull(h.orderdate)) AS y, toInt64(assumeNotNull(l.orderqty)) AS n,
                       CAST(assumeNotNull(l.orderqty) * assumeNotNull(l.unitprice), 'Decimal(38, 4)') AS amount
                FROM current.sql_sales_salesorderdetail AS l
                INNER JOIN current.sql_sales_salesorderheader AS h ON h.salesorderid = l.salesorderid
                INNER JOIN current.sql_production_product AS p ON p.productid = l.productid
            )
            GROUP BY number, y
        )
        GROUP BY number
    )
SELECT p.productid AS product_id, assumeNotNull(p.productnumber) AS product_number, ifNull(p.name, '') AS name, ifNull(c.name, '') AS category, ifNull(s.name, '') AS subcategory,
       ifNull(m.name, '') AS model, ifNull(p.color, '') AS color, ifNull(p.size, '') AS size,
       if(match(ifNull(p.listprice, ''), '^-?[0-9]+([.][0-9]{1,4}0*)?$'), toDecimal128OrNull(p.listprice, 4), NULL) AS price,
       isNull(p.sellenddate) AS on_sale, described.list AS descriptions, pictures.list AS images, if(reviewed.n = 0, NULL, reviewed.stars) AS rating,
       reviewed.n AS review_count, reviewed.list AS reviews, titled.list AS titles, searched.list AS queries, sold.pieces AS pieces, sold.turnover AS turnover
FROM current.sql_production_product AS p
LEFT JOIN current.sql_production_productsubcategory AS s ON s.productsubcategoryid = p.productsubcategoryid
LEFT JOIN current.sql_production_productcategory AS c ON c.productcategoryid = s.productcategoryid
LEFT JOIN current.sql_production_productmodel AS m ON m.productmodelid = p.productmodelid
LEFT JOIN described ON described.product_number = p.productnumber
LEFT JOIN pictures ON pictures.product_number = p.productnumber
LEFT JOIN reviewed ON reviewed.product_number = p.productnumber
LEFT JOIN titled ON titled.product_number = p.productnumber
LEFT JOIN searched ON searched.number = p.productnumber
LEFT JOIN sold ON sold.number = p.productnumber;
