//! What `verify` and `reparse` read: lines by their place, each answer from one snapshot.

use sqlx::{Connection, Row};

use super::answers::{FileReport, RejectKey, StoredLine};
use super::error::StoreError;
use super::time::Time;
use super::{Writer, on_connection, rows, sql};
use crate::model::columns::Source;
use crate::model::{FileId, Micros, RejectedLine, Row as _};

/// The reads of `verify` and `reparse`.
///
/// # Errors
///
/// [`StoreError`], for all methods here.
impl Writer {
    /// Returns the row of the file: offset, digest and counters of one moment.
    pub async fn report(&mut self, file: FileId) -> Result<Option<FileReport>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let row = sqlx::query(sql::REPORT).bind(file.0).fetch_optional(connection).await?;
            row.as_ref().map(rows::report).transpose()
        })
    }

    /// Returns what the line at `offset` became, `None` if nothing is stored there (or not any more). It
    /// shows whether a shorter copy of a file has the same content.
    pub async fn line_at(
        &mut self,
        file: FileId,
        offset: u64,
    ) -> Result<Option<StoredLine>, StoreError> {
        let lines = self.lines_between(file, offset, offset + 1, 1).await?;
        Ok(lines.into_iter().next().map(|(_, line)| line))
    }

    /// Returns rows and rejects whose lines begin in `from..to`, in the order of their offsets; at most
    /// `limit` of each table. It reads in one snapshot, so that a line which a reparse moves is either a
    /// reject or a row.
    pub async fn lines_between(
        &mut self,
        file: FileId,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<(u64, StoredLine)>, StoreError> {
        let queries = self.line_queries();
        on_connection!(&mut self.backend, connection => {
            let mut tx = connection.begin_with(queries.begin).await?;
            let mut found = [const { Vec::new() }; 2];
            for (rows, query) in
                found.iter_mut().zip([&queries.rows_between, &queries.requests_between])
            {
                *rows = sqlx::query(query.as_str())
                    .bind(file.row_id(from))
                    .bind(file.row_id(from).saturating_add_unsigned(to - from))
                    .bind(file.0)
                    .bind(i64::from(limit))
                    .fetch_all(&mut *tx)
                    .await?;
            }
            let rejects = sqlx::query(queries.rejects_between.as_str())
                .bind(file.0)
                .bind(from as i64)
                .bind(to as i64)
                .bind(i64::from(limit))
                .fetch_all(&mut *tx)
                .await?;
            tx.commit().await?;
            let [rows, requests] = &found;
            rows::lines(file, rows, requests, &rejects)
        })
    }

    /// Returns the offset of the first row or reject at or after the committed offset, where there must be
    /// none.
    pub async fn line_after_committed(&mut self, file: FileId) -> Result<Option<u64>, StoreError> {
        let query = self.line_queries().after_committed;
        on_connection!(&mut self.backend, connection => {
            let found = sqlx::query_scalar(query).bind(file.0).fetch_optional(connection).await?;
            Ok(found.flatten().map(|offset: i64| offset as u64))
        })
    }

    /// Returns how many rows and rejects of the file begin at or after `offset`.
    pub async fn count_from(&mut self, file: FileId, offset: u64) -> Result<u64, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let mut count = 0;
            for query in [sql::ROWS_FROM, sql::REQUESTS_FROM, sql::REJECTS_FROM] {
                let query = sqlx::query_scalar::<_, i64>(query).bind(file.0).bind(offset as i64);
                count += query.fetch_one(&mut *connection).await? as u64;
            }
            Ok(count)
        })
    }

    /// Returns how many rows have an id that is not made of their file and offset, and the lowest of
    /// these ids. It reads the whole table.
    pub async fn strays(&mut self) -> Result<(u64, Option<i64>), StoreError> {
        on_connection!(&mut self.backend, connection => {
            let row = sqlx::query(sql::STRAYS).fetch_one(connection).await?;
            Ok((row.try_get::<i64, _>(0)? as u64, row.try_get(1)?))
        })
    }

    /// Returns the latest time before which a sweep that finished after `since` has removed lines.
    pub async fn swept_before(&mut self, since: Micros) -> Result<Option<Micros>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::SWEPT_BEFORE).bind(Time(since));
            Source::time(&query.fetch_one(connection).await?, "cutoff")
        })
    }

    /// Returns the next rejects after the key `after`: at most `limit`, and no more after their lines
    /// have `weight` bytes.
    pub async fn rejects_after(
        &mut self,
        after: RejectKey,
        limit: u32,
        weight: u64,
    ) -> Result<Vec<RejectedLine>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let rows = sqlx::query(sql::REJECTS_AFTER)
                .bind(after.file.0)
                .bind(after.offset as i64)
                .bind(Time(after.rejected_at))
                .bind(i64::from(limit))
                .bind(weight as i64)
                .fetch_all(connection)
                .await?;
            rows.iter().map(RejectedLine::read).collect::<Result<Vec<_>, _>>()
        })
    }
}
