//! Answers that become better step by step.

use std::io;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::store::{StoreError, chain};

/// How long the first answer takes. What is not counted by then is an estimate.
pub(super) const FIRST: Duration = Duration::from_millis(300);
/// How long each further answer takes.
pub(super) const NEXT: Duration = Duration::from_millis(700);
/// How long the counting goes on. A person does not wait longer.
const LONGEST: Duration = Duration::from_secs(60);

/// What is counted in steps.
pub(super) trait Steps: Send + 'static {
    /// Returns whether nothing is left to count.
    fn is_done(&self) -> bool;

    /// Counts more, for about the time [`NEXT`].
    fn go_on(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the answer so far, an object.
    fn answer(&self) -> Value;
}

/// Answers with a line of JSON for each step. The last line has the share 1, or it has `stopped`, the reason why the
/// numbers stay estimates.
///
/// A step begins about when the line before it was sent, so that a client which is gone is not counted for.
pub(super) fn in_steps<T: Steps>(
    first: T,
    closing: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let end = Instant::now() + LONGEST;
    let first_line = line(&first.answer());
    let next = (!first.is_done()).then_some(first);
    let more = stream::unfold(next, move |steps| async move {
        let mut steps = steps?;
        if Instant::now() >= end {
            let why = format!("counting stopped after {} s", LONGEST.as_secs());
            return Some((stopped(&steps, &why), None));
        }
        if let Err(error) = steps.go_on().await {
            return Some((stopped(&steps, &chain(&error)), None));
        }
        let step = line(&steps.answer());
        Some((step, (!steps.is_done()).then_some(steps)))
    });
    let lines = stream::once(async move { first_line }).chain(more).take_until(closing);
    let body = Body::from_stream(lines.map(Ok::<Bytes, io::Error>));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn stopped(steps: &impl Steps, why: &str) -> Bytes {
    let mut answer = steps.answer();
    answer["stopped"] = json!(why);
    line(&answer)
}
