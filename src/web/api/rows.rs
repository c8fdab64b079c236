//! Lists of rows, and one row.

use std::time::Duration;

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::ask::{Answer, Asked, Wrong, good, written};
use crate::model::{Micros, moment};
use crate::store::{
    Cursor, Direction, Exported, FoundRow, Reader, RowPage, StoreError, StoredRequest, StoredRow,
};
use crate::web::PageState;

/// How long somebody waits for one page; what was found by then is shown, and where to go on.
const BUDGET: Duration = Duration::from_secs(2);

const OWN: [&str; 3] = ["limit", "before", "after"];

/// `/api/log`: a page of `gunicorn_log`.
pub(super) async fn log(State(state): State<PageState>, asked: Asked) -> Answer {
    let (reader, direction) = (&state.reader, asked.direction()?);
    let filter = asked.filter(reader, &OWN)?;
    let page = reader.log_page(&filter, direction, asked.limit(100, 1000)?, BUDGET).await?;
    good(paged(&page, direction, log_item, |row| row.timestamp))
}

/// `/api/requests`: a page of `request_log`.
pub(super) async fn requests(State(state): State<PageState>, asked: Asked) -> Answer {
    let (reader, direction) = (&state.reader, asked.direction()?);
    let filter = asked.filter(reader, &OWN)?;
    let page = reader.request_page(&filter, direction, asked.limit(100, 1000)?, BUDGET).await?;
    good(paged(&page, direction, request_item, |row| row.line.timestamp))
}

/// A row of `gunicorn_log` as lists show it.
pub(super) fn log_item(found: &FoundRow<StoredRow>) -> Value {
    let row = &found.row;
    json!({
        "id": found.id.to_string(), // more than a browser's numbers hold
        "timestamp": moment(row.timestamp),
        "method": row.method,
        "url": row.url,
        "host": row.host,
        "user": row.user_id,
        "address": row.user_ip,
        "agent": row.agent,
        "code": row.code,
        "duration": row.duration,
        "bytes": row.response_bytes,
    })
}

fn request_item(found: &FoundRow<StoredRequest>) -> Value {
    let row = &found.row.line;
    json!({
        "id": found.id.to_string(),
        "timestamp": moment(row.timestamp),
        "method": row.method,
        "path": row.path,
        "user": row.user_id,
        "address": row.ip_address,
        "code": row.status_code,
        "duration_ms": row.response_time_ms,
    })
}

fn paged<T>(
    page: &RowPage<T>,
    direction: Direction,
    item: fn(&FoundRow<T>) -> Value,
    timestamp: fn(&T) -> Micros,
) -> Value {
    let cursor = |found: &FoundRow<T>| Cursor { timestamp: timestamp(&found.row), id: found.id };
    let first = page.rows.first().map(cursor);
    // Where the time was over, the next page begins behind what was searched, not at the last row.
    let edge = |id| page.searched_to.map(|timestamp| Cursor { timestamp, id });
    let (newer, older) = match direction {
        Direction::Older(before) => {
            let older = edge(i64::MIN).or(page.rows.last().map(cursor)).filter(|_| page.more);
            (first.or(before).filter(|_| before.is_some()), older)
        }
        Direction::Newer(after) => {
            let newer = edge(i64::MAX).or(first).filter(|_| page.more);
            (newer, page.rows.last().map(cursor).or(Some(after)))
        }
    };
    json!({
        "rows": page.rows.iter().map(item).collect::<Vec<_>>(),
        "older": older.map(written),
        "newer": newer.map(written),
        "searched_to": page.searched_to.map(moment),
    })
}

/// `/api/log/ID`: all of one row of `gunicorn_log`.
pub(super) async fn log_row(State(state): State<PageState>, Path(id): Path<String>) -> Answer {
    let found = state.reader.log_row(number(&id)?).await?.ok_or_else(|| none(&id))?;
    good(whole(&state.reader, &found).await?)
}

/// `/api/requests/ID`: all of one row of `request_log`.
pub(super) async fn request_row(State(state): State<PageState>, Path(id): Path<String>) -> Answer {
    let found = state.reader.request_row(number(&id)?).await?.ok_or_else(|| none(&id))?;
    good(whole(&state.reader, &found).await?)
}

fn number(id: &str) -> Result<i64, Wrong> {
    id.parse().map_err(|_| Wrong::request(format!("'{id}' is no number of a row")))
}

fn none(id: &str) -> Wrong {
    Wrong::missing(format!("there is no row {id}; it may be past the retention"))
}

async fn whole<T>(reader: &Reader, found: &FoundRow<T>) -> Result<Value, StoreError>
where
    FoundRow<T>: Exported,
{
    let mut object = found.object();
    object.insert("id".into(), json!(found.id.to_string()));
    if let Some(file) = reader.file(found.file).await? {
        object.insert("file".into(), json!(file.checkpoint.path));
        object.insert("server".into(), json!(file.host));
    }
    Ok(Value::Object(object))
}
