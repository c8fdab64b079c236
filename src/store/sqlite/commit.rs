//! The one transaction of an ingest: offsets by compare-and-swap, rows by prepared inserts.

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::insert::insert;
use super::writer::{BEGIN, SqliteWriter};
use crate::model::{Batch, FileId, Span, now};
use crate::store::error::{StoreError, failed};
use crate::store::time::Time;
use crate::store::{bound, sql};

/// Adds runs of NULs, and changes of the form, to the JSON text without reading it.
const MOVE: &str = sql::move_one!(
    "$18",
    "CASE WHEN $16 = '[]' THEN nul_runs WHEN nul_runs = '[]' THEN $16
          ELSE substr(nul_runs, 1, length(nul_runs) - 1) || ',' || substr($16, 2) END",
    "CASE WHEN $17 = '[]' THEN line_forms WHEN line_forms = '[]' THEN $17
          ELSE substr(line_forms, 1, length(line_forms) - 1) || ',' || substr($17, 2) END",
    "$20",
    ", owner = CASE WHEN $19 THEN NULL ELSE owner END"
);

impl SqliteWriter {
    pub(in crate::store) async fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.check_place()?;
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        let moved = move_all(&mut tx, &batch.spans).await.map_err(failed(name))?;
        if !moved.is_empty() {
            tx.rollback().await.map_err(failed(name))?;
            return Err(StoreError::Conflict { store: name.clone(), files: moved });
        }
        // An error drops the transaction, and that rolls it back.
        insert(&self.backend, &mut tx, batch).await?;
        tx.commit().await.map_err(failed(name))?;
        // In a file that was replaced meanwhile it is lost.
        self.check_place()
    }
}

/// Moves each offset; the answer is the files whose offset or epoch was another.
async fn move_all(
    connection: &mut SqliteConnection,
    spans: &[Span],
) -> Result<Vec<FileId>, sqlx::Error> {
    let now = Time(now());
    let mut moved = Vec::new();
    for span in spans {
        let query = bound::move_one!(MOVE, span).bind(now).bind(span.releases);
        let query = query.bind(span.far_times as i64);
        let done = query.execute(&mut *connection).await?;
        if done.rows_affected() != 1 {
            moved.push(span.file);
        }
    }
    Ok(moved)
}
