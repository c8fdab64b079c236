-- Counts rows by route, by hour and by day. The fence comes first; see 0002_fence.sql.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 12;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 12
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 12
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

-- Like the other counts they are written in the transaction that stores the rows. Rows that are there already are
-- not counted: what a range has more by gunicorn_hour than by these tables was stored before.
CREATE TABLE gunicorn_route_hour ( -- Rows of gunicorn_log, counted by hour, file and route; they stay when the rows leave
    hour TEXT NOT NULL, -- The hour's first moment, UTC
    log_file INTEGER NOT NULL, -- log_file.id of the file that held the lines
    informational INTEGER NOT NULL, -- Rows with a code from 100 to 199
    successful INTEGER NOT NULL, -- Rows with a code from 200 to 299
    redirection INTEGER NOT NULL, -- Rows with a code from 300 to 399
    client_error INTEGER NOT NULL, -- Rows with a code from 400 to 499
    server_error INTEGER NOT NULL, -- Rows with a code from 500 to 599
    other INTEGER NOT NULL, -- Rows with any other code, or none
    response_bytes INTEGER NOT NULL, -- Sum of their response_bytes
    duration_sum INTEGER NOT NULL, -- Sum of their durations, microseconds
    durations TEXT NOT NULL DEFAULT '[]', -- Rows by duration: below 64 microseconds, then eight equal parts of each octave; as long as the last part that has any
    route TEXT NOT NULL, -- Their route, or else the pattern of their URL, up to 200 bytes; empty for rows without a URL, (other) for routes beyond the first 1,000 of a day
    PRIMARY KEY (hour, log_file, route)
);
CREATE INDEX gunicorn_route_hour_log_file ON gunicorn_route_hour (log_file);

-- The same by days of UTC, for ranges of weeks.
CREATE TABLE gunicorn_route_day ( -- Rows of gunicorn_log, counted by day, file and route; they stay when the rows leave
    day TEXT NOT NULL, -- The day's first moment, UTC
    log_file INTEGER NOT NULL, -- log_file.id of the file that held the lines
    informational INTEGER NOT NULL, -- Rows with a code from 100 to 199
    successful INTEGER NOT NULL, -- Rows with a code from 200 to 299
    redirection INTEGER NOT NULL, -- Rows with a code from 300 to 399
    client_error INTEGER NOT NULL, -- Rows with a code from 400 to 499
    server_error INTEGER NOT NULL, -- Rows with a code from 500 to 599
    other INTEGER NOT NULL, -- Rows with any other code, or none
    response_bytes INTEGER NOT NULL, -- Sum of their response_bytes
    duration_sum INTEGER NOT NULL, -- Sum of their durations, microseconds
    durations TEXT NOT NULL DEFAULT '[]', -- Rows by duration: below 64 microseconds, then eight equal parts of each octave; as long as the last part that has any
    route TEXT NOT NULL, -- Their route, or else the pattern of their URL, up to 200 bytes; empty for rows without a URL, (other) for routes beyond the first 1,000 of a day
    PRIMARY KEY (day, log_file, route)
);
CREATE INDEX gunicorn_route_day_log_file ON gunicorn_route_day (log_file);
