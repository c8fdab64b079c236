//! The SQL that both databases understand: each statement stands here once.
//!
//! Parameters are `$1`, `$2`, … in both. Where the databases differ in one expression, such as the
//! current time, a macro takes it. Statements that differ in their shape stand with their database.

use std::sync::{Arc, LazyLock};

use crate::model::columns::{Column, Encoding, GUNICORN_LOG, REJECTED_LINE, REQUEST_LOG};
use crate::model::{Period, RoutePeriod};

/// What [`checkpoint`](super::rows::checkpoint) reads.
macro_rules! checkpoint_columns {
    () => {
        "id, host, machine, file_system, path, device, inode, birth, head_length, head, guard_length, guard, digest, \
         digest_state, first_offset, nul_runs, line_forms, patched_from, \
         committed, kept_to, size, lost_bytes, epoch, format, closed_at, \
         CAST(time_estimated AS integer) AS time_estimated"
    };
}

/// What [`report`](super::rows::report) reads.
macro_rules! report_columns {
    () => {
        concat!(
            $crate::store::sql::checkpoint_columns!(),
            ", owner, lines, stored_rows, \
             rejected, excluded, reparsed, far_times, CAST(other_formats AS text) AS other_formats, \
             first_seen_at, committed_at, closed_reason"
        )
    };
}
pub(super) use {checkpoint_columns, report_columns};

/// The newest schema that a database with tables has.
pub(super) const NEWEST_SCHEMA: &str = "SELECT max(version) FROM _sqlx_migrations WHERE success";

pub(super) const ALL_FILES: &str =
    concat!("SELECT ", report_columns!(), " FROM log_file ORDER BY id");

pub(super) const FILES_OF_HOST: &str =
    concat!("SELECT ", report_columns!(), " FROM log_file WHERE host = $1 ORDER BY id");

/// The files that `status` and the page always show: open ones, and those that have lost bytes. The
/// condition is that of the index `log_file_shown`: among many closed files, few rows are read.
macro_rules! shown {
    () => {
        "closed_at IS NULL OR lost_bytes > 0"
    };
}
pub(super) use shown;

pub(super) const FILES_SHOWN: &str =
    concat!("SELECT ", report_columns!(), " FROM log_file WHERE ", shown!(), " ORDER BY host, id");

pub(super) const COUNT_FILES: &str = "
    SELECT (SELECT count(*) FROM log_file WHERE closed_at IS NULL) AS open_files,
           (SELECT count(*) FROM log_file) AS all_files";

/// The format of each file.
pub(super) const FORMATS: &str = "SELECT id, format FROM log_file";

/// Where each file of a host was seen, and when first: some at the same path.
pub(super) const KNOWN_PATHS: &str = "
    SELECT path, first_seen_at FROM log_file WHERE host = $1";

/// Marks the target of a copy: `$1` the number of the mark, `$2` the source, `$3` nothing.
pub(super) const MARK_COPY: &str = "
    INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
    VALUES ($1, $2, CURRENT_TIMESTAMP, true, $3, 0)";

/// What the mark `$1` says of the source.
pub(super) const COPY_MARK: &str = "SELECT description FROM _sqlx_migrations WHERE version = $1";

pub(super) const UNMARK_COPY: &str = "DELETE FROM _sqlx_migrations WHERE version = $1";

/// The schema of a database with the mark `$1`.
pub(super) const SCHEMA_BESIDE_MARK: &str =
    "SELECT max(version) FROM _sqlx_migrations WHERE success AND version <> $1";

/// Ignored files of one host or of all: `$1` host, `$2` the most.
pub(super) const IGNORED: &str = "
    SELECT host, path, reason, detail, bytes, files, since, seen_at, owner FROM ignored_file
     WHERE CAST($1 AS text) IS NULL OR host = $1 ORDER BY host, path, reason LIMIT $2";

/// Ignored files of all hosts, to which the most is added.
pub(super) const IGNORED_OF_ALL: &str = "
    SELECT host, path, reason, detail, bytes, files, since, seen_at, owner FROM ignored_file
     ORDER BY host, path, reason LIMIT ";

