//! Indexes beside ingest: what is new goes into those of the open day, and a day that is over gets
//! the rest.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::store::{PastDay, Store, StoreError, Table};

use crate::model::now;
use crate::store::chain;

/// A look is due after so many of the looks at files: each minute, unless told otherwise.
const POLLS: u32 = 30;

/// Looks without any new row until days are looked at all the same: they may be others' work.
const IDLE_LOOKS: u32 = 60;

const DAY_US: i64 = 86_400_000_000;

/// The current UTC day since 1970.
pub(crate) fn current_day() -> i32 {
    i32::try_from(now().div_euclid(DAY_US)).unwrap_or(0)
}

/// Looks until it is dropped.
pub(crate) async fn maintain_indexes(store: Store, poll_interval: Duration) {
    let mut seen = Seen::default();
    let mut idle = 0;
    loop {
        tokio::time::sleep(poll_interval * POLLS).await;
        let fresh = store.fresh_days();
        idle += 1;
        if fresh.is_empty() && seen.is_settled() && idle < IDLE_LOOKS {
            continue;
        }
        idle = 0;
        if let Err(error) = look(&store, &fresh, &mut seen).await {
            warn!(error = chain(&error), "indexes are not up to date; it is tried again");
        }
    }
}

async fn look(store: &Store, fresh: &[(Table, i32)], seen: &mut Seen) -> Result<(), StoreError> {
    store.summarize(fresh).await?;
    let Some(mut indexer) = store.indexer().await? else { return Ok(()) };
    for (table, day) in seen.quiet(&indexer.past_days(current_day()).await?) {
        let (name, date) = (table.name(), date(day));
        match indexer.index(table, day).await {
            Ok(()) => info!(table = name, day = date, "indexes of a day that is over are built"),
            Err(error) if error.is_transient() => return Err(error),
            Err(StoreError::Refused { .. }) => {
                info!(
                    table = name,
                    day = date,
                    "this user may not build indexes: that is left to the tables' owner"
                );
                seen.failed.insert((table, day));
            }
            Err(error) => {
                // It holds a line twice, or somebody has changed the table: a person has to look.
                error!(
                    table = name,
                    day = date,
                    error = chain(&error),
                    "a day cannot be indexed; `log-ingestd verify` may tell why, and the next start \
                     tries again"
                );
                seen.failed.insert((table, day));
            }
        }
    }
    Ok(())
}

/// Indexes the days that an import has filled and that are over, at once: it has ended. Today's rows
/// are left to PostgreSQL's autovacuum, which looks within a minute, or two, and takes them into
/// the BRIN index too.
///
/// # Errors
/// What the store says; the daemon, or the next import, goes on.
pub(crate) async fn index_after_import(store: &Store) -> Result<(), StoreError> {
    let fresh = store.fresh_days();
    if fresh.iter().all(|(_, day)| *day >= current_day()) {
        return Ok(());
    }
    let Some(mut indexer) = store.indexer().await? else {
        debug!("somebody else builds indexes");
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

#[derive(Debug, Default)]
struct Seen {
    /// Days that lack an index, and how many rows they had at the last look.
    waiting: HashMap<(Table, i32), i64>,
    /// Days that are not tried again.
    failed: HashSet<(Table, i32)>,
}

impl Seen {
    /// Those to which nothing has come since the last look, oldest first: a backlog of old lines, here
    /// or on another host, is better stored before there are indexes to keep.
    fn quiet(&mut self, past: &[PastDay]) -> Vec<(Table, i32)> {
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

    /// Whether no day waits for a second look.
    fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_quiet_when_nothing_has_come_since_the_last_look() {
        let day = |day, inserted| PastDay { table: Table::GunicornLog, day, inserted };
        let mut seen = Seen::default();
        assert_eq!(seen.quiet(&[day(1, 10), day(2, 10)]), []);
        assert!(!seen.is_settled());
        assert_eq!(seen.quiet(&[day(1, 11), day(2, 10)]), [(Table::GunicornLog, 2)]);
        assert_eq!(seen.quiet(&[day(1, 11)]), [(Table::GunicornLog, 1)]);
        seen.failed.insert((Table::GunicornLog, 1));
        assert_eq!(seen.quiet(&[day(1, 11)]), []);
        assert!(seen.is_settled());
    }
}
