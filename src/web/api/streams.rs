//! Answers that send rows for as long as the client reads: new rows as events, and downloads.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::rows::log_item;
use super::{ApiError, ApiResult, QueryString, now};
use crate::model::{Filter, Micros};
use crate::store::{
    CsvCells, FoundRow, Header, Reader, RecentRows, RowPages, SearchedRow, StoreError,
    StoredRequest, StoredRow, chain, write_csv, write_json_lines,
};
use crate::web::PageState;

/// Most rows that are sent after one query. A person cannot read more in a second.
const MAX_SENT: usize = 200;
/// Most rows of one query.
const MAX_QUERIED: usize = 5000;
/// Time between two comments on an idle stream, which keep proxies and browsers from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Finds the rows that are new since the last query.
struct NewRows {
    reader: Reader,
    filter: Filter,
    recent: RecentRows,
    /// Shared by all live tails.
    looks: Arc<Mutex<Instant>>,
}

/// Answers `/api/tail` with server-sent events: `row` for each new row, `skipped` with the number of
/// rows that were too many to send, and `looked` after each look, which tells the page that it shows all rows.
pub(super) async fn tail(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &["to"])?;
    let mut new_rows = NewRows {
        reader: state.reader.clone(),
        filter,
        recent: RecentRows::default(),
        looks: Arc::clone(&state.looks),
    };
    // Rows that exist already are not new: the page has loaded them.
    new_rows.query().await?;
    let events = stream::unfold(new_rows, |mut new_rows| async move {
        tokio::time::sleep(RecentRows::INTERVAL).await;
        let events = match new_rows.query().await {
            Ok(rows) => rows,
            // The page shows the error. A later query may reach the database again.
            Err(error) => vec![event("trouble", &json!({ "error": chain(&error) }))],
        };
        Some((stream::iter(events.into_iter().map(Ok::<Event, Infallible>)), new_rows))
    });
    let events = events.flatten().take_until(state.closing());
    let response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok::<Response, _>(response.into_response())
}

impl NewRows {
    /// Returns events for the rows that the last query did not find, oldest first.
    ///
    /// Live tails look one after the other, and pause together for as long as a look took: however many there are,
    /// and however many rows come, they occupy half a processor, and the store takes the lines.
    async fn query(&mut self) -> Result<Vec<Event>, StoreError> {
        let looks = Arc::clone(&self.looks);
        let mut next = looks.lock().await;
        tokio::time::sleep_until(*next).await;
        let began = Instant::now();
        let events = self.look().await;
        *next = Instant::now() + began.elapsed();
        events
    }

    async fn look(&mut self) -> Result<Vec<Event>, StoreError> {
        (self.filter.from, self.filter.to) = (self.recent.begin(now()), Micros::MAX / 2);
        let mut fresh = self.reader.newest::<StoredRow>(&self.filter, MAX_QUERIED).await?;
        self.recent.retain_new(&mut fresh);
        self.recent.end_look();
        let mut events = Vec::with_capacity(fresh.len().min(MAX_SENT + 1));
        if let Some(skipped @ 1..) = fresh.len().checked_sub(MAX_SENT) {
            events.push(event("skipped", &json!({ "rows": skipped })));
        }
        let shown = fresh.iter().take(MAX_SENT).rev();
        events.extend(shown.map(|row| event("row", &log_item(row))));
        events.push(event("looked", &json!({})));
        Ok(events)
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Format of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv(CsvCells),
    JsonLines,
}

/// Answers `/api/export?format=csv|jsonl[&table=log|requests][&cells=safe|exact]` with all columns, newest rows
/// first. People open CSV in spreadsheets, so its cells are safe by default.
///
/// A page is read when the one before it is sent, so memory is bounded. An error breaks the
/// connection: a client must not take half a file for a whole one.
pub(super) async fn export(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &["format", "table", "cells"])?;
    let cells = match query.get("cells").unwrap_or("safe") {
        "safe" => CsvCells::Safe,
        "exact" => CsvCells::Exact,
        other => return Err(ApiError::invalid_choice("cells", other, "safe or exact")),
    };
    let format = match query.get("format").unwrap_or("csv") {
        "csv" => Format::Csv(cells),
        "jsonl" => Format::JsonLines,
        other => return Err(ApiError::invalid_choice("format", other, "csv or jsonl")),
    };
    let reader = state.reader;
    match query.get("table").unwrap_or("log") {
        "log" => Ok(download::<StoredRow>(reader, filter, format)),
        "requests" => Ok(download::<StoredRequest>(reader, filter, format)),
        other => Err(ApiError::invalid_choice("table", other, "log or requests")),
    }
}

/// Streams the rows of a table as a file.
fn download<T: SearchedRow + Send>(reader: Reader, filter: Filter, format: Format) -> Response {
    let (media_type, extension) = match format {
        Format::Csv(_) => ("text/csv; charset=utf-8; header=present", "csv"),
        Format::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
    };
    let disposition = format!("attachment; filename=\"{}.{extension}\"", T::TABLE.name());
    let first = match format {
        Format::Csv(_) => Header::Written,
        Format::JsonLines => Header::Omitted,
    };
    let pages = RowPages::<T>::newest_first(reader, filter);
    let chunks = stream::unfold((pages, first), move |(mut pages, header)| async move {
        let rows = pages.next().await.transpose()?;
        let chunk = rows.map_err(io::Error::other).and_then(|rows| encode(&rows, format, header));
        Some((chunk, (pages, Header::Omitted)))
    });
    let headers =
        [(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, Body::from_stream(chunks)).into_response()
}

fn encode<T: SearchedRow>(
    rows: &[FoundRow<T>],
    format: Format,
    header: Header,
) -> io::Result<Bytes> {
    let mut text = Vec::new();
    match format {
        Format::Csv(cells) => write_csv(&mut text, rows, header, cells)?,
        Format::JsonLines => write_json_lines(&mut text, rows)?,
    }
    Ok(Bytes::from(text))
}