/// Says that the daemon `$3` still ignores its files: `$1` host, `$2` now.
pub(super) const CONFIRM_IGNORED: &str =
    "UPDATE ignored_file SET seen_at = $2 WHERE host = $1 AND owner = $3";

pub(super) const FORGET_IGNORED: &str = "DELETE FROM ignored_file WHERE seen_at < $1";

/// Statements of the ledger that the databases write differently. Lists are one parameter: of ids
/// an array, of rows JSON.
#[derive(Debug)]
pub(super) struct LedgerQueries {
    /// Begins a transaction that writes.
    pub(super) begin: &'static str,
    /// Removes ignored files: `$1` host, `$2` JSON with path and reason of each.
    pub(super) remove_ignored: &'static str,
    /// Adds ignored files: `$1` host, `$2` JSON, `$3` now, `$4` owner.
    pub(super) add_ignored: &'static str,
    /// Says that the content of closed files is there: `$1` now, `$2` ids, `$3` before when they were
    /// last seen.
    pub(super) seen_again: &'static str,
}

pub(super) const LEDGER_IN_POSTGRES: LedgerQueries = LedgerQueries {
    begin: "BEGIN",
    remove_ignored: "
        DELETE FROM ignored_file AS it
         USING json_to_recordset($2::json) AS gone(path text, reason text)
         WHERE it.host = $1 AND it.path = gone.path AND it.reason = gone.reason",
    add_ignored: "
        INSERT INTO ignored_file (host, path, reason, detail, bytes, files, since, seen_at, owner)
        SELECT $1, path, reason, detail, bytes, files, (since || '+00')::timestamptz, $3, $4
          FROM json_to_recordset($2::json) AS it(path text, reason text, detail text, bytes bigint,
                                                 files bigint, since text)",
    seen_again: "
        UPDATE log_file SET last_seen_at = $1
         WHERE id = ANY ($2::text::integer[]) AND closed_at IS NOT NULL
           AND (last_seen_at IS NULL OR last_seen_at < $3)",
};

pub(super) const LEDGER_IN_SQLITE: LedgerQueries = LedgerQueries {
    begin: "BEGIN IMMEDIATE",
    remove_ignored: "
        DELETE FROM ignored_file
         WHERE host = $1 AND (path, reason) IN
               (SELECT value ->> 'path', value ->> 'reason' FROM json_each($2))",
    add_ignored: "
        INSERT INTO ignored_file (host, path, reason, detail, bytes, files, since, seen_at, owner)
        SELECT $1, value ->> 'path', value ->> 'reason', value ->> 'detail', value ->> 'bytes',
               value ->> 'files', value ->> 'since', $3, $4 FROM json_each($2)",
    seen_again: "
        UPDATE log_file SET last_seen_at = $1
         WHERE id IN (SELECT value FROM json_each($2)) AND closed_at IS NOT NULL
           AND (last_seen_at IS NULL OR last_seen_at < $3)",
};

/// Whether a closed file may leave the ledger by its age: `$cutoff` is a parameter. The newest file always
/// stays: SQLite gives the id of a last row that was removed to the next file. So does one of which an
/// open file's object holds the first lines. The statement that deletes repeats all of it: a file may have
/// been claimed since it was listed.
macro_rules! may_leave {
    ($cutoff:literal) => {
        concat!(
            "closed_at < ", $cutoff, " AND (last_seen_at IS NULL OR last_seen_at < ", $cutoff, ")
       AND id < (SELECT max(id) FROM log_file)
       AND (coalesce(kept_to, 0) = 0 OR (host, device, inode) NOT IN
            (SELECT host, device, inode FROM log_file WHERE closed_at IS NULL AND inode IS NOT NULL))"
        )
    };
}
pub(super) use may_leave;

