//! Makes rows of rejects: one transaction for some lines of one file.

use sqlx::postgres::PgConnection;

use super::commit::{Trouble, send};
use super::{PgWriter, rollup};
use crate::model::Reparsed;
use crate::store::error::StoreError;
use crate::store::time::Time;
use crate::store::{bound, sql};

/// Runs before the rejects are removed, in the order of an ingest: a transaction that holds the row of
/// the file waits for no transaction that waits for that row. See `CLAIM` for `jsonb_object`.
const COUNT: &str = sql::count_reparsed!(
    "CASE WHEN format = $5 OR other_formats ? $5 THEN other_formats
          ELSE other_formats || (jsonb_object(ARRAY['', $5]) -> '') END"
);

const TAKE: &str = "
    DELETE FROM rejected_line AS r USING unnest($2::int8[], $3::timestamptz[]) AS t (log_offset, at)
     WHERE r.log_file = $1 AND r.log_offset = t.log_offset AND r.rejected_at = t.at";

impl PgWriter {
    pub(in crate::store) async fn reparse(&mut self, lines: &Reparsed) -> Result<bool, StoreError> {
        self.ensure_days(&lines.rows).await?;
        let done = self.in_transaction(async |connection| write(connection, lines).await).await;
        match done {
            Ok(()) => Ok(true),
            Err(Trouble::Moved) => Ok(false),
            Err(Trouble::Sql(error)) => {
                self.forget_days(&lines.rows); // a sweep may have dropped one; the next try makes it
                Err(self.backend.classify(error))
            }
        }
    }
}

async fn write(connection: &mut PgConnection, lines: &Reparsed) -> Result<(), Trouble> {
    let counted = bound::count_reparsed!(COUNT, lines).execute(&mut *connection).await?;
    if counted.rows_affected() != 1 {
        return Err(Trouble::Moved); // the schema was upgraded meanwhile
    }
    let taken = sqlx::query(TAKE)
        .bind(lines.file.0)
        .bind(lines.taken.iter().map(|(offset, _)| *offset as i64).collect::<Vec<_>>())
        .bind(lines.taken.iter().map(|(_, at)| Time(*at)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    if taken.rows_affected() != lines.taken.len() as u64 {
        return Err(Trouble::Moved);
    }
    send(connection, &lines.rows).await?;
    rollup::add(connection, &lines.rows.rollup).await?;
    Ok(())
}
