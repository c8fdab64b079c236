//! Rows of `log_file`, `sweep` and the tables of lines as values, from either database.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, ValueRef as _};

use super::answers::{Committed, FileCounts, FileReport, IgnoredReport, StoredLine, SweepReport};
use super::line_forms::line_forms;
use super::nul_runs::{JSONB_VERSION, nul_runs};
use super::postgres;
use super::sql::CLASS_COLUMNS;
use super::sqlite::{self, clock};
use super::sweeper::OldFile;
use crate::model::columns::{File, Kind, RowId, Source, Time, Unsigned, Words, required};
use crate::model::{
    CLASSES, Checkpoint, Counts, Digest, FileId, FileKey, Fingerprint, MAX_OFFSET, Micros, Origin,
    Rollup, Row, ShortHash, StoredRequest, StoredRow,
};

/// A row of any table, whose columns are read by name. Integers may be 32 or 64 bits wide.
pub(super) trait Columns: Source<Error = sqlx::Error> {
    /// Returns a column of JSON as text: `jsonb` in PostgreSQL.
    fn json_text(&self, column: &str) -> Result<String, sqlx::Error>;
}

impl Columns for PgRow {
    fn json_text(&self, column: &str) -> Result<String, sqlx::Error> {
        let value = self.try_get_raw(column)?;
        let value = value.as_bytes().map_err(|_| unreadable(column))?;
        // An answer to a statement without parameters is text, without a version.
        let text = value.strip_prefix(&[JSONB_VERSION]).unwrap_or(value);
        String::from_utf8(text.to_vec()).map_err(|_| unreadable(column))
    }
}

impl Columns for SqliteRow {
    fn json_text(&self, column: &str) -> Result<String, sqlx::Error> {
        self.try_get(column)
    }
}

/// What the rows of both databases read in the same way.
macro_rules! read_alike {
    () => {
        type Error = sqlx::Error;

        fn unreadable(&self, column: &str) -> sqlx::Error {
            unreadable(column)
        }

        fn real(&self, column: &str) -> Result<Option<f64>, sqlx::Error> {
            self.try_get(column)
        }

        fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
            self.try_get(column)
        }

        fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
            self.try_get(column)
        }
    };
}

impl Source for PgRow {
    read_alike!();

    fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get_unchecked(column)
    }

    fn time(&self, column: &str) -> Result<Option<Micros>, sqlx::Error> {
        let value = self.try_get_raw(column)?;
        if value.format() == PgValueFormat::Text && !value.is_null() {
            let time = value.as_str().ok().and_then(postgres::read_time);
            return time.map(Some).ok_or_else(|| unreadable(column));
        }
        let time: Option<DateTime<Utc>> = self.try_get(column)?;
        Ok(time.map(|time| time.timestamp_micros()))
    }
}

impl Source for SqliteRow {
    read_alike!();

    fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn time(&self, column: &str) -> Result<Option<Micros>, sqlx::Error> {
        let text: Option<&str> = self.try_get(column)?;
        text.map(|text| clock::read(text).ok_or_else(|| unreadable(column))).transpose()
    }
}

/// Returns the error for a column that holds what this program never writes.
pub(super) fn unreadable(column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: "not a value that log-ingestd writes".into(),
    }
}

fn print(
    row: &impl Columns,
    length: &str,
    print: &str,
) -> Result<Option<Fingerprint>, sqlx::Error> {
    let (Some(covered), Some(bytes)) = (row.int(length)?, row.bytes(print)?) else {
        return Ok(None);
    };
    let length = u32::try_from(covered).map_err(|_| unreadable(length))?;
    let bytes = bytes.try_into().map_err(|_| unreadable(print))?;
    Ok(Some(Fingerprint { length, print: ShortHash(bytes) }))
}

fn digest(row: &impl Columns) -> Result<Option<Digest>, sqlx::Error> {
    let (Some(sum), Some(state)) = (row.bytes("digest")?, row.bytes("digest_state")?) else {
        return Ok(None);
    };
    let sum = sum.try_into().map_err(|_| unreadable("digest"))?;
    let state = state.try_into().map_err(|_| unreadable("digest_state"))?;
    Ok(Some(Digest { sum, state }))
}

