-- dataset.sample: one row for each pair of an image and a text, to train on.
--
-- R15 Pairs. A description goes with every picture of its product. A review goes with the product's first picture (the database before the files
--     before the lake, then by hash), at most the newest twenty of a product and language, so that no product outweighs the others. Titles
--     and queries go with the lake's pictures of the product, which they were asked with.
-- R16 Split. train, validation or test by a hash of the model's name, or of the product number where there is no model: about 80, 10 and 10 models of
--     a hundred. The products of a model share photos and descriptions, so all their pairs are in one part, and nothing seen in training is
--     tested; the same model is always in the same part.

CREATE DATABASE IF NOT EXISTS dataset;

CREATE TABLE IF NOT EXISTS dataset.sample
(
    product_number String,
    sha256         String COMMENT 'Of the image, in hexadecimal.',
    kind           LowCardinality(String) COMMENT 'Of the text: description, review, title or query.',
    language       LowCardinality(String),
    text           String CODEC(ZSTD(1)),
    image          String CODEC(ZSTD(1)),
    media_type     LowCardinality(String),
    width          UInt32,
    height         UInt32,
    split          LowCardinality(String),
    image_source   String,
    text_source    String
)
ENGINE = MergeTree ORDER BY (product_number, sha256, kind, language);

CREATE MATERIALIZED VIEW IF NOT EXISTS dataset.sample_refresh REFRESH EVERY 15 SECOND DEPENDS ON dataset.image_refresh, dataset.text_refresh TO dataset.sample AS
WITH
    texts AS
    (
        SELECT product_number, kind, language, text, source FROM dataset.text
        ORDER BY product_number, kind, language, at DESC, source
        LIMIT 20 BY product_number, kind, language
    ),
    pictures AS
    (
        SELECT *, row_number() OVER (PARTITION BY product_number ORDER BY place, sha256) AS nth FROM dataset.image
    ),
    models AS
    (
        SELECT assumeNotNull(p.productnumber) AS product_number, cityHash64(if(empty(ifNull(m.name, '')), product_number, assumeNotNull(m.name))) % 10 AS part
        FROM current.sql_production_product AS p
        LEFT JOIN current.sql_production_productmodel AS m ON m.productmodelid = p.productmodelid
    )
SELECT i.product_number AS product_number, i.sha256 AS sha256, t.kind AS kind, t.language AS language, t.text AS text, i.bytes AS image, i.media_type AS media_type,
       i.width AS width, i.height AS height,
       multiIf(m.part < 8, 'train', m.part = 8, 'validation', 'test') AS split,
       i.source AS image_source, t.source AS text_source
FROM pictures AS i
INNER JOIN texts AS t ON t.product_number = i.product_number
INNER JOIN models AS m ON m.product_number = i.product_number
WHERE t.kind = 'description' OR t.kind = 'review' AND i.nth = 1 OR t.kind IN ('title', 'query') AND i.place = 3;
