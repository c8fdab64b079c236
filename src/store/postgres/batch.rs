//! Several statements in one round trip, over the driver's connection.

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, PgConnection};

use crate::store::statement::{Statement, message};

/// Runs a message of statements, and returns the rows of each.
pub(in crate::store) async fn batch(
    connection: &mut PgConnection,
    message: &str,
) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    let mut answers = vec![Vec::new()];
    let message = AssertSqlSafe(message.to_owned());
    let mut received = sqlx::raw_sql(message).fetch_many(connection);
    while let Some(next) = received.try_next().await? {
        match next {
            Either::Right(row) => {
                if let Some(rows) = answers.last_mut() {
                    rows.push(row);
                }
            }
            Either::Left(_) => answers.push(Vec::new()), // a statement has ended
        }
    }
    answers.pop();
    Ok(answers)
}

/// Runs statements in a transaction that begins so.
pub(in crate::store) async fn transact(
    connection: &mut PgConnection,
    begin: &str,
    statements: &[Statement],
) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    if let [_] = statements {
        return batch(connection, &message(statements)).await;
    }
    let all = format!("{begin};{};COMMIT", message(statements));
    match batch(connection, &all).await {
        Ok(mut answers) => {
            answers.pop();
            Ok(answers.split_off(1.min(answers.len())))
        }
        Err(error) => {
            // This error is the one to return. If the connection is lost, the server rolls back by itself.
            let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
            Err(error)
        }
    }
}
