//! Starts and ends the page. Its address is bound before anything else starts, and kept through
//! reloads. Each configuration has its own server on that address.
//!
//! The page has a thread of its own: requests from anywhere, however many, occupy one processor at most, no line waits
//! in the same queue, and where processors are short, lines come first.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::{Config, PageConfig};
use crate::metrics::Metrics;
use crate::model::{Micros, moment, now};
use crate::pipeline::Shutdown;
use crate::pipeline::connect::is_service;
use crate::store::{Store, lower_priority};
use crate::web::{self, Authenticator, Credentials, PageState, Tls};

/// How long answers under way may delay a reload or a stop.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A certificate that ends within this time is a warning (7 days, in microseconds).
const ENDS_SOON: Micros = 7 * 86_400 * 1_000_000;

/// The thread that serves the page. A check of a password has it; another one takes its place meanwhile.
#[derive(Debug)]
struct PageThreads {
    handle: Handle,
    /// `None` when it ends.
    runtime: Option<Runtime>,
}

impl PageThreads {
    /// # Errors
    /// Threads that cannot be started.
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("page")
            .on_thread_start(lower_priority)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a task of the page.
    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(task)
    }

    /// Binds an address whose connections these threads serve.
    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let bound = self.spawn(TcpListener::bind(address)).await;
        bound.map_err(io::Error::other).flatten()
    }
}

impl Drop for PageThreads {
    fn drop(&mut self) {
        // A task must not wait for the end of its runtime, nor of another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A bound address.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// The address in the configuration, whose port may be 0.
    configured: SocketAddr,
    listener: Arc<TcpListener>,
    threads: Arc<PageThreads>,
    /// Who may see the page.
    credentials: Option<Arc<Credentials>>,
    /// The certificate, if the page has TLS.
    tls: Option<Arc<Tls>>,
}

/// Binds the configured address, or keeps `before` if it is the same. Returns `None` if there is no
/// page.
///
/// # Errors
/// An address that was configured cannot be bound. The default address may be in use by another
/// daemon: then a warning is logged, and there is no page.
pub(crate) async fn bind(
    wanted: Option<&PageConfig>,
    before: Option<&Bound>,
) -> anyhow::Result<Option<Bound>> {
    let Some(wanted) = wanted else { return Ok(None) };
    let PageConfig { address, explicit, credentials, tls } = wanted.clone();
    if let Some(before) = before.filter(|before| before.configured == address) {
        return Ok(Some(Bound { credentials, tls, ..before.clone() }));
    }
    let threads = match before {
        Some(before) => Arc::clone(&before.threads),
        None => Arc::new(PageThreads::start().context("cannot start the runtime")?),
    };
    match threads.bind(address).await {
        Ok(listener) => {
            let listener = Arc::new(listener);
            Ok(Some(Bound { configured: address, listener, threads, credentials, tls }))
        }
        Err(error) if !explicit => {
            warn!(%address, %error, "no page: cannot listen on its address; --listen gives another");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| {
            format!("cannot listen on {address}; give another address with --listen, or off")
        }),
    }
}

/// Says where the page is, and what is missing for its safety.
fn announce(address: SocketAddr, tls: Option<&Tls>) {
    let Some(tls) = tls else {
        info!("the page is at http://{address}/");
        if !address.ip().is_loopback() {
            warn!(
                "the page is not encrypted: passwords and rows can be read on the network; give a \
                 certificate with --tls-cert and --tls-key, or put a proxy with TLS in front of it"
            );
        }
        return;
    };
    info!("the page is at https://{address}/");
    if let Some(until) = tls.valid_until {
        let until_shown = moment(until);
        match until.saturating_sub(now()) < ENDS_SOON {
            true => warn!(
                until = %until_shown,
                "the certificate of the page ends soon: renew it, and send SIGHUP"
            ),
            false => info!(until = %until_shown, "the certificate of the page is valid"),
        }
    }
}

/// What a page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) config: &'a Config,
    pub(crate) store: &'a Store,
    /// What the daemon watches; nothing if the page is alone.
    pub(crate) watched: &'a [PathBuf],
}

/// A running page.
#[derive(Debug)]
pub(crate) struct PageServer {
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// They end with the last server on the address.
    _threads: Arc<PageThreads>,
}

impl PageServer {
    /// Serves the page until a stop or [`PageServer::close`].
    pub(crate) fn start(
        bound: &Bound,
        Shown { config, store, watched }: Shown<'_>,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> Self {
        if let Ok(address) = bound.listener.local_addr() {
            announce(address, bound.tls.as_deref());
            if !address.ip().is_loopback() && is_service() {
                info!(
                    "if systemd's unit has IPAddressDeny=, other machines reach the page only after \
                     IPAddressAllow= in a drop-in"
                );
            }
        }
        let Config { retention, rollup_retention, .. } = config;
        let (closing, closed) = watch::channel(false);
        let state = PageState::new(
            store,
            Arc::clone(metrics),
            retention.to_string(),
            rollup_retention.to_string(),
            closed,
        );
        let state = state.watching(watched.iter().map(|it| it.display().to_string()).collect());
        let (listener, tls) = (Arc::clone(&bound.listener), bound.tls.clone());
        let authenticator = Authenticator::new(bound.credentials.clone());
        let serving = web::serve(listener, tls, authenticator, state.clone());
        let (closing_at_stop, mut shutdown) = (closing.clone(), shutdown.clone());
        let task = bound.threads.spawn(async move {
            let mut serving = std::pin::pin!(serving);
            tokio::select! {
                () = &mut serving => return,
                () = shutdown.stopped() => {}
                () = state.close_idle_connections() => {}
            }
            closing_at_stop.send_replace(true);
            serving.await;
        });
        Self { closing, task, _threads: Arc::clone(&bound.threads) }
    }

    /// Accepts no more connections, ends streams, and waits up to [`CLOSE_TIMEOUT`] for answers under
    /// way.
    pub(crate) async fn close(mut self) {
        self.closing.send_replace(true);
        if tokio::time::timeout(CLOSE_TIMEOUT, &mut self.task).await.is_err() {
            self.task.abort(); // releases the listener; tasks of open connections go on
        }
    }
}
