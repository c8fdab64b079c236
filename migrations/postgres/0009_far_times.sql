-- Counts the rows of each file whose time the clock does not explain. The fence comes first, and all of it is
-- one statement; see 0002_fence.sql and 0003_reject_code.sql.
DO $$
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 9;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 9;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 9);

ALTER TABLE log_file ADD COLUMN far_times bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN log_file.far_times IS 'Rows whose time was before 2000, or more than two days ahead of the clock, when they were read';
END $$;
