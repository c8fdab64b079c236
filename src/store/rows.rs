//! Rows of `log_file`, `sweep` and the line tables as values, whichever backend they come from.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::answers::{
    Committed, FileReport, RejectKey, StoredLine, StoredReject, StoredRequest, StoredRow,
    SweepReport,
};
use super::sqlite::clock;
use crate::model::{
    Checkpoint, Digest, FileId, FileKey, Fingerprint, MAX_OFFSET, Micros, RequestLog, ShortHash,
};

/// What [`checkpoint`] reads.
macro_rules! checkpoint_columns {
    () => {
        "id, path, device, inode, birth, head_length, head, guard_length, guard, digest, \
         digest_state, committed, size, epoch, format, closed_at"
    };
}
pub(super) use checkpoint_columns;

/// What [`report`] reads.
macro_rules! report_columns {
    () => {
        "id, path, device, inode, birth, head_length, head, guard_length, guard, digest, \
         digest_state, committed, size, epoch, format, closed_at, host, owner, time_estimated, lines, stored_rows, \
         rejected, excluded, reparsed, other_formats, lost_bytes, first_seen_at, committed_at, closed_reason"
    };
}
pub(super) use report_columns;

/// A row whose columns are read by name. Integers may be 32 or 64 bits wide.
pub(super) trait Columns {
    fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error>;
    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, sqlx::Error>;
    fn real(&self, column: &str) -> Result<Option<f64>, sqlx::Error>;
    fn time(&self, column: &str) -> Result<Option<Micros>, sqlx::Error>;
    fn flag(&self, column: &str) -> Result<bool, sqlx::Error>;
    /// A JSON array of texts.
    fn list(&self, column: &str) -> Result<Vec<String>, sqlx::Error>;
}

impl Columns for PgRow {
    fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get_unchecked(column)
    }
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }
    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
        self.try_get(column)
    }
    fn real(&self, column: &str) -> Result<Option<f64>, sqlx::Error> {
        self.try_get(column)
    }
    fn time(&self, column: &str) -> Result<Option<Micros>, sqlx::Error> {
        let time: Option<DateTime<Utc>> = self.try_get(column)?;
        Ok(time.map(|time| time.timestamp_micros()))
    }
    fn flag(&self, column: &str) -> Result<bool, sqlx::Error> {
        self.try_get(column)
    }
    fn list(&self, column: &str) -> Result<Vec<String>, sqlx::Error> {
        // `jsonb` on the wire is a version byte and the text.
        let bytes: &[u8] = self.try_get_raw(column)?.as_bytes().map_err(sqlx::Error::Decode)?;
        let text = bytes.strip_prefix(&[1]).unwrap_or(bytes);
        serde_json::from_slice(text).map_err(|_| unreadable(column))
    }
}

impl Columns for SqliteRow {
    fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        self.try_get(column)
    }
    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
        self.try_get(column)
    }
    fn real(&self, column: &str) -> Result<Option<f64>, sqlx::Error> {
        self.try_get(column)
    }
    fn time(&self, column: &str) -> Result<Option<Micros>, sqlx::Error> {
        let text: Option<&str> = self.try_get(column)?;
        text.map(|text| clock::read(text).ok_or_else(|| unreadable(column))).transpose()
    }
    fn flag(&self, column: &str) -> Result<bool, sqlx::Error> {
        self.try_get(column)
    }
    fn list(&self, column: &str) -> Result<Vec<String>, sqlx::Error> {
        let text: &str = self.try_get(column)?;
        serde_json::from_str(text).map_err(|_| unreadable(column))
    }
}

/// A column that holds what this program never writes.
fn unreadable(column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: "not a value that log-ingestd writes".into(),
    }
}

fn there<T>(column: &str, value: Option<T>) -> Result<T, sqlx::Error> {
    value.ok_or_else(|| unreadable(column))
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

pub(super) fn file(row: &impl Columns, column: &str) -> Result<FileId, sqlx::Error> {
    let id = there(column, row.int(column)?)?;
    Ok(FileId(i32::try_from(id).map_err(|_| unreadable(column))?))
}

fn count(row: &impl Columns, column: &str) -> Result<u64, sqlx::Error> {
    u64::try_from(there(column, row.int(column)?)?).map_err(|_| unreadable(column))
}

pub(super) fn checkpoint(row: &impl Columns) -> Result<Checkpoint, sqlx::Error> {
    Ok(Checkpoint {
        file: file(row, "id")?,
        path: there("path", row.text("path")?)?,
        key: key(row)?,
        head: print(row, "head_length", "head")?,
        tail_fingerprint: print(row, "guard_length", "guard")?,
        digest: digest(row)?,
        committed: count(row, "committed")?,
        size: count(row, "size")?,
        epoch: there("epoch", row.int("epoch")?)?,
        format: there("format", row.text("format")?)?,
        closed: row.time("closed_at")?.is_some(),
    })
}

pub(super) fn report(row: &impl Columns) -> Result<FileReport, sqlx::Error> {
    Ok(FileReport {
        checkpoint: checkpoint(row)?,
        host: there("host", row.text("host")?)?,
        owner: row.text("owner")?,
        time_estimated: row.flag("time_estimated")?,
        lines: count(row, "lines")?,
        rows: count(row, "stored_rows")?,
        rejected: count(row, "rejected")?,
        excluded: count(row, "excluded")?,
        reparsed: count(row, "reparsed")?,
        other_formats: row.list("other_formats")?,
        lost_bytes: count(row, "lost_bytes")?,
        first_seen_at: there("first_seen_at", row.time("first_seen_at")?)?,
        committed_at: row.time("committed_at")?,
        closed_at: row.time("closed_at")?,
        closed_reason: row.text("closed_reason")?,
    })
}

pub(super) fn committed(row: &impl Columns) -> Result<Committed, sqlx::Error> {
    Ok(Committed {
        file: file(row, "id")?,
        offset: count(row, "committed")?,
        epoch: there("epoch", row.int("epoch")?)?,
    })
}

pub(super) fn sweep(row: &impl Columns) -> Result<SweepReport, sqlx::Error> {
    Ok(SweepReport {
        host: there("host", row.text("host")?)?,
        started_at: there("started_at", row.time("started_at")?)?,
        finished_at: there("finished_at", row.time("finished_at")?)?,
        cutoff: there("cutoff", row.time("cutoff")?)?,
        gunicorn_removed: count(row, "gunicorn_removed")?,
        request_removed: count(row, "request_removed")?,
        rejected_removed: count(row, "rejected_removed")?,
        next_at: row.time("next_at")?,
    })
}

fn json(row: &impl Columns, column: &str) -> Result<Option<Value>, sqlx::Error> {
    let text = row.text(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| unreadable(column))).transpose()
}

