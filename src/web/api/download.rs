//! Rows as a file, however many there are: page by page, each when the one before is on its way.

//! Rows as a file, however many there are: page by page, each when the one before is on its way.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::ask::{Answer, Asked, Wrong};
use crate::store::{Exported, RowPages, StoredRequest, StoredRow, write_csv, write_json_lines};
use crate::web::PageState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// Pages of whichever table.
enum Pages {
    Log(RowPages<StoredRow>),
    Requests(RowPages<StoredRequest>),
}

/// `/api/export?format=csv|jsonl[&table=log|requests]`: all columns, newest rows first. A fault on the
/// way breaks the connection, so that half a file is never taken for a whole one.
pub(super) async fn export(State(state): State<PageState>, asked: Asked) -> Answer {
    let filter = asked.filter(&state.reader, &["format", "table"])?;
    let format = match asked.get("format").unwrap_or("csv") {
        "csv" => Format::Csv,
        "jsonl" => Format::JsonLines,
        other => return Err(Wrong::request(format!("format '{other}' is neither csv nor jsonl"))),
    };
    let reader = state.reader;
    let (pages, name) = match asked.get("table").unwrap_or("log") {
        "log" => (Pages::Log(RowPages::newest_first(reader, filter)), "gunicorn_log"),
        "requests" => (Pages::Requests(RowPages::newest_first(reader, filter)), "request_log"),
        other => {
            return Err(Wrong::request(format!("table '{other}' is neither log nor requests")));
        }
    };
    Ok(file(pages, format, name))
}

fn file(pages: Pages, format: Format, name: &str) -> Response {
    let (media_type, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        Format::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
    };
    let disposition = format!("attachment; filename=\"{name}.{ending}\"");
    let chunks =
        stream::unfold((pages, format == Format::Csv), move |(mut pages, head)| async move {
            let chunk = pages.next(format, head).await.transpose()?;
            Some((chunk, (pages, false)))
        });
    let headers =
        [(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, Body::from_stream(chunks)).into_response()
}

impl Pages {
    /// The next rows as bytes; with the names of the columns before them, if `head`.
    async fn next(&mut self, format: Format, head: bool) -> anyhow::Result<Option<Bytes>> {
        let written = match self {
            Pages::Log(walk) => walk.next().await?.map(|rows| written(&rows, format, head)),
            Pages::Requests(walk) => walk.next().await?.map(|rows| written(&rows, format, head)),
        };
        Ok(written.transpose()?)
    }
}

fn written<T: Exported>(rows: &[T], format: Format, head: bool) -> io::Result<Bytes> {
    let mut text = Vec::new();
    match format {
        Format::Csv => write_csv(&mut text, rows, head)?,
        Format::JsonLines => write_json_lines(&mut text, rows)?,
    }
    Ok(Bytes::from(text))
}
