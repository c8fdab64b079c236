-- Keeps programs of an older schema from writing. Each row of log_file says in its epoch which schema
-- its claim was made by, and a constraint refuses every other: an older program can neither register a
-- file nor claim one, and where it has claimed one, its next commit finds another epoch. A commit
-- costs nothing more than before: it compares the epoch anyway.
--
-- Every later migration begins with these four statements, with its own number in them (the first of
-- all, DROP CONSTRAINT, in addition). The lock waits for transactions that are under way; from then on
-- nobody's commit is half in one schema and half in the next.
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
UPDATE log_file SET epoch = epoch * 1000 + 2;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 2;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 2);

COMMENT ON COLUMN log_file.epoch IS 'Thousands: raised by each claim, a commit under an older epoch is refused; the rest: the schema of who claimed it';
