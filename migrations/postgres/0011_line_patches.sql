-- Lets each log be written back byte for byte: what neither a row nor the format of its file says. The fence
-- comes first, and all of it is one statement; see 0002_fence.sql and 0003_reject_code.sql.
DO $$
DECLARE
    day regclass;
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file ADD COLUMN line_forms jsonb NOT NULL DEFAULT '[]', ADD COLUMN patched_from bigint NOT NULL DEFAULT 0 CHECK (patched_from >= 0);
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
-- Rows that are there have no patches.
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 11, patched_from = committed;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 11;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 11);

-- A column without a default is written to no row, so adding it costs nothing. Partitions get it with their
-- table.
ALTER TABLE gunicorn_log ADD COLUMN patch bytea;

-- Days that a sweep has detached and not yet dropped: a late line may bring one back.
FOR day IN
    SELECT c.oid::regclass FROM pg_class c JOIN pg_class p USING (relnamespace)
     WHERE p.oid = 'gunicorn_log'::regclass
       AND c.relkind = 'r' AND NOT c.relispartition
       AND obj_description(c.oid, 'pg_class') = 'One day of ' || p.relname
LOOP
    EXECUTE format('ALTER TABLE %s ADD COLUMN patch bytea', day);
END LOOP;

COMMENT ON COLUMN log_file.line_forms IS 'How lines are written, such as the zone of their times: [[offset,form],…] in order, each from that offset on';
COMMENT ON COLUMN log_file.patched_from IS 'From this offset on, each row that does not give its line back has a patch, and was read by format';
COMMENT ON COLUMN gunicorn_log.patch IS 'In what the line differs from what the row gives in the format of its file, for export; its length alone if that may be a secret; NULL if in nothing';
END $$;
