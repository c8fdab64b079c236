//! What supervisors and Prometheus ask.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::{OPEN_METRICS, PROMETHEUS};
use crate::store::chain;

use super::PageState;

/// A store that takes longer for its smallest question is away, to whoever waits.
const SOON: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Router<PageState> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Whether a restart would help: not if the store is away, since lines wait in their files.
async fn healthz(State(state): State<PageState>) -> Response {
    match state.metrics.health.is_alive() {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Whether lines that are written now are stored now. An idle daemon does not ask its store for half
/// a minute; so it is asked here.
async fn readyz(State(state): State<PageState>) -> Response {
    let mut complaints = state.metrics.health.complaints();
    if complaints.is_empty() {
        match tokio::time::timeout(SOON, state.store.last_sweep()).await {
            Ok(Ok(_)) => return "ok\n".into_response(),
            Ok(Err(error)) => complaints.push(chain(&error)),
            Err(_) => complaints.push("the store does not answer".to_owned()),
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, complaints.join("\n") + "\n").into_response()
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
