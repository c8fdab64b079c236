//! Counts of rows by minute and by hour, written in the transaction that stores the rows.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::model::{Counts, Period, Rollup};
use crate::store::sql::add_counts;
use crate::store::time::Time;

/// Counts that one statement adds.
const AT_ONCE: usize = 256;

const NEW: &str = "
    SELECT n, f, i, s, r, c, e, o, b, d::int8[]
      FROM unnest($1::timestamptz[], $2::int4[], $3::int8[], $4::int8[], $5::int8[],
                  $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::text[])
        AS new (n, f, i, s, r, c, e, o, b, d)";

/// A sum that a `bigint` cannot hold stays at the largest one.
const RESPONSE_BYTES: &str =
    "least(9223372036854775807, c.response_bytes::numeric + excluded.response_bytes)";

/// Histograms are as long as their last bucket that counts something.
const DURATIONS: &str = "
    CASE WHEN excluded.durations = '{}' THEN c.durations ELSE ARRAY(
        SELECT coalesce(had, 0) + coalesce(more, 0)
          FROM unnest(c.durations, excluded.durations)
          WITH ORDINALITY AS added (had, more, bucket) ORDER BY bucket) END";

/// Adds to the counts. The transaction has locked the row of the file in `log_file` before, so that two
/// transactions cannot wait for each other here.
pub(super) async fn add(connection: &mut PgConnection, rollup: &Rollup) -> Result<(), sqlx::Error> {
    for period in Period::ALL {
        let sql = add_counts(period, NEW, RESPONSE_BYTES, DURATIONS);
        let mut all = rollup.by(period);
        loop {
            let some: Vec<Counts> = all.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            send(connection, Arc::clone(&sql), &some).await?;
        }
    }
    Ok(())
}

async fn send(
    connection: &mut PgConnection,
    sql: Arc<str>,
    all: &[Counts],
) -> Result<(), sqlx::Error> {
    let class = |class: usize| -> Vec<i64> { all.iter().map(|it| it.rows[class]).collect() };
    sqlx::query(AssertSqlSafe(sql))
        .bind(each(all, |it| Time(it.start)))
        .bind(each(all, |it| it.file.0))
        .bind(class(0))
        .bind(class(1))
        .bind(class(2))
        .bind(class(3))
        .bind(class(4))
        .bind(class(5))
        .bind(each(all, |it| it.response_bytes))
        .bind(each(all, |it| array(&it.durations)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes an array as PostgreSQL does: arrays of arrays of several lengths cannot be sent as such.
fn array(counts: &[i64]) -> String {
    let counts: Vec<String> = counts.iter().map(i64::to_string).collect();
    format!("{{{}}}", counts.join(","))
}

fn each<T>(all: &[Counts], field: impl Fn(&Counts) -> T) -> Vec<T> {
    all.iter().map(field).collect()
}
