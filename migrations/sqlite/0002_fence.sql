-- Keeps programs of an older schema from writing. Each row of log_file says in its epoch which schema
-- its claim was made by (thousands: raised by each claim; the rest: the schema), and triggers refuse
-- every other: an older program can neither register a file nor claim one, and where it has claimed
-- one, its next commit finds another epoch. They run for these two statements only: a commit costs
-- nothing more than before. Epoch 0 is that of a file that nobody has claimed.
--
-- Every later migration begins with these statements, with its own number in them (and DROP TRIGGER
-- for the two older ones before them).
UPDATE log_file SET epoch = epoch * 1000 + 2;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 2
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 2
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
