-- The files that are not followed, and what the ledger of many closed files needs. The fence comes
-- first; see 0002_fence.sql.
DROP TRIGGER log_file_registered;
DROP TRIGGER log_file_claimed;
-- A closed file leaves the ledger when nothing needs its row any more: an archive that is still there
-- does, although no line of it is stored any more. Which archives are there is not known yet.
ALTER TABLE log_file ADD COLUMN
    last_seen_at -- When a daemon last had content of this closed file on its disk, such as an archive, UTC; NULL if never. Refreshed daily
    TEXT;
UPDATE log_file SET epoch = epoch / 1000 * 1000 + 6, last_seen_at = CASE WHEN closed_at IS NOT NULL THEN datetime('now') END;
CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> 6
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;
CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
WHEN NEW.epoch % 1000 <> 6
BEGIN SELECT RAISE(ABORT, 'made for a newer log-ingestd: upgrade this one'); END;

-- What a daemon asks at its start and `status` always: the few files among many closed ones.
CREATE INDEX log_file_shown ON log_file (host, id) WHERE closed_at IS NULL OR lost_bytes > 0;
-- Whether counts still need a file.
CREATE INDEX gunicorn_hour_log_file ON gunicorn_hour (log_file);

CREATE TABLE ignored_file ( -- Files that a watched path matches and that no daemon follows, each with the reason
    id INTEGER PRIMARY KEY, -- Names the row
    files INTEGER NOT NULL, -- Files that the row stands for: 1, or those with this reason beyond the first 1,000 of a daemon
    bytes INTEGER, -- Size of the file when the row was written, bytes; NULL if it is not known
    since TEXT NOT NULL, -- Since when it has been ignored for this reason, UTC
    seen_at TEXT NOT NULL, -- When its daemon last confirmed the row, UTC
    host TEXT NOT NULL, -- Host whose file it is
    path TEXT NOT NULL, -- Where it is; of a row for several files, the watched paths
    reason TEXT NOT NULL, -- Why it is ignored, a stable word: archive, unknown_format, unreadable, …
    detail TEXT, -- What else is known, such as the error of the system; NULL if nothing
    owner TEXT NOT NULL -- The daemon that ignores it: host:pid
);
CREATE INDEX ignored_file_host ON ignored_file (host);
