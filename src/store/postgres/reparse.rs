//! Rejects become rows: one transaction for some lines of one file.

use sqlx::postgres::PgConnection;

use super::commit::{Trouble, copy};
use super::{PgWriter, rollup, time};
use crate::model::{Batch, Reparsed};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::schema::is_our_epoch;

/// Before the rejects are touched, as an ingest does before it adds some: whoever has this row
/// waits for nobody who waits for it.
///
/// `jsonb_object` makes json of a text as `to_jsonb` does, whose result may depend on settings: Citus
/// lets no such function go to a worker.
const COUNT: &str = concat!(
    "UPDATE log_file
       SET rejected = rejected - $2, stored_rows = stored_rows + $3, excluded = excluded + $4,
           reparsed = reparsed + $2,
           other_formats = CASE WHEN format = $5 OR other_formats ? $5 THEN other_formats
                           ELSE other_formats || (jsonb_object(ARRAY['', $5]) -> '') END
     WHERE id = $1 AND ",
    is_our_epoch!()
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
                Err(self.backend.sorted(error))
            }
        }
    }
}

async fn write(connection: &mut PgConnection, lines: &Reparsed) -> Result<(), Trouble> {
    let counted = sqlx::query(COUNT)
        .bind(lines.file.0)
        .bind(lines.taken.len() as i64)
        .bind(lines.rows.rows() as i64)
        .bind(lines.excluded as i64)
        .bind(&lines.format)
        .execute(&mut *connection)
        .await?;
    if counted.rows_affected() != 1 {
        return Err(Trouble::Moved); // the schema is another one by now
    }
    let taken = sqlx::query(TAKE)
        .bind(lines.file.0)
        .bind(lines.taken.iter().map(|(offset, _)| *offset as i64).collect::<Vec<_>>())
        .bind(lines.taken.iter().map(|(_, at)| time(*at)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    if taken.rows_affected() != lines.taken.len() as u64 {
        return Err(Trouble::Moved);
    }
    let rows = &lines.rows.gunicorn_log;
    copy(connection, Table::GunicornLog, &Batch::GUNICORN_LOG, rows).await?;
    let requests = &lines.rows.request_log;
    copy(connection, Table::RequestLog, &Batch::REQUEST_LOG, requests).await?;
    rollup::add(connection, &lines.rows.rollup).await?;
    Ok(())
}
