//! The daemon: connects, follows and sweeps until it is told to stop.

use std::time::Duration;

use anyhow::Context;
use chrono::{Local, Utc};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::retain::{self, Sweep};
use crate::store::{Location, Store, StoreError};

use super::backoff::Backoff;
use super::commit::{Committer, chain};
use super::config::{Config, Watch};
use super::ingest::Line;
use super::shutdown::{Request, Shutdown};

/// Runs until SIGTERM or SIGINT. `reload` makes the configuration anew, at SIGHUP.
///
/// # Errors
/// A store that cannot be reached or used at the start.
pub async fn watch(
    mut watch: Watch,
    reload: impl Fn() -> anyhow::Result<Watch>,
) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let mut store = connect(&watch.config, &mut shutdown).await?;
    let mut committer = Committer::new(store.clone(), owner(&watch.config), None);
    announce(&watch);
    loop {
        let sweeper = spawn_sweeper(&watch, store.clone());
        let line = Line::new(watch.clone(), committer);
        let left = line.run(&mut shutdown).await;
        sweeper.abort(); // each of its steps is a transaction of its own
        if shutdown.request() == Request::Stop {
            return Ok(());
        }
        match reload() {
            Ok(fresh) if fresh.config.location == watch.config.location => watch = fresh,
            Ok(fresh) => match connect(&fresh.config, &mut shutdown).await {
                Ok(opened) => (store, watch) = (opened, fresh),
                Err(error) => warn!("keeping the old database: {error:#}"),
            },
            Err(error) => warn!("keeping the old configuration: {error:#}"),
        }
        shutdown.reloaded();
        info!("configuration read again");
        committer = match left {
            Some(committer) if committer.is_for(&store) => committer,
            _ => Committer::new(store.clone(), owner(&watch.config), None),
        };
        announce(&watch);
    }
}

/// Who writes, for people who look at the tables.
pub(super) fn owner(config: &Config) -> String {
    format!("{}:{}", config.host, std::process::id())
}

/// Opens the store; tries again for `connect_timeout` if it is not there yet.
pub(super) async fn connect(config: &Config, shutdown: &mut Shutdown) -> anyhow::Result<Store> {
    let end = tokio::time::Instant::now() + config.connect_timeout;
    let mut backoff = Backoff::default();
    loop {
        let attempt = tokio::time::timeout_at(end, Store::open(config.location.clone())).await;
        let error = match attempt {
            Ok(Ok(store)) => return Ok(store),
            Ok(Err(error)) => error,
            Err(_) => anyhow::bail!(
                "cannot reach {} within {}: no answer",
                config.location,
                humantime::format_duration(config.connect_timeout)
            ),
        };
        let wait = backoff.wait();
        let worth_it = matches!(error, StoreError::Unavailable { .. });
        if !worth_it || tokio::time::Instant::now() + wait > end {
            return Err(anyhow::anyhow!("{}", chain(&error)));
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.requested() => anyhow::bail!("stopped before {} was reached", config.location),
        }
    }
}

fn announce(watch: &Watch) {
    let paths: Vec<String> = watch.paths.iter().map(|path| path.display().to_string()).collect();
    info!(paths = paths.join(" "), store = %watch.config.location, "watching");
    if let Location::Sqlite(path) = &watch.config.location {
        info!("look into it with: {}", look_command(path));
    }
}

/// The one command that looks into an embedded store.
fn look_command(path: &std::path::Path) -> String {
    let path = path.to_string_lossy().replace('\'', r"'\''");
    format!(
        "sqlite3 -box '{path}' 'SELECT timestamp, method, url, code, user_ip FROM gunicorn_log \
         ORDER BY id DESC LIMIT 20'"
    )
}

fn spawn_sweeper(watch: &Watch, store: Store) -> JoinHandle<()> {
    let (policy, sweep_at) = (watch.config.retention, watch.sweep_at);
    let host = watch.config.host.clone();
    tokio::spawn(async move {
        loop {
            let next = retain::next_sweep(Local::now(), sweep_at);
            let Some(cutoff) = retain::cutoff(policy, Utc::now()) else { return };
            let mut backoff = Backoff::default();
            loop {
                let sweep = Sweep::daily(cutoff, host.clone(), next.to_utc());
                match retain::sweep(&store, &sweep).await {
                    Ok(swept) => {
                        info!(cutoff = %cutoff.to_rfc3339(), removed = %swept, "swept");
                        break;
                    }
                    Err(error) => warn!(error = chain(&error), "the sweep failed; it is tried again"),
                }
                tokio::time::sleep(backoff.wait() * 4).await;
            }
            let wait = (next.to_utc() - Utc::now()).to_std().unwrap_or(Duration::ZERO);
            tokio::time::sleep(wait).await;
        }
    })
}
