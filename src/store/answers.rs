//! What a store answers: plain values, the same from every backend.

use std::fmt;
use std::sync::Arc;

use crate::model::columns::{Column, GUNICORN_LOG, REJECTED_LINE, REQUEST_LOG};
use crate::model::{Checkpoint, FileId, Micros, RejectedLine, StoredRequest, StoredRow};

/// What became of a file that may be new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewOrKnown<T> {
    /// It had no candidates, and is registered and claimed.
    New(T),
    /// It may be one of these files, and nothing was changed.
    Known(Vec<Checkpoint>),
}

/// What a file had that was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Its rows.
    pub rows: u64,
    /// Its rejected lines.
    pub rejected: u64,
}

/// One row of `log_file`, for people. Times are microseconds since 1970, counts are lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Identity, last path, committed offset, epoch, format, and whether it is closed.
    pub checkpoint: Checkpoint,
    /// The process that follows it now, or did last: `host:pid`.
    pub owner: Option<String>,
    /// Complete lines before the committed offset: `rows + rejected + excluded`.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines that became rejects.
    pub rejected: u64,
    /// Lines that are left out: by the configuration, or since they are on a container's standard error.
    pub excluded: u64,
    /// Lines that a reparse took out of the rejects.
    pub reparsed: u64,
    /// Rows whose time was far from the clock when they were read; see [`Batch::clock`](crate::model::Batch::clock).
    pub far_times: u64,
    /// Formats besides the checkpoint's that lines of it were read by.
    pub other_formats: Vec<String>,
    /// Bytes that were gone before they could be read.
    pub lost_bytes: u64,
    /// When it was registered.
    pub first_seen_at: Micros,
    /// When the offset last moved.
    pub committed_at: Option<Micros>,
    /// Why it was closed.
    pub closed_reason: Option<String>,
}

/// A row of `ignored_file`: a file that a watched path matches and that no daemon follows, or all those
/// of one reason beyond the first of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredReport {
    /// Host whose file it is.
    pub host: String,
    /// Where it is; of several files, the watched paths.
    pub path: String,
    /// The stable word of the reason: an [`IgnoredCode`](crate::model::IgnoredCode), or one that a
    /// newer version knows.
    pub reason: String,
    /// What else is known of it.
    pub detail: Option<String>,
    /// Its size, if it is known.
    pub bytes: Option<u64>,
    /// How many files it stands for.
    pub files: u64,
    /// Since when it has been ignored for this reason.
    pub since: Micros,
    /// When its daemon last confirmed it.
    pub seen_at: Micros,
    /// The daemon: `host:pid`.
    pub owner: String,
}

/// How many files the ledger has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Files that are open.
    pub open: u64,
    /// All files.
    pub all: u64,
}

/// Which files of the ledger are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Files that are open, and those that have lost bytes.
    OpenAndLossy,
    /// All.
    All,
}

/// What the store knows of files.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// How many files there are.
    pub counts: FileCounts,
    /// The files that are shown, by host, oldest first; all of them, oldest first.
    pub files: Vec<FileReport>,
    /// Files that are not followed, by host and path.
    pub ignored: Vec<IgnoredReport>,
    /// The sweep that finished last.
    pub last_sweep: Option<SweepReport>,
}

/// How far a file is stored: enough to find out whether a COMMIT without an answer happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The file.
    pub file: FileId,
    /// Its committed offset.
    pub offset: u64,
    /// Its epoch.
    pub epoch: i64,
}

impl Committed {
    /// Returns how this claim, stored so far, was lost, by what the store says `now` of the file: `None` if it
    /// holds. Epochs and offsets only rise, unless the database goes back in time.
    pub fn lost(&self, now: Option<&Committed>) -> Option<LostClaim> {
        match now {
            Some(now) if now.epoch > self.epoch => Some(LostClaim::TakenOver),
            Some(now) if now.epoch == self.epoch && now.offset >= self.offset => None,
            Some(_) | None => Some(LostClaim::Undone),
        }
    }
}

/// How a claim was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostClaim {
    /// Another writer has claimed the file since.
    TakenOver,
    /// The database was restored to an earlier state: the claim, or a commit under it, has not happened there.
    Undone,
}

/// What a line became.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredLine {
    /// A row of `gunicorn_log`.
    Row(Box<StoredRow>),
    /// A row of `request_log`.
    Request(Box<StoredRequest>),
    /// One of the lines of a row of `rejected_line`, which may have many.
    Reject(Arc<RejectedLine>),
}

/// What identifies a row of `rejected_line`; rejects are read in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RejectKey {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte of its first line.
    pub offset: u64,
    /// When that was rejected.
    pub rejected_at: Micros,
}

impl RejectKey {
    /// The key before all others.
    pub const FIRST: RejectKey = RejectKey { file: FileId(0), offset: 0, rejected_at: 0 };
}

impl From<&RejectedLine> for RejectKey {
    fn from(row: &RejectedLine) -> Self {
        Self { file: row.log_file, offset: row.log_offset, rejected_at: row.rejected_at }
    }
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

/// UTC days in a row, counted from 1970: those of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayRange {
    /// The first day.
    pub first: i32,
    /// The day after the last one.
    pub end: i32,
}

impl DayRange {
    /// Returns the range of one day.
    pub const fn of_day(day: i32) -> DayRange {
        DayRange { first: day, end: day.saturating_add(1) }
    }

    /// Returns whether the range has this day.
    pub fn contains(self, day: i32) -> bool {
        (self.first..self.end).contains(&day)
    }

    /// Returns whether it is one day.
    pub fn is_one_day(self) -> bool {
        self.end - self.first == 1
    }

    /// Returns the days that both ranges have; none if the first is not before the end.
    pub(super) fn within(self, other: DayRange) -> DayRange {
        DayRange { first: self.first.max(other.first), end: self.end.min(other.end) }
    }
}

/// Writes `2026-11-23`, or `2005-03-01 to 2005-03-31`.
impl fmt::Display for DayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = |day: i32| {
            let at = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0);
            at.unwrap_or_default().format("%Y-%m-%d")
        };
        match self.is_one_day() {
            true => write!(f, "{}", date(self.first)),
            false => write!(f, "{} to {}", date(self.first), date(self.end.saturating_sub(1))),
        }
    }
}

/// Whether days are ready for their lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// All are.
    All,
    /// A day shares a partition with later ones, and stays there for now: the table is being read. Lines of that
    /// day have a place.
    Postponed,
}

/// A partition whose days are over and that lacks an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastDays {
    /// Which table's.
    pub table: Table,
    /// Its days.
    pub days: DayRange,
    /// Rows that were ever added to it, by the statistics of the database: while this number grows, a
    /// daemon or an import still adds rows to it.
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

    /// Returns its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Table::GunicornLog => "gunicorn_log",
            Table::RequestLog => "request_log",
            Table::RejectedLine => "rejected_line",
        }
    }

    /// Returns the columns, in the order in which rows are encoded.
    pub(super) fn declared(self) -> &'static [Column] {
        match self {
            Table::GunicornLog => GUNICORN_LOG,
            Table::RequestLog => REQUEST_LOG,
            Table::RejectedLine => REJECTED_LINE,
        }
    }

    /// Returns the column that holds the age of a row.
    pub(super) fn time_column(self) -> &'static str {
        match self {
            Table::GunicornLog | Table::RequestLog => "timestamp",
            Table::RejectedLine => "rejected_at",
        }
    }
}
