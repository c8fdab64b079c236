//! Files with their offsets, rejects with their reasons, and the last sweep.

use axum::extract::State;
use serde_json::{Value, json};

use super::ask::{Answer, Asked, Wrong, good};
use crate::model::{FileId, moment};
use crate::store::{FileReport, RejectKey, SweepReport};
use crate::web::PageState;

/// Files of one answer; more are more than anybody looks at.
const MOST: usize = 500;

/// `/api/files`.
pub(super) async fn files(State(state): State<PageState>) -> Answer {
    let list = state.reader.file_list(MOST).await?;
    let swept = state.store.last_sweep().await?;
    good(json!({
        "files": list.files.iter().map(file).collect::<Vec<_>>(),
        "more": list.more,
        "sweep": swept.as_ref().map(sweep),
        "retention": state.retention,
        "rollup_retention": state.rollup_retention,
        "version": state.version,
        "store": if state.reader.is_postgres() { "postgres" } else { "sqlite" },
    }))
}

fn file(file: &FileReport) -> Value {
    let known = &file.checkpoint;
    json!({
        "id": known.file.0,
        "server": file.host,
        "path": known.path,
        "format": known.format,
        "committed": known.committed,
        "size": known.size,
        "lag": known.size.saturating_sub(known.committed),
        "lines": file.lines,
        "rows": file.rows,
        "rejected": file.rejected,
        "excluded": file.excluded,
        "lost_bytes": file.lost_bytes,
        "first_seen_at": moment(file.first_seen_at),
        "committed_at": file.committed_at.map(moment),
        "closed_at": file.closed_at.map(moment),
        "closed_reason": file.closed_reason,
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

/// `/api/rejects[?file=ID][&before=CURSOR]`: newest first.
pub(super) async fn rejects(State(state): State<PageState>, asked: Asked) -> Answer {
    let file = match asked.get("file") {
        Some(text) => Some(FileId(
            text.parse()
                .map_err(|_| Wrong::request(format!("file '{text}' is no number of a file")))?,
        )),
        None => None,
    };
    let before = asked.get("before").map(cursor).transpose()?;
    let list = state.reader.rejects(file, before, asked.limit(50, 500)?).await?;
    let rows = list.rejects.iter().map(|(reject, path)| {
        json!({
            "file": reject.key.file.0,
            "path": path,
            "offset": reject.key.offset,
            "rejected_at": moment(reject.key.rejected_at),
            "reason": reject.reason,
            "raw": visible(&reject.raw),
        })
    });
    let older = list.rejects.last().filter(|_| list.more).map(|(reject, _)| written(&reject.key));
    good(json!({ "rows": rows.collect::<Vec<_>>(), "older": older }))
}

fn written(key: &RejectKey) -> String {
    format!("{}.{}.{}", key.rejected_at, key.file.0, key.offset)
}

fn cursor(text: &str) -> Result<RejectKey, Wrong> {
    let read = || {
        let mut parts = text.splitn(3, '.');
        Some(RejectKey {
            rejected_at: parts.next()?.parse().ok()?,
            file: FileId(parts.next()?.parse().ok()?),
            offset: parts.next()?.parse().ok()?,
        })
    };
    read().ok_or_else(|| {
        Wrong::request(format!("before '{text}' is no cursor: take one from an answer"))
    })
}

/// Bytes as text: what is no UTF-8, and control characters, as `\xNN`; a backslash as two.
fn visible(bytes: &[u8]) -> String {
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
    fn raw_bytes_are_shown_so_that_they_can_be_told_apart() {
        assert_eq!(
            visible(b"a\\x00\x00\xff\t\xc3\xa9\xc2\x85"),
            "a\\\\x00\\x00\\xff\t\u{e9}\\xc2\\x85"
        );
    }
}
