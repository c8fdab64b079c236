//! The page without a daemon: rows that other processes store.

use std::sync::Arc;

use anyhow::Context;
use tracing::info;

use crate::config::{Config, PageConfig};
use crate::daemon::page::{self, PageServer, Shown};
use crate::daemon::supervisor::Supervisor;
use crate::metrics::Metrics;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{Access, connect};

/// Serves the page until SIGTERM or SIGINT. It only reads the store, whose tables must be there.
///
/// # Errors
/// The address cannot be bound, or the store cannot be read.
pub async fn serve(config: &Config, page: &PageConfig) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let supervisor = Supervisor::from_environment();
    let bound = page::bind(Some(page), None).await?;
    let Config { location, connect_timeout, .. } = config;
    let store = connect(location, *connect_timeout, Access::Read, &mut shutdown).await?;
    let metrics = Arc::new(Metrics::default());
    metrics.set_store_kind(location.kind());
    let shown = Shown { config, store: &store, watched: &[] };
    let server = bound.map(|it| PageServer::start(&it, shown, &metrics, &shutdown));
    info!(store = %location, "serving the page; no file is followed");
    supervisor.keep_informed(Arc::clone(&metrics));
    supervisor.ready(&metrics);
    shutdown.stopped().await;
    supervisor.ends(shutdown.request());
    if let Some(server) = server {
        server.close().await;
    }
    Ok(())
}
