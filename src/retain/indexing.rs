//! Builds indexes of past days, while ingest goes on.
//!
//! The current day has few indexes, so that inserts are fast. A day that is over gets the others.

use std::collections::{HashMap, HashSet};

use tracing::{debug, error, info};

use crate::store::{DayRange, PastDays, Store, StoreError, Table};

use crate::model::now;
use crate::store::chain;

/// Runs without a new row before past days are checked all the same: other hosts may fill them.
const IDLE_RUNS: u32 = 60;

const DAY_US: i64 = 86_400_000_000;

/// Returns the current UTC day, counted from 1970.
pub(crate) fn current_day() -> i32 {
    i32::try_from(now().div_euclid(DAY_US)).unwrap_or(0)
}

/// What earlier runs found.
#[derive(Debug, Default)]
pub(crate) struct IndexProgress {
    /// Days without an index, and how many rows each had at the last run.
    waiting: HashMap<(Table, DayRange), i64>,
    /// Days whose indexing failed. They are not tried again before a restart.
    failed: HashSet<(Table, DayRange)>,
    /// Runs since the last check of past days.
    idle_runs: u32,
}

/// Summarizes the indexes of days with new rows, and builds the indexes of quiet past days.
///
/// # Errors
/// [`StoreError`] if the store is unavailable; the next run tries again. A day that the store
/// refuses to index is logged and skipped.
pub(crate) async fn maintain_indexes(
    store: &Store,
    progress: &mut IndexProgress,
) -> Result<(), StoreError> {
    let fresh = store.fresh_days();
    progress.idle_runs += 1;
    if fresh.is_empty() && progress.waiting.is_empty() && progress.idle_runs < IDLE_RUNS {
        return Ok(());
    }
    progress.idle_runs = 0;
    store.summarize(&fresh).await?;
    let Some(mut indexer) = store.indexer().await? else { return Ok(()) };
    for (table, day) in progress.quiet_days(&indexer.past_days(current_day()).await?) {
        let (name, date) = (table.name(), day.to_string());
        match indexer.index(table, day).await {
            Ok(()) => info!(table = name, day = date, "built the indexes of a past day"),
            Err(error) if error.is_transient() => return Err(error),
            Err(StoreError::Refused { .. }) => {
                info!(
                    table = name,
                    day = date,
                    "this user may not build indexes: that is left to the tables' owner"
                );
                progress.failed.insert((table, day));
            }
            Err(error) => {
                // The day has a line twice, or its table was changed: a person has to look.
                error!(
                    table = name,
                    day = date,
                    error = chain(&error),
                    "a day cannot be indexed; `log-ingestd verify` may tell why, and the next start \
                     tries again"
                );
                progress.failed.insert((table, day));
            }
        }
    }
    Ok(())
}

/// Builds the indexes of past days that an import has filled, without waiting for a quiet run.
///
/// Rows of today are left to PostgreSQL's autovacuum, which runs within a minute or two and adds
/// them to the BRIN index, too.
///
/// # Errors
/// [`StoreError`]; the daemon or the next import builds the rest.
pub(crate) async fn index_after_import(store: &Store) -> Result<(), StoreError> {
    let fresh = store.fresh_days();
    if fresh.iter().all(|(_, days)| days.end > current_day()) {
        return Ok(());
    }
    let Some(mut indexer) = store.indexer().await? else {
        debug!("another process builds indexes");
        return Ok(());
    };
    for PastDays { table, days, .. } in indexer.past_days(current_day()).await? {
        if fresh.contains(&(table, days)) {
            indexer.index(table, days).await?;
        }
    }
    Ok(())
}

impl IndexProgress {
    /// Returns the days that got no row since the last run, oldest first. A backlog of old lines, of
    /// this host or another, is stored faster while its day has no indexes.
    fn quiet_days(&mut self, past: &[PastDays]) -> Vec<(Table, DayRange)> {
        let before = std::mem::take(&mut self.waiting);
        let mut quiet = Vec::new();
        for PastDays { table, days, inserted } in past {
            if self.failed.contains(&(*table, *days)) {
                continue;
            }
            if before.get(&(*table, *days)) == Some(inserted) {
                quiet.push((*table, *days));
            } else {
                self.waiting.insert((*table, *days), *inserted);
            }
        }
        quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_quiet_if_it_got_no_row_since_the_last_run() {
        let of_day = |day| (Table::GunicornLog, DayRange::of_day(day));
        let day =
            |day, inserted| PastDays { table: Table::GunicornLog, days: of_day(day).1, inserted };
        let mut progress = IndexProgress::default();
        assert_eq!(progress.quiet_days(&[day(1, 10), day(2, 10)]), []);
        assert!(!progress.waiting.is_empty());
        assert_eq!(progress.quiet_days(&[day(1, 11), day(2, 10)]), [of_day(2)]);
        assert_eq!(progress.quiet_days(&[day(1, 11)]), [of_day(1)]);
        progress.failed.insert(of_day(1));
        assert_eq!(progress.quiet_days(&[day(1, 11)]), []);
        assert!(progress.waiting.is_empty());
    }
}
