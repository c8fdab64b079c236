//! What a store tells: plain values, the same from every backend.

use std::net::IpAddr;

use serde_json::Value;

use crate::model::{Checkpoint, FileId, Micros, RequestLog};

/// One row of `log_file`, for people. Times are microseconds since 1970, counts are lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Identity, last path, committed offset, epoch, format, and whether it is closed.
    pub checkpoint: Checkpoint,
    /// Host whose file it is.
    pub host: String,
    /// Who follows it now, or did last: `host:pid`.
    pub owner: Option<String>,
    /// Whether rows get the time of reading.
    pub time_estimated: bool,
    /// Complete lines before the committed offset: `rows + rejected + excluded`.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines that became rejects.
    pub rejected: u64,
    /// Lines that are left out: by the configuration, or on a container's standard error.
    pub excluded: u64,
    /// Lines that a reparse took out of the rejects.
    pub reparsed: u64,
    /// Formats besides the checkpoint's that lines of it were read by.
    pub other_formats: Vec<String>,
    /// Bytes that were gone before they could be read.
    pub lost_bytes: u64,
    /// When it was registered.
    pub first_seen_at: Micros,
    /// When the offset last moved.
    pub committed_at: Option<Micros>,
    /// When it ended.
    pub closed_at: Option<Micros>,
    /// Why it ended.
    pub closed_reason: Option<String>,
}

impl FileReport {
    /// Bytes that were there at the last look and are not committed; 0 once the file is closed.
    pub fn lag(&self) -> u64 {
        if self.checkpoint.closed {
            0
        } else {
            self.checkpoint.size.saturating_sub(self.checkpoint.committed)
        }
    }
}

/// How far a file is stored: enough to tell what became of a lost answer to COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The file.
    pub file: FileId,
    /// Its committed offset.
    pub offset: u64,
    /// Its epoch.
    pub epoch: i64,
}

/// What a line became.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredLine {
    /// A row of `gunicorn_log`.
    Row(Box<StoredRow>),
    /// A row of `request_log`.
    Request(Box<StoredRequest>),
    /// A row of `rejected_line`.
    Reject {
        /// Why.
        reason: String,
        /// The line's exact bytes.
        raw: Vec<u8>,
    },
}

/// What names a row of `rejected_line`; rejects are read in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RejectKey {
    /// The file.
    pub file: FileId,
    /// Offset of the line's first byte.
    pub offset: u64,
    /// When it was rejected.
    pub rejected_at: Micros,
}

impl RejectKey {
    /// Before all others.
    pub const FIRST: RejectKey = RejectKey { file: FileId(0), offset: 0, rejected_at: 0 };
}

/// A row of `rejected_line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReject {
    /// Which.
    pub key: RejectKey,
    /// Why the line became no row.
    pub reason: String,
    /// The line's exact bytes, or the first of them if it was too long.
    pub raw: Vec<u8>,
}

/// A row of `gunicorn_log`, as far as it tells one line from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredRow {
    /// Offset of the line's first byte in its file.
    pub log_offset: u64,
    /// When the request was logged.
    pub timestamp: Micros,
    /// Request method.
    pub method: Option<String>,
    /// Path and query.
    pub url: Option<String>,
    /// The Host header.
    pub host: Option<String>,
    /// The user's name.
    pub user_id: Option<String>,
    /// The client's address.
    pub user_ip: Option<IpAddr>,
    /// The User-Agent header.
    pub agent: Option<String>,
    /// The Referer header.
    pub source: Option<String>,
    /// Protocol and version.
    pub protocol: Option<String>,
    /// What else was logged of the request.
    pub request: Option<Value>,
    /// What was logged of the response.
    pub response: Option<Value>,
    /// Logged request headers.
    pub headers: Option<Value>,
    /// Time taken, in microseconds.
    pub duration: Option<i64>,
    /// Response status.
    pub code: Option<i32>,
    /// Bytes of the response body.
    pub response_bytes: Option<i64>,
    /// The worker's process id.
    pub pid: Option<i32>,
}

/// A row of `request_log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredRequest {
    /// Offset of the line's first byte in its file.
    pub log_offset: u64,
    /// Its columns.
    pub line: RequestLog,
}

/// One sweep, as it is written down. Times are microseconds since 1970, counts are rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Host that swept.
    pub host: String,
    /// When it began.
    pub started_at: Micros,
    /// When it ended.
    pub finished_at: Micros,
    /// Rows before this time were to leave.
    pub cutoff: Micros,
    /// Rows removed from `gunicorn_log`.
    pub gunicorn_removed: u64,
    /// Rows removed from `request_log`.
    pub request_removed: u64,
    /// Rows removed from `rejected_line`.
    pub rejected_removed: u64,
    /// When the next sweep is due, if one is planned.
    pub next_at: Option<Micros>,
}

/// A day that is over and lacks an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastDay {
    /// Which table's.
    pub table: Table,
    /// UTC days since 1970.
    pub day: i32,
    /// Rows that were ever added to it, as far as the database's statistics know: while this number
    /// grows, somebody is at work on that day.
    pub inserted: i64,
}

/// A table whose rows grow old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// `gunicorn_log`, by `timestamp`.
    GunicornLog,
    /// `request_log`, by `timestamp`.
    RequestLog,
    /// `rejected_line`, by `rejected_at`.
    RejectedLine,
}

impl Table {
    /// All three.
    pub const ALL: [Table; 3] = [Table::GunicornLog, Table::RequestLog, Table::RejectedLine];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Table::GunicornLog => "gunicorn_log",
            Table::RequestLog => "request_log",
            Table::RejectedLine => "rejected_line",
        }
    }

    /// The column that tells a row's age.
    pub(super) fn time_column(self) -> &'static str {
        match self {
            Table::GunicornLog | Table::RequestLog => "timestamp",
            Table::RejectedLine => "rejected_at",
        }
    }
}
