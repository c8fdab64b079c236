//! The page's data, as JSON, under `/api`.

mod ask;
mod counts;
mod download;
mod files;
mod rows;
mod tail;

use axum::Router;
use axum::routing::get;

use super::PageState;

/// Every question that the page asks; the paths begin behind `/api`.
pub(super) fn routes() -> Router<PageState> {
    Router::new()
        .route("/overview", get(counts::overview))
        .route("/top", get(counts::top))
        .route("/log", get(rows::log))
        .route("/log/{id}", get(rows::log_row))
        .route("/requests", get(rows::requests))
        .route("/requests/{id}", get(rows::request_row))
        .route("/tail", get(tail::tail))
        .route("/export", get(download::export))
        .route("/files", get(files::files))
        .route("/rejects", get(files::rejects))
}