fn key(row: &impl Columns) -> Result<Option<FileKey>, sqlx::Error> {
    let (Some(device), Some(inode)) = (row.int("device")?, row.int("inode")?) else {
        return Ok(None);
    };
    let birth_us = row.time("birth")?;
    // st_dev and st_ino are unsigned, the columns are signed: the same 64 bits.
    Ok(Some(FileKey { device: device as u64, inode: inode as u64, birth_us }))
}

pub(super) fn checkpoint(row: &impl Columns) -> Result<Checkpoint, sqlx::Error> {
    Ok(Checkpoint {
        file: File::read(row, "id")?,
        host: Words::read(row, "host")?,
        origin: Origin { machine: row.text("machine")?, file_system: row.int("file_system")? },
        path: Words::read(row, "path")?,
        key: key(row)?,
        head: print(row, "head_length", "head")?,
        tail_fingerprint: print(row, "guard_length", "guard")?,
        digest: digest(row)?,
        first_offset: Unsigned::read(row, "first_offset")?,
        nul_runs: nul_runs(&row.json_text("nul_runs")?).ok_or_else(|| unreadable("nul_runs"))?,
        line_forms: line_forms(&row.json_text("line_forms")?)
            .ok_or_else(|| unreadable("line_forms"))?,
        patched_from: Unsigned::read(row, "patched_from")?,
        committed: Unsigned::read(row, "committed")?,
        kept_to: row.int("kept_to")?.and_then(|offset| u64::try_from(offset).ok()),
        time_estimated: row.int("time_estimated")? == Some(1),
        size: Unsigned::read(row, "size")?,
        lost_bytes: Unsigned::read(row, "lost_bytes")?,
        epoch: required(row, "epoch", row.int("epoch")?)?,
        format: Words::read(row, "format")?,
        closed_at: row.time("closed_at")?,
    })
}

/// Returns whether one of the candidates is neither `known` nor registered by this writer.
pub(super) fn has_unknown(
    candidates: &[Checkpoint],
    known: &[FileId],
    registered: &HashSet<FileId>,
) -> bool {
    let mut files = candidates.iter().map(|it| it.file);
    files.any(|id| !known.contains(&id) && !registered.contains(&id))
}

pub(super) fn report(row: &impl Columns) -> Result<FileReport, sqlx::Error> {
    Ok(FileReport {
        checkpoint: checkpoint(row)?,
        owner: row.text("owner")?.map(|owner| sqlite::owner(&owner).to_owned()),
        lines: Unsigned::read(row, "lines")?,
        rows: Unsigned::read(row, "stored_rows")?,
        rejected: Unsigned::read(row, "rejected")?,
        excluded: Unsigned::read(row, "excluded")?,
        reparsed: Unsigned::read(row, "reparsed")?,
        far_times: Unsigned::read(row, "far_times")?,
        other_formats: serde_json::from_str(&Words::read(row, "other_formats")?)
            .map_err(|_| unreadable("other_formats"))?,
        lost_bytes: Unsigned::read(row, "lost_bytes")?,
        first_seen_at: Time::read(row, "first_seen_at")?,
        committed_at: row.time("committed_at")?,
        closed_reason: row.text("closed_reason")?,
    })
}

pub(super) fn ignored(row: &impl Columns) -> Result<IgnoredReport, sqlx::Error> {
    Ok(IgnoredReport {
        host: Words::read(row, "host")?,
        path: Words::read(row, "path")?,
        reason: Words::read(row, "reason")?,
        detail: row.text("detail")?,
        bytes: row.int("bytes")?.map(|bytes| bytes as u64),
        files: Unsigned::read(row, "files")?,
        since: Time::read(row, "since")?,
        seen_at: Time::read(row, "seen_at")?,
        owner: Words::read(row, "owner")?,
    })
}

