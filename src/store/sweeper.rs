//! What a sweep asks of a store: bounded steps, under a lock that only one sweeper has.

use super::answers::{SweepReport, Table};
use super::either;
use super::error::StoreError;
use super::postgres::PgSweeper;
use super::sqlite::SqliteSweeper;
use crate::model::Micros;

/// The right to sweep. Free again when it is dropped, or its process ends.
#[derive(Debug)]
pub struct Sweeper {
    backend: SweeperArm,
}

#[derive(Debug)]
enum SweeperArm {
    Postgres(Box<PgSweeper>),
    Sqlite(Box<SqliteSweeper>),
}

/// What became of a day that was to leave as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayRemoved {
    /// Gone, with so many rows.
    Rows(u64),
    /// Somebody reads the table, and removing the day would make ingest wait for them. Later.
    Postponed,
}

impl From<PgSweeper> for Sweeper {
    fn from(backend: PgSweeper) -> Sweeper {
        Sweeper { backend: SweeperArm::Postgres(Box::new(backend)) }
    }
}

impl From<SqliteSweeper> for Sweeper {
    fn from(backend: SqliteSweeper) -> Sweeper {
        Sweeper { backend: SweeperArm::Sqlite(Box::new(backend)) }
    }
}

impl Sweeper {
    /// Rows of a table before `cutoff`.
    ///
    /// # Errors
    ///
    /// [`StoreError`], here and below.
    pub async fn count(&mut self, table: Table, cutoff: Micros) -> Result<u64, StoreError> {
        either!(&mut self.backend, SweeperArm, backend => backend.count(table, cutoff).await)
    }

    /// UTC days since 1970 that lie wholly before `cutoff` and can leave as a whole, oldest first.
    /// Always empty on SQLite, which has no partitions.
    pub async fn whole_days(
        &mut self,
        table: Table,
        cutoff: Micros,
    ) -> Result<Vec<i32>, StoreError> {
        match &mut self.backend {
            SweeperArm::Postgres(backend) => backend.whole_days(table, cutoff).await,
            SweeperArm::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// Removes a day with all of its rows.
    pub async fn remove_day(&mut self, table: Table, day: i32) -> Result<DayRemoved, StoreError> {
        match &mut self.backend {
            SweeperArm::Postgres(backend) => backend.remove_day(table, day).await,
            SweeperArm::Sqlite(_) => Ok(DayRemoved::Rows(0)),
        }
    }

    /// Deletes at most `limit` rows before `cutoff` that are not in a day which leaves as a whole,
    /// in one transaction; fewer than `limit` were deleted when none is left.
    pub async fn delete(
        &mut self,
        table: Table,
        cutoff: Micros,
        limit: u32,
    ) -> Result<u64, StoreError> {
        either!(&mut self.backend, SweeperArm, backend => backend.delete(table, cutoff, limit).await)
    }

    /// Forgets counts by minute and by hour from before `cutoff`, in one transaction, at most `limit`
    /// of each; 0 were deleted when none is left.
    pub async fn delete_counts(&mut self, cutoff: Micros, limit: u32) -> Result<u64, StoreError> {
        either!(&mut self.backend, SweeperArm, backend => backend.delete_counts(cutoff, limit).await)
    }

    /// Gives space back to the file system, as far as that needs no long lock. PostgreSQL does so
    /// by itself.
    pub async fn give_back_space(&mut self) -> Result<(), StoreError> {
        match &mut self.backend {
            SweeperArm::Postgres(_) => Ok(()),
            SweeperArm::Sqlite(backend) => backend.give_back_space().await,
        }
    }

    /// Writes the sweep down.
    pub async fn record(&mut self, report: &SweepReport) -> Result<(), StoreError> {
        either!(&mut self.backend, SweeperArm, backend => backend.record(report).await)
    }
}
