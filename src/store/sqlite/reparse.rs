//! Stores what lines are that were read again: one transaction for some lines of one file.

use sqlx::{Connection, SqliteConnection};

use super::insert::insert_rows;
use super::writer::BEGIN;
use super::{SqliteWriter, rollup, routes};
use crate::model::{FileId, Reparsed, Rollup, TakenReject};
use crate::store::error::{StoreError, failed};
use crate::store::time::Time;
use crate::store::{bound, rows, sql};

const COUNT: &str = sql::count_reparsed!(
    "CASE WHEN format = $5 OR EXISTS (SELECT 1 FROM json_each(other_formats) WHERE value = $5)
          THEN other_formats ELSE json_insert(other_formats, '$[#]', $5) END"
);

const TAKE_REJECT: &str = "DELETE FROM rejected_line
     WHERE log_file = ?1 AND log_offset = ?2 AND rejected_at = ?3 AND repeats = ?4";

/// Leaves a reject the first lines of it that stay.
const TAKE_LINES: &str = sql::keep_lines!();

const TAKE_ROWS: &str = "
    DELETE FROM gunicorn_log WHERE id IN (SELECT value FROM json_each(?1))
    RETURNING timestamp, code, response_bytes, duration, route, url";

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
        let of = (&*self.backend, &mut *tx);
        let changed = routes::change(of, lines.file, &removed, &lines.new.rollup);
        Box::pin(changed).await.map_err(failed(name))?;
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
    for reject in &lines.rejects {
        if !take_reject(connection, lines.file, reject).await? {
            return Ok(None);
        }
    }
    let mut taken = 0;
    let mut removed = Rollup::default();
    let rows = sqlx::query(TAKE_ROWS).bind(ids(lines, &lines.rows));
    for row in &rows.fetch_all(&mut *connection).await? {
        rows::count(&mut removed, lines.file, row)?;
        taken += 1;
    }
    let requests = sqlx::query(TAKE_REQUESTS).bind(ids(lines, &lines.requests));
    taken += requests.execute(&mut *connection).await?.rows_affected();
    let all = lines.rows.len() + lines.requests.len();
    Ok((taken == all as u64).then_some(removed))
}

/// Removes lines of a reject. Returns `false` if it has changed meanwhile.
async fn take_reject(
    connection: &mut SqliteConnection,
    file: FileId,
    reject: &TakenReject,
) -> Result<bool, sqlx::Error> {
    let TakenReject { offset, rejected_at, repeats, ref kept, .. } = *reject;
    let mut kept = kept.iter();
    let first = kept.next();
    let take = sqlx::query(if first.is_some() { TAKE_LINES } else { TAKE_REJECT });
    let take = take.bind(file.0).bind(offset as i64).bind(Time(rejected_at)).bind(repeats as i64);
    let take = match first {
        Some((offset, lines)) => take.bind(*offset as i64).bind(*lines as i64),
        None => take,
    };
    if take.execute(&mut *connection).await?.rows_affected() != 1 {
        return Ok(false);
    }
    for (offset, lines) in kept {
        let keep = sqlx::query(sql::KEEP_MORE_LINES).bind(file.0);
        let keep = keep.bind(first.map(|(offset, _)| *offset as i64)).bind(Time(rejected_at));
        keep.bind(*offset as i64).bind(*lines as i64).execute(&mut *connection).await?;
    }
    Ok(true)
}

/// Returns the ids of the rows at these offsets, as JSON.
fn ids(lines: &Reparsed, offsets: &[u64]) -> String {
    let ids: Vec<String> =
        offsets.iter().map(|offset| lines.file.row_id(*offset).to_string()).collect();
    format!("[{}]", ids.join(","))
}
