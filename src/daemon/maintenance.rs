//! Background tasks of the daemon: the daily sweep, and indexes of past days.
//!
//! A task may be aborted at any point. A sweep's steps are transactions of their own, and an index
//! that was begun ends with its connection and is built again later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local, Utc};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::config::{Config, Watch};
use crate::metrics::{Metrics, Sweeps};
use crate::model::now;
use crate::pipeline::backoff::Backoff;
use crate::retain::indexing::{IndexProgress, current_day, maintain_indexes};
use crate::retain::{self, LogType, SweepOptions, SweepOutcome, SweepTime, next_sweep};
use crate::store::{Prepared, Store, StoreError, Table, chain};

/// Partitions are created for this many days, today included.
const DAYS_AHEAD: i32 = 3;

/// Time until days are prepared again that could not be, because a table was read.
const PREPARE_AGAIN: Duration = Duration::from_secs(600);

/// Poll intervals between two runs of the index task: one minute by default.
const POLLS_PER_INDEX_RUN: u32 = 30;

/// Starts the tasks, which end when the set is dropped.
pub(crate) fn start(watch: &Watch, store: &Store, metrics: &Arc<Metrics>) -> JoinSet<()> {
    let (config, metrics) = (watch.config.clone(), Arc::clone(metrics));
    let index_interval = watch.poll_interval * POLLS_PER_INDEX_RUN;
    let mut tasks = JoinSet::new();
    tasks.spawn(sweep_daily(store.clone(), config, watch.sweep_at, metrics));
    tasks.spawn(index_past_days(store.clone(), index_interval));
    tasks
}

/// Does the daily work now and then once a day.
async fn sweep_daily(store: Store, config: Config, sweep_at: SweepTime, metrics: Arc<Metrics>) {
    metrics.sweeps.set_next(Utc::now().timestamp());
    loop {
        let next = next_sweep(&Local::now(), sweep_at);
        let mut backoff = Backoff::default();
        let mut prepared = loop {
            match daily_work(&store, &config, next, &metrics.sweeps).await {
                Ok(prepared) => break prepared,
                Err(error) => {
                    warn!(error = chain(&error), "the daily work failed; it is tried again");
                }
            }
            tokio::time::sleep(backoff.wait() * 4).await;
        };
        metrics.sweeps.set_next(next.timestamp());
        loop {
            let wait = (next - Utc::now()).to_std().unwrap_or(Duration::ZERO);
            if prepared == Prepared::All || wait <= PREPARE_AGAIN {
                tokio::time::sleep(wait).await;
                break;
            }
            tokio::time::sleep(PREPARE_AGAIN).await;
            match prepare(&store).await {
                Ok(now) => prepared = now,
                Err(error) => {
                    warn!(error = chain(&error), "the daily work failed; it is tried again");
                }
            }
        }
    }
}

/// Creates the partitions of the next days.
async fn prepare(store: &Store) -> Result<Prepared, StoreError> {
    let today = current_day();
    store.prepare_days(today..today + DAYS_AHEAD).await
}

/// Creates the partitions of the next days, and removes rows older than the retention.
async fn daily_work(
    store: &Store,
    config: &Config,
    next: DateTime<Utc>,
    metrics: &Sweeps,
) -> Result<Prepared, StoreError> {
    let now = now();
    let prepared = prepare(store).await?;
    let Some(cutoff) = config.retention.cutoff(now) else { return Ok(prepared) };
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
    let swept = match retain::sweep(store, &options).await? {
        SweepOutcome::Swept(swept) => swept,
        SweepOutcome::AlreadyRunning => {
            debug!("another process sweeps this store");
            return Ok(prepared);
        }
    };
    let report = &swept.report;
    metrics.sweep_finished(
        began.elapsed(),
        &[
            (Table::GunicornLog.name(), report.gunicorn_removed),
            (Table::RequestLog.name(), report.request_removed),
            (Table::RejectedLine.name(), report.rejected_removed),
            ("log_file", swept.files_removed),
        ],
    );
    let removed = report.gunicorn_removed + report.request_removed + report.rejected_removed;
    if removed + swept.files_removed == 0 && swept.postponed == 0 {
        debug!("swept: nothing was old enough");
        return Ok(prepared);
    }
    info!(
        gunicorn_log = report.gunicorn_removed,
        request_log = report.request_removed,
        rejected_line = report.rejected_removed,
        log_file = swept.files_removed,
        postponed_days = swept.postponed,
        "swept"
    );
    Ok(prepared)
}

/// Builds the indexes of days that are over.
async fn index_past_days(store: Store, interval: Duration) {
    let mut progress = IndexProgress::default();
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = maintain_indexes(&store, &mut progress).await {
            warn!(error = chain(&error), "indexes are not up to date; it is tried again");
        }
    }
}
