//! The page: an HTTP server that shows what is stored, to browsers and to programs.
//!
//! Assumptions: the store and the metrics exist, and `daemon` starts and ends the server. Every
//! future here ends or is dropped when the daemon stops, and none holds anything that ingest waits
//! for. An answer must begin within [`IDLE_TIMEOUT`]. A stream of new rows, which has no end of its
//! own, ends with [`PageState::closing`].
//!
//! The page only reads: no request changes a row or a setting. It has no TLS: a proxy provides it.
//!
//! Files, in the order of a request: `listener` accepts a limited number of connections, `auth`
//! checks the user and the Host header, `headers` adds the security headers. The answer comes
//! from `assets` (the page's own files, in `page/`), `api` (its data) or `probes` (health and
//! metrics).

mod api;
mod assets;
mod auth;
mod headers;
mod listener;
mod probes;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::store::{Reader, Store};

pub use auth::{AuthFileError, Authenticator, Credentials, HashError, SecretKind, auth_line};
pub use listener::{IDLE_TIMEOUT, MAX_CONNECTIONS};

use listener::{PageListener, Peer};

/// Serves the page until `state.closing()`, and then until the answers under way are sent.
///
/// The listener is shared, so that a reload keeps the address. Only one `serve` may run on it at a
/// time.
pub async fn serve(listener: Arc<TcpListener>, authenticator: Authenticator, state: PageState) {
    let closing = state.closing();
    let service = router(authenticator, state).into_make_service_with_connect_info::<Peer>();
    let listener = PageListener::new(listener);
    let served = axum::serve(listener, service).with_graceful_shutdown(closing).await;
    // It cannot fail: the listener waits and tries again.
    drop(served);
}

fn router(authenticator: Authenticator, state: PageState) -> Router {
    Router::new()
        .merge(assets::routes())
        .merge(probes::routes())
        .nest("/api", api::routes())
        .with_state(state)
        .layer(from_fn_with_state(Arc::new(authenticator), auth::require))
        .layer(from_fn(headers::add)) // outermost: a refusal has these headers, too
}

/// What all request handlers share. Clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct PageState {
    /// Answers searches.
    pub reader: Reader,
    /// The same store for probes: over its own connections, which no search occupies.
    store: Store,
    /// The daemon's metrics.
    pub metrics: Arc<Metrics>,
    /// The retention of rows, as in the settings: `120d` or `off`.
    pub retention: String,
    /// The retention of counts.
    pub rollup_retention: String,
    /// This program's version.
    pub version: &'static str,
    closing: watch::Receiver<bool>,
}

impl PageState {
    /// Collects what the handlers need. The page ends when `closing` becomes true or loses its
    /// sender.
    pub fn new(
        store: &Store,
        metrics: Arc<Metrics>,
        retention: String,
        rollup_retention: String,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let (reader, store) = (store.reader(), store.clone());
        let version = env!("CARGO_PKG_VERSION");
        Self { reader, store, metrics, retention, rollup_retention, version, closing }
    }

    /// Waits until the page must end. Every answer without an end of its own must select on this:
    /// otherwise an open browser delays the daemon's stop.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.closing.clone();
        async move {
            // An error means that the sender is gone, which ends the page, too.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }
}
