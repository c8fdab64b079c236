//! Removal of old rows by small deletes; free pages are given back to the file system.

use std::fs::File;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::Sqlite;
use super::writer::BEGIN;
use crate::model::Micros;
use crate::store::answers::Table;
use crate::store::error::{StoreError, failed, from_io};
use crate::store::sql;
use crate::store::time::Time;

/// Pages given back in one transaction: 4 MiB, some milliseconds.
const PAGES: i64 = 512;

/// One connection and the sweepers' lock.
#[derive(Debug)]
pub(in crate::store) struct SqliteSweeper {
    pub(in crate::store) backend: Arc<Sqlite>,
    pub(in crate::store) connection: SqliteConnection,
    _lock: File,
}

impl Sqlite {
    pub(in crate::store) async fn sweeper(
        self: &Arc<Self>,
    ) -> Result<Option<SqliteSweeper>, StoreError> {
        let lock = self.locks.try_take("sweep").map_err(|error| from_io(&self.name, error))?;
        let Some(lock) = lock else { return Ok(None) };
        let connection = self.connect().await?;
        Ok(Some(SqliteSweeper { backend: Arc::clone(self), connection, _lock: lock }))
    }

    /// Checks by taking the lock for an instant.
    pub(in crate::store) async fn is_being_swept(&self) -> Result<bool, StoreError> {
        let lock = self.locks.try_take("sweep").map_err(|error| from_io(&self.name, error))?;
        Ok(lock.is_none())
    }
}

impl SqliteSweeper {
    /// Returns the connection, which is always open.
    #[expect(clippy::unused_async, reason = "other sessions may have to connect")]
    pub(in crate::store) async fn connection(
        &mut self,
    ) -> Result<&mut SqliteConnection, StoreError> {
        Ok(&mut self.connection)
    }

    /// Ends the sweep: from now on another one may begin.
    pub(in crate::store) async fn end(self) {
        // The work is done; an error while the connection is closed changes nothing.
        let _ = self.connection.close().await;
    }

    pub(in crate::store) async fn delete(
        &mut self,
        table: Table,
        cutoff: Micros,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.delete_before(table.name(), table.time_column(), cutoff, limit).await
    }

    /// Deletes rows of one table with a time before `cutoff`, at most `limit`.
    pub(in crate::store) async fn delete_before(
        &mut self,
        table: &str,
        column: &str,
        cutoff: Micros,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "DELETE FROM {table} WHERE rowid IN
                 (SELECT rowid FROM {table} WHERE {column} < ?1 ORDER BY {column} LIMIT ?2)"
        );
        let delete = async {
            let mut tx = self.connection.begin_with(BEGIN).await?;
            let query = sqlx::query(AssertSqlSafe(sql)).bind(Time(cutoff)).bind(limit);
            let deleted = query.execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            Ok(deleted)
        };
        delete.await.map_err(failed(&self.backend.name))
    }

    /// Deletes those of these files that may leave by their age and have neither a line nor a count. Returns
    /// how many left. One statement checks all of it: no claim and no line can come before the removal.
    pub(in crate::store) async fn delete_unused_files(
        &mut self,
        files: &[i32],
        cutoff: Micros,
    ) -> Result<u64, StoreError> {
        let ids = files.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let delete = async {
            let mut tx = self.connection.begin_with(BEGIN).await?;
            let deleted = sqlx::query(concat!(
                "DELETE FROM log_file WHERE id IN (SELECT value FROM json_each($1)) AND ",
                sql::may_leave!("$2"),
                " AND NOT EXISTS (SELECT 1 FROM gunicorn_hour h WHERE h.log_file = log_file.id)
                    AND NOT EXISTS (SELECT 1 FROM gunicorn_route_day d WHERE d.log_file = log_file.id)
                    AND NOT EXISTS (SELECT 1 FROM rejected_line r WHERE r.log_file = log_file.id)
                    AND NOT EXISTS (SELECT 1 FROM gunicorn_log g
                                     WHERE g.id >= log_file.id << 38
                                       AND g.id < (log_file.id + 1) << 38)
                    AND NOT EXISTS (SELECT 1 FROM request_log q
                                     WHERE q.id >= log_file.id << 38
                                       AND q.id < (log_file.id + 1) << 38)",
            ))
            .bind(format!("[{ids}]"))
            .bind(Time(cutoff))
            .execute(&mut *tx)
            .await?
            .rows_affected();
            tx.commit().await?;
            Ok(deleted)
        };
        delete.await.map_err(failed(&self.backend.name))
    }

    /// Free pages leave the end of the file in bounded steps; then the write-ahead log is emptied
    /// into the file and cut. A checkpoint that meets a reader gives up at once instead of making
    /// ingest wait with it; the next one, SQLite's own or ours, does the work.
    pub(in crate::store) async fn give_back_space(&mut self) -> Result<(), StoreError> {
        let give_back = async {
            let connection = &mut self.connection;
            let mut before = i64::MAX;
            loop {
                let free: i64 =
                    sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *connection).await?;
                if free == 0 || free >= before {
                    break;
                }
                before = free;
                let step = format!("PRAGMA incremental_vacuum({PAGES})");
                sqlx::raw_sql(AssertSqlSafe(step)).execute(&mut *connection).await?;
            }
            sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut *connection).await?;
            let checkpoint =
                sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
            let wait = format!("PRAGMA busy_timeout = {}", super::BUSY.as_millis());
            sqlx::raw_sql(AssertSqlSafe(wait)).execute(&mut *connection).await?;
            // The first column says "busy"; as explained above, that is not an error.
            checkpoint.and_then(|row| row.try_get::<i64, _>(0)).map(|_busy| ())
        };
        give_back.await.map_err(failed(&self.backend.name))
    }
}
