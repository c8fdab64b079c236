//! The steps of a sweep: bounded transactions, under a lock that one process holds.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use super::answers::{DayRange, SweepReport, Table};
use super::error::StoreError;
use super::postgres::PgSweeper;
use super::sqlite::SqliteSweeper;
use super::time::Time;
use super::{Backend, either, on_connection, rows, sql};
use crate::model::{FileId, Micros, Period, RoutePeriod};

/// The lock for sweeping. [`Sweeper::end`] releases it at once; after a drop, or when its process ends,
/// PostgreSQL needs a moment to notice.
#[derive(Debug)]
pub struct Sweeper {
    pub(super) backend: Backend<PgSweeper, SqliteSweeper>,
}

/// A closed file of the ledger that may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldFile {
    /// Its id.
    pub file: FileId,
    /// The host whose file it was.
    pub host: String,
    /// When its content was last seen there, or else when it was closed.
    pub last_seen_at: Micros,
}

/// Result of the removal of a whole partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayRemoved {
    /// It is removed, with this number of rows.
    Rows(u64),
    /// It stays for now: the table is being read, and ingest would wait for that reader, too.
    Postponed,
}

impl Sweeper {
    /// Returns the number of rows of a table before `cutoff`.
    ///
    /// # Errors
    /// [`StoreError`], as for all methods here.
    pub async fn count(&mut self, table: Table, cutoff: Micros) -> Result<u64, StoreError> {
        let (name, column) = (table.name(), table.time_column());
        let sql = format!("SELECT count(*) FROM {name} WHERE {column} < $1");
        on_connection!(&mut self.backend, connection => {
            let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind(Time(cutoff));
            count.fetch_one(connection).await.map(|rows: i64| rows as u64)
        })
    }

    /// Returns the days of each partition that lies wholly before `cutoff`, oldest first. SQLite has no
    /// partitions, so the list is empty.
    pub async fn whole_days(
        &mut self,
        table: Table,
        cutoff: Micros,
    ) -> Result<Vec<DayRange>, StoreError> {
        match &mut self.backend {
            Backend::Postgres(backend) => backend.whole_days(table, cutoff).await,
            Backend::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// Removes the partition of these days with all of its rows.
    pub async fn remove_days(
        &mut self,
        table: Table,
        days: DayRange,
    ) -> Result<DayRemoved, StoreError> {
        match &mut self.backend {
            Backend::Postgres(backend) => backend.remove_days(table, days).await,
            Backend::Sqlite(_) => Ok(DayRemoved::Rows(0)),
        }
    }

    /// Deletes up to `limit` rows before `cutoff` in one transaction, except in partitions that are removed
    /// whole. Returns their number: less than `limit` if none is left.
    pub async fn delete(
        &mut self,
        table: Table,
        cutoff: Micros,
        limit: u32,
    ) -> Result<u64, StoreError> {
        either!(&mut self.backend, it => it.delete(table, cutoff, limit).await)
    }

    /// Deletes up to `limit` counts of minutes, as many of hours, and as many of routes by hour and by day, which
    /// ended before `cutoff`, in a transaction each. Returns their number: 0 if none is left.
    pub async fn delete_counts(&mut self, cutoff: Micros, limit: u32) -> Result<u64, StoreError> {
        let mut deleted = 0;
        let of_all = Period::ALL.map(|period| (sql::table_of(period), period.micros()));
        let of_routes =
            RoutePeriod::ALL.map(|period| (sql::route_table_of(period), period.micros()));
        for ((table, column), length) in of_all.into_iter().chain(of_routes) {
            // A period that ends at the cutoff has ended.
            let until = cutoff.saturating_sub(length).saturating_add(1);
            deleted += either!(&mut self.backend, it => {
                it.delete_before(table, column, until, limit).await
            })?;
        }
        Ok(deleted)
    }

    /// Returns up to `limit` closed files after the id `after` that were closed, and last seen on a
    /// disk, before `cutoff`: each with its host, and when that was. The newest file of all is never
    /// among them.
    pub async fn old_files(
        &mut self,
        cutoff: Micros,
        after: FileId,
        limit: u32,
    ) -> Result<Vec<OldFile>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::OLD_FILES).bind(Time(cutoff)).bind(after.0);
            let rows = query.bind(i64::from(limit)).fetch_all(connection).await?;
            rows.iter().map(rows::old_file).collect::<Result<Vec<_>, _>>()
        })
    }

    /// Returns the hosts whose daemons have stored lines, or registered or seen files, in this time.
    pub async fn live_hosts(
        &mut self,
        from: Micros,
        until: Micros,
    ) -> Result<HashSet<String>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let hosts = sqlx::query_scalar(sql::LIVE_HOSTS).bind(Time(from)).bind(Time(until));
            hosts.fetch_all(connection).await.map(|hosts: Vec<String>| hosts.into_iter().collect())
        })
    }

    /// Deletes those of these files of which no line and no count is left, and that are still what
    /// [`Sweeper::old_files`] lists: one that was claimed since stays. Returns their number.
    pub async fn delete_unused_files(
        &mut self,
        files: &[FileId],
        cutoff: Micros,
    ) -> Result<u64, StoreError> {
        let files: Vec<i32> = files.iter().map(|file| file.0).collect();
        match &mut self.backend {
            Backend::Postgres(backend) => {
                let unused = backend.unused_files(files).await?;
                backend.delete_files(&unused, cutoff).await
            }
            Backend::Sqlite(backend) => backend.delete_unused_files(&files, cutoff).await,
        }
    }

    /// Ends the sweep, after which another one may begin at once.
    pub async fn end(self) {
        either!(self.backend, it => it.end().await);
    }

    /// Forgets ignored files that no daemon has confirmed since `cutoff`.
    pub async fn forget_ignored(&mut self, cutoff: Micros) -> Result<(), StoreError> {
        on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::FORGET_IGNORED).bind(Time(cutoff));
            query.execute(connection).await.map(|_| ())
        })
    }

    /// Returns free space to the file system, as far as that needs no long lock. PostgreSQL does this
    /// by itself.
    pub async fn give_back_space(&mut self) -> Result<(), StoreError> {
        match &mut self.backend {
            Backend::Postgres(_) => Ok(()),
            Backend::Sqlite(backend) => backend.give_back_space().await,
        }
    }

    /// Stores the report of the sweep.
    pub async fn record(&mut self, report: &SweepReport) -> Result<(), StoreError> {
        on_connection!(&mut self.backend, connection => {
            sqlx::query(sql::RECORD_SWEEP)
                .bind(&report.host)
                .bind(Time(report.started_at))
                .bind(Time(report.finished_at))
                .bind(Time(report.cutoff))
                .bind(report.next_at.map(Time))
                .bind(report.gunicorn_removed as i64)
                .bind(report.request_removed as i64)
                .bind(report.rejected_removed as i64)
                .execute(connection)
                .await
                .map(|_| ())
        })
    }
}
