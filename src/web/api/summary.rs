//! Lists of frequent values, the followed files with their offsets, and rejected lines.

use axum::extract::State;
use serde_json::{Value, json};

use super::{ApiError, ApiResult, QueryString, json_answer};
use crate::model::{FileId, IgnoredCode, RejectCode, moment};
use crate::store::{
    By, CodeCount, FileReport, IgnoredReport, MOST_COUNTED, RejectKey, SweepReport,
};
use crate::web::PageState;

/// Answers `/api/top?by=…`: the most frequent values among the newest rows of the range.
pub(super) async fn top(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &["by", "limit"])?;
    let limit = query.limit(10, 100)?;
    let name = query.get("by").unwrap_or("url");
    let by = By::ALL.into_iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let expected = "url, user, address, agent, host or slow";
        ApiError::bad_request(format!("invalid by '{name}': expected {expected}"))
    })?;
    let top = state.reader.top(by.1, &filter, limit).await?;
    json_answer(json!({
        "by": name,
        "sampled": top.counted,
        "complete": top.from <= filter.from,
        "from": moment(top.from),
        "items": top.items,
    }))
}

/// Most files of one answer. A list of more is of no use on a page.
const MAX_FILES: usize = 500;

/// Answers `/api/files`: the files, those that are ignored, and the last sweep.
pub(super) async fn files(State(state): State<PageState>) -> ApiResult {
    let page = state.reader.files_page(MAX_FILES).await?;
    json_answer(json!({
        "files": page.files.iter().map(file).collect::<Vec<_>>(),
        "open": page.counts.open,
        "ended": page.counts.all.saturating_sub(page.counts.open),
        "more": page.counts.all.saturating_sub(page.files.len() as u64),
        "ignored": page.ignored.iter().map(ignored_file).collect::<Vec<_>>(),
        "ignored_count": page.ignored_count,
        "watched": state.watched,
        "sweep": page.last_sweep.as_ref().map(sweep),
        "retention": state.retention,
        "rollup_retention": state.rollup_retention,
        "version": state.version,
        "store": if state.reader.is_postgres() { "postgres" } else { "sqlite" },
    }))
}

fn file(file: &FileReport) -> Value {
    let checkpoint = &file.checkpoint;
    json!({
        "id": checkpoint.file.0,
        "server": file.checkpoint.host,
        "path": checkpoint.path,
        "format": checkpoint.format,
        "committed": checkpoint.committed,
        "size": checkpoint.size,
        "lag": checkpoint.size.saturating_sub(checkpoint.committed),
        "lines": file.lines,
        "rows": file.rows,
        "rejected": file.rejected,
        "excluded": file.excluded,
        "lost_bytes": file.lost_bytes,
        "far_times": file.far_times,
        "first_seen_at": moment(file.first_seen_at),
        "committed_at": file.committed_at.map(moment),
        "closed_at": file.checkpoint.closed_at.map(moment),
        "closed_reason": file.closed_reason,
        "owner": file.owner,
    })
}

fn ignored_file(file: &IgnoredReport) -> Value {
    json!({
        "server": file.host,
        "path": file.path,
        "reason": file.reason,
        "explanation": IgnoredCode::explanation(&file.reason),
        "detail": file.detail,
        "bytes": file.bytes,
        "files": file.files,
        "since": moment(file.since),
        "seen_at": moment(file.seen_at),
        "owner": file.owner,
    })
}

fn sweep(sweep: &SweepReport) -> Value {
    json!({
        "host": sweep.host,
        "started_at": moment(sweep.started_at),
        "finished_at": moment(sweep.finished_at),
        "cutoff": moment(sweep.cutoff),
        "next_at": sweep.next_at.map(moment),
        "gunicorn_removed": sweep.gunicorn_removed,
        "request_removed": sweep.request_removed,
        "rejected_removed": sweep.rejected_removed,
    })
}

/// Answers `/api/rejects[?file=ID][&reason=CODE][&before=CURSOR]`: rejected lines, newest first; without a cursor
/// also how many there are of each code.
pub(super) async fn rejects(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let file = match query.get("file") {
        Some(text) => Some(FileId(text.parse().map_err(|_| {
            ApiError::bad_request(format!("invalid file '{text}': expected a file's number"))
        })?)),
        None => None,
    };
    let before = query.get("before").map(parse_reject_key).transpose()?;
    let list =
        state.reader.rejects(file, query.get("reason"), before, query.limit(50, 500)?).await?;
    let codes = list.codes.iter().map(|CodeCount { code: name, rows, lines }| {
        let code = RejectCode::named(name);
        json!({
            "code": name,
            "rows": rows,
            "words": code.map(RejectCode::words),
            "remedy": code.map(RejectCode::remedy),
            "unexpected": code.is_none_or(RejectCode::is_unexpected),
            "lines": lines,
        })
    });
    let codes: Vec<Value> = codes.collect();
    let rows = list.rejects.iter().map(|(reject, path)| {
        json!({
            "file": reject.log_file.0,
            "path": path,
            "offset": reject.log_offset,
            "repeats": reject.repeats,
            "rejected_at": moment(reject.rejected_at),
            "code": reject.code.map(RejectCode::name),
            "reason": reject.reason,
            "raw": visible(&reject.raw),
        })
    });
    let older = list
        .rejects
        .last()
        .filter(|_| list.more)
        .map(|(reject, _)| format_reject_key(reject.into()));
    let rows: Vec<Value> = rows.collect();
    json_answer(json!({ "rows": rows, "older": older, "codes": codes, "most": MOST_COUNTED }))
}

/// Answers `/api/attention`: how many lines were rejected that may be requests, and how many files are ignored.
pub(super) async fn attention(State(state): State<PageState>) -> ApiResult {
    let found = state.reader.attention().await?;
    let unexpected =
        |it: &&CodeCount| RejectCode::named(&it.code).is_none_or(RejectCode::is_unexpected);
    let rejected = found.codes.iter().filter(unexpected).map(|it| it.lines).sum::<u64>();
    json_answer(json!({ "rejected_lines": rejected, "ignored_files": found.ignored }))
}

fn format_reject_key(key: RejectKey) -> String {
    format!("{}.{}.{}", key.rejected_at, key.file.0, key.offset)
}

fn parse_reject_key(text: &str) -> Result<RejectKey, ApiError> {
    let parse = || {
        let mut parts = text.splitn(3, '.');
        Some(RejectKey {
            rejected_at: parts.next()?.parse().ok()?,
            file: FileId(parts.next()?.parse().ok()?),
            offset: parts.next()?.parse().ok()?,
        })
    };
    parse().ok_or_else(|| ApiError::invalid_cursor("before", text))
}

/// Returns bytes as text: invalid UTF-8 and control characters as `\xNN`, a backslash as two.
pub(in crate::web) fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\t' => text.push('\t'),
                _ if character.is_control() => {
                    let mut bytes = [0; 4];
                    for byte in character.encode_utf8(&mut bytes).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_raw_bytes_are_shown_differently() {
        assert_eq!(
            visible(b"a\\x00\x00\xff\t\xc3\xa9\xc2\x85"),
            "a\\\\x00\\x00\\xff\t\u{e9}\\xc2\\x85"
        );
    }
}
