//! Rows counted by minute, in the transaction that stores them.

use sqlx::PgConnection;

use super::time;
use crate::model::{Minute, Minutes};

/// A sum of bytes that a `bigint` cannot hold stays at the largest one.
const ADD: &str = "
    INSERT INTO gunicorn_minute AS m
           (minute, log_file, informational, successful, redirection, client_error, server_error,
            other, response_bytes)
    SELECT * FROM unnest($1::timestamptz[], $2::int4[], $3::int8[], $4::int8[], $5::int8[],
                         $6::int8[], $7::int8[], $8::int8[], $9::int8[])
        ON CONFLICT (minute, log_file) DO UPDATE
       SET informational = m.informational + excluded.informational,
           successful = m.successful + excluded.successful,
           redirection = m.redirection + excluded.redirection,
           client_error = m.client_error + excluded.client_error,
           server_error = m.server_error + excluded.server_error,
           other = m.other + excluded.other,
           response_bytes = greatest(0, least(9223372036854775807,
                m.response_bytes::numeric + excluded.response_bytes))";

const EMPTY: &str = "
    DELETE FROM gunicorn_minute
     WHERE minute = ANY ($1) AND informational <= 0 AND successful <= 0 AND redirection <= 0
       AND client_error <= 0 AND server_error <= 0 AND other <= 0";

/// Adds to the counts. Whoever does so has the row of the file in `log_file`, so that nobody waits
/// here for one who waits for him.
pub(super) async fn add(
    connection: &mut PgConnection,
    minutes: &Minutes,
) -> Result<(), sqlx::Error> {
    let minutes = minutes.merged();
    if minutes.is_empty() {
        return Ok(());
    }
    let class = |class: usize| -> Vec<i64> { minutes.iter().map(|it| it.rows[class]).collect() };
    sqlx::query(ADD)
        .bind(each(&minutes, |minute| time(minute.start)))
        .bind(each(&minutes, |minute| minute.file.0))
        .bind(class(0))
        .bind(class(1))
        .bind(class(2))
        .bind(class(3))
        .bind(class(4))
        .bind(class(5))
        .bind(each(&minutes, |minute| minute.response_bytes))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes rows that leave from the counts.
pub(super) async fn take(
    connection: &mut PgConnection,
    minutes: Minutes,
) -> Result<(), sqlx::Error> {
    let minutes = minutes.negated();
    add(connection, &minutes).await?;
    sqlx::query(EMPTY)
        .bind(each(&minutes.merged(), |minute| time(minute.start)))
        .execute(connection)
        .await?;
    Ok(())
}

fn each<T>(minutes: &[Minute], field: impl Fn(&Minute) -> T) -> Vec<T> {
    minutes.iter().map(field).collect()
}