/// Reads the counts of a period, whose histogram is JSON.
pub(super) fn period(file: FileId, row: &impl Columns) -> Result<Counts, sqlx::Error> {
    let int = |column| row.int(column).map(Option::unwrap_or_default);
    let mut rows = [0; CLASSES];
    for (rows, class) in rows.iter_mut().zip(CLASS_COLUMNS.split(", ")) {
        *rows = int(class)?;
    }
    let durations = sqlite::histogram(&row.text("durations")?.unwrap_or_default())?;
    let start = row.time("start")?.unwrap_or_default();
    Ok(Counts { file, start, rows, response_bytes: int("response_bytes")?, durations })
}

/// Counts a row of `gunicorn_log`.
pub(super) fn count(
    rollup: &mut Rollup,
    file: FileId,
    row: &impl Columns,
) -> Result<(), sqlx::Error> {
    let timestamp = Time::read(row, "timestamp")?;
    let code = row.int("code")?.and_then(|code| i32::try_from(code).ok());
    rollup.count(file, timestamp, code, row.int("response_bytes")?, row.int("duration")?);
    Ok(())
}

pub(super) fn counts(row: &impl Columns) -> Result<FileCounts, sqlx::Error> {
    Ok(FileCounts {
        open: Unsigned::read(row, "open_files")?,
        all: Unsigned::read(row, "all_files")?,
    })
}

/// Reads a path and when it was first seen.
pub(super) fn known_path(row: &impl Columns) -> Result<(String, Micros), sqlx::Error> {
    Ok((Words::read(row, "path")?, Time::read(row, "first_seen_at")?))
}

/// Reads a file and its format.
pub(super) fn format(row: &impl Columns) -> Result<(FileId, String), sqlx::Error> {
    Ok((File::read(row, "id")?, Words::read(row, "format")?))
}

pub(super) fn old_file(row: &impl Columns) -> Result<OldFile, sqlx::Error> {
    Ok(OldFile {
        file: File::read(row, "id")?,
        host: Words::read(row, "host")?,
        last_seen_at: Time::read(row, "last_seen_at")?,
    })
}

pub(super) fn committed(row: &impl Columns) -> Result<Committed, sqlx::Error> {
    Ok(Committed {
        file: File::read(row, "id")?,
        offset: Unsigned::read(row, "committed")?,
        epoch: required(row, "epoch", row.int("epoch")?)?,
    })
}

pub(super) fn sweep(row: &impl Columns) -> Result<SweepReport, sqlx::Error> {
    Ok(SweepReport {
        host: Words::read(row, "host")?,
        started_at: Time::read(row, "started_at")?,
        finished_at: Time::read(row, "finished_at")?,
        cutoff: Time::read(row, "cutoff")?,
        gunicorn_removed: Unsigned::read(row, "gunicorn_removed")?,
        request_removed: Unsigned::read(row, "request_removed")?,
        rejected_removed: Unsigned::read(row, "rejected_removed")?,
        next_at: row.time("next_at")?,
    })
}

/// Returns the offset that the id of a row holds.
fn offset(row: &impl Columns) -> Result<u64, sqlx::Error> {
    Ok(RowId::read(row, "id")? as u64 & (MAX_OFFSET - 1))
}

/// Reads a row of `gunicorn_log` with its offset, and so does the next function of `request_log`.
pub(super) fn line_of_row(row: &impl Columns) -> Result<(u64, StoredLine), sqlx::Error> {
    Ok((offset(row)?, StoredLine::Row(Box::new(StoredRow::read(row)?))))
}

pub(super) fn line_of_request(row: &impl Columns) -> Result<(u64, StoredLine), sqlx::Error> {
    Ok((offset(row)?, StoredLine::Request(Box::new(StoredRequest::read(row)?))))
}

/// Reads a number that is called `n`.
pub(super) fn number(row: &impl Columns) -> Result<u64, sqlx::Error> {
    Ok(row.int("n")?.unwrap_or_default() as u64)
}

/// Reads the least of something.
pub(super) fn first(row: &impl Columns) -> Result<Option<i64>, sqlx::Error> {
    row.int("first")
}
