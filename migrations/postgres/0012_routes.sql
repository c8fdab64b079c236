-- Counts rows by route, by hour and by day. The fence comes first, and all of it is one statement; see 0002_fence.sql
-- and 0003_reject_code.sql.
DO $$
DECLARE
    made text;
    privilege record;
    distributed boolean := false;
BEGIN
PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);
LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
ALTER TABLE log_file DROP CONSTRAINT "made for a newer log-ingestd: upgrade this one";
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 12;
ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT 12;
ALTER TABLE log_file ADD CONSTRAINT "made for a newer log-ingestd: upgrade this one" CHECK (epoch % 1000 = 12);

-- Like the other counts they are written in the transaction that stores the rows, and each file has its own. Rows
-- that are there already are not counted: that would read all of them under the lock. What a range has more by
-- gunicorn_hour than by these tables was stored before. Texts are compared by their bytes, as SQLite does.
CREATE TABLE gunicorn_route_hour (
    hour timestamptz NOT NULL,
    log_file integer NOT NULL,
    informational bigint NOT NULL,
    successful bigint NOT NULL,
    redirection bigint NOT NULL,
    client_error bigint NOT NULL,
    server_error bigint NOT NULL,
    other bigint NOT NULL,
    response_bytes bigint NOT NULL,
    duration_sum bigint NOT NULL,
    durations bigint[] NOT NULL DEFAULT '{}',
    route text COLLATE "C" NOT NULL,
    PRIMARY KEY (hour, log_file, route)
) WITH (fillfactor = 70); -- the current hour's rows are written with each batch, and find room beside them
-- What a file that is forgotten, and the sweep of the ledger, ask for.
CREATE INDEX gunicorn_route_hour_log_file ON gunicorn_route_hour (log_file);

COMMENT ON TABLE gunicorn_route_hour IS 'Rows of gunicorn_log, counted by hour, file and route; they stay when the rows leave';
COMMENT ON COLUMN gunicorn_route_hour.hour IS 'The hour''s first moment, UTC';
COMMENT ON COLUMN gunicorn_route_hour.log_file IS 'log_file.id of the file that held the lines';
COMMENT ON COLUMN gunicorn_route_hour.informational IS 'Rows with a code from 100 to 199';
COMMENT ON COLUMN gunicorn_route_hour.successful IS 'Rows with a code from 200 to 299';
COMMENT ON COLUMN gunicorn_route_hour.redirection IS 'Rows with a code from 300 to 399';
COMMENT ON COLUMN gunicorn_route_hour.client_error IS 'Rows with a code from 400 to 499';
COMMENT ON COLUMN gunicorn_route_hour.server_error IS 'Rows with a code from 500 to 599';
COMMENT ON COLUMN gunicorn_route_hour.other IS 'Rows with any other code, or none';
COMMENT ON COLUMN gunicorn_route_hour.response_bytes IS 'Sum of their response_bytes';
COMMENT ON COLUMN gunicorn_route_hour.duration_sum IS 'Sum of their durations, microseconds';
COMMENT ON COLUMN gunicorn_route_hour.durations IS 'Rows by duration: below 64 microseconds, then eight equal parts of each octave; as long as the last part that has any';
COMMENT ON COLUMN gunicorn_route_hour.route IS 'Their route, or else the pattern of their URL, up to 200 bytes; empty for rows without a URL, (other) for routes beyond the first 1,000 of a day';

-- The same by days of UTC, for ranges of weeks.
CREATE TABLE gunicorn_route_day (
    day timestamptz NOT NULL,
    log_file integer NOT NULL,
    informational bigint NOT NULL,
    successful bigint NOT NULL,
    redirection bigint NOT NULL,
    client_error bigint NOT NULL,
    server_error bigint NOT NULL,
    other bigint NOT NULL,
    response_bytes bigint NOT NULL,
    duration_sum bigint NOT NULL,
    durations bigint[] NOT NULL DEFAULT '{}',
    route text COLLATE "C" NOT NULL,
    PRIMARY KEY (day, log_file, route)
) WITH (fillfactor = 70); -- as above
CREATE INDEX gunicorn_route_day_log_file ON gunicorn_route_day (log_file);

COMMENT ON TABLE gunicorn_route_day IS 'Rows of gunicorn_log, counted by day, file and route; they stay when the rows leave';
COMMENT ON COLUMN gunicorn_route_day.day IS 'The day''s first moment, UTC';
COMMENT ON COLUMN gunicorn_route_day.log_file IS 'log_file.id of the file that held the lines';
COMMENT ON COLUMN gunicorn_route_day.informational IS 'Rows with a code from 100 to 199';
COMMENT ON COLUMN gunicorn_route_day.successful IS 'Rows with a code from 200 to 299';
COMMENT ON COLUMN gunicorn_route_day.redirection IS 'Rows with a code from 300 to 399';
COMMENT ON COLUMN gunicorn_route_day.client_error IS 'Rows with a code from 400 to 499';
COMMENT ON COLUMN gunicorn_route_day.server_error IS 'Rows with a code from 500 to 599';
COMMENT ON COLUMN gunicorn_route_day.other IS 'Rows with any other code, or none';
COMMENT ON COLUMN gunicorn_route_day.response_bytes IS 'Sum of their response_bytes';
COMMENT ON COLUMN gunicorn_route_day.duration_sum IS 'Sum of their durations, microseconds';
COMMENT ON COLUMN gunicorn_route_day.durations IS 'Rows by duration: below 64 microseconds, then eight equal parts of each octave; as long as the last part that has any';
COMMENT ON COLUMN gunicorn_route_day.route IS 'Their route, or else the pattern of their URL, up to 200 bytes; empty for rows without a URL, (other) for routes beyond the first 1,000 of a day';

-- Where files are distributed, their counts are beside them.
IF to_regclass('pg_dist_partition') IS NOT NULL THEN
    EXECUTE 'SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = ''log_file''::regclass AND partmethod = ''h'')'
       INTO distributed;
END IF;

FOREACH made IN ARRAY ARRAY['gunicorn_route_hour', 'gunicorn_route_day'] LOOP
    IF distributed THEN
        EXECUTE format('SELECT create_distributed_table(%L, ''log_file'', colocate_with => ''log_file'')', made);
    END IF;
    -- Users with rights on the other counts have the same rights on these.
    FOR privilege IN
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee,
               a.privilege_type
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.oid = 'gunicorn_hour'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON %I TO %s', privilege.privilege_type, made, privilege.grantee);
    END LOOP;
END LOOP;
END $$;
