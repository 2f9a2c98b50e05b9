-- Which bicycles sold best, and what their buyers say
SELECT name, price, round(rating, 1) AS stars, review_count AS reviews, length(images) AS images, arraySum(mapValues(pieces)) AS sold
FROM dataset.product
WHERE category = 'Bikes'
ORDER BY sold DESC, name
LIMIT 5;

-- One product, described in six languages
SELECT tupleElement(d, 1) AS language, substringUTF8(tupleElement(d, 2), 1, 60) AS description
FROM dataset.product ARRAY JOIN CAST(descriptions, 'Array(Tuple(String, String))') AS d
WHERE product_number = (SELECT min(product_number) FROM dataset.product WHERE category = 'Bikes')
ORDER BY language;

-- What there is to train on: pairs of an image and a text, no picture in two parts
SELECT split, count() AS pairs, uniqExact(product_number) AS products, uniqExact(sha256) AS images, uniqExact(language) AS languages,
  formatReadableSize(sum(length(image))) AS bytes
FROM dataset.sample
GROUP BY split
ORDER BY pairs DESC;