fn int4(row: &impl Columns, column: &str) -> Result<Option<i32>, sqlx::Error> {
    let value = row.int(column)?;
    value.map(|value| i32::try_from(value).map_err(|_| unreadable(column))).transpose()
}

fn address(row: &impl Columns, column: &str) -> Result<Option<IpAddr>, sqlx::Error> {
    let text = row.text(column)?;
    text.map(|text| text.parse().map_err(|_| unreadable(column))).transpose()
}

/// A row of `request_log` with `ip_address` and the JSON columns as text.
pub(super) fn stored_request(row: &impl Columns) -> Result<StoredRequest, sqlx::Error> {
    let line = RequestLog {
        timestamp: there("timestamp", row.time("timestamp")?)?,
        response_time_ms: row.real("response_time_ms")?,
        status_code: int4(row, "status_code")?,
        method: row.text("method")?,
        path: row.text("path")?,
        query_params: row.text("query_params")?,
        headers: json(row, "headers")?,
        body: row.text("body")?,
        content_type: row.text("content_type")?,
        response_headers: json(row, "response_headers")?,
        response_body: row.text("response_body")?,
        ip_address: address(row, "ip_address")?,
        user_id: row.text("user_id")?,
        user_agent: row.text("user_agent")?,
        session_id: row.text("session_id")?,
        extra_data: json(row, "extra_data")?,
    };
    Ok(StoredRequest { log_offset: count(row, "log_offset")?, line })
}

/// A row of `gunicorn_log` with `user_ip` and the JSON columns as text.
pub(super) fn stored(row: &impl Columns) -> Result<StoredRow, sqlx::Error> {
    Ok(StoredRow {
        log_offset: count(row, "log_offset")?,
        timestamp: there("timestamp", row.time("timestamp")?)?,
        method: row.text("method")?,
        url: row.text("url")?,
        host: row.text("host")?,
        user_id: row.text("user_id")?,
        user_ip: address(row, "user_ip")?,
        agent: row.text("agent")?,
        source: row.text("source")?,
        protocol: row.text("protocol")?,
        request: json(row, "request")?,
        response: json(row, "response")?,
        headers: json(row, "headers")?,
        duration: row.int("duration")?,
        code: int4(row, "code")?,
        response_bytes: row.int("response_bytes")?,
        pid: int4(row, "pid")?,
    })
}

/// Rows and rejects of one file, in the order of the places that they claim: a row's is in its id.
pub(super) fn lines<R: Columns>(
    file: FileId,
    rows: &[R],
    requests: &[R],
    rejects: &[R],
    reject_of: fn(&R) -> Result<StoredLine, sqlx::Error>,
) -> Result<Vec<(u64, StoredLine)>, sqlx::Error> {
    let mut lines = Vec::with_capacity(rows.len() + requests.len() + rejects.len());
    let place = |row: &R| -> Result<u64, sqlx::Error> {
        let id = there("id", row.int("id")?)?;
        Ok((id - file.row_id(0)) as u64 & (MAX_OFFSET - 1))
    };
    for row in rows {
        lines.push((place(row)?, StoredLine::Row(Box::new(stored(row)?))));
    }
    for row in requests {
        lines.push((place(row)?, StoredLine::Request(Box::new(stored_request(row)?))));
    }
    for reject in rejects {
        lines.push((count(reject, "log_offset")?, reject_of(reject)?));
    }
    lines.sort_by_key(|(offset, _)| *offset);
    Ok(lines)
}

pub(super) fn reject(row: &impl Columns) -> Result<StoredReject, sqlx::Error> {
    Ok(StoredReject {
        key: RejectKey {
            file: file(row, "log_file")?,
            offset: count(row, "log_offset")?,
            rejected_at: there("rejected_at", row.time("rejected_at")?)?,
        },
        reason: there("reason", row.text("reason")?)?,
        raw: there("raw", row.bytes("raw")?)?,
    })
}
