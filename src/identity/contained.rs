//! Is a copy that ends before the committed offset the beginning of that file? Its last line tells.

use std::sync::Arc;

use crate::format::Parsed;
use crate::model::{FileId, GunicornLogModel, JsonRecord};
use crate::pipeline::file_format::Format;
use crate::pipeline::sink::LastLines;
use crate::pipeline::store_file::Content;
use crate::source::whole_file::Source;
use crate::store::{StoredLine, StoredRow, Writer};

/// Lines at the end of a shorter copy that are compared with the store.
const COMPARED: usize = 64;

/// Returns whether the store holds the last line of `source` at the same offset of the longer file
/// `known`, which begins alike: then it holds all of it.
///
/// # Errors
/// A read that fails, and the store's.
pub(crate) async fn is_contained(
    writer: &mut Writer,
    source: &Source,
    format: &Arc<Format>,
    known: FileId,
) -> anyhow::Result<bool> {
    let mut last = LastLines::new(COMPARED);
    tokio::task::block_in_place(|| Content::growing(source, format).read(&mut last))?;
    for line in last.newest_first() {
        let stored = writer.line_at(known, line.offset).await?;
        match (line.record(&format.parser), stored) {
            (Some(Parsed::Record(record)), Some(StoredLine::Row(row))) => {
                return Ok(is_of(&row, &record));
            }
            (Some(Parsed::Json(record)), Some(stored)) if !is_reject(&stored) => {
                return Ok(is_of_json(&stored, &record));
            }
            (_, Some(StoredLine::Reject { raw, .. })) => return Ok(raw == line.raw),
            (None, Some(_)) => {} // a row of a reparse by another format
            _ => return Ok(false),
        }
    }
    Ok(true) // nothing but excluded lines
}

fn is_reject(line: &StoredLine) -> bool {
    matches!(line, StoredLine::Reject { .. })
}

/// Returns whether a stored row is the record of this line, by what tells requests apart.
fn is_of(row: &StoredRow, record: &GunicornLogModel<'_>) -> bool {
    record.timestamp.is_none_or(|timestamp| timestamp == row.timestamp)
        && record.url.as_deref() == row.url.as_deref()
        && record.agent.as_deref() == row.agent.as_deref()
        && record.user_id.as_deref() == row.user_id.as_deref()
        && (record.code, record.duration, record.user_ip) == (row.code, row.duration, row.user_ip)
}

/// Returns whether a stored row is the record of this JSON line.
fn is_of_json(stored: &StoredLine, record: &JsonRecord) -> bool {
    match (stored, record) {
        (StoredLine::Row(row), JsonRecord::Gunicorn(line)) => is_of(row, &line.record),
        (StoredLine::Request(row), JsonRecord::Request(line)) => {
            let row = &row.line;
            (row.timestamp, row.status_code, row.ip_address)
                == (line.timestamp, line.status_code, line.ip_address)
                && (&row.path, &row.query_params) == (&line.path, &line.query_params)
                && (&row.user_agent, &row.user_id) == (&line.user_agent, &line.user_id)
                && (&row.method, row.response_time_ms) == (&line.method, line.response_time_ms)
        }
        _ => false,
    }
}
