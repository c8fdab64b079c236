//! A partition for each UTC day, made before its first row.
//!
//! A day is made as a table of its own and then attached. `CREATE TABLE … PARTITION OF` would lock
//! the parent against all other sessions, and a one-hour SELECT that is open on it would stall ingest
//! at midnight. ATTACH lets others read and write. There is no default partition, since each
//! ATTACH would have to read all of it.
//!
//! Ten daemons may need the same day at once, and a sweep may drop another: all of them first take
//! one advisory lock. It is held for milliseconds; ingest into days that exist does not need it.

use std::collections::HashSet;
use std::ops::Range;

use chrono::{DateTime, Datelike, Days};
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::citus::Placement;
use super::side::Side;
use super::wire::Wire;
use super::{PgLane, PgWriter, Postgres, lock};
use crate::model::Batch;
use crate::store::answers::Table;
use crate::store::error::{self, Explanation, Kind, StoreError};

/// Days with a partition of their own: 2000-01-01 until before 2100-01-01. The others share two
/// that are always there.
pub(in crate::store) const OWN_PARTITION: Range<i32> = 10_957..47_482;

/// Returns the names of the attached partitions of the newest days, with commas between them: no commit has to ask
/// for these. 300 are those of a hundred days or more.
pub(super) const NEWEST: &str = "
    SELECT string_agg(name, ',') FROM (
        SELECT c.relname::text AS name FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
         WHERE NOT inhdetachpending
           AND inhparent IN (to_regclass('gunicorn_log'), to_regclass('request_log'),
                             to_regclass('rejected_line'))
           AND c.relname ~ '_[0-9]{8}$'
         ORDER BY right(c.relname, 8) DESC LIMIT 300) AS newest";

/// How a partition's comment begins. A detached table with this comment is ours to drop; one that
/// a person made under such a name is not.
pub(super) const ONE_DAY: &str = "One day of";

/// `gunicorn_log_20261123`.
pub(super) fn partition(table: Table, day: i32) -> String {
    let date = date(day);
    format!("{}_{:04}{:02}{:02}", table.name(), date.year(), date.month(), date.day())
}

/// The first moment of a day, for a partition's bounds.
pub(super) fn midnight(day: i32) -> String {
    date(day).format("%Y-%m-%d 00:00:00+00").to_string()
}

fn date(day: i32) -> chrono::NaiveDate {
    let days = Days::new(u64::try_from(day).unwrap_or(0));
    DateTime::UNIX_EPOCH.date_naive().checked_add_days(days).unwrap_or_default()
}

/// The day that a partition of `table` is named for.
pub(super) fn day_of(table: Table, partition: &str) -> Option<i32> {
    let digits = partition.strip_prefix(table.name())?.strip_prefix('_')?;
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let date = chrono::NaiveDate::parse_from_str(digits, "%Y%m%d").ok()?;
    i32::try_from(date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days()).ok()
}

impl PgWriter {
    pub(super) async fn ensure_days(&mut self, batch: &Batch) -> Result<(), StoreError> {
        ensure(&self.backend, &mut self.wire, &mut self.side, batch).await
    }
}

impl PgLane {
    pub(super) async fn ensure_days(&mut self, batch: &Batch) -> Result<(), StoreError> {
        ensure(&self.backend, &mut self.wire, &mut self.side, batch).await
    }
}

/// Forgets that the days of a batch were there: a sweep may have dropped one.
pub(super) fn forget(backend: &Postgres, batch: &Batch) {
    let mut known = backend.known_days();
    for day in wanted(batch) {
        known.remove(&day);
    }
}

