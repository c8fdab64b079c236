//! The steps of a sweep: bounded transactions, under a lock that one process holds.

use super::answers::{SweepReport, Table};
use super::either;
use super::error::StoreError;
use super::postgres::PgSweeper;
use super::sqlite::SqliteSweeper;
use crate::model::Micros;

/// The lock for sweeping. It is released on drop, or when its process ends.
#[derive(Debug)]
pub struct Sweeper {
    backend: SweeperBackend,
}

#[derive(Debug)]
enum SweeperBackend {
    Postgres(Box<PgSweeper>),
    Sqlite(Box<SqliteSweeper>),
}

/// Result of the removal of a whole day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayRemoved {
    /// The day is removed, with this number of rows.
    Rows(u64),
    /// The day stays for now: the table is being read, and ingest would wait for that reader, too.
    Postponed,
}

impl From<PgSweeper> for Sweeper {
    fn from(backend: PgSweeper) -> Sweeper {
        Sweeper { backend: SweeperBackend::Postgres(Box::new(backend)) }
    }
}

impl From<SqliteSweeper> for Sweeper {
    fn from(backend: SqliteSweeper) -> Sweeper {
        Sweeper { backend: SweeperBackend::Sqlite(Box::new(backend)) }
    }
}

impl Sweeper {
    /// Returns the number of rows of a table before `cutoff`.
    ///
    /// # Errors
    /// [`StoreError`], as for all methods here.
    pub async fn count(&mut self, table: Table, cutoff: Micros) -> Result<u64, StoreError> {
        either!(&mut self.backend, SweeperBackend, backend => backend.count(table, cutoff).await)
    }

    /// Returns the days (UTC, counted from 1970) that lie wholly before `cutoff` and have a partition
    /// of their own, oldest first. SQLite has no partitions, so the list is empty.
    pub async fn whole_days(
        &mut self,
        table: Table,
        cutoff: Micros,
    ) -> Result<Vec<i32>, StoreError> {
        match &mut self.backend {
            SweeperBackend::Postgres(backend) => backend.whole_days(table, cutoff).await,
            SweeperBackend::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// Removes a day with all of its rows.
    pub async fn remove_day(&mut self, table: Table, day: i32) -> Result<DayRemoved, StoreError> {
        match &mut self.backend {
            SweeperBackend::Postgres(backend) => backend.remove_day(table, day).await,
            SweeperBackend::Sqlite(_) => Ok(DayRemoved::Rows(0)),
        }
    }

    /// Deletes up to `limit` rows before `cutoff` in one transaction, except in days that are removed
    /// whole. Returns their number: less than `limit` if none is left.
    pub async fn delete(
        &mut self,
        table: Table,
        cutoff: Micros,
        limit: u32,
    ) -> Result<u64, StoreError> {
        either!(&mut self.backend, SweeperBackend, backend => backend.delete(table, cutoff, limit).await)
    }

    /// Deletes up to `limit` counts by minute and as many by hour before `cutoff`, in one
    /// transaction. Returns their number: 0 if none is left.
    pub async fn delete_counts(&mut self, cutoff: Micros, limit: u32) -> Result<u64, StoreError> {
        either!(&mut self.backend, SweeperBackend, backend => backend.delete_counts(cutoff, limit).await)
    }

    /// Returns free space to the file system, as far as that needs no long lock. PostgreSQL does this
    /// by itself.
    pub async fn give_back_space(&mut self) -> Result<(), StoreError> {
        match &mut self.backend {
            SweeperBackend::Postgres(_) => Ok(()),
            SweeperBackend::Sqlite(backend) => backend.give_back_space().await,
        }
    }

    /// Stores the report of the sweep.
    pub async fn record(&mut self, report: &SweepReport) -> Result<(), StoreError> {
        either!(&mut self.backend, SweeperBackend, backend => backend.record(report).await)
    }
}
