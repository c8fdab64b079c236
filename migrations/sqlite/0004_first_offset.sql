-- Lets a logical file begin after the first byte of its log: after a power cut the log goes on as another
-- logical file. The fence comes first; see 0002_fence.sql and 0003_reject_code.sql.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 4;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 4
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 4
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

ALTER TABLE log_file ADD COLUMN
    first_offset INTEGER NOT NULL -- Where it begins in the file on disk, bytes: above 0 if it goes on after a power cut has taken the end of an earlier logical file
    DEFAULT 0;
ALTER TABLE log_file ADD COLUMN
    kept_to INTEGER -- Its object still holds its bytes before this offset, and another logical file after it: a power cut or a truncation took the rest; NULL otherwise
    CHECK (kept_to IS NULL OR kept_to >= 0);
ALTER TABLE log_file ADD COLUMN
    machine TEXT -- Machine id (machine-id(5)) of the host that claimed it last, hashed; NULL if it has none
    CHECK (machine IS NULL OR machine <> '');
ALTER TABLE log_file ADD COLUMN
    file_system INTEGER -- f_fsid (statvfs(3)) of the file system where it was last seen; NULL for a stream
    CHECK (file_system IS NULL OR file_system <> 0);