impl Postgres {
    pub(in crate::store) async fn prepare_days(&self, days: Range<i32>) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let wanted =
            Table::ALL.into_iter().flat_map(|table| days.clone().map(move |it| (table, it)));
        let wanted = wanted.filter(|(_, day)| OWN_PARTITION.contains(day)).collect();
        self.make_days(&mut connection, wanted).await
    }

    /// Makes those of these partitions that are missing. Those that are known cost nothing.
    pub(super) async fn make_days(
        &self,
        connection: &mut PgConnection,
        mut wanted: Vec<(Table, i32)>,
    ) -> Result<(), StoreError> {
        wanted.retain(|day| !self.known_days().contains(day));
        if wanted.is_empty() {
            return Ok(());
        }
        let there = sqlx::raw_sql(AssertSqlSafe(attached_of(&wanted)));
        let there = there.fetch_all(&mut *connection).await.map_err(error::failed(&self.name))?;
        let there = there.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>();
        let missing = self.missing(wanted, &there.map_err(error::failed(&self.name))?);
        make_all(self, connection, missing).await
    }

    /// Remembers the days of these partitions, an answer to [`NEWEST`].
    pub(super) fn remember(&self, partitions: &str) {
        let day = |name| Table::ALL.into_iter().find_map(|it| Some((it, day_of(it, name)?)));
        self.known_days().extend(partitions.split(',').filter_map(day));
    }

    /// Returns those of the days that are not among the attached partitions, and remembers the others.
    fn missing(&self, wanted: Vec<(Table, i32)>, attached: &HashSet<String>) -> Vec<(Table, i32)> {
        let (there, missing): (Vec<_>, Vec<_>) = { wanted.into_iter() }
            .partition(|(table, day)| attached.contains(&partition(*table, *day)));
        self.known_days().extend(there);
        missing
    }
}

fn wanted(batch: &Batch) -> Vec<(Table, i32)> {
    let days = [&batch.days, &batch.request_days, &batch.rejected_days];
    let days = Table::ALL.into_iter().zip(days);
    let days = days.flat_map(|(table, days)| days.iter().map(move |day| (table, *day)));
    days.filter(|(_, day)| OWN_PARTITION.contains(day)).collect()
}

/// Makes sure that each day of a batch has its partition. Days that are known cost nothing, and those that
/// are there one question for all.
async fn ensure(
    backend: &Postgres,
    wire: &mut Wire,
    side: &mut Side,
    batch: &Batch,
) -> Result<(), StoreError> {
    let mut wanted = wanted(batch);
    backend.fresh().extend(&wanted);
    wanted.retain(|day| !backend.known_days().contains(day));
    if wanted.is_empty() {
        return Ok(());
    }
    let attached = wire.query(&attached_of(&wanted)).await.map_err(error::failed(&backend.name))?;
    let missing = backend.missing(wanted, &attached.into_iter().flatten().flatten().collect());
    if missing.is_empty() {
        return Ok(());
    }
    make_all(backend, side.get().await?, missing).await
}

/// Returns the question which of these days have a partition that is attached.
fn attached_of(wanted: &[(Table, i32)]) -> String {
    let names: Vec<String> = { wanted.iter() }
        .map(|(table, day)| format!("to_regclass('{}')", partition(*table, *day)))
        .collect();
    format!(
        "SELECT c.relname::text FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
          WHERE NOT inhdetachpending AND inhrelid IN ({})
            AND inhparent IN (to_regclass('gunicorn_log'), to_regclass('request_log'),
                              to_regclass('rejected_line'))",
        names.join(", ")
    )
}

async fn make_all(
    backend: &Postgres,
    connection: &mut PgConnection,
    mut wanted: Vec<(Table, i32)>,
) -> Result<(), StoreError> {
    wanted.retain(|day| !backend.known_days().contains(day));
    for (table, day) in wanted {
        let placement = backend.placement();
        under_lock(connection, async |connection| make(connection, table, day, placement).await)
            .await
            .map_err(|error| no_partition(backend, table, day, error))?;
        backend.known_days().insert((table, day));
    }
    Ok(())
}

