-- dataset.text: every text about every product, once, with its language and where it comes from.
--
-- R6  Kinds. description: what the retailer says (production.productdescription). review: what a customer says (production.productreview and the
--     review files). title and query: how a searcher found the product (the lake's product_eval).
-- R7  Language. Descriptions and review files say it. Reviews in the database do not: it is told by the script (Hebrew, Arabic, Thai, Chinese), then by
--     frequent French words, else it is English. The lake is in English.
-- R8  Duplicates. The same text of the same kind and language counts once for a product: the database before the files before the lake, then the
--     newest, then the smallest source. Blanks around a text do not make it another one.
-- R9  People. Names and addresses stay out. author_hash is the SHA-256 of a fixed prefix and the e-mail address in small letters, or of the name where
--     there is no address: it tells whether two reviews are of one hand and not of whom. Whoever knows the address can compute it, so it
--     is a pseudonym, to be protected as one.

CREATE DATABASE IF NOT EXISTS dataset;

CREATE TABLE IF NOT EXISTS dataset.text
(
    product_number String,
    kind           LowCardinality(String),
    language       LowCardinality(String),
    text           String CODEC(ZSTD(1)),
    title          String CODEC(ZSTD(1)),
    rating         UInt8 COMMENT 'Stars, 0 for what is no review.',
    author_hash    String,
    at             DateTime64(6, 'UTC'),
    place          UInt8 COMMENT '1 the database, 2 the files, 3 the lake.',
    source         String
)
ENGINE = MergeTree ORDER BY (product_number, kind, language, at);

CREATE MATERIALIZED VIEW IF NOT EXISTS dataset.text_refresh REFRESH EVERY 15 SECOND TO dataset.text AS
WITH
    found AS
    (
        SELECT p.productnumber AS product_number, 'description' AS kind, trimRight(mc.cultureid) AS language, d.description AS text, '' AS title, 0 AS rating,
               '' AS person, toDateTime64(d.modifieddate, 6, 'UTC') AS at, 1 AS place, concat('sql production.productdescription ', toString(d.productdescriptionid)) AS source
        FROM current.sql_production_product AS p
        INNER JOIN current.sql_production_productmodelproductdescriptionculture AS mc ON mc.productmodelid = p.productmodelid
        INNER JOIN current.sql_production_productdescription AS d ON d.productdescriptionid = mc.productdescriptionid
        UNION ALL
        SELECT p.productnumber AS product_number, 'review' AS kind,
               multiIf(match(r.comments, '[\\x{0590}-\\x{05FF}]'), 'he', match(r.comments, '[\\x{0600}-\\x{06FF}]'), 'ar', match(r.comments, '[\\x{0E00}-\\x{0E7F}]'), 'th',
                       match(r.comments, '[\\x{4E00}-\\x{9FFF}]'), 'zh', match(lower(r.comments), '(^|[^a-z])(je|les|une|est|rien|pour|mais|après|déjà|depuis|bien)([^a-z]|$)'), 'fr', 'en') AS language,
               r.comments AS text, '' AS title, r.rating AS rating, r.emailaddress AS person, toDateTime64(r.reviewdate, 6, 'UTC') AS at, 1 AS place,
               concat('sql production.productreview ', toString(r.productreviewid)) AS source
        FROM current.sql_production_productreview AS r
        INNER JOIN current.sql_production_product AS p ON p.productid = r.productid
        UNION ALL
        SELECT product_number, 'review' AS kind, language, text, title, rating, coalesce(email, author, '') AS person, posted_at AS at, 2 AS place,
               concat('files ', `_origin.uri`, ' row ', toString(`_origin.row`)) AS source
        FROM raw.files_reviews
        UNION ALL
        SELECT item_ID AS product_number, item.1 AS kind, 'en' AS language, item.2 AS text, '' AS title, 0 AS rating, '' AS person, `_origin.modified` AS at, 3 AS place,
               concat('lake ', `_origin.uri`, ' row ', toString(`_origin.row`)) AS source
        FROM raw.lake_product_eval AS e
        ARRAY JOIN [('title', ifNull(e.title, '')), ('query', ifNull(e.query, ''))] AS item
    )
SELECT assumeNotNull(f.product_number) AS product_number, f.kind AS kind, assumeNotNull(f.language) AS language, trimBoth(assumeNotNull(f.text)) AS text,
       assumeNotNull(f.title) AS title, toUInt8(assumeNotNull(f.rating)) AS rating,
       if(empty(f.person), '', lower(hex(SHA256(concat('adventureworks author ', lower(f.person)))))) AS author_hash,
       assumeNotNull(f.at) AS at, f.place AS place, assumeNotNull(f.source) AS source
FROM found AS f
WHERE f.product_number IN (SELECT productnumber FROM current.sql_production_product) AND notEmpty(trimBoth(ifNull(f.text, '')))
ORDER BY product_number, kind, language, text, place, at DESC, source
LIMIT 1 BY product_number, kind, language, cityHash64(text); -- R8
