-- What the daemon stores; the same tables and columns as on PostgreSQL. Times are UTC text
-- (2026-11-23 08:41:00, with .123456 behind it only if there is a fraction), so that they sort,
-- and SQLite's date functions read them. The comments inside the tables stay in sqlite_master.

CREATE TABLE log_file ( -- One row for each logical file: what it is, and how far it is stored
    id INTEGER PRIMARY KEY CHECK (id > 0 AND id < 33554432), -- Names the logical file; below 2^25, so that it fits gunicorn_log.id
    time_estimated INTEGER NOT NULL DEFAULT 0, -- Whether its lines carry no time, so that rows get the time of reading
    device INTEGER, -- st_dev of the file where it was last seen; NULL for a stream
    inode INTEGER, -- st_ino of the file where it was last seen; NULL for a stream
    birth TEXT, -- When the file was made, UTC; NULL if the file system does not tell
    committed INTEGER NOT NULL DEFAULT 0 CHECK (committed >= 0), -- Every byte before this offset is stored, rejected or excluded
    size INTEGER NOT NULL DEFAULT 0, -- Bytes in the file when it was last looked at
    epoch INTEGER NOT NULL DEFAULT 0, -- Raised by each claim; a commit under an older epoch is refused
    lines INTEGER NOT NULL DEFAULT 0, -- Complete lines before committed: stored_rows + rejected + excluded
    stored_rows INTEGER NOT NULL DEFAULT 0, -- Lines that became rows
    rejected INTEGER NOT NULL DEFAULT 0, -- Lines that became rows of rejected_line
    excluded INTEGER NOT NULL DEFAULT 0, -- Lines that the configuration leaves out
    reparsed INTEGER NOT NULL DEFAULT 0, -- Lines that were rejected first and taken out of rejected_line by a reparse since
    lost_bytes INTEGER NOT NULL DEFAULT 0, -- Bytes that were gone before they could be read
    first_seen_at TEXT NOT NULL, -- When the file was registered, UTC
    committed_at TEXT, -- When committed last moved, UTC; NULL before the first commit
    closed_at TEXT, -- When the file ended (truncated, replaced, deleted), UTC; NULL while it is open
    head_length INTEGER, -- Bytes that head covers; NULL until a first line is known
    guard_length INTEGER, -- Bytes that guard covers; NULL until a line is committed
    head BLOB, -- First 16 bytes of the SHA-256 of the first line
    guard BLOB, -- First 16 bytes of the SHA-256 of the bytes just before committed
    digest BLOB, -- SHA-256 of all bytes before committed, as head -c COMMITTED FILE | sha256sum shows it; NULL while committed is 0
    digest_state BLOB, -- SHA-256 hash value behind the last whole 64 bytes before committed, from where the digest goes on; NULL while committed is 0
    host TEXT NOT NULL, -- Host whose file it is
    path TEXT NOT NULL, -- Where the file was last seen
    format TEXT NOT NULL, -- access_log_format that its lines are read by, or json
    other_formats TEXT NOT NULL DEFAULT '[]', -- Other formats that lines of it were read by, before or by a reparse: [format, …]
    owner TEXT, -- Who follows it now or did last: host:pid; NULL once released
    closed_reason TEXT, -- Why the file ended; NULL while it is open
    CHECK (lines = stored_rows + rejected + excluded)
);
-- The host stands last: it is the same for all, and a planner without statistics would begin with it.
CREATE INDEX log_file_head ON log_file (head, host);
CREATE INDEX log_file_inode ON log_file (inode, device, host);

CREATE TABLE gunicorn_log ( -- One row for each access-log line of Gunicorn
    id INTEGER PRIMARY KEY, -- Names the line: log_file shifted left by 38 bits, plus log_offset; the same line always has the same id
    timestamp TEXT NOT NULL, -- When Gunicorn logged the request, UTC; the time of reading if log_file.time_estimated
    log_offset INTEGER NOT NULL, -- Bytes before the line in its logical file
    duration INTEGER, -- Time the request took, microseconds
    response_bytes INTEGER, -- Size of the response body, bytes
    log_file INTEGER NOT NULL, -- log_file.id of the file that held the line
    code INTEGER, -- HTTP status of the response
    pid INTEGER, -- Process id of the Gunicorn worker
    method TEXT, -- Request method, as sent
    url TEXT, -- Path and query, as requested
    host TEXT, -- Host header of the request
    user_id TEXT, -- Name of the user
    user_ip TEXT, -- Address of the client
    agent TEXT, -- User-Agent header of the request
    source TEXT, -- Referer header of the request
    protocol TEXT, -- Protocol and version, such as HTTP/1.1
    request TEXT, -- What else was logged of the request: {"environ": {name: value}}; NULL if nothing
    response TEXT, -- What was logged of the response: {"headers": {name: value}}, names in lower case; NULL if nothing
    headers TEXT -- Logged request headers, {name: value}, names in lower case; NULL if none
);
CREATE INDEX gunicorn_log_timestamp ON gunicorn_log (timestamp);

