-- What a database can hold that the sample does not: names that need quotes, a key of several columns, and a column of nearly every type.
CREATE SCHEMA "Odd one";
CREATE TYPE "Odd one".mood AS ENUM ('sad', 'so so', 'happy');
CREATE TYPE "Odd one".pair AS (a int, b text);
CREATE DOMAIN "Odd one".grade AS numeric(4,1) CHECK (value >= 0);
CREATE DOMAIN "Odd one".better AS "Odd one".grade;
CREATE TABLE "Odd one"."Every, type" (
  "k 1" int, "k""2" char(3), PRIMARY KEY ("k 1", "k""2"),
  small smallint, big bigint, object oid, flag boolean, single real, twice double precision,
  fixed numeric(30,10), wide numeric(80,2), whole numeric(5), bare numeric, cash money, grade "Odd one".better,
  fixed_text char(7), text text, varied varchar(20), "one char" "char", name name, bytes bytea,
  day date, at timestamp, at3 timestamp(3), zoned timestamptz, clock time, clock_zoned timetz, span interval,
  id uuid, plain json, jsonb jsonb, doc xml, bits bit(5), many_bits bit varying, mood "Odd one".mood, pair "Odd one".pair,
  ints int[], texts text[][], lower_bound int[], stamps timestamp[], dates daterange, numbers numrange, several int4multirange,
  host inet, net cidr, mac macaddr, spot point, shape polygon, words tsvector, search tsquery, "select" int, "Größe" int, "_x" int,
  half_big bigint GENERATED ALWAYS AS (big / 2) STORED
);
INSERT INTO "Odd one"."Every, type" VALUES
 (1, 'a', -32768, -9223372036854775808, 4000000000, true, 'NaN', '-Infinity', 12345678901234567890.0123456789, 1e77, 12345, 'NaN', -1234.11, 999.9,
  'ab', 'tab	line
  back\slash ''quote'' "double" ü 漢 🚲', 'v', 'x', 'n', '\x00ff5c0a', '1900-01-01', '1901-02-03 04:05:06.000001', '2024-02-29 23:59:59.9996',
  '2026-11-24 10:00:00.123456+05:30', '24:00:00', '12:13:14.5+02', '1 year 2 mons -3 days 04:05:06.78', '00000000-0000-0000-0000-000000000001',
  '{"a" : 1.10, "a":2}', '{"n": 12345678901234567890.123, "s": "\\u00e9"}', '<a b="c">d &amp; e</a>', B'10101', B'1', 'so so', '(1,"x, y")',
  '{1,NULL,3}', '{{a,"b,c"},{"\"",NULL}}', '[0:1]={7,8}', '{"2024-01-01 00:00:00",infinity}', '[2024-01-01,)', '(1.5,2.25]', '{[1,3),[5,9)}',
  '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '(1.5,-2)', '((0,0),(1,1),(1,0))', 'a fat cat', 'fat & !cat', 1, 2, 3);
INSERT INTO "Odd one"."Every, type" VALUES
 (1, 'b', 0, 0, 0, false, 0.1, 0.1, 0, 0, 0, 0, 0, 0, '', '', '', '', '', '', '1970-01-01', '1970-01-01', '1970-01-01', '1970-01-01 00:00Z', '00:00', '00:00Z', '0', NULL,
  '[]', 'null', '', B'00000', B'', 'sad', '(,)', '{}', '{}', '{}', '{}', 'empty', 'empty', '{}', '0.0.0.0', '0.0.0.0/0', '00:00:00:00:00:00', '(0,0)', '((0,0))', '', '', 0, 0, 0);
INSERT INTO "Odd one"."Every, type" VALUES
 (-2147483648, '', 32767, 9223372036854775807, 4294967295, NULL, 3.4028235e38, 5e-324, -0.0000000001, -0.01, -99999, 1e-30, 92233720368547758.07, 0.1, NULL, repeat('toast ', 4000));
INSERT INTO "Odd one"."Every, type" VALUES
 (7, 'ü', 1, 1, 1, true, '-0', '-0', 0.1, 0.1, 1, 100.00, 0.05, 100, '  x', ' ', ' ', ' ', ' ', ' ', '2299-12-31', '2262-04-11 23:47:16.854775', '1969-12-31 23:59:59.999', '1969-12-31 23:59:59.999999Z');
INSERT INTO "Odd one"."Every, type" ("k 1", "k""2", big, text, bytes, "select") SELECT i, 'r', i * 1000003, md5(i::text), decode(md5(i::text), 'hex'), i % 7 FROM generate_series(100, 140) i;
CREATE TABLE "Odd one".only_key (id uuid PRIMARY KEY);
INSERT INTO "Odd one".only_key SELECT md5(i::text)::uuid FROM generate_series(1, 20) i;
CREATE TABLE "Odd one".parts (id int, kind text, note text, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE TABLE "Odd one".parts_a PARTITION OF "Odd one".parts FOR VALUES IN ('a');
CREATE TABLE "Odd one".parts_rest PARTITION OF "Odd one".parts DEFAULT;
INSERT INTO "Odd one".parts SELECT i, chr(97 + i % 3), 'note ' || i FROM generate_series(1, 60) i;
CREATE TABLE "Odd one".identity (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
INSERT INTO "Odd one".identity (v) SELECT 'v' || i FROM generate_series(1, 30) i;
