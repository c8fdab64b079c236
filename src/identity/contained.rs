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
    // An older version may have masked other values of the same line.
    let older = format.older();
    let parsers = || std::iter::once(&format.parser).chain(older.iter().map(|(_, it)| &it.parser));
    for line in last.newest_first() {
        let stored = writer.line_at(known, line.offset).await?;
        match (line.record(&format.parser), stored) {
            (_, Some(StoredLine::Reject(reject))) => {
                let raw = &reject.raw;
                return Ok(*raw == line.raw || parsers().any(|it| *it.kept(&line.raw) == **raw));
            }
            (Some(Parsed::Record(_) | Parsed::Json(_)), Some(stored)) => {
                return Ok(parsers().any(|parser| match line.record(parser) {
                    Some(Parsed::Record(record)) => is_of_row(&stored, &record),
                    Some(Parsed::Json(record)) => is_of_json(&stored, &record),
                    _ => false,
                }));
            }
            (None, Some(_)) => {} // a row of a reparse by another format
            _ => return Ok(false),
        }
    }
    Ok(true) // nothing but excluded lines
}

fn is_of_row(stored: &StoredLine, record: &GunicornLogModel<'_>) -> bool {
    matches!(stored, StoredLine::Row(row) if is_of(row, record))
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
