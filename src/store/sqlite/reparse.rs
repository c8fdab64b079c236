//! Makes rows of rejects: one transaction for some lines of one file.

use sqlx::Connection;

use super::SqliteWriter;
use super::insert::insert;
use super::writer::BEGIN;
use crate::model::Reparsed;
use crate::store::error::{StoreError, failed};
use crate::store::time::Time;
use crate::store::{bound, sql};

const COUNT: &str = sql::count_reparsed!(
    "CASE WHEN format = $5 OR EXISTS (SELECT 1 FROM json_each(other_formats) WHERE value = $5)
          THEN other_formats ELSE json_insert(other_formats, '$[#]', $5) END"
);

const TAKE: &str =
    "DELETE FROM rejected_line WHERE log_file = ?1 AND log_offset = ?2 AND rejected_at = ?3";

impl SqliteWriter {
    pub(in crate::store) async fn reparse(&mut self, lines: &Reparsed) -> Result<bool, StoreError> {
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        let take = async {
            let counted = bound::count_reparsed!(COUNT, lines).execute(&mut *tx).await?;
            if counted.rows_affected() != 1 {
                return Ok(false); // the schema was upgraded meanwhile
            }
            let mut taken = 0;
            for (offset, at) in &lines.taken {
                let done = sqlx::query(TAKE)
                    .bind(lines.file.0)
                    .bind(*offset as i64)
                    .bind(Time(*at))
                    .execute(&mut *tx)
                    .await?;
                taken += done.rows_affected();
            }
            Ok(taken == lines.taken.len() as u64)
        };
        if !take.await.map_err(failed(name))? {
            tx.rollback().await.map_err(failed(name))?;
            return Ok(false);
        }
        // An error drops the transaction, and that rolls it back.
        insert(&mut tx, &lines.rows, name).await?;
        tx.commit().await.map_err(failed(name))?;
        Ok(true)
    }
}
