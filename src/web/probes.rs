//! What supervisors ask.

use axum::Router;
use axum::routing::get;

use super::PageState;

pub(super) fn routes() -> Router<PageState> {
    Router::new().route("/healthz", get(async || "ok"))
}
