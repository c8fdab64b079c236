//! Rows counted by minute, in the transaction that stores them.

use sqlx::SqliteConnection;

use super::clock;
use crate::model::Minutes;

/// A sum of bytes that an integer cannot hold becomes a float in SQLite: it stays at the largest one.
const ADD: &str = "
    INSERT INTO gunicorn_minute
           (minute, log_file, informational, successful, redirection, client_error, server_error,
            other, response_bytes)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (minute, log_file) DO UPDATE
       SET informational = informational + excluded.informational,
           successful = successful + excluded.successful,
           redirection = redirection + excluded.redirection,
           client_error = client_error + excluded.client_error,
           server_error = server_error + excluded.server_error,
           other = other + excluded.other,
           response_bytes =
               max(0, min(response_bytes + excluded.response_bytes, 9223372036854775807))";

const EMPTY: &str = "
    DELETE FROM gunicorn_minute
     WHERE minute = ?1 AND log_file = ?2
       AND informational + successful + redirection + client_error + server_error + other <= 0";

/// Adds to the counts.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    minutes: &Minutes,
) -> Result<(), sqlx::Error> {
    for minute in minutes.merged() {
        let mut query = sqlx::query(ADD).bind(clock::text(minute.start)).bind(minute.file.0);
        for rows in minute.rows {
            query = query.bind(rows);
        }
        query.bind(minute.response_bytes).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes rows that leave from the counts.
pub(super) async fn take(
    connection: &mut SqliteConnection,
    minutes: Minutes,
) -> Result<(), sqlx::Error> {
    let minutes = minutes.negated();
    add(connection, &minutes).await?;
    for minute in minutes.merged() {
        sqlx::query(EMPTY)
            .bind(clock::text(minute.start))
            .bind(minute.file.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
