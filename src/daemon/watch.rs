//! Runs the daemon: start, one run for each configuration, reload, end.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tracing::{info, warn};

use crate::config::{Config, Reload, Watch};
use crate::daemon::file_limit::raise_file_limit;
use crate::daemon::ingest::{Handover, Pipeline};
use crate::daemon::maintenance;
use crate::daemon::notify;
use crate::daemon::page::{self, Bound, PageServer, Shown};
use crate::daemon::slow_calls;
use crate::daemon::streams::Streams;
use crate::daemon::supervisor::Supervisor;
use crate::metrics::Metrics;
use crate::pipeline::connect::{Access, connect};
use crate::pipeline::{LONGEST_STOP, Request, Shutdown, limit_stop};
use crate::source::longest_call;
use crate::store::Store;
use crate::web::MAX_CONNECTIONS;

/// A configuration and what was opened for it. A reload replaces all of it at once.
struct Session {
    watch: Watch,
    store: Store,
    bound: Option<Bound>,
}

/// Follows logs until SIGTERM, SIGINT, or the end of standard input if nothing else is followed.
/// At SIGHUP, `reload` reads the configuration again.
///
/// # Errors
/// The store cannot be reached or used at the start, a newer daemon has upgraded its tables, the
/// page's address is in use, or standard input cannot be read.
pub async fn watch(
    watch: Watch,
    reload: impl Fn() -> anyhow::Result<Reload>,
) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    limit_stop(LONGEST_STOP).context("cannot listen to signals")?;
    let supervisor = Supervisor::from_environment();
    let bound = page::bind(watch.page.as_ref(), None).await?;
    supervisor.status(&format!("opening {}", watch.config.location));
    // Streams before the store: their writers must not wait for a database.
    let mut streams = Streams::begin(&watch)?;
    let store = match open_store(&watch, &mut shutdown).await {
        Ok(store) => store,
        Err(error) => {
            streams.end().await;
            return Err(error);
        }
    };
    let metrics = Arc::new(Metrics::default());
    metrics.health.watch_calls(longest_call);
    tokio::spawn(slow_calls::report(Arc::clone(&metrics)));
    supervisor.keep_informed(Arc::clone(&metrics));

    let mut session = Session { watch, store, bound };
    let sent = notify::Sent::default();
    let mut handover = Handover { nameless: Vec::new(), streams };
    loop {
        let page = session.serve_page(&metrics, &shutdown);
        session.announce(&metrics);
        let maintenance = maintenance::start(&session.watch, &session.store, &metrics);
        let notices = notify::start(&session.watch, &session.store, &metrics, &sent);
        let pipeline = session.ingest(handover, page.as_ref(), &metrics);
        let ended = pipeline.run(&mut shutdown, &session.watch.paths, &supervisor);
        let ended = Box::pin(ended).await;
        drop((maintenance, notices));
        let next = ended.and_then(|handover| handover_for_reload(handover, &shutdown));
        let reloaded = match &next {
            Ok(Some(_)) => Some(session.load_again(&reload, &mut shutdown).await),
            Ok(None) | Err(_) => None,
        };
        // Before the reload is logged, so that requests after the message get the new page.
        if let Some(page) = page {
            page.close().await;
        }
        let Some(left) = next? else { return Ok(()) };
        if let Some(reloaded) = reloaded {
            session.replace(reloaded, &left.streams);
        }
        handover = left;
        shutdown.reloaded();
    }
}

/// Connects to the configured store, and upgrades its tables.
async fn open_store(watch: &Watch, shutdown: &mut Shutdown) -> anyhow::Result<Store> {
    let Config { location, connect_timeout, retention, .. } = &watch.config;
    let store = connect(location, *connect_timeout, Access::Write, shutdown).await?;
    store.keep_rows(retention.age());
    Ok(store)
}

/// Returns what the next run needs; `None` if the daemon ends.
fn handover_for_reload(
    handover: Handover,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Handover>> {
    match shutdown.request() {
        Request::Reload => Ok(Some(handover)),
        Request::Stop => Ok(None),
        // Without a request only the end of standard input ends a run.
        Request::Run => {
            let failed = handover.streams.input_has_failed();
            ensure!(!failed, "standard input could not be read to its end");
            Ok(None)
        }
    }
}

impl Session {
    fn announce(&self, metrics: &Metrics) {
        let Watch { paths, config, .. } = &self.watch;
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        info!(paths = paths.join(" "), store = %config.location, "watching");
        // As it was called: it need not be where the shell looks for programs.
        let program = std::env::args().next().unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        match self.watch.commands_find_store {
            true => info!("look into it with: {program} query"),
            false => info!("look into it with: {}", config.location.look_command(&program)),
        }
        metrics.set_store_kind(config.location.kind());
    }

    fn serve_page(&self, metrics: &Arc<Metrics>, shutdown: &Shutdown) -> Option<PageServer> {
        let bound = self.bound.as_ref()?;
        let Watch { config, paths, .. } = &self.watch;
        let shown = Shown { config, store: &self.store, watched: paths };
        Some(PageServer::start(bound, shown, metrics, shutdown))
    }

    /// Creates the ingest loop with as many file descriptors as the page leaves.
    fn ingest(
        &self,
        handover: Handover,
        page: Option<&PageServer>,
        metrics: &Arc<Metrics>,
    ) -> Pipeline {
        let files = raise_file_limit(page.map_or(0, |_| MAX_CONNECTIONS));
        Pipeline::new(self.watch.clone(), self.store.clone(), handover, files, Arc::clone(metrics))
    }

    /// Reads the configuration again and opens what it names.
    async fn load_again(
        &self,
        reload: &impl Fn() -> anyhow::Result<Reload>,
        shutdown: &mut Shutdown,
    ) -> anyhow::Result<(Session, Option<PathBuf>)> {
        let Reload { watch, unread_pipe } = reload()?;
        let bound = page::bind(watch.page.as_ref(), self.bound.as_ref()).await?;
        let store = open_store(&watch, shutdown).await?;
        Ok((Session { watch, store, bound }, unread_pipe))
    }

    /// Replaces the session by the reloaded one. After an error the old one stays.
    fn replace(&mut self, reloaded: anyhow::Result<(Session, Option<PathBuf>)>, streams: &Streams) {
        match reloaded {
            Ok((session, unread_pipe)) => {
                *self = session;
                streams.warn_of_other_spool(&self.watch.spool);
                match unread_pipe {
                    None => info!("configuration read again"),
                    Some(path) => warn!(
                        "the configuration file '{}' is a pipe, which can be read only once: its \
                         settings stay until the next start",
                        path.display()
                    ),
                }
            }
            Err(error) => warn!("keeping the old configuration: {error:#}"),
        }
    }
}
