-- Gives each row the view that answered, and the names by which other logs know the request. The fence comes
-- first, and all of it is one statement; see 0002_fence.sql and 0003_reject_code.sql.
DO $$
DECLARE
    day regclass;
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 8;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 8;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 8);

-- Columns without a default are written to no row, so adding them costs nothing. Partitions get them with
-- their table. There is no index on them yet: a day gets that of request_id when it is over.
ALTER TABLE gunicorn_log ADD COLUMN route text, ADD COLUMN request_id text, ADD COLUMN trace_id text;
ALTER TABLE request_log ADD COLUMN route text, ADD COLUMN request_id text, ADD COLUMN trace_id text;

-- Days that a sweep has detached and not yet dropped: a late line may bring one back.
FOR day IN
    SELECT c.oid::regclass FROM pg_class c JOIN pg_class p USING (relnamespace)
     WHERE p.oid IN ('gunicorn_log'::regclass, 'request_log'::regclass)
       AND c.relkind = 'r' AND NOT c.relispartition
       AND obj_description(c.oid, 'pg_class') = 'One day of ' || p.relname
LOOP
    EXECUTE format('ALTER TABLE %s ADD COLUMN route text, ADD COLUMN request_id text, ADD COLUMN trace_id text', day);
END LOOP;

COMMENT ON COLUMN gunicorn_log.route IS 'Pattern of URLs that led to the view, as the application logged it';
COMMENT ON COLUMN gunicorn_log.request_id IS 'What names the request in other logs; a client may choose it, so that it is not always unique';
COMMENT ON COLUMN gunicorn_log.trace_id IS 'Trace of which the request is a part: 32 hexadecimal digits, of traceparent';
COMMENT ON COLUMN request_log.route IS 'Pattern of URLs that led to the view, as the application logged it';
COMMENT ON COLUMN request_log.request_id IS 'What names the request in other logs; a client may choose it, so that it is not always unique';
COMMENT ON COLUMN request_log.trace_id IS 'Trace of which the request is a part: 32 hexadecimal digits, of traceparent';
END $$;
