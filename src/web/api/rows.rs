//! Pages of rows, and single rows.

use std::time::Duration;

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{ApiError, ApiResult, QueryString, format_cursor, json_answer};
use crate::model::{Filter, moment};
use crate::store::{
    Cursor, Direction, FileReport, FoundRow, Order, Reader, RowPage, SearchedRow, SortBy,
    StoredRequest, StoredRow, Story,
};
use crate::web::PageState;

/// How long one page is searched. The answer then has the rows found so far and a cursor to go on.
const BUDGET: Duration = Duration::from_secs(2);

/// Names in a query string that are not part of the filter.
const OWN: [&str; 4] = ["limit", "before", "after", "sort"];

/// Answers `/api/log`: a page of `gunicorn_log`; with `sort`, such as `duration` or `-duration`, the first rows in this
/// order.
pub(super) async fn log(State(state): State<PageState>, query: QueryString) -> ApiResult {
    if let Some(sort) = query.get("sort") {
        return sorted::<StoredRow>(&state.reader, &query, sort, log_item).await;
    }
    let (reader, direction) = (&state.reader, query.direction()?);
    let filter = query.filter(reader, &OWN)?;
    let page =
        reader.page::<StoredRow>(&filter, direction, query.limit(100, 1000)?, BUDGET).await?;
    json_answer(paged(&page, direction, log_item))
}

/// Answers `/api/requests`: the same of `request_log`.
pub(super) async fn requests(State(state): State<PageState>, query: QueryString) -> ApiResult {
    if let Some(sort) = query.get("sort") {
        return sorted::<StoredRequest>(&state.reader, &query, sort, request_item).await;
    }
    let (reader, direction) = (&state.reader, query.direction()?);
    let filter = query.filter(reader, &OWN)?;
    let page =
        reader.page::<StoredRequest>(&filter, direction, query.limit(100, 1000)?, BUDGET).await?;
    json_answer(paged(&page, direction, request_item))
}

/// Answers with the first rows in an order: a minus before the name puts the greatest first. `complete` is false if only
/// the newest rows of the range were compared.
async fn sorted<T: SearchedRow>(
    reader: &Reader,
    query: &QueryString,
    sort: &str,
    item: fn(&FoundRow<T>) -> Value,
) -> ApiResult {
    let filter = query.filter(reader, &OWN)?;
    let (name, order) = match sort.strip_prefix('-') {
        Some(name) => (name, Order::Descending),
        None => (sort, Order::Ascending),
    };
    let by = SortBy::ALL.into_iter().find(|(known, _)| *known == name);
    let sorted = match by {
        Some((_, by)) => reader.sorted::<T>(&filter, by, order, query.limit(100, 1000)?).await?,
        None => None,
    };
    let Some(sorted) = sorted else {
        let names: Vec<&str> = SortBy::ALL.iter().map(|(name, _)| *name).collect();
        return Err(ApiError::invalid_choice("sort", sort, &names.join(", ")));
    };
    json_answer(json!({
        "rows": sorted.rows.iter().map(item).collect::<Vec<_>>(),
        "complete": sorted.from <= filter.from,
        "from": moment(sorted.from),
    }))
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
        "route": row.route,
        "referer": row.source,
        "protocol": row.protocol,
        "request_id": row.request_id,
        "trace_id": row.trace_id,
    })
}

/// Returns a row of `request_log` as lists show it.
pub(super) fn request_item(found: &FoundRow<StoredRequest>) -> Value {
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
        "agent": row.user_agent,
        "route": row.route,
        "content_type": row.content_type,
        "session": row.session_id,
        "request_id": row.request_id,
        "trace_id": row.trace_id,
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

/// Answers `/api/log/ID/story`: the rows around a request.
pub(super) async fn log_story(State(state): State<PageState>, Path(id): Path<String>) -> ApiResult {
    let story = state.reader.story_of_access(parse_id(&id)?).await?;
    json_answer(told(&story.ok_or_else(|| no_row(&id))?))
}

/// Answers `/api/requests/ID/story`: the same for a row of a request log.
pub(super) async fn request_story(
    State(state): State<PageState>,
    Path(id): Path<String>,
) -> ApiResult {
    let story = state.reader.story_of_request(parse_id(&id)?).await?;
    json_answer(told(&story.ok_or_else(|| no_row(&id))?))
}

fn told(story: &Story) -> Value {
    let access = |rows: &[FoundRow<StoredRow>]| rows.iter().map(log_item).collect::<Vec<_>>();
    let requests =
        |rows: &[FoundRow<StoredRequest>]| rows.iter().map(request_item).collect::<Vec<_>>();
    json!({
        "access": access(&story.access),
        "requests": requests(&story.requests),
        "session": requests(&story.session),
        "address": access(&story.address),
    })
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
