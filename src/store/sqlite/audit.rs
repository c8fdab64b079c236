//! What `verify` and `reparse` read: lines by their place, each answer from one snapshot.

use sqlx::{Connection, Row};

use super::{SqliteWriter, clock};
use crate::model::columns::Source;
use crate::model::{FileId, Micros};
use crate::store::answers::{FileReport, RejectKey, StoredLine, StoredReject};
use crate::store::error::{StoreError, failed};
use crate::store::rows;
use crate::store::sql::{self, IN_SQLITE};

/// The first row or reject at or after the committed offset of its file.
const AFTER_COMMITTED: &str = "
    SELECT min(log_offset) FROM (
        SELECT g.log_offset FROM log_file f JOIN gunicorn_log g
            ON g.id >= (f.id << 38) | f.committed AND g.id < (f.id + 1) << 38
         WHERE f.id = ?1
        UNION ALL
        SELECT q.log_offset FROM log_file f JOIN request_log q
            ON q.id >= (f.id << 38) | f.committed AND q.id < (f.id + 1) << 38
         WHERE f.id = ?1
        UNION ALL
        SELECT r.log_offset FROM log_file f JOIN rejected_line r
            ON r.log_file = f.id AND r.log_offset >= f.committed
         WHERE f.id = ?1)";

impl SqliteWriter {
    pub(in crate::store) async fn report(
        &mut self,
        file: FileId,
    ) -> Result<Option<FileReport>, StoreError> {
        let row = sqlx::query(sql::REPORT).bind(file.0).fetch_optional(&mut self.connection).await;
        row.and_then(|row| row.as_ref().map(rows::report).transpose())
            .map_err(failed(&self.backend.name))
    }

    /// Reads in one snapshot, so that a line which a reparse moves is either a reject or a row.
    pub(in crate::store) async fn lines_between(
        &mut self,
        file: FileId,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<(u64, StoredLine)>, StoreError> {
        let read = async {
            let mut tx = self.connection.begin().await?;
            let mut found = [const { Vec::new() }; 2];
            let queries = [&IN_SQLITE.rows_between, &IN_SQLITE.requests_between];
            for (rows, query) in found.iter_mut().zip(queries) {
                *rows = sqlx::query(query.as_str())
                    .bind(file.row_id(from))
                    .bind(file.row_id(from).saturating_add_unsigned(to - from))
                    .bind(file.0)
                    .bind(limit)
                    .fetch_all(&mut *tx)
                    .await?;
            }
            let rejects = sqlx::query(IN_SQLITE.rejects_between.as_str())
                .bind(file.0)
                .bind(from as i64)
                .bind(to as i64)
                .bind(limit)
                .fetch_all(&mut *tx)
                .await?;
            tx.commit().await?;
            let [rows, requests] = &found;
            rows::lines(file, rows, requests, &rejects)
        };
        read.await.map_err(failed(&self.backend.name))
    }

    pub(in crate::store) async fn line_after_committed(
        &mut self,
        file: FileId,
    ) -> Result<Option<u64>, StoreError> {
        let found: Result<Option<i64>, _> =
            sqlx::query_scalar(AFTER_COMMITTED).bind(file.0).fetch_one(&mut self.connection).await;
        found.map(|found| found.map(|at| at as u64)).map_err(failed(&self.backend.name))
    }

    pub(in crate::store) async fn strays(&mut self) -> Result<(u64, Option<i64>), StoreError> {
        let row = sqlx::query(sql::STRAYS).fetch_one(&mut self.connection).await;
        row.and_then(|row| Ok((row.try_get::<i64, _>(0)? as u64, row.try_get(1)?)))
            .map_err(failed(&self.backend.name))
    }

    pub(in crate::store) async fn swept_before(
        &mut self,
        since: Micros,
    ) -> Result<Option<Micros>, StoreError> {
        let row = sqlx::query(sql::SWEPT_BEFORE)
            .bind(clock::text(since))
            .fetch_one(&mut self.connection)
            .await;
        row.and_then(|row| Source::time(&row, "cutoff")).map_err(failed(&self.backend.name))
    }

    pub(in crate::store) async fn rejects_after(
        &mut self,
        after: RejectKey,
        limit: u32,
        weight: u64,
    ) -> Result<Vec<StoredReject>, StoreError> {
        let rows = sqlx::query(sql::REJECTS_AFTER)
            .bind(after.file.0)
            .bind(after.offset as i64)
            .bind(clock::text(after.rejected_at))
            .bind(limit)
            .bind(weight as i64)
            .fetch_all(&mut self.connection)
            .await;
        rows.and_then(|rows| rows.iter().map(rows::reject).collect())
            .map_err(failed(&self.backend.name))
    }
}
