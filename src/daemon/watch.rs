//! The daemon: connects, follows and sweeps until it is told to stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Local, Utc};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::metrics::{Metrics, Sweeps};
use crate::retain;
use crate::retain::{LogType, SweepOptions, SweepOutcome, next_sweep};
use crate::store::{Location, Store, StoreError, Table};
use crate::web::MAX_CONNECTIONS;

use crate::config::{Config, Watch};
use crate::daemon::ingest::{Kept, Line};
use crate::daemon::page;
use crate::daemon::page::Page;
use crate::daemon::streams::Streams;
use crate::daemon::supervisor::Supervisor;
use crate::model::now;
use crate::pipeline::backoff::Backoff;
use crate::pipeline::connect::{Access, connect};
use crate::pipeline::{Request, Shutdown};
use crate::retain::indexing::{current_day, maintain_indexes};
use crate::store::chain;

/// Partitions are made for so many days from today on.
const DAYS_AHEAD: i32 = 3;

/// Runs until SIGTERM or SIGINT. `reload` makes the configuration anew, at SIGHUP.
///
/// # Errors
/// A store that cannot be reached or used at the start, or whose tables a newer daemon has upgraded
/// since.
pub async fn watch(
    mut watch: Watch,
    reload: impl Fn() -> anyhow::Result<Watch>,
) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let supervisor = Supervisor::from_environment();
    let mut bound = page::bind(watch.page.as_ref(), None).await?;
    supervisor.status(&format!("opening {}", watch.config.location));
    // Before the store is there: whoever writes to a stream must not wait for it.
    let mut streams = Streams::begin(&watch)?;
    let mut store = match connect(
        &watch.config.location,
        watch.config.connect_timeout,
        Access::Write,
        &mut shutdown,
    )
    .await
    {
        Ok(store) => store,
        Err(error) => {
            streams.end().await;
            return Err(error);
        }
    };
    let mut kept = Kept { nameless: Vec::new(), streams };
    let metrics = Arc::new(Metrics::default());
    supervisor.keep_informed(Arc::clone(&metrics));
    loop {
        announce(&watch);
        metrics.set_store_kind(match watch.config.location {
            Location::Postgres(_) => "postgres",
            Location::Sqlite(_) => "sqlite",
        });
        let sweeper = spawn_sweeper(&watch, store.clone(), Arc::clone(&metrics));
        let indexer = tokio::spawn(maintain_indexes(store.clone(), watch.poll_interval));
        let page = bound.as_ref().map(|at| {
            let state = (&store, Arc::clone(&metrics));
            Page::open(at, &watch, state, &shutdown)
        });
        let descriptors = allow_many_files(if page.is_some() { MAX_CONNECTIONS } else { 0 });
        let line = Line::new(watch.clone(), store.clone(), kept, descriptors, Arc::clone(&metrics));
        let ended = line.run(&mut shutdown, &watch.paths, &supervisor).await;
        sweeper.abort(); // each of its steps is a transaction of its own
        indexer.abort(); // what it has begun ends with its connection, and is begun again
        kept = match ended {
            Ok(kept) => kept,
            Err(error) => {
                if let Some(page) = page {
                    page.close().await;
                }
                return Err(error);
            }
        };
        let done = !shutdown.is_requested();
        if done || shutdown.request() == Request::Stop {
            if let Some(page) = page {
                page.close().await;
            }
            let failed = done && kept.streams.input_has_failed();
            anyhow::ensure!(!failed, "standard input could not be read to its end");
            return Ok(());
        }
        let fresh = async {
            let fresh = reload()?;
            let address = page::bind(fresh.page.as_ref(), bound.as_ref()).await?;
            anyhow::Ok((
                connect(
                    &fresh.config.location,
                    fresh.config.connect_timeout,
                    Access::Write,
                    &mut shutdown,
                )
                .await?,
                address,
                fresh,
            ))
        };
        match fresh.await {
            Ok(fresh) => {
                (store, bound, watch) = fresh;
                kept.streams.keep_to(&watch.spool);
                info!("configuration read again");
            }
            Err(error) => warn!("keeping the old configuration: {error:#}"),
        }
        if let Some(page) = page {
            page.close().await;
        }
        shutdown.reloaded();
    }
}

/// Descriptors that are not for log files: the database, its locks, events, signals, the runtime.
const OTHER_DESCRIPTORS: usize = 64;

/// Files are best held open: takes as many descriptors as the system allows, and tells how many
/// are for files when `others` are for something else. The usual soft limit of 1,024 is there for programs that use `select`.
fn allow_many_files(others: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!(%error, "cannot raise the limit of open files");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(OTHER_DESCRIPTORS + others).max(1)
}

fn announce(watch: &Watch) {
    let paths: Vec<String> = watch.paths.iter().map(|path| path.display().to_string()).collect();
    info!(paths = paths.join(" "), store = %watch.config.location, "watching");
    info!("look into it with: {}", watch.config.location.look_command());
}

/// Sweeps at the start and then daily, and makes the partitions of the next days.
fn spawn_sweeper(watch: &Watch, store: Store, metrics: Arc<Metrics>) -> JoinHandle<()> {
    let (config, sweep_at) = (watch.config.clone(), watch.sweep_at);
    tokio::spawn(async move {
        metrics.sweeps.due(Utc::now().timestamp());
        loop {
            let next = next_sweep(&Local::now(), sweep_at);
            let mut backoff = Backoff::default();
            while let Err(error) = daily(&store, &config, next, &metrics.sweeps).await {
                warn!(error = chain(&error), "the daily work failed; it is tried again");
                tokio::time::sleep(backoff.wait() * 4).await;
            }
            metrics.sweeps.due(next.timestamp());
            let wait = (next - Utc::now()).to_std().unwrap_or(Duration::ZERO);
            tokio::time::sleep(wait).await;
        }
    })
}

async fn daily(
    store: &Store,
    config: &Config,
    next: DateTime<Utc>,
    metrics: &Sweeps,
) -> Result<(), StoreError> {
    let now = now();
    let today = current_day();
    store.prepare_days(today..today + DAYS_AHEAD).await?;
    let Some(cutoff) = config.retention.cutoff(now) else { return Ok(()) };
    let options = SweepOptions {
        cutoff,
        rollup_cutoff: config.rollup_retention.cutoff(now),
        log_type: LogType::All,
        batch_size: SweepOptions::BATCH_SIZE,
        dry_run: false,
        host: config.host.clone(),
        next_at: Some(next.timestamp_micros()),
    };
    let began = Instant::now();
    match retain::sweep(store, &options).await? {
        SweepOutcome::AlreadyRunning => debug!("somebody else sweeps this store"),
        SweepOutcome::Swept(swept) => {
            let (report, postponed_days) = (&swept.report, swept.postponed);
            let removed = [
                (Table::GunicornLog.name(), report.gunicorn_removed),
                (Table::RequestLog.name(), report.request_removed),
                (Table::RejectedLine.name(), report.rejected_removed),
            ];
            let [(_, gunicorn_log), (_, request_log), (_, rejected_line)] = removed;
            metrics.done(began.elapsed(), &removed);
            info!(gunicorn_log, request_log, rejected_line, postponed_days, "swept");
        }
    }
    Ok(())
}
