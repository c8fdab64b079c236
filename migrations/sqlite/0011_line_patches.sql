-- Lets each log be written back byte for byte: what neither a row nor the format of its file says. The fence
-- comes first; see 0002_fence.sql.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
ALTER TABLE log_file ADD COLUMN
    line_forms TEXT NOT NULL -- How lines are written, such as the zone of their times: [[offset,form],…] in order, each from that offset on
    DEFAULT '[]';
ALTER TABLE log_file ADD COLUMN
    patched_from INTEGER NOT NULL -- From this offset on, each row that does not give its line back has a patch, and was read by format
    DEFAULT 0 CHECK (patched_from >= 0);
-- Rows that are there have no patches.
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 11, patched_from = committed;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 11
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 11
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

-- Rows that are there are not written again.
ALTER TABLE gunicorn_log ADD COLUMN
    patch -- In what the line differs from what the row gives in the format of its file, for export; its length alone if that may be a secret; NULL if in nothing
    BLOB;
