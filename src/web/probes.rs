//! `/healthz`, `/readyz` and `/metrics`: the answers for supervisors and Prometheus.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::{OPEN_METRICS, PROMETHEUS};
use crate::store::chain;

use super::PageState;

/// All paths of this file. A program's token opens these alone.
pub(super) const PATHS: [&str; 3] = [ALIVE, "/readyz", "/metrics"];

/// The path that needs no password, and is answered at once.
pub(super) const ALIVE: &str = "/healthz";

/// How long `/readyz` waits for the store's answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Router<PageState> {
    Router::new()
        .route(ALIVE, get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Answers 503 if a restart would help. It does not if the store is unavailable: lines wait in
/// their files.
async fn healthz(State(state): State<PageState>) -> Response {
    match state.metrics.health.is_alive(None) {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Answers 503 if new lines are not stored now. An idle daemon does not query its store for half a
/// minute, so this handler queries it.
async fn readyz(State(state): State<PageState>) -> Response {
    let mut problems = state.metrics.health.problems();
    if problems.is_empty() {
        match tokio::time::timeout(STORE_TIMEOUT, state.probe.last_sweep()).await {
            Ok(Ok(_)) => return "ok\n".into_response(),
            Ok(Err(error)) => problems.push(chain(&error)),
            Err(_) => problems.push("the store does not answer".to_owned()),
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n").into_response()
}

async fn metrics(State(state): State<PageState>, headers: HeaderMap) -> Response {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let open = { accepts }.any(|types| types.contains("application/openmetrics-text"));
    let (media_type, text) = match open {
        true => (OPEN_METRICS, state.metrics.open_metrics()),
        false => (PROMETHEUS, state.metrics.prometheus()),
    };
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, media_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