/// Closed files that may leave the ledger: `$1` the cutoff, `$2` the id after which they are, `$3` the
/// most.
pub(super) const OLD_FILES: &str = concat!(
    "SELECT id, host, coalesce(last_seen_at, closed_at) AS last_seen_at FROM log_file
     WHERE id > $2 AND ",
    may_leave!("$1"),
    " ORDER BY id LIMIT $3"
);

/// Hosts of which a file was stored, registered or seen again from `$1` until before `$2`.
pub(super) const LIVE_HOSTS: &str = "
    SELECT DISTINCT host FROM log_file
     WHERE (committed_at >= $1 AND committed_at < $2) OR (first_seen_at >= $1 AND first_seen_at < $2)
        OR (last_seen_at >= $1 AND last_seen_at < $2)";

pub(super) const REPORT: &str =
    concat!("SELECT ", report_columns!(), " FROM log_file WHERE id = $1");

/// Files that may be the one that was seen; of other hosts, those that are the same object and begin
/// alike, since the host may have been given another name. The parameters are SQL: those of
/// [`CANDIDATES`], or columns of a list.
macro_rules! may_be {
    ($host:literal, $device:literal, $inode:literal, $head:literal, $head_length:literal) => {
        concat!(
            "(host = ",
            $host,
            " AND ((device = ",
            $device,
            " AND inode = ",
            $inode,
            ") OR (head = ",
            $head,
            " AND head_length = ",
            $head_length,
            ")))
         OR (host <> ",
            $host,
            " AND device = ",
            $device,
            " AND inode = ",
            $inode,
            " AND head = ",
            $head,
            " AND head_length = ",
            $head_length,
            ")"
        )
    };
}
pub(super) use may_be;

/// `$1` host, `$2` device, `$3` inode, `$4` head, `$5` its length.
pub(super) const CANDIDATES: &str = concat!(
    "SELECT ",
    checkpoint_columns!(),
    " FROM log_file WHERE ",
    may_be!("$1", "$2", "$3", "$4", "$5"),
    " ORDER BY id DESC"
);

/// What is known of the files of host `$1` whose last path begins with `$2`.
pub(super) const FILES_BELOW: &str = concat!(
    "SELECT ",
    checkpoint_columns!(),
    " FROM log_file WHERE host = $1 AND substr(path, 1, length($2)) = $2 ORDER BY id"
);

pub(super) const RENAME_CLOSED: &str =
    "UPDATE log_file SET host = $2 WHERE id = $1 AND closed_at IS NOT NULL";

/// Adds a file: `$1` host, `$2` path, `$3` device, `$4` inode, `$5` birth, `$6` format, `$7` whether
/// times are estimated, `$8` head, `$9` its length, `$10` owner, `$11` where it begins, `$12` the tail
/// fingerprint there and `$13` its length, `$14` the machine, `$15` the file system, `$17` the number of the
/// claim. `$columns` and `$values` are what one database has in addition, one of them `$16`.
macro_rules! register {
    ($now:literal, $columns:literal, $values:literal) => {
        concat!(
            "INSERT INTO log_file (host, path, device, inode, birth, format, time_estimated, head,
                                   head_length, owner, first_offset, committed, size, guard,
                                   guard_length, machine, file_system, first_seen_at, epoch",
            $columns,
            ")
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11, $12, $13, $14, $15, ",
            $now,
            ", ",
            $crate::store::schema::first_epoch!("$17"),
            $values,
            ") RETURNING ",
            $crate::store::sql::checkpoint_columns!()
        )
    };
}

/// Takes a file: `$1` id, `$2` path, `$3` device, `$4` inode, `$5` birth, `$6` format, `$7` owner, `$8`
/// host, `$9` machine, `$10` file system, `$11` head, `$12` its length, `$13` the number of the claim. What a
/// stream does not have stays as it was. `$writer` is what one database sets in addition.
macro_rules! claim {
    ($other_formats:literal, $writer:literal) => {
        concat!(
            "UPDATE log_file SET epoch = ",
            $crate::store::schema::next_epoch!("$13"),
            ", path = $2, format = $6, owner = $7, host = $8, machine = COALESCE($9, machine),
               file_system = COALESCE($10, file_system),
               patched_from = CASE WHEN format = $6 THEN patched_from ELSE committed END, other_formats = ",
            $other_formats,
            ", device = CASE WHEN CAST($3 AS bigint) IS NULL THEN device ELSE $3 END,
               inode = CASE WHEN CAST($3 AS bigint) IS NULL THEN inode ELSE $4 END,
               birth = CASE WHEN CAST($3 AS bigint) IS NULL THEN birth ELSE $5 END,
               head = COALESCE($11, head), head_length = COALESCE($12, head_length),
               closed_at = NULL, closed_reason = NULL, lost_bytes = 0, kept_to = NULL",
            $writer,
            " WHERE id = $1 RETURNING ",
            $crate::store::sql::checkpoint_columns!()
        )
    };
}

/// Ends a file: `$1` id, `$2` epoch, `$3` lost bytes, `$4` why, `$5` up to where its object still holds it,
/// `$6` now, where that is a parameter.
macro_rules! close {
    ($now:literal) => {
        concat!(
            "UPDATE log_file SET closed_at = ",
            $now,
            ", closed_reason = $4, lost_bytes = $3, size = committed + $3, kept_to = $5
              WHERE id = $1 AND epoch = $2 RETURNING id AS n"
        )
    };
}

/// Ends a file whose log lost its last bytes in a power cut: `$1` id, `$2` epoch, `$3` lost bytes, `$4`
/// why, `$5` up to where the log still holds it. `$writer` is what one database sets in addition.
macro_rules! cut {
    ($now:literal, $writer:literal) => {
        concat!(
            "UPDATE log_file SET closed_at = ",
            $now,
            ", closed_reason = $4, lost_bytes = $3, size = committed + $3, kept_to = $5, owner = NULL",
            $writer,
            " WHERE id = $1 AND epoch = $2"
        )
    };
}

/// Moves the offset of one file and adds to its counters. `$nul_runs` adds the runs of NULs `$16`, `$line_forms`
/// the changes of the form `$17`, `$far_times` is how many rows more are far from the clock, and `$releases`
/// releases the file if the claim ends.
macro_rules! move_one {
    ($now:literal, $nul_runs:literal, $line_forms:literal, $far_times:literal, $releases:literal) => {
        concat!(
            "UPDATE log_file
                SET committed = $4, size = $5, lines = lines + $6, stored_rows = stored_rows + $7,
                    rejected = rejected + $8, excluded = excluded + $9,
                    head_length = COALESCE($10, head_length), head = COALESCE($11, head),
                    guard_length = $12, guard = $13, digest = $14, digest_state = $15,
                    nul_runs = ",
            $nul_runs,
            ", line_forms = ",
            $line_forms,
            ", far_times = far_times + ",
            $far_times,
            ", committed_at = ",
            $now,
            $releases,
            " WHERE id = $1 AND epoch = $2 AND committed = $3"
        )
    };
}

/// Moves counters after lines were read again: `$1` id, `$2` more rejects, `$3` more rows, `$4` more excluded
/// lines, `$5` format, `$6` rejects that were read again.
macro_rules! count_reparsed {
    ($other_formats:literal) => {
        concat!(
            "UPDATE log_file
                SET rejected = rejected + $2, stored_rows = stored_rows + $3,
                    excluded = excluded + $4, reparsed = reparsed + $6,
                    patched_from = CASE WHEN format = $5 THEN patched_from ELSE committed END,
                    other_formats = ",
            $other_formats,
            " WHERE id = $1 AND ",
            $crate::store::schema::is_our_epoch!()
        )
    };
}

/// Leaves a reject a run of its lines: `$1` file, `$2` offset, `$3` time and `$4` number of lines that it has,
/// `$5` offset and `$6` number of those that stay.
macro_rules! keep_lines {
    () => {
        "UPDATE rejected_line SET log_offset = $5, repeats = $6
          WHERE log_file = $1 AND log_offset = $2 AND rejected_at = $3 AND repeats = $4"
    };
}
pub(super) use {claim, close, count_reparsed, cut, keep_lines, move_one, register};

/// Adds a row for another run of lines that stay: `$1` file, `$2` offset and `$3` time of the reject that has the
/// first run, `$4` offset and `$5` number of lines.
pub(super) const KEEP_MORE_LINES: &str = "
    INSERT INTO rejected_line
           (log_offset, rejected_at, repeats, log_file, line_length, code, reason, raw)
    SELECT $4, rejected_at, $5, log_file, line_length, code, reason, raw FROM rejected_line
     WHERE log_file = $1 AND log_offset = $2 AND rejected_at = $3";

pub(super) const MOVED: &str =
    "UPDATE log_file SET path = $3 WHERE id = $1 AND epoch = $2 RETURNING id AS n";

pub(super) const READ_BY: &str =
    "UPDATE log_file SET format = $3, other_formats = '[]', time_estimated = $4,
         patched_from = CASE WHEN format = $3 AND CAST(other_formats AS text) = '[]' THEN patched_from ELSE 0 END
     WHERE id = $1 AND epoch = $2";

pub(super) const RENAME_IGNORED: &str = "UPDATE ignored_file SET host = $2 WHERE host = $1";

pub(super) const RENAME_HOST: &str = "UPDATE log_file SET host = $2 WHERE host = $1";

/// Moves the ended parts of a log from host `$1` to `$2`: `$3` device, `$4` inode.
pub(super) const RENAME_ENDED: &str = "UPDATE log_file SET host = $2
     WHERE host = $1 AND device = $3 AND inode = $4 AND kept_to IS NOT NULL";

/// Deletes the rows of the file `$1`, whose ids are from `$2` on and before `$3`.
pub(super) const FORGET_ROWS: [&str; 2] = [
    "DELETE FROM gunicorn_log WHERE log_file = $1 AND id >= $2 AND id < $3",
    "DELETE FROM request_log WHERE log_file = $1 AND id >= $2 AND id < $3",
];

/// Counts the rejected lines of the file `$1`.
pub(super) const COUNT_REJECTS: &str =
    "SELECT CAST(coalesce(sum(repeats), 0) AS bigint) AS n FROM rejected_line WHERE log_file = $1";

/// Deletes the rejects and the counts of the file `$1`.
pub(super) const FORGET_REJECTS_AND_COUNTS: [&str; 5] = [
    "DELETE FROM rejected_line WHERE log_file = $1",
    "DELETE FROM gunicorn_minute WHERE log_file = $1",
    "DELETE FROM gunicorn_hour WHERE log_file = $1",
    "DELETE FROM gunicorn_route_hour WHERE log_file = $1",
    "DELETE FROM gunicorn_route_day WHERE log_file = $1",
];

/// Deletes the file `$1`, which was claimed under the epoch `$2`.
pub(super) const FORGET_FILE: &str = "DELETE FROM log_file WHERE id = $1 AND epoch = $2";

pub(super) const LOSE: &str = "UPDATE log_file SET lost_bytes = $3 WHERE id = $1 AND epoch = $2";

/// Open files of host `$1` after the id `$2`: `$3` at most.
pub(super) const OPEN_FILES: &str = concat!(
    "SELECT ",
    checkpoint_columns!(),
    " FROM log_file WHERE host = $1 AND closed_at IS NULL AND id > $2 ORDER BY id LIMIT $3"
);

/// SQL: how many lines of a reject begin before an offset that is after its first line's, if so many lines
/// were its.
macro_rules! lines_before {
    ($offset:literal) => {
        concat!("(", $offset, " - log_offset + line_length - 1) / nullif(line_length, 0)")
    };
}

/// SQL: whether a line of a reject of a file begins at or after an offset. Of the rejects that begin before the
/// offset it can be the last one only; the first part finds it by the primary key.
macro_rules! reaches {
    ($file:literal, $offset:literal) => {
        concat!(
            "log_offset >= coalesce((SELECT max(log_offset) FROM rejected_line WHERE log_file = ",
            $file,
            " AND log_offset < ",
            $offset,
            "), ",
            $offset,
            ") AND (log_offset >= ",
            $offset,
            " OR ",
            lines_before!($offset),
            " < repeats)"
        )
    };
}
/// Lines of file `$1` that begin at or after `$2`.
pub(super) const ROWS_FROM: &str = "SELECT count(*) AS n FROM gunicorn_log WHERE log_file = $1 AND id >= (CAST($1 AS bigint) << 38) | $2 \
     AND id < (CAST($1 AS bigint) + 1) << 38";
pub(super) const REQUESTS_FROM: &str = "SELECT count(*) AS n FROM request_log WHERE log_file = $1 AND id >= (CAST($1 AS bigint) << 38) | $2 \
     AND id < (CAST($1 AS bigint) + 1) << 38";
pub(super) const REJECTS_FROM: &str = concat!(
    "SELECT CAST(coalesce(sum(CASE WHEN log_offset >= $2 THEN repeats ELSE repeats - ",
    lines_before!("$2"),
    " END), 0) AS bigint) AS n FROM rejected_line WHERE log_file = $1 AND ",
    reaches!("$1", "$2"),
);

/// Rows whose id is not made of their file and offset.
pub(super) const STRAYS: &str = "
    SELECT count(*) AS n, min(id) AS first
      FROM (SELECT id, log_file, log_offset FROM gunicorn_log
            UNION ALL SELECT id, log_file, log_offset FROM request_log) AS lines
     WHERE id <> (CAST(log_file AS bigint) << 38) | log_offset";

/// Rejects after a key, in the order of their keys: at most `$4`, and no more after their lines have
/// `$5` bytes.
pub(super) const REJECTS_AFTER: &str = "
    SELECT log_file, log_offset, rejected_at, repeats, line_length, code, reason, raw
      FROM (SELECT *, sum(length(raw)) OVER (ORDER BY log_file, log_offset, rejected_at)
                      - length(raw) AS before
              FROM (SELECT * FROM rejected_line
                     WHERE (log_file, log_offset, rejected_at) > ($1, $2, $3)
                     ORDER BY log_file, log_offset, rejected_at LIMIT $4) AS page) AS weighed
     WHERE before < $5 ORDER BY log_file, log_offset, rejected_at";

pub(super) const LAST_SWEEP: &str =
    "SELECT * FROM sweep ORDER BY finished_at DESC, id DESC LIMIT 1";

pub(super) const SWEPT_BEFORE: &str =
    "SELECT max(cutoff) AS cutoff FROM sweep WHERE finished_at >= $1";

pub(super) const RECORD_SWEEP: &str = "
    INSERT INTO sweep (host, started_at, finished_at, cutoff, next_at, gunicorn_removed,
                       request_removed, rejected_removed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// The counts of rows by class of status, as columns of `gunicorn_minute` and `gunicorn_hour`.
pub(super) const CLASS_COLUMNS: &str =
    "informational, successful, redirection, client_error, server_error, other";

/// What the tables of routes count, and the route.
pub(super) const ROUTE_COLUMNS: &str = "informational, successful, redirection, client_error, \
     server_error, other, response_bytes, duration_sum, durations, route";

/// Returns the statement that adds counts of a period to those that are stored. `new` are the rows
/// with the new counts; `response_bytes` and `durations` say how to add to the row `c` that is there.
pub(super) fn add_counts(
    period: Period,
    new: &str,
    response_bytes: &str,
    durations: &str,
) -> Arc<str> {
    let (table, column) = table_of(period);
    let classes = CLASS_COLUMNS.split(", ");
    let classes: String = classes.map(|it| format!("{it} = c.{it} + excluded.{it}, ")).collect();
    format!(
        "INSERT INTO {table} AS c ({column}, log_file, {CLASS_COLUMNS}, response_bytes, durations)
         {new} ON CONFLICT ({column}, log_file) DO UPDATE SET {classes}
             response_bytes = {response_bytes}, durations = {durations}"
    )
    .into()
}

/// Returns the statements that read and remove the counts of the file `$1` in the periods `$2`: `are`
/// follows the column of their first moment, and `durations` is their histogram as JSON.
pub(super) fn counts_of(period: Period, are: &str, durations: &str) -> [Arc<str>; 2] {
    let (table, column) = table_of(period);
    let chosen = format!("FROM {table} WHERE log_file = $1 AND {column} {are}");
    let read = format!(
        "SELECT {column} AS start, {CLASS_COLUMNS}, response_bytes, {durations} AS durations {chosen}"
    );
    [read.into(), format!("DELETE {chosen}").into()]
}

/// Returns the statement that adds counts of routes in a period to those that are stored. `new` are the rows with
/// the new counts; `response_bytes`, `duration_sum` and `durations` say how to add to the row `c` that is there.
pub(super) fn add_routes(
    period: RoutePeriod,
    new: &str,
    [response_bytes, duration_sum, durations]: [&str; 3],
) -> Arc<str> {
    let (table, column) = route_table_of(period);
    let classes = CLASS_COLUMNS.split(", ");
    let classes: String = classes.map(|it| format!("{it} = c.{it} + excluded.{it}, ")).collect();
    format!(
        "INSERT INTO {table} AS c ({column}, log_file, {ROUTE_COLUMNS})
         {new} ON CONFLICT ({column}, log_file, route) DO UPDATE SET {classes}
             response_bytes = {response_bytes}, duration_sum = {duration_sum}, durations = {durations}"
    )
    .into()
}

/// Returns the table of the counts of routes in a period, and the column of its first moment.
pub(super) fn route_table_of(period: RoutePeriod) -> (&'static str, &'static str) {
    match period {
        RoutePeriod::Hour => ("gunicorn_route_hour", "hour"),
        RoutePeriod::Day => ("gunicorn_route_day", "day"),
    }
}

/// Returns the table of the counts of a period, and the column of its first moment.
pub(super) fn table_of(period: Period) -> (&'static str, &'static str) {
    match period {
        Period::Minute => ("gunicorn_minute", "minute"),
        Period::Hour => ("gunicorn_hour", "hour"),
    }
}

/// Which database a SELECT is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

/// How much of a row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    /// What a list shows: columns whose values may be large are NULL.
    List,
    /// All columns.
    All,
}

/// Returns the columns of a SELECT, each by its own name and of a type that [`super::rows`] reads.
pub(super) fn select_list(columns: &[Column], dialect: Dialect, selected: Selected) -> String {
    let expressions = columns.iter().map(|column| {
        let name = column.name;
        match (dialect, column.encoding) {
            (Dialect::Postgres, encoding) if column.large && selected == Selected::List => {
                let kind = if encoding == Encoding::Bytes { "bytea" } else { "text" };
                format!("NULL::{kind} AS {name}")
            }
            (Dialect::Sqlite, _) if column.large && selected == Selected::List => {
                format!("NULL AS {name}")
            }
            (Dialect::Postgres, Encoding::Inet) => format!("host({name}) AS {name}"),
            (Dialect::Postgres, Encoding::Json) => format!("{name}::text"),
            _ => name.to_owned(),
        }
    });
    expressions.collect::<Vec<_>>().join(", ")
}

/// SQL: the offset of the first line of the last reject before the committed offset that begins at or after
/// that, NULL if none does.
macro_rules! repeat_after_committed {
    () => {
        "(SELECT CASE WHEN (f.committed - r.log_offset + r.line_length - 1) / nullif(r.line_length, 0) < r.repeats
                      THEN r.log_offset + (f.committed - r.log_offset + r.line_length - 1)
                                          / r.line_length * r.line_length END
            FROM rejected_line r
           WHERE r.log_file = $1 AND r.log_file = f.id AND r.log_offset < f.committed
           ORDER BY r.log_offset DESC LIMIT 1)"
    };
}

