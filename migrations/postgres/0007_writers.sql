-- Names the session that holds the claim of a file. The session's one lock shows whether it is alive: a
-- lock for each file filled the lock table of the server. The fence comes first, and all of it is one
-- statement; see 0002_fence.sql and 0003_reject_code.sql.
DO $$
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 7;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 7;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 7);

ALTER TABLE log_file ADD COLUMN writer bigint;

COMMENT ON COLUMN log_file.writer IS 'Number of the session that holds the claim: an advisory lock of this number shows that it is alive; NULL once released';
END $$;
