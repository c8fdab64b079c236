//! The page: what is stored, shown to a browser, and told to programs. It reads and never writes.
//!
//! A request comes through the `listener`, which lets in so many connections and no more, is
//! looked at by `auth` (who asks, and by which name), gets its `headers` on the way back, and is
//! answered by `assets` (the page itself), `api` (its data) or `probes`.
//!
//! Every future here ends or is dropped when the daemon stops, and none holds anything that ingest
//! waits for. An answer has to begin within [`IDLE_TIMEOUT`], and one that goes on for ever, a stream
//! of new rows, ends with [`PageState::closing`].

mod api;
mod assets;
mod auth;
mod headers;
mod listener;
mod probes;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;

pub use auth::{AuthFileError, Authenticator, Credentials, HashError, SecretKind, auth_line};
pub use listener::{IDLE_TIMEOUT, MAX_CONNECTIONS};
pub use state::PageState;

use listener::{PageListener, Peer};

/// Answers until `state.closing()`, and then until what is being answered is answered.
///
/// `gate` says who may ask. The listener is shared, so that a reload keeps the address; only one
/// `serve` should run on it at a time.
pub async fn serve(listener: Arc<TcpListener>, gate: Authenticator, state: PageState) {
    let closing = state.closing();
    let service = router(gate, state).into_make_service_with_connect_info::<Peer>();
    let served =
        axum::serve(PageListener::new(listener), service).with_graceful_shutdown(closing).await;
    // It never fails: the listener waits and tries again.
    drop(served);
}

fn router(gate: Authenticator, state: PageState) -> Router {
    Router::new()
        .merge(assets::routes())
        .merge(probes::routes())
        .nest("/api", api::routes())
        .with_state(state)
        .layer(from_fn_with_state(Arc::new(gate), auth::admit))
        .layer(from_fn(headers::add)) // outermost: what is refused has them, too
}
