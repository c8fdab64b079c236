//! Pages of rows, and single rows.

use std::time::Duration;

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{ApiError, ApiResult, QueryString, format_cursor, json_answer};
use crate::model::{Filter, moment};
use crate::store::{
    Cursor, Direction, FileReport, FoundRow, Reader, RowPage, SearchedRow, StoredRequest, StoredRow,
};
use crate::web::PageState;

/// How long one page is searched. The answer then has the rows found so far and a cursor to go on.
const BUDGET: Duration = Duration::from_secs(2);

/// Names in a query string that are not part of the filter.
const OWN: [&str; 3] = ["limit", "before", "after"];

/// Answers `/api/log`: a page of `gunicorn_log`.
pub(super) async fn log(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let (reader, direction) = (&state.reader, query.direction()?);
    let filter = query.filter(reader, &OWN)?;
    let page =
        reader.page::<StoredRow>(&filter, direction, query.limit(100, 1000)?, BUDGET).await?;
    json_answer(paged(&page, direction, log_item))
}

/// Answers `/api/requests`: a page of `request_log`.
pub(super) async fn requests(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let (reader, direction) = (&state.reader, query.direction()?);
    let filter = query.filter(reader, &OWN)?;
    let page =
        reader.page::<StoredRequest>(&filter, direction, query.limit(100, 1000)?, BUDGET).await?;
    json_answer(paged(&page, direction, request_item))
}

/// Returns a row of `gunicorn_log` as lists show it.
pub(super) fn log_item(found: &FoundRow<StoredRow>) -> Value {
    let row = &found.row;
    json!({
        "id": found.id.to_string(), // JavaScript numbers are too small for it
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

/// Returns a page with the cursors of the next older and newer ones.
fn paged<T: SearchedRow>(
    page: &RowPage<T>,
    direction: Direction,
    item: fn(&FoundRow<T>) -> Value,
) -> Value {
    let cursor = |found: &FoundRow<T>| Cursor { timestamp: found.row.timestamp(), id: found.id };
    let first = page.rows.first().map(cursor);
    // If the search ran out of time, the next page begins after the searched range, not at the last row.
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
        "older": older.map(format_cursor),
        "newer": newer.map(format_cursor),
        "searched_to": page.searched_to.map(moment),
    })
}

/// Answers `/api/newest[?table=log|requests]`: when the newest row of all is (`newest`), and the newest one that meets the
/// filter (`matching`), whatever the range. If the search for that one ran out of time, `searched_to` says how far it came.
pub(super) async fn newest(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &["table", "from", "to"])?;
    match query.get("table").unwrap_or("log") {
        "log" => newest_of::<StoredRow>(&state.reader, filter).await,
        "requests" => newest_of::<StoredRequest>(&state.reader, filter).await,
        other => Err(ApiError::invalid_choice("table", other, "log or requests")),
    }
}

async fn newest_of<T: SearchedRow>(reader: &Reader, filter: Filter) -> ApiResult {
    let newest = reader.newest_time::<T>().await?;
    // What is later than now, a wrong clock has written: it is not searched for matches.
    let filter = Filter { from: 0, ..filter };
    let page = reader.page::<T>(&filter, Direction::Older(None), 1, BUDGET).await?;
    json_answer(json!({
        "newest": newest.map(moment),
        "matching": page.rows.first().map(|it| moment(it.row.timestamp())),
        "searched_to": page.searched_to.filter(|_| page.rows.is_empty()).map(moment),
    }))
}

/// Answers `/api/log/ID`: all columns of one row of `gunicorn_log`.
pub(super) async fn log_row(State(state): State<PageState>, Path(id): Path<String>) -> ApiResult {
    let found = state.reader.row_and_file::<StoredRow>(parse_id(&id)?).await?;
    json_answer(whole(found.ok_or_else(|| no_row(&id))?))
}

/// Answers `/api/requests/ID`: all columns of one row of `request_log`.
pub(super) async fn request_row(
    State(state): State<PageState>,
    Path(id): Path<String>,
) -> ApiResult {
    let found = state.reader.row_and_file::<StoredRequest>(parse_id(&id)?).await?;
    json_answer(whole(found.ok_or_else(|| no_row(&id))?))
}

fn parse_id(id: &str) -> Result<i64, ApiError> {
    let invalid = |_| ApiError::bad_request(format!("invalid row '{id}': expected a number"));
    id.parse().map_err(invalid)
}

fn no_row(id: &str) -> ApiError {
    ApiError::not_found(format!("no row {id}; it may be older than the retention"))
}

/// Returns all columns of a row, with the path and server of its file.
fn whole<T: SearchedRow>((found, file): (FoundRow<T>, Option<FileReport>)) -> Value {
    let mut object = found.object();
    object.insert("id".into(), json!(found.id.to_string()));
    if let Some(file) = file {
        object.insert("file".into(), json!(file.checkpoint.path));
        object.insert("server".into(), json!(file.checkpoint.host));
    }
    Value::Object(object)
}
