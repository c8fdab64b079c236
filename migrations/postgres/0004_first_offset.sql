-- Lets a logical file begin after the first byte of its log: after a power cut the log goes on as another
-- logical file. The fence comes first; see 0002_fence.sql and 0003_reject_code.sql.
DO $$
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 4;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 4;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 4);

ALTER TABLE log_file ADD COLUMN first_offset bigint NOT NULL DEFAULT 0;
ALTER TABLE log_file ADD COLUMN kept_to bigint;
ALTER TABLE log_file ADD COLUMN machine text;
ALTER TABLE log_file ADD COLUMN file_system bigint;

COMMENT ON COLUMN log_file.first_offset IS 'Where it begins in the file on disk, bytes: above 0 if it goes on after a power cut has taken the end of an earlier logical file';
COMMENT ON COLUMN log_file.kept_to IS 'Its object still holds its bytes before this offset, and another logical file after it: a power cut or a truncation took the rest; NULL otherwise';
COMMENT ON COLUMN log_file.machine IS 'Machine id (machine-id(5)) of the host that claimed it last, hashed; NULL if it has none';
COMMENT ON COLUMN log_file.file_system IS 'f_fsid (statvfs(3)) of the file system where it was last seen; NULL for a stream';
COMMENT ON COLUMN log_file.digest IS 'SHA-256 of its bytes before committed, as head -c COMMITTED FILE | tail -c +(FIRST_OFFSET + 1) | sha256sum shows it; NULL while there are none';
END $$;
