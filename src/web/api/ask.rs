//! What a query string asks, and what is answered to one that asks nothing sensible.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::{Value, json};

use crate::model::{Filter, FilterError, Micros};
use crate::store::{Cursor, Direction, Reader, StoreError, chain};

/// Names and values of a query string, in order.
pub(super) struct Asked(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Wrong;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked, Wrong> {
        let asked = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        asked.map(|Query(pairs)| Asked(pairs)).map_err(|error| Wrong::request(error.body_text()))
    }
}

impl Asked {
    /// The value of a name; none if it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    /// The filter; `own` are the names that the endpoint reads itself.
    pub(super) fn filter(&self, reader: &Reader, own: &[&str]) -> Result<Filter, Wrong> {
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

    /// A number from 1 to `most`.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Wrong> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| Wrong::request(format!("limit '{text}' is no number from 1 to {most}")))
    }

    /// `before` or `after`, or the newest.
    pub(super) fn direction(&self) -> Result<Direction, Wrong> {
        match (self.get("before"), self.get("after")) {
            (Some(_), Some(_)) => {
                Err(Wrong::request("both before and after are given; give one of them".into()))
            }
            (None, Some(text)) => Ok(Direction::Newer(cursor("after", text)?)),
            (Some(text), None) => Ok(Direction::Older(Some(cursor("before", text)?))),
            (None, None) => Ok(Direction::Older(None)),
        }
    }
}

pub(super) fn now() -> Micros {
    Utc::now().timestamp_micros()
}

/// `TIMESTAMP.ID`, both as the numbers that they are.
pub(super) fn written(cursor: Cursor) -> String {
    format!("{}.{}", cursor.timestamp, cursor.id)
}

fn cursor(name: &str, text: &str) -> Result<Cursor, Wrong> {
    let read = || {
        let (timestamp, id) = text.split_once('.')?;
        Some(Cursor { timestamp: timestamp.parse().ok()?, id: id.parse().ok()? })
    };
    read().ok_or_else(|| {
        Wrong::request(format!("{name} '{text}' is no cursor: take one from an answer"))
    })
}

/// An answer that says what was wrong.
#[derive(Debug)]
pub(super) struct Wrong {
    status: StatusCode,
    message: String,
}

impl Wrong {
    pub(super) fn request(message: String) -> Wrong {
        Wrong { status: StatusCode::BAD_REQUEST, message }
    }

    pub(super) fn missing(message: String) -> Wrong {
        Wrong { status: StatusCode::NOT_FOUND, message }
    }
}

impl From<FilterError> for Wrong {
    fn from(error: FilterError) -> Wrong {
        Wrong::request(error.to_string())
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Wrong {
        let message = chain(&error);
        tracing::debug!(error = message, "a question of the page has no answer");
        Wrong { status: StatusCode::SERVICE_UNAVAILABLE, message }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

pub(super) type Answer = Result<Response, Wrong>;

/// An answer that is right.
pub(super) fn good(value: Value) -> Answer {
    Ok(Json(value).into_response())
}
