-- Gives each file the NULs before its lines that were skipped. The fence comes first; see 0002_fence.sql,
-- and 0003_reject_code.sql for the one statement.
DO $$
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 5;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 5;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 5);

-- A default that is given with the column is not written to each row.
ALTER TABLE log_file ADD COLUMN nul_runs jsonb NOT NULL DEFAULT '[]';

COMMENT ON COLUMN log_file.nul_runs IS 'NULs before lines that were skipped: [[offset, length], …] in order, 1000 at most; with the lines they make up the file';
COMMENT ON COLUMN log_file.digest IS 'SHA-256 of all bytes before committed, as head -c COMMITTED FILE | sha256sum shows it; of each of nul_runs that is longer than 127 bytes, only 64 + length mod 64 NULs count; NULL while committed is 0';
COMMENT ON COLUMN log_file.digest_state IS 'SHA-256 hash value after the last whole 64 bytes that count in digest, from where the digest goes on; NULL while committed is 0';
END $$;
