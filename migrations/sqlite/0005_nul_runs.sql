-- Gives each file the NULs before its lines that were skipped. The fence comes first; see 0002_fence.sql.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 5;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 5
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 5
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

-- Rows that are there have the default, and are not written again.
ALTER TABLE log_file ADD COLUMN
    nul_runs TEXT NOT NULL -- NULs before lines that were skipped: [[offset,length],…] in order, 1000 at most. Of each that is longer than 127 bytes, only 64 + length mod 64 NULs count in digest
    DEFAULT '[]';
