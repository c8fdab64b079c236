//! Builds indexes of past days, while ingest goes on.
//!
//! The current day has few indexes, so that inserts are fast. A day that is over gets the others.

use std::collections::{HashMap, HashSet};

use tracing::{debug, error, info};

use crate::store::{PastDay, Store, StoreError, Table};

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
    waiting: HashMap<(Table, i32), i64>,
    /// Days whose indexing failed. They are not tried again before a restart.
    failed: HashSet<(Table, i32)>,
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
        let (name, date) = (table.name(), date(day));
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
    if fresh.iter().all(|(_, day)| *day >= current_day()) {
        return Ok(());
    }
    let Some(mut indexer) = store.indexer().await? else {
        debug!("another process builds indexes");
        return Ok(());
    };
    for PastDay { table, day, .. } in indexer.past_days(current_day()).await? {
        if fresh.contains(&(table, day)) {
            indexer.index(table, day).await?;
        }
    }
    Ok(())
}

fn date(day: i32) -> String {
    let date = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default();
    date.format("%Y-%m-%d").to_string()
}

impl IndexProgress {
    /// Returns the days that got no row since the last run, oldest first. A backlog of old lines, of
    /// this host or another, is stored faster while its day has no indexes.
    fn quiet_days(&mut self, past: &[PastDay]) -> Vec<(Table, i32)> {
        let before = std::mem::take(&mut self.waiting);
        let mut quiet = Vec::new();
        for PastDay { table, day, inserted } in past {
            if self.failed.contains(&(*table, *day)) {
                continue;
            }
            if before.get(&(*table, *day)) == Some(inserted) {
                quiet.push((*table, *day));
            } else {
                self.waiting.insert((*table, *day), *inserted);
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
        let day = |day, inserted| PastDay { table: Table::GunicornLog, day, inserted };
        let mut progress = IndexProgress::default();
        assert_eq!(progress.quiet_days(&[day(1, 10), day(2, 10)]), []);
        assert!(!progress.waiting.is_empty());
        assert_eq!(progress.quiet_days(&[day(1, 11), day(2, 10)]), [(Table::GunicornLog, 2)]);
        assert_eq!(progress.quiet_days(&[day(1, 11)]), [(Table::GunicornLog, 1)]);
        progress.failed.insert((Table::GunicornLog, 1));
        assert_eq!(progress.quiet_days(&[day(1, 11)]), []);
        assert!(progress.waiting.is_empty());
    }
}
