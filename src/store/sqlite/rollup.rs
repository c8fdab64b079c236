//! Counts of rows by minute and by hour, written in the transaction that stores the rows.

use sqlx::SqliteConnection;

use super::clock;
use crate::model::{Counts, Period, Rollup, histogram};
use crate::store::sql::{add_classes, class_columns};

/// A sum of bytes that an integer cannot hold becomes a float in SQLite: it stays at the largest one.
macro_rules! add {
    ($table:literal, $column:literal) => {
        concat!(
            "INSERT INTO ", $table, " AS c (", $column, ", log_file, ", class_columns!(),
            ", response_bytes, durations)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (", $column, ", log_file) DO UPDATE SET ", add_classes!(), ",
                    response_bytes = min(c.response_bytes + excluded.response_bytes, 9223372036854775807),
                    durations = excluded.durations"
        )
    };
}

macro_rules! histogram {
    ($table:literal, $column:literal) => {
        concat!("SELECT durations FROM ", $table, " WHERE ", $column, " = ?1 AND log_file = ?2")
    };
}

/// The statements for the counts of one period.
struct Statements {
    period: Period,
    histogram: &'static str,
    add: &'static str,
}

const STATEMENTS: [Statements; 2] = [
    Statements {
        period: Period::Minute,
        histogram: histogram!("gunicorn_minute", "minute"),
        add: add!("gunicorn_minute", "minute"),
    },
    Statements {
        period: Period::Hour,
        histogram: histogram!("gunicorn_hour", "hour"),
        add: add!("gunicorn_hour", "hour"),
    },
];

/// Adds to the counts. The transaction is the only one that writes, so a histogram may be read, added to
/// here and written back.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    rollup: &Rollup,
) -> Result<(), sqlx::Error> {
    for statements in &STATEMENTS {
        for mut counts in rollup.by(statements.period) {
            let start = clock::text(counts.start);
            let had: Option<String> = sqlx::query_scalar(statements.histogram)
                .bind(&start)
                .bind(counts.file.0)
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(had) = had {
                histogram::add(&mut counts.durations, &array(&had)?);
            }
            send(connection, statements.add, start, &counts).await?;
        }
    }
    Ok(())
}

async fn send(
    connection: &mut SqliteConnection,
    sql: &'static str,
    start: String,
    counts: &Counts,
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(sql).bind(start).bind(counts.file.0);
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
