//! The page's data, as JSON, under `/api`.

use axum::Router;

use super::PageState;

/// Every question that the page asks; the paths begin behind `/api`.
pub(super) fn routes() -> Router<PageState> {
    Router::new()
}