CREATE TABLE request_log ( -- One row for each line of a JSON request log
    id INTEGER PRIMARY KEY, -- Names the line: log_file shifted left by 38 bits, plus log_offset; the same line always has the same id
    timestamp TEXT NOT NULL, -- When the request was logged, UTC
    log_offset INTEGER NOT NULL, -- Bytes before the line in its logical file
    response_time_ms REAL, -- Time the request took, milliseconds
    log_file INTEGER NOT NULL, -- log_file.id of the file that held the line
    status_code INTEGER, -- HTTP status of the response
    method TEXT, -- Request method, as sent
    path TEXT, -- Path, without the query
    query_params TEXT, -- Query, as requested
    headers TEXT, -- Request headers, {name: value}; NULL if none
    body TEXT, -- Request body
    content_type TEXT, -- Content-Type header of the request
    response_headers TEXT, -- Response headers, {name: value}; NULL if none
    response_body TEXT, -- Response body
    ip_address TEXT, -- Address of the client
    user_id TEXT, -- Name or key of the user
    user_agent TEXT, -- User-Agent header of the request
    session_id TEXT, -- What names the session: a digest of its key, as the Django package writes it
    extra_data TEXT -- Whatever else the application logged; NULL if nothing
);
CREATE INDEX request_log_timestamp ON request_log (timestamp);

CREATE TABLE rejected_line ( -- Complete lines that became no row, with their exact bytes
    log_offset INTEGER NOT NULL, -- Bytes before the line in its logical file
    rejected_at TEXT NOT NULL, -- When the line was read, UTC
    log_file INTEGER NOT NULL, -- log_file.id of the file that held the line
    reason TEXT NOT NULL, -- Why the line became no row
    raw BLOB NOT NULL, -- The exact bytes of the line, without its newline
    PRIMARY KEY (log_file, log_offset, rejected_at)
);
CREATE INDEX rejected_line_rejected_at ON rejected_line (rejected_at);

-- What a chart or a count over days reads instead of the rows. Written in the transaction that stores
-- them, so it is never more or less than their count.
CREATE TABLE gunicorn_minute ( -- Rows of gunicorn_log, counted by minute and file; they stay when the rows leave
    minute TEXT NOT NULL, -- The minute's first moment, UTC
    log_file INTEGER NOT NULL, -- log_file.id of the file that held the lines
    informational INTEGER NOT NULL, -- Rows with a code from 100 to 199
    successful INTEGER NOT NULL, -- Rows with a code from 200 to 299
    redirection INTEGER NOT NULL, -- Rows with a code from 300 to 399
    client_error INTEGER NOT NULL, -- Rows with a code from 400 to 499
    server_error INTEGER NOT NULL, -- Rows with a code from 500 to 599
    other INTEGER NOT NULL, -- Rows with any other code, or none
    response_bytes INTEGER NOT NULL, -- Sum of their response_bytes
    durations TEXT NOT NULL DEFAULT '[]', -- Rows by duration: below 64 microseconds, then eight equal parts of each octave; as long as the last part that has any
    PRIMARY KEY (minute, log_file)
);

-- The same by hours of UTC, for ranges of months.
CREATE TABLE gunicorn_hour ( -- Rows of gunicorn_log, counted by hour and file; they stay when the rows leave
    hour TEXT NOT NULL, -- The hour's first moment, UTC
    log_file INTEGER NOT NULL, -- log_file.id of the file that held the lines
    informational INTEGER NOT NULL, -- Rows with a code from 100 to 199
    successful INTEGER NOT NULL, -- Rows with a code from 200 to 299
    redirection INTEGER NOT NULL, -- Rows with a code from 300 to 399
    client_error INTEGER NOT NULL, -- Rows with a code from 400 to 499
    server_error INTEGER NOT NULL, -- Rows with a code from 500 to 599
    other INTEGER NOT NULL, -- Rows with any other code, or none
    response_bytes INTEGER NOT NULL, -- Sum of their response_bytes
    durations TEXT NOT NULL DEFAULT '[]', -- Rows by duration: below 64 microseconds, then eight equal parts of each octave; as long as the last part that has any
    PRIMARY KEY (hour, log_file)
);

CREATE TABLE sweep ( -- One row for each sweep of rows past the retention
    id INTEGER PRIMARY KEY, -- Names the sweep
    started_at TEXT NOT NULL, -- When it began, UTC
    finished_at TEXT NOT NULL, -- When it ended, UTC
    cutoff TEXT NOT NULL, -- Rows before this time were to leave, UTC
    next_at TEXT, -- When the next sweep is due, UTC; NULL if none is planned
    gunicorn_removed INTEGER NOT NULL, -- Rows removed from gunicorn_log
    request_removed INTEGER NOT NULL, -- Rows removed from request_log
    rejected_removed INTEGER NOT NULL, -- Rows removed from rejected_line
    host TEXT NOT NULL -- Host that swept
);
