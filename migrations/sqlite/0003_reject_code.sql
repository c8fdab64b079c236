-- Gives each rejected line the stable code of its reason, for programs: words may change. The fence
-- comes first; see 0002_fence.sql. Every later migration begins with the same statements, with its own
-- number in place of 3.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 3;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 3
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 3
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

-- Most lines are rejected because they are unlike their format: these have the default, and are not
-- written again. SQLite cannot take a default back; the daemon always gives a code.
ALTER TABLE rejected_line ADD COLUMN
    code TEXT NOT NULL -- The stable code of the reason: unlike_format, not_utf8, holds_nul, …
    DEFAULT 'unlike_format';

-- The only place where words are matched: those of the schemas before this one. SQLite's LIKE does not
-- tell upper case from lower case; the words that a database answered with (refused_by_store) come
-- last, since they may hold any others.
UPDATE rejected_line SET code = CASE
    WHEN reason LIKE 'is not UTF-8%' THEN 'not_utf8'
    WHEN reason LIKE 'holds NUL%' OR reason LIKE '%` holds NUL (%' THEN 'holds_nul'
    WHEN reason LIKE 'can be read in too many ways%' THEN 'ambiguous'
    WHEN reason LIKE 'is longer than%' THEN 'too_long'
    WHEN reason LIKE 'continues the record%' THEN 'continues'
    WHEN reason LIKE 'has no final piece%' THEN 'no_final_piece'
    WHEN reason LIKE 'has no envelope%' THEN 'no_envelope'
    ELSE 'refused_by_store' END
 WHERE reason LIKE 'is not UTF-8%' OR reason LIKE 'holds NUL%' OR reason LIKE '%` holds NUL (%'
    OR reason LIKE 'can be read in too many ways%' OR reason LIKE 'is longer than%'
    OR reason LIKE 'continues the record%' OR reason LIKE 'has no final piece%'
    OR reason LIKE 'has no envelope%' OR reason LIKE '%cannot hold a row of the batch%';
