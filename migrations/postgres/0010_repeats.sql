-- Lets one row stand for equal rejected lines that follow each other: a file of a million empty lines had a
-- million rows. The fence comes first, and all of it is one statement; see 0002_fence.sql and
-- 0003_reject_code.sql.
DO $$
DECLARE
    day regclass;
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 10;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 10;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 10);

-- A default that is given with the column is not written to each row: each row that is there stands for one
-- line. Partitions get the columns with their table.
ALTER TABLE rejected_line ADD COLUMN repeats bigint NOT NULL DEFAULT 1, ADD COLUMN line_length integer;

-- Days that a sweep has detached and not yet dropped: a late line may bring one back.
FOR day IN
    SELECT c.oid::regclass FROM pg_class c JOIN pg_class p USING (relnamespace)
     WHERE p.oid = 'rejected_line'::regclass AND c.relkind = 'r' AND NOT c.relispartition
       AND obj_description(c.oid, 'pg_class') = 'One day of rejected_line'
LOOP
    EXECUTE format('ALTER TABLE %s ADD COLUMN repeats bigint NOT NULL DEFAULT 1, ADD COLUMN line_length integer', day);
END LOOP;

COMMENT ON TABLE rejected_line IS 'Complete lines that became no row, with their exact bytes; equal ones that follow each other may be one row';
COMMENT ON COLUMN rejected_line.log_offset IS 'Bytes before the line, or the first of several equal ones, in its logical file';
COMMENT ON COLUMN rejected_line.repeats IS 'How many equal lines the row stands for: they begin at log_offset, log_offset + line_length, and so on';
COMMENT ON COLUMN rejected_line.line_length IS 'Bytes of each of its lines with the end; NULL where the row can stand for one line only, and in rows of older versions';
COMMENT ON COLUMN log_file.rejected IS 'Lines that were rejected: the sum of repeats of their rows of rejected_line';
END $$;
