//! How many requests are answered at once, and of which kinds.
//!
//! The probes are not counted, so that an occupied page does not look like a dead daemon.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::Semaphore;

use super::listener::Peer;
use super::probes;

/// Most requests at once, without those of probes.
pub(super) const MAX_REQUESTS: usize = 64;

/// Places of connections that no request but a probe's can keep.
pub(super) const RESERVED: usize = 8;

/// Most answers at once that go on for long: live tails, downloads, and what is counted in steps.
pub const MAX_STREAMS: usize = 32;

/// The answers that are streams.
const STREAMS: [&str; 4] =
    ["/api/tail", "/api/export", "/api/overview/progress", "/api/changes/progress"];

/// Counts the requests under way.
#[derive(Debug)]
pub(super) struct Requests {
    all: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Requests {
    pub(super) fn new() -> Arc<Requests> {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Arc::new(Requests { all: semaphore(MAX_REQUESTS), streams: semaphore(MAX_STREAMS) })
    }
}

/// Marks the connection as busy during the request. The answer to an unknown client is the last one of its
/// connection.
pub(super) async fn track(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path() == probes::ALIVE {
        peer.client.keep();
    }
    let busy = peer.client.begin();
    let mut response = next.run(request).await;
    if !peer.client.is_known() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    during(response, busy)
}

/// Passes an accepted request on if there are not too many.
pub(super) async fn limit(
    State(requests): State<Arc<Requests>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if probes::PATHS.contains(&path) {
        return next.run(request).await;
    }
    let Ok(one) = Arc::clone(&requests.all).try_acquire_owned() else {
        let why = format!("{MAX_REQUESTS} requests are under way, which is the most: try again");
        return busy(path, why);
    };
    if !STREAMS.contains(&path) {
        return during(next.run(request).await, one);
    }
    let Ok(stream) = Arc::clone(&requests.streams).try_acquire_owned() else {
        let why = format!(
            "{MAX_STREAMS} live tails, downloads and counts are open, which is the most: close one"
        );
        return busy(path, why);
    };
    during(next.run(request).await, (one, stream))
}

fn busy(path: &str, why: String) -> Response {
    let later = [(header::RETRY_AFTER, "3")];
    (later, refusal(path, StatusCode::SERVICE_UNAVAILABLE, why)).into_response()
}

/// Returns an error answer: JSON for the page's data, text otherwise.
pub(super) fn refusal(path: &str, status: StatusCode, why: String) -> Response {
    match path.starts_with("/api/") {
        true => (status, Json(json!({ "error": why }))).into_response(),
        false => (status, why + "\n").into_response(),
    }
}

/// Keeps `held` until the answer was sent or its client is gone.
fn during<T: Send + 'static>(response: Response, held: T) -> Response {
    let (mut parts, body) = response.into_parts();
    match body.size_hint().exact() {
        Some(0) => return Response::from_parts(parts, body),
        // A stream does not know its length.
        Some(length) => {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {}
    }
    let chunks = body.into_data_stream().map(move |chunk| {
        let _held = &held;
        chunk
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}
