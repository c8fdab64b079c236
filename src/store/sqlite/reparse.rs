//! Stores what lines are that were read again: one transaction for some lines of one file.

use sqlx::{Connection, SqliteConnection};

use super::insert::insert_rows;
use super::writer::BEGIN;
use super::{SqliteWriter, rollup};
use crate::model::{Reparsed, Rollup};
use crate::store::error::{StoreError, failed};
use crate::store::time::Time;
use crate::store::{bound, rows, sql};

const COUNT: &str = sql::count_reparsed!(
    "CASE WHEN format = $5 OR EXISTS (SELECT 1 FROM json_each(other_formats) WHERE value = $5)
          THEN other_formats ELSE json_insert(other_formats, '$[#]', $5) END"
);

const TAKE_REJECT: &str =
    "DELETE FROM rejected_line WHERE log_file = ?1 AND log_offset = ?2 AND rejected_at = ?3";

const TAKE_ROWS: &str = "
    DELETE FROM gunicorn_log WHERE id IN (SELECT value FROM json_each(?1))
    RETURNING timestamp, code, response_bytes, duration";

const TAKE_REQUESTS: &str = "DELETE FROM request_log WHERE id IN (SELECT value FROM json_each(?1))";

impl SqliteWriter {
    pub(in crate::store) async fn reparse(&mut self, lines: &Reparsed) -> Result<bool, StoreError> {
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        let Some(removed) = take(&mut tx, lines).await.map_err(failed(name))? else {
            tx.rollback().await.map_err(failed(name))?;
            return Ok(false);
        };
        // An error drops the transaction, and that rolls it back.
        insert_rows(&mut tx, &lines.new, name).await?;
        let changed = rollup::change(&mut tx, lines.file, &removed, &lines.new.rollup).await;
        changed.map_err(failed(name))?;
        tx.commit().await.map_err(failed(name))?;
        Ok(true)
    }
}

/// Moves the counters and removes what is stored of the lines. Returns the counts of the removed rows, `None`
/// if something has changed meanwhile.
async fn take(
    connection: &mut SqliteConnection,
    lines: &Reparsed,
) -> Result<Option<Rollup>, sqlx::Error> {
    let counted = bound::count_reparsed!(COUNT, lines).execute(&mut *connection).await?;
    if counted.rows_affected() != 1 {
        return Ok(None); // the schema was upgraded meanwhile
    }
    let mut taken = 0;
    for (offset, at) in &lines.rejects {
        let take = sqlx::query(TAKE_REJECT).bind(lines.file.0).bind(*offset as i64).bind(Time(*at));
        taken += take.execute(&mut *connection).await?.rows_affected();
    }
    let mut removed = Rollup::default();
    let rows = sqlx::query(TAKE_ROWS).bind(ids(lines, &lines.rows));
    for row in &rows.fetch_all(&mut *connection).await? {
        rows::count(&mut removed, lines.file, row)?;
        taken += 1;
    }
    let requests = sqlx::query(TAKE_REQUESTS).bind(ids(lines, &lines.requests));
    taken += requests.execute(&mut *connection).await?.rows_affected();
    Ok((taken == lines.removed() as u64).then_some(removed))
}

/// Returns the ids of the rows at these offsets, as JSON.
fn ids(lines: &Reparsed, offsets: &[u64]) -> String {
    let ids: Vec<String> =
        offsets.iter().map(|offset| lines.file.row_id(*offset).to_string()).collect();
    format!("[{}]", ids.join(","))
}
