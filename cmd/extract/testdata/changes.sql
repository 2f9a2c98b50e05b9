-- Random changes over every table with a primary key, whatever the database: a column of a row takes the value that another row has, a row
-- is deleted, a deleted row comes back, a row moves to another key. extract.changes says how many rows are changed. Foreign keys and triggers are off, so the changes are what a restored or badly kept database could hold, not what the application would do.
SET session_replication_role = replica;
SELECT setseed(current_setting('extract.seed')::float);
DO $$
DECLARE
  wanted int := current_setting('extract.changes')::int;
  t record; n int := 0; col text; kind float; rc int;
BEGIN
  CREATE TEMP TABLE work_tables AS
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name,
      (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' AND NOT (a.attnum = ANY (i.indkey))) AS others,
      (SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND i.indnatts = 1 AND a.attnum = i.indkey[0] AND a.attidentity <> 'a' AND a.atttypid = 'int4'::regtype) AS number_key
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema');
  FOR t IN SELECT * FROM work_tables LOOP
    EXECUTE format('CREATE TEMP TABLE %I AS SELECT * FROM %s WHERE false', 'gone_' || t.oid, t.name);
  END LOOP;
  WHILE n < wanted LOOP
    FOR t IN SELECT * FROM work_tables ORDER BY random() LIMIT 20 LOOP
      BEGIN
        kind := random();
        IF kind < 0.55 AND t.others IS NOT NULL THEN
          col := t.others[1 + floor(random() * array_length(t.others, 1))::int];
          EXECUTE format('UPDATE %1$s SET %2$I = (SELECT %2$I FROM %1$s OFFSET floor(random() * (SELECT count(*) FROM (SELECT 1 FROM %1$s LIMIT 200) q)) LIMIT 1)
            WHERE ctid = (SELECT ctid FROM %1$s OFFSET floor(random() * 150) LIMIT 1)', t.name, col);
        ELSIF kind < 0.60 AND t.number_key IS NOT NULL THEN
          EXECUTE format('UPDATE %1$s SET %2$I = (SELECT max(%2$I) + 1 FROM %1$s) WHERE ctid = (SELECT ctid FROM %1$s OFFSET floor(random() * 150) LIMIT 1)', t.name, t.number_key);
        ELSIF kind < 0.8 THEN
          EXECUTE format('WITH d AS (DELETE FROM %1$s WHERE ctid = (SELECT ctid FROM %1$s OFFSET floor(random() * 150) LIMIT 1) RETURNING *) INSERT INTO %2$I SELECT * FROM d',
            t.name, 'gone_' || t.oid);
        ELSE
          EXECUTE format('WITH d AS (DELETE FROM %2$I WHERE ctid = (SELECT ctid FROM %2$I LIMIT 1) RETURNING *) INSERT INTO %1$s OVERRIDING SYSTEM VALUE SELECT * FROM d',
            t.name, 'gone_' || t.oid);
        END IF;
        GET DIAGNOSTICS rc = ROW_COUNT;
        n := n + rc;
      EXCEPTION WHEN unique_violation OR check_violation OR not_null_violation OR generated_always OR numeric_value_out_of_range THEN NULL;
      END;
    END LOOP;
    COMMIT;
  END LOOP;
END $$;