/// Returns the error for a day without a partition, with the command that makes it.
fn no_partition(backend: &Postgres, table: Table, day: i32, error: sqlx::Error) -> StoreError {
    if error::code(&error) != "42501" {
        return error::from_sqlx(&backend.name, error);
    }
    let (table, date) = (table.name(), date(day));
    let why = error.as_database_error().map(DatabaseError::message).unwrap_or_default();
    let why = format!(
        "{table} has no partition for {date}, and this user may not make one ({why}): the tables' \
         owner makes it with `log-ingestd migrate --days 7 --since {date}`"
    );
    Kind::Refused.error(&backend.name, Explanation(why))
}

/// Runs a step while no other session makes or drops partitions. The lock is the session's, since some
/// steps refuse to run inside a transaction.
pub(super) async fn under_lock<T>(
    connection: &mut PgConnection,
    step: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    lock::wait(connection, lock::DAYS).await?;
    let result = step(connection).await;
    let unlocked = sqlx::query("SELECT pg_advisory_unlock($1, $2)")
        .bind(lock::NAMESPACE)
        .bind(lock::DAYS)
        .execute(connection)
        .await;
    match (result, unlocked) {
        (Ok(value), Ok(_)) => Ok(value),
        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
    }
}

/// Whether a partition belongs to its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attached {
    Yes,
    /// A DETACH … CONCURRENTLY was cut short; its rows are not visible any more.
    Leaving,
    No,
}

pub(super) async fn attached(
    connection: &mut PgConnection,
    table: Table,
    name: &str,
) -> Result<Attached, sqlx::Error> {
    let pending: Option<bool> = sqlx::query_scalar(
        "SELECT inhdetachpending FROM pg_inherits
          WHERE inhparent = to_regclass($1) AND inhrelid = to_regclass($2)",
    )
    .bind(table.name())
    .bind(name)
    .fetch_optional(connection)
    .await?;
    Ok(match pending {
        Some(false) => Attached::Yes,
        Some(true) => Attached::Leaving,
        None => Attached::No,
    })
}

/// Makes and attaches a day. It also attaches a table again that a sweep detached and, because its
/// process ended, did not drop.
async fn make(
    connection: &mut PgConnection,
    table: Table,
    day: i32,
    placement: Placement,
) -> Result<(), sqlx::Error> {
    let (parent, name) = (table.name(), partition(table, day));
    match attached(connection, table, &name).await? {
        Attached::Yes => return Ok(()),
        Attached::Leaving => finalize(connection, table, &name).await?,
        Attached::No => {}
    }
    let (from, to) = (midnight(day), midnight(day + 1));
    let steps = [
        format!("CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL)"),
        format!("COMMENT ON TABLE {name} IS '{ONE_DAY} {parent}'"),
        format!(
            "ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
        ),
    ];
    if placement == Placement::OneServer {
        // Without BEGIN, a message is a transaction.
        let all = AssertSqlSafe(steps.join("; "));
        return sqlx::raw_sql(all).execute(connection).await.map(|_| ());
    }
    // One by one, since Citus refuses several in one message; all or none.
    let mut tx = connection.begin().await?;
    for step in steps {
        sqlx::raw_sql(AssertSqlSafe(step)).execute(&mut *tx).await?;
    }
    tx.commit().await
}

pub(super) async fn finalize(
    connection: &mut PgConnection,
    table: Table,
    name: &str,
) -> Result<(), sqlx::Error> {
    let parent = table.name();
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER TABLE {parent} DETACH PARTITION {name} FINALIZE")))
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_for_its_day_and_tells_it_again() {
        for (day, name) in [
            (10_957, "gunicorn_log_20000101"),
            (11_016, "gunicorn_log_20000229"),
            (47_481, "gunicorn_log_20991231"),
        ] {
            assert_eq!(partition(Table::GunicornLog, day), name);
            assert_eq!(day_of(Table::GunicornLog, name), Some(day));
        }
        assert_eq!(midnight(47_482), "2100-01-01 00:00:00+00");
    }

    #[test]
    fn other_tables_are_no_day() {
        for name in ["gunicorn_log_before_2000", "gunicorn_log_2026112", "request_log_20261123"] {
            assert_eq!(day_of(Table::GunicornLog, name), None, "{name}");
        }
    }
}
