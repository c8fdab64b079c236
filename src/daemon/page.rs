//! The page's place in the daemon: its address is taken before anything else is done, and kept
//! through reloads; what answers there is made anew with each configuration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::store::Store;
use crate::web;
use crate::web::{Authenticator, PageState};

use crate::config::{PageConfig, Watch};
use crate::pipeline::Shutdown;

/// How long what is being answered may hold up a reload, or a stop that has done all else.
const GRACE: Duration = Duration::from_millis(500);

/// An address that is ours.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// As it was asked for: the port may be 0.
    asked: SocketAddr,
    listener: Arc<TcpListener>,
}

/// Takes the address, or keeps it if it is the one `before`. `None`: there is no page.
///
/// # Errors
/// An address that was asked for and cannot be had. The default one may be another daemon's: that
/// is said, and the daemon goes on without a page.
pub(crate) async fn bind(
    wanted: Option<&PageConfig>,
    before: Option<&Bound>,
) -> anyhow::Result<Option<Bound>> {
    let Some(&PageConfig { address, explicit, .. }) = wanted else { return Ok(None) };
    if let Some(before) = before.filter(|before| before.asked == address) {
        return Ok(Some(before.clone()));
    }
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(Bound { asked: address, listener: Arc::new(listener) })),
        Err(error) if !explicit => {
            warn!(%address, %error, "no page: its address cannot be had; --listen gives another");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| {
            format!("cannot listen on {address}; give another address with --listen, or off")
        }),
    }
}

/// What answers.
#[derive(Debug)]
pub(crate) struct Page {
    closing: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Page {
    /// Answers from now on, until a stop or [`Page::close`].
    pub(crate) fn open(
        bound: &Bound,
        watch: &Watch,
        (store, metrics): (&Store, Arc<Metrics>),
        shutdown: &Shutdown,
    ) -> Self {
        let (closing, closed) = watch::channel(false);
        let closing = Arc::new(closing);
        let credentials = watch.page.as_ref().and_then(|page| page.credentials.clone());
        if let Ok(address) = bound.listener.local_addr() {
            info!("the page is at http://{address}/");
            if !address.ip().is_loopback() {
                warn!(
                    "the page is not encrypted: passwords and rows can be read on their way; \
                       let a proxy with TLS stand before it"
                );
            }
        }
        let config = &watch.config;
        let (rows, counts) = (config.retention.to_string(), config.rollup_retention.to_string());
        let state = PageState::new(store, metrics, rows, counts, closed);
        let serving =
            web::serve(Arc::clone(&bound.listener), Authenticator::new(credentials), state);
        let (told, mut shutdown) = (Arc::clone(&closing), shutdown.clone());
        let task = tokio::spawn(async move {
            let mut serving = std::pin::pin!(serving);
            tokio::select! {
                () = &mut serving => return,
                () = shutdown.stopped() => {}
            }
            told.send_replace(true);
            serving.await;
        });
        Self { closing, task }
    }

    /// Lets nobody in any more, ends streams, and waits a moment for what is being answered.
    pub(crate) async fn close(mut self) {
        self.closing.send_replace(true);
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort(); // the listener is let go; answers under way go on by themselves
        }
    }
}
