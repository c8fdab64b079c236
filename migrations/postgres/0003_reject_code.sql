-- Gives each rejected line the stable code of its reason, for programs: words may change. The fence
-- comes first; see 0002_fence.sql. Every later migration begins with the same statements, with its own
-- number in place of 3.
--
-- All of it is one statement: Citus refuses several statements in one message. There, one transaction
-- that changes rows of all shards and then the tables must use one connection to each worker
-- (citus.multi_shard_modify_mode, which means nothing to a server without Citus).
DO $$
DECLARE
    day regclass;
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 3;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 3;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 3);

-- Most lines are rejected because they are unlike their format. A default that is given with the column
-- is not written to each row, so adding it costs nothing. Partitions get the column with their table.
ALTER TABLE rejected_line ADD COLUMN code text NOT NULL DEFAULT 'unlike_format';

-- Days that a sweep has detached and not yet dropped: a late line may bring one back.
FOR day IN
    SELECT c.oid::regclass FROM pg_class c JOIN pg_class p USING (relnamespace)
     WHERE p.oid = 'rejected_line'::regclass AND c.relkind = 'r' AND NOT c.relispartition
       AND obj_description(c.oid, 'pg_class') = 'One day of rejected_line'
LOOP
    EXECUTE format('ALTER TABLE %s ADD COLUMN code text NOT NULL DEFAULT ''unlike_format''', day);
END LOOP;

-- The only place where words are matched: those of the schemas before this one. The words that a
-- database answered with (refused_by_store) come last, since they may hold any others.
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

-- From now on the daemon always gives a code.
ALTER TABLE rejected_line ALTER COLUMN code DROP DEFAULT;

COMMENT ON COLUMN rejected_line.code IS 'The stable code of the reason: unlike_format, not_utf8, holds_nul, ambiguous, too_long, continues, no_final_piece, no_envelope, refused_by_store';
COMMENT ON COLUMN rejected_line.reason IS 'Why the line became no row, in words, which may change from version to version';
END $$;
