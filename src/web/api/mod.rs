//! The page's data as JSON, under `/api`.
//!
//! Files, in reading order: this one (routes, reading of query strings, errors), [`rows`] (pages of
//! rows, one row), [`streams`] (new rows as events, all rows as a download), [`counts`] (counts of what meets the
//! filter, and values for a filter), [`changes`] (what distinguishes a stretch of time), [`steps`] (answers that become
//! better step by step), [`summary`] (lists of frequent values, files and rejects).

mod changes;
mod counts;
mod rows;
mod steps;
mod streams;
mod summary;

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::Utc;
use serde_json::{Value, json};

pub(super) use summary::visible;

use super::PageState;
use crate::model::{Filter, FilterError, Micros};
use crate::store::{Cursor, Direction, Reader, StoreError, chain};

/// Returns all routes, without the prefix `/api`.
pub(super) fn routes() -> Router<PageState> {
    Router::new()
        .route("/overview", get(counts::overview))
        .route("/overview/progress", get(counts::progress))
        .route("/changes", get(changes::changes))
        .route("/changes/progress", get(changes::progress))
        .route("/marks", get(counts::marks))
        .route("/suggest", get(counts::suggest))
        .route("/top", get(summary::top))
        .route("/routes", get(summary::routes))
        .route("/log", get(rows::log))
        .route("/log/{id}", get(rows::log_row))
        .route("/log/{id}/story", get(rows::log_story))
        .route("/requests", get(rows::requests))
        .route("/requests/{id}", get(rows::request_row))
        .route("/requests/{id}/story", get(rows::request_story))
        .route("/tail", get(streams::tail))
        .route("/export", get(streams::export))
        .route("/files", get(summary::files))
        .route("/rejects", get(summary::rejects))
        .route("/attention", get(summary::attention))
        .route("/newest", get(rows::newest))
}

/// Names and values of a query string, in order.
struct QueryString(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for QueryString {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<QueryString, ApiError> {
        match Query::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Query(pairs)) => Ok(QueryString(pairs)),
            Err(error) => Err(ApiError::bad_request(error.body_text())),
        }
    }
}

impl QueryString {
    /// Returns the value of a name; `None` if it is missing or empty.
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    /// Reads the filter. `own` lists the names that the endpoint itself reads.
    fn filter(&self, reader: &Reader, own: &[&str]) -> Result<Filter, ApiError> {
        let now = now();
        let mut filter = Filter::last_hour(now);
        for (name, value) in &self.0 {
            if !own.contains(&&**name) {
                filter.set(name, value, now)?;
            }
        }
        let filter = filter.checked()?;
        reader.check(&filter)?;
        Ok(filter)
    }

    /// Reads `limit`, a number from 1 to `max`.
    fn limit(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
        limit.ok_or_else(|| {
            ApiError::bad_request(format!(
                "invalid limit '{text}': expected a number from 1 to {max}"
            ))
        })
    }

    /// Reads `before` or `after`; without them the page of the newest rows.
    fn direction(&self) -> Result<Direction, ApiError> {
        match (self.get("before"), self.get("after")) {
            (Some(_), Some(_)) => Err(ApiError::bad_request(
                "both before and after are given: give one of them".into(),
            )),
            (None, Some(text)) => Ok(Direction::Newer(parse_cursor("after", text)?)),
            (Some(text), None) => Ok(Direction::Older(Some(parse_cursor("before", text)?))),
            (None, None) => Ok(Direction::Older(None)),
        }
    }
}

fn now() -> Micros {
    Utc::now().timestamp_micros()
}

/// Formats a cursor as `TIMESTAMP.ID`, both in decimal.
fn format_cursor(cursor: Cursor) -> String {
    format!("{}.{}", cursor.timestamp, cursor.id)
}

fn parse_cursor(name: &str, text: &str) -> Result<Cursor, ApiError> {
    let parse = || {
        let (timestamp, id) = text.split_once('.')?;
        Some(Cursor { timestamp: timestamp.parse().ok()?, id: id.parse().ok()? })
    };
    parse().ok_or_else(|| ApiError::invalid_cursor(name, text))
}

/// An error answer: a status and a message.
#[derive(Debug)]
struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    fn bad_request(message: String) -> ApiError {
        ApiError { status: StatusCode::BAD_REQUEST, message }
    }

    fn invalid_choice(name: &str, value: &str, expected: &str) -> ApiError {
        ApiError::bad_request(format!("invalid {name} '{value}': expected {expected}"))
    }

    fn invalid_cursor(name: &str, text: &str) -> ApiError {
        let message = format!("invalid {name} '{text}': expected a cursor from an earlier answer");
        ApiError::bad_request(message)
    }

    fn not_found(message: String) -> ApiError {
        ApiError { status: StatusCode::NOT_FOUND, message }
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> ApiError {
        ApiError::bad_request(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        let message = chain(&error);
        tracing::debug!(error = message, "cannot answer a request of the page");
        ApiError { status: StatusCode::SERVICE_UNAVAILABLE, message }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

type ApiResult = Result<Response, ApiError>;

/// Returns a successful JSON answer.
fn json_answer(value: Value) -> ApiResult {
    Ok(Json(value).into_response())
}
