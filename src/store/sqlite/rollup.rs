//! Counts of rows by minute and by hour, written in the transaction that stores the rows.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::model::{Period, Rollup, histogram};
use crate::store::sql::{add_counts, table_of};
use crate::store::time::Time;

const NEW: &str = "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A sum that an integer cannot hold becomes a float in SQLite: it stays at the largest one.
const RESPONSE_BYTES: &str = "min(c.response_bytes + excluded.response_bytes, 9223372036854775807)";

/// Adds to the counts. The transaction is the only one that writes, so a histogram may be read, added to
/// here and written back.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    rollup: &Rollup,
) -> Result<(), sqlx::Error> {
    for period in Period::ALL {
        let (table, column) = table_of(period);
        let durations =
            format!("SELECT durations FROM {table} WHERE {column} = $1 AND log_file = $2");
        let durations: Arc<str> = durations.into();
        let add = add_counts(period, NEW, RESPONSE_BYTES, "excluded.durations");
        for mut counts in rollup.by(period) {
            let had: Option<String> = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&durations)))
                .bind(Time(counts.start))
                .bind(counts.file.0)
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(had) = had {
                histogram::add(&mut counts.durations, &array(&had)?);
            }
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&add)))
                .bind(Time(counts.start))
                .bind(counts.file.0);
            for rows in counts.rows {
                query = query.bind(rows);
            }
            let durations = serde_json::to_string(&counts.durations)
                .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
            query.bind(counts.response_bytes).bind(durations).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Reads the histogram of a text.
pub(in crate::store) fn array(text: &str) -> Result<Vec<i64>, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::ColumnDecode {
        index: "durations".to_owned(),
        source: Box::new(error),
    })
}
