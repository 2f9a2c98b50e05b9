-- dataset.image: every picture of every product, once, with its facts and where it comes from.
--
-- R1 Keys. A product is known by its product number, as production.product has it. Pictures, texts and sales of a number that the catalogue does
--    not have (any more) are left out; they stay in the raw tables and come back with the number.
-- R2 Sources. Pictures come from the database (production.productphoto by production.productproductphoto, the large ones), from the image files (by the
--    product number in their names) and from the lake (product_eval by item_ID).
-- R3 "No image available". The photo of that file name stands for a picture that was never taken. Whatever has its bytes is left out, wherever it
--    comes from and whatever it is called.
-- R4 Duplicates. Two pictures are the same when their SHA-256 is. One is kept for a product: the database before the files before the lake, then
--    the smallest source in alphabetical order, so that the choice is the same at every refresh.
-- R5 Facts. The media type is read from the bytes. Width and height are those of the file's record; for the database and the lake they are read
--    from the header of a PNG, JPEG (the first 4096 bytes) or lossless WebP, and 0 where that says nothing.

CREATE DATABASE IF NOT EXISTS dataset;

CREATE TABLE IF NOT EXISTS dataset.image
(
    product_number String,
    sha256         String COMMENT 'Of the bytes, in hexadecimal.',
    media_type     LowCardinality(String),
    width          UInt32,
    height         UInt32,
    place          UInt8 COMMENT '1 the database, 2 the files, 3 the lake.',
    source         String,
    bytes          String CODEC(ZSTD(1))
)
ENGINE = MergeTree ORDER BY (product_number, place, sha256);

CREATE MATERIALIZED VIEW IF NOT EXISTS dataset.image_refresh REFRESH EVERY 15 SECOND TO dataset.image AS
WITH
    found AS
    (
        SELECT p.productnumber AS product_number, f.largephoto AS bytes, 0 AS known_width, 0 AS known_height, 1 AS place,
               concat('sql production.productphoto ', toString(f.productphotoid), ' ', f.largephotofilename) AS source
        FROM current.sql_production_productproductphoto AS pp
        INNER JOIN current.sql_production_product AS p ON p.productid = pp.productid
        INNER JOIN current.sql_production_productphoto AS f ON f.productphotoid = pp.productphotoid
        UNION ALL
        SELECT product_number, bytes, ifNull(width, 0) AS known_width, ifNull(height, 0) AS known_height, 2 AS place, concat('files ', `_origin.uri`) AS source
        FROM raw.files_images
        UNION ALL
        SELECT DISTINCT item_ID AS product_number, `image.bytes` AS bytes, 0 AS known_width, 0 AS known_height, 3 AS place,
               concat('lake ', `_origin.uri`, ' ', `image.path`) AS source
        FROM raw.lake_product_eval
    ),
    hashed AS
    (
        SELECT assumeNotNull(product_number) AS number, assumeNotNull(bytes) AS content, known_width, known_height, place, assumeNotNull(source) AS origin,
               lower(hex(SHA256(content))) AS hash, left(content, 4096) AS head
        FROM found
        WHERE product_number IN (SELECT productnumber FROM current.sql_production_product) AND notEmpty(ifNull(bytes, ''))
    ),
    kept AS
    (
        SELECT * FROM hashed
        WHERE hash NOT IN
        (
            SELECT lower(hex(SHA256(assumeNotNull(largephoto)))) FROM current.sql_production_productphoto WHERE largephotofilename LIKE 'no\\_image\\_available.%' -- R3
        )
        ORDER BY number, hash, place, origin LIMIT 1 BY number, hash -- R4
    ),
    read AS
    (
        SELECT *,
               multiIf(startsWith(head, unhex('89504E470D0A1A0A')), 'image/png', startsWith(head, unhex('FFD8FF')), 'image/jpeg',
                       startsWith(head, 'GIF8'), 'image/gif', startsWith(head, 'RIFF') AND substring(head, 9, 4) = 'WEBP', 'image/webp', 'application/octet-stream') AS type,
               -- In a JPEG the size is in the first frame header (markers C0 to C2): go from segment to segment until it comes.
               arrayFold((at, i) -> if(substring(head, at + 1, 1) IN (unhex('C0'), unhex('C1'), unhex('C2')), at,
                       at + 2 + reinterpretAsUInt16(reverse(substring(head, at + 2, 2)))), range(if(type = 'image/jpeg', 24, 0)), toUInt64(3)) AS frame,
               reinterpretAsUInt32(substring(head, 22, 4)) AS bits
        FROM kept
    )
SELECT number AS product_number, hash AS sha256, type AS media_type,
       toUInt32(multiIf(known_width > 0, known_width, type = 'image/png', reinterpretAsUInt32(reverse(substring(head, 17, 4))),
               type = 'image/jpeg', reinterpretAsUInt16(reverse(substring(head, frame + 7, 2))),
               type = 'image/webp' AND substring(head, 13, 4) = 'VP8L', bitAnd(bits, 16383) + 1, 0)) AS width,
       toUInt32(multiIf(known_height > 0, known_height, type = 'image/png', reinterpretAsUInt32(reverse(substring(head, 21, 4))),
               type = 'image/jpeg', reinterpretAsUInt16(reverse(substring(head, frame + 5, 2))),
               type = 'image/webp' AND substring(head, 13, 4) = 'VP8L', bitAnd(bitShiftRight(bits, 14), 16383) + 1, 0)) AS height,
       place, origin AS source, content AS bytes
FROM read;
