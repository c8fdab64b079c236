-- Gives each row the view that answered, and the names by which other logs know the request. The fence comes
-- first; see 0002_fence.sql.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 8;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 8
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 8
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

-- Rows that are there are not written again.
ALTER TABLE gunicorn_log ADD COLUMN
    route -- Pattern of URLs that led to the view, as the application logged it
    TEXT;
ALTER TABLE gunicorn_log ADD COLUMN
    request_id -- What names the request in other logs; a client may choose it, so that it is not always unique
    TEXT;
ALTER TABLE gunicorn_log ADD COLUMN
    trace_id -- Trace of which the request is a part: 32 hexadecimal digits, of traceparent
    TEXT;
ALTER TABLE request_log ADD COLUMN
    route -- Pattern of URLs that led to the view, as the application logged it
    TEXT;
ALTER TABLE request_log ADD COLUMN
    request_id -- What names the request in other logs; a client may choose it, so that it is not always unique
    TEXT;
ALTER TABLE request_log ADD COLUMN
    trace_id -- Trace of which the request is a part: 32 hexadecimal digits, of traceparent
    TEXT;
