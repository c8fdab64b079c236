//! Counts of rows by minute and by hour, written in the transaction that stores the rows.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::model::{Counts, FileId, Period, Rollup, histogram};
use crate::store::rows;
use crate::store::sql::{add_counts, counts_of, table_of};
use crate::store::time::Time;

const NEW: &str = "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A sum that an integer cannot hold becomes a float in SQLite: it stays at the largest one.
pub(super) const RESPONSE_BYTES: &str =
    "min(c.response_bytes + excluded.response_bytes, 9223372036854775807)";

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
            send(connection, Arc::clone(&add), &counts).await?;
        }
    }
    Ok(())
}

/// Changes the counts of `file` as rows of `added` take the place of those of `removed`.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    file: FileId,
    removed: &Rollup,
    added: &Rollup,
) -> Result<(), sqlx::Error> {
    for period in Period::ALL {
        let [read, remove] = counts_of(period, "= $2", "durations");
        let add = add_counts(period, NEW, RESPONSE_BYTES, "excluded.durations");
        for change in added.changes(removed, period) {
            let [read, remove] = [&read, &remove].map(|sql| {
                let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
                query.bind(file.0).bind(Time(change.start))
            });
            let stored = read.fetch_optional(&mut *connection).await?;
            let stored = stored.map(|row| rows::period(file, &row)).transpose()?;
            remove.execute(&mut *connection).await?;
            if let Some(counts) = Counts::changed(stored, &change) {
                send(connection, Arc::clone(&add), &counts).await?;
            }
        }
    }
    Ok(())
}

async fn send(
    connection: &mut SqliteConnection,
    sql: Arc<str>,
    counts: &Counts,
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(Time(counts.start)).bind(counts.file.0);
    for rows in counts.rows {
        query = query.bind(rows);
    }
    let durations = serde_json::to_string(&counts.durations)
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    query.bind(counts.response_bytes).bind(durations).execute(connection).await?;
    Ok(())
}

/// Reads the histogram of a text.
pub(in crate::store) fn array(text: &str) -> Result<Vec<i64>, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::ColumnDecode {
        index: "durations".to_owned(),
        source: Box::new(error),
    })
}