const AFTER_COMMITTED_IN_POSTGRES: &str = concat!(
    "
    SELECT least((SELECT min(g.log_offset) FROM gunicorn_log g
                   WHERE g.log_file = $1 AND g.log_file = f.id AND g.id >= (f.id::bigint << 38) | f.committed
                     AND g.id < (f.id::bigint + 1) << 38),
                 (SELECT min(q.log_offset) FROM request_log q
                   WHERE q.log_file = $1 AND q.log_file = f.id AND q.id >= (f.id::bigint << 38) | f.committed
                     AND q.id < (f.id::bigint + 1) << 38),
                 (SELECT min(r.log_offset) FROM rejected_line r
                   WHERE r.log_file = $1 AND r.log_file = f.id AND r.log_offset >= f.committed),
                 ",
    repeat_after_committed!(),
    ") AS first
      FROM log_file f WHERE f.id = $1"
);

const AFTER_COMMITTED_IN_SQLITE: &str = concat!(
    "
    SELECT min(log_offset) AS first FROM (
        SELECT g.log_offset FROM log_file f JOIN gunicorn_log g
            ON g.id >= (f.id << 38) | f.committed AND g.id < (f.id + 1) << 38
         WHERE f.id = $1
        UNION ALL
        SELECT q.log_offset FROM log_file f JOIN request_log q
            ON q.id >= (f.id << 38) | f.committed AND q.id < (f.id + 1) << 38
         WHERE f.id = $1
        UNION ALL
        SELECT r.log_offset FROM log_file f JOIN rejected_line r
            ON r.log_file = f.id AND r.log_offset >= f.committed
         WHERE f.id = $1
        UNION ALL
        SELECT ",
    repeat_after_committed!(),
    " FROM log_file f WHERE f.id = $1)"
);

/// Statements that read lines by their place. They name the file besides the id, so that Citus asks the
/// one worker that has it.
#[derive(Debug)]
pub(super) struct LineQueries {
    /// The first row or reject at or after the committed offset of its file.
    pub(super) after_committed: &'static str,
    pub(super) rows_between: String,
    pub(super) requests_between: String,
    pub(super) rejects_between: String,
}

pub(super) static IN_POSTGRES: LazyLock<LineQueries> =
    LazyLock::new(|| LineQueries::of(Dialect::Postgres));
pub(super) static IN_SQLITE: LazyLock<LineQueries> =
    LazyLock::new(|| LineQueries::of(Dialect::Sqlite));

impl LineQueries {
    fn of(dialect: Dialect) -> Self {
        let select = |columns, table| {
            let list = select_list(columns, dialect, Selected::All);
            format!("SELECT {list} FROM {table} WHERE ")
        };
        let rows = select(GUNICORN_LOG, "gunicorn_log");
        let requests = select(REQUEST_LOG, "request_log");
        let rejects = select(REJECTED_LINE, "rejected_line");
        let between = "id >= $1 AND id < $2 AND log_file = $3 ORDER BY id LIMIT $4";
        let after_committed = match dialect {
            Dialect::Postgres => AFTER_COMMITTED_IN_POSTGRES,
            Dialect::Sqlite => AFTER_COMMITTED_IN_SQLITE,
        };
        Self {
            after_committed,
            rows_between: format!("{rows}{between}"),
            requests_between: format!("{requests}{between}"),
            rejects_between: format!(
                "{rejects}log_file = $1 AND {} AND log_offset < $3 ORDER BY log_offset LIMIT $4",
                reaches!("$1", "$2")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_go_without_columns_that_may_be_large() {
        let list = |dialect| select_list(REQUEST_LOG, dialect, Selected::List);
        assert!(list(Dialect::Postgres).contains("NULL::text AS body, content_type, "));
        assert!(list(Dialect::Sqlite).contains("NULL AS body, content_type, "));
        assert!(list(Dialect::Postgres).contains("host(ip_address) AS ip_address, user_id"));
        let all = select_list(GUNICORN_LOG, Dialect::Postgres, Selected::List);
        assert!(
            all.ends_with("headers::text, route, request_id, trace_id, NULL::bytea AS patch"),
            "{all}"
        );
    }
}
