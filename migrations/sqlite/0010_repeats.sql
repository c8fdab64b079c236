-- Lets one row stand for equal rejected lines that follow each other: a file of a million empty lines had a
-- million rows. The fence comes first; see 0002_fence.sql.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 10;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 10
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 10
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

-- Rows that are there have the default, and are not written again: each stands for one line.
ALTER TABLE rejected_line ADD COLUMN
    repeats INTEGER NOT NULL -- How many equal lines the row stands for: they begin at log_offset, log_offset + line_length, and so on
    DEFAULT 1;
ALTER TABLE rejected_line ADD COLUMN
    line_length -- Bytes of each of its lines with the end; NULL where the row can stand for one line only, and in rows of older versions
    INTEGER;
