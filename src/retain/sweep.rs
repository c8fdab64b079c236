//! One sweep, in short transactions: ingest must not wait for it.

use std::collections::HashSet;

use chrono::Utc;

use super::policy::LogType;
use crate::model::{FileId, Micros};
use crate::store::{DayRemoved, OldFile, Store, StoreError, SweepReport, Sweeper, Table};

/// How long a file stays listed as ignored when no daemon confirms it any more (30 days).
const IGNORED_US: Micros = 30 * 86_400_000_000;

/// A daemon that has been at work for this long has marked what its archives hold (1 day).
const MARKED_US: Micros = 86_400_000_000;

/// Options of a sweep.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// Rows before this time are removed.
    pub cutoff: Micros,
    /// Counts by minute and hour before this time are removed; `None` if all stay.
    pub rollup_cutoff: Option<Micros>,
    /// The tables to sweep.
    pub log_type: LogType,
    /// Most rows that one transaction deletes; at least 1.
    pub batch_size: u32,
    /// Whether rows are only counted.
    pub dry_run: bool,
    /// Host that sweeps, for the report in the store.
    pub host: String,
    /// When the next sweep is due, for the report in the store.
    pub next_at: Option<Micros>,
}

impl SweepOptions {
    /// Default of [`SweepOptions::batch_size`].
    pub const BATCH_SIZE: u32 = 5000;
}

/// Result of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepOutcome {
    /// The sweep is finished; in a dry run the rows are counted.
    Swept(Swept),
    /// Another process is sweeping this store.
    AlreadyRunning,
}

/// A finished sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that were removed, or would be, and when.
    pub report: SweepReport,
    /// Days that stayed because the table was being read. The next sweep removes them.
    pub postponed: u32,
    /// Closed files that left the ledger.
    pub files_removed: u64,
}

/// Removes rows older than the cutoff, and stores the report. Sweeping twice is harmless.
///
/// # Errors
/// [`StoreError`]. Rows removed before the error stay removed.
pub async fn sweep(store: &Store, options: &SweepOptions) -> Result<SweepOutcome, StoreError> {
    let Some(mut sweeper) = store.sweeper().await? else { return Ok(SweepOutcome::AlreadyRunning) };
    let swept = sweep_with(&mut sweeper, options).await;
    sweeper.end().await;
    swept.map(SweepOutcome::Swept)
}

async fn sweep_with(sweeper: &mut Sweeper, options: &SweepOptions) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    swept.report.host.clone_from(&options.host);
    swept.report.started_at = Utc::now().timestamp_micros();
    swept.report.cutoff = options.cutoff;
    swept.report.next_at = options.next_at;
    for table in options.log_type.tables() {
        let removed = if options.dry_run {
            sweeper.count(*table, options.cutoff).await?
        } else {
            remove(sweeper, *table, options, &mut swept.postponed).await?
        };
        match table {
            Table::GunicornLog => swept.report.gunicorn_removed = removed,
            Table::RequestLog => swept.report.request_removed = removed,
            Table::RejectedLine => swept.report.rejected_removed = removed,
        }
    }
    // The counts are those of `gunicorn_log`.
    let sweep_counts = !options.dry_run && options.log_type != LogType::Request;
    if let Some(cutoff) = options.rollup_cutoff.filter(|_| sweep_counts) {
        while sweeper.delete_counts(cutoff, options.batch_size.max(1)).await? > 0 {
            tokio::task::yield_now().await;
        }
    }
    if !options.dry_run && options.log_type == LogType::All {
        // A day that is not removed yet may come back with its rows.
        if let Some(cutoff) = options.rollup_cutoff.filter(|_| swept.postponed == 0) {
            swept.files_removed = remove_files(sweeper, cutoff, options).await?;
        }
        sweeper.forget_ignored(Utc::now().timestamp_micros() - IGNORED_US).await?;
    }
    if !options.dry_run {
        sweeper.give_back_space().await?;
    }
    swept.report.finished_at = Utc::now().timestamp_micros();
    if !options.dry_run {
        sweeper.record(&swept.report).await?;
    }
    Ok(swept)
}

/// Removes closed files from the ledger of which nothing is left.
///
/// A file that is still on a disk must be recognised, or its lines would be stored anew. So a file
/// leaves only if all of this is true:
/// - it was closed before the counts' retention, and its host's daemon, which marks daily what its
///   archives hold, has not seen it since;
/// - that daemon was at work since, and not only in the last day: one that has just started after a long
///   time has not marked its archives yet. Of a host that has been silent nothing is known: its files
///   stay for as long again, so that the ledger of hosts that are gone for ever does not stay for ever;
/// - the object of an open file does not hold its lines before those of that file, as after a power cut;
/// - no row, no reject and no count of it is left.
async fn remove_files(
    sweeper: &mut Sweeper,
    cutoff: Micros,
    options: &SweepOptions,
) -> Result<u64, StoreError> {
    let batch_size = options.batch_size.max(1);
    let mut removed = 0;
    let mut after = FileId(0);
    let mut live: Option<HashSet<String>> = None;
    // As long before the cutoff as that is before now.
    let now = Utc::now().timestamp_micros();
    let silent = cutoff.saturating_sub(now.saturating_sub(cutoff));
    loop {
        let old = sweeper.old_files(cutoff, after, batch_size).await?;
        let Some(last) = old.last() else { return Ok(removed) };
        after = last.file;
        if live.is_none() {
            live = Some(sweeper.live_hosts(cutoff, now - MARKED_US).await?);
        }
        let is_live = |host: &String| live.as_ref().is_some_and(|live| live.contains(host));
        let may_leave = |old: &&OldFile| is_live(&old.host) || old.last_seen_at < silent;
        let files: Vec<FileId> = old.iter().filter(may_leave).map(|old| old.file).collect();
        if !files.is_empty() {
            removed += sweeper.delete_unused_files(&files, cutoff).await?;
        }
        tokio::task::yield_now().await;
    }
}

/// Removes rows of one table: whole partitions first, since dropping a partition is the cheapest.
async fn remove(
    sweeper: &mut Sweeper,
    table: Table,
    options: &SweepOptions,
    postponed: &mut u32,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for days in sweeper.whole_days(table, options.cutoff).await? {
        match sweeper.remove_days(table, days).await? {
            DayRemoved::Rows(rows) => removed += rows,
            DayRemoved::Postponed => *postponed += 1,
        }
    }
    let batch_size = options.batch_size.max(1);
    loop {
        let deleted = sweeper.delete(table, options.cutoff, batch_size).await?;
        removed += deleted;
        if deleted < u64::from(batch_size) {
            return Ok(removed);
        }
        // Other tasks get the database between two transactions.
        tokio::task::yield_now().await;
    }
}
