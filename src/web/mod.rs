//! The page: an HTTP server that shows what is stored, to browsers and to programs.
//!
//! Assumptions: the store and the metrics exist, and `daemon` starts and ends the server. Every
//! future here ends or is dropped when the daemon stops, and none holds anything that ingest waits
//! for. An answer must begin within [`IDLE_TIMEOUT`]. A stream of new rows, which has no end of its
//! own, ends with [`PageState::closing`].
//!
//! The page only reads: no request changes a row or a setting. It has TLS if it has a certificate; else a proxy
//! provides it.
//!
//! Files, in the order of a request: `listener` accepts connections, which `places` limits, and whose bytes
//! `transport` reads, by `tls` where there is a certificate; `headers` adds the
//! security headers, `cross_site` refuses requests of other sites, `auth` checks the user and the Host
//! header, `requests` limits how many are answered at once. The answer comes from `assets` (the page's own
//! files, in `page/`), `api` (its data) or `probes` (health and metrics). `notices` logs refusals.
//! `report` makes one file of the overview, for people who do not reach the page, and
//! `webhook` is a client that posts notices.

mod api;
mod assets;
mod auth;
mod cross_site;
mod headers;
mod listener;
mod notices;
mod places;
mod probes;
mod report;
mod requests;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::store::{Reader, Store};

pub use auth::{AuthFileError, Authenticator, Credentials, HashError, SecretKind, auth_line};
pub use listener::{IDLE_TIMEOUT, UNKNOWN_LIFETIME};
pub use places::MAX_CONNECTIONS;
pub use report::{Failures, Report, TopList, TopOrder, Zone};
pub use requests::MAX_STREAMS;
pub use tls::{CertificateFileError, Tls, encrypt_for_any};
pub use webhook::Webhook;

use listener::{PageListener, Peer};
use notices::Notices;
use requests::Requests;

/// Serves the page until `state.closing()`, and then until the answers under way are sent.
///
/// The listener is shared, so that a reload keeps the address. Only one `serve` may run on it at a
/// time.
pub async fn serve(
    listener: Arc<TcpListener>,
    tls: Option<Arc<Tls>>,
    authenticator: Authenticator,
    state: PageState,
) {
    let closing = state.closing();
    let notices = Arc::new(Notices::default());
    let strict_transport = tls.as_ref().and_then(|tls| tls.strict_transport());
    let strict_transport = strict_transport.and_then(|it| HeaderValue::try_from(it).ok());
    let listener = PageListener::new(listener, Arc::clone(&notices), tls);
    let router = router(authenticator, Arc::clone(&notices), state, strict_transport);
    let service = router.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, service).with_graceful_shutdown(closing).into_future();
    tokio::select! {
        // It cannot fail: the listener waits and tries again.
        _ = served => {}
        () = notices.log() => {}
    }
}

fn router(
    authenticator: Authenticator,
    notices: Arc<Notices>,
    state: PageState,
    strict_transport: Option<HeaderValue>,
) -> Router {
    let authenticator = (Arc::new(authenticator), Arc::clone(&notices));
    Router::new()
        .merge(assets::routes())
        .merge(probes::routes())
        .nest("/api", api::routes())
        .with_state(state)
        .layer(from_fn_with_state(Requests::new(), requests::limit))
        .layer(from_fn_with_state(authenticator, auth::require))
        .layer(from_fn_with_state(notices, cross_site::refuse))
        .layer(from_fn(requests::track))
        .layer(from_fn_with_state(strict_transport, headers::add)) // outermost: a refusal has these, too
}

/// What all request handlers share. Clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct PageState {
    /// Answers searches.
    pub reader: Reader,
    /// The same for probes: by a connection of its own, which no search occupies.
    probe: Reader,
    /// The daemon's metrics.
    pub metrics: Arc<Metrics>,
    /// The retention of rows, as in the settings: `120d` or `off`.
    pub retention: String,
    /// The retention of counts.
    pub rollup_retention: String,
    /// What the daemon of this page watches, as in its settings: paths and patterns. Empty without a daemon.
    pub watched: Vec<String>,
    /// This program's version.
    pub version: &'static str,
    closing: watch::Receiver<bool>,
    /// When the next look of a live tail may begin. Held by the one that looks.
    looks: Arc<Mutex<Instant>>,
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
        let (reader, probe) = (store.reader(), store.probe());
        let version = env!("CARGO_PKG_VERSION");
        let looks = Arc::new(Mutex::new(Instant::now()));
        let watched = Vec::new();
        Self {
            reader,
            probe,
            metrics,
            retention,
            rollup_retention,
            watched,
            version,
            closing,
            looks,
        }
    }

    /// The same, with what the daemon watches.
    pub fn watching(self, watched: Vec<String>) -> Self {
        Self { watched, ..self }
    }

    /// Closes connections to the store that are not used any more, and never returns.
    pub async fn close_idle_connections(&self) {
        loop {
            tokio::time::sleep(Reader::IDLE_TIMEOUT / 4).await;
            self.reader.close_idle();
            self.probe.close_idle();
        }
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
