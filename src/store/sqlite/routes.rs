//! Counts of rows by route, written in the transaction that stores the rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Sqlite;
use super::rollup::{RESPONSE_BYTES, array};
use crate::model::{
    FileId, Micros, Rollup, RouteCounts, RoutePeriod, RouteTally, histogram, replaced,
};
use crate::store::rows;
use crate::store::sql::{ROUTE_COLUMNS, add_routes, route_table_of};
use crate::store::time::Time;

const DAY_US: Micros = 86_400_000_000;

const NEW: &str = "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// A sum that an integer cannot hold becomes a float in SQLite: it stays at the largest one.
const DURATION_SUM: &str = "min(c.duration_sum + excluded.duration_sum, 9223372036854775807)";

/// The routes of a day, and whether they had nothing but client errors.
const ROUTES_OF_DAY: &str = "
    SELECT route, sum(informational + successful + redirection + server_error + other) = 0
      FROM gunicorn_route_day WHERE day = ?1 GROUP BY route";

/// Adds to the counts of routes. As in [`rollup::add`](super::rollup::add) the transaction is the only one that
/// writes.
pub(super) async fn add(
    backend: &Sqlite,
    connection: &mut SqliteConnection,
    rollup: &Rollup,
) -> Result<(), sqlx::Error> {
    for (period, all) in
        RoutePeriod::ALL.into_iter().zip(admitted(backend, connection, rollup).await?)
    {
        let (table, column) = route_table_of(period);
        let durations = format!(
            "SELECT durations FROM {table} WHERE {column} = ?1 AND log_file = ?2 AND route = ?3"
        );
        let durations: Arc<str> = durations.into();
        let add = adds(period);
        for mut it in all {
            let had: Option<String> = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&durations)))
                .bind(Time(it.counts.start))
                .bind(it.counts.file.0)
                .bind(&*it.route)
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(had) = had {
                histogram::add(&mut it.counts.durations, &array(&had)?);
            }
            send(connection, Arc::clone(&add), &it).await?;
        }
    }
    Ok(())
}

/// Changes the counts of `file` by route as rows of `added` take the place of those of `removed`.
pub(super) async fn change(
    (backend, connection): (&Sqlite, &mut SqliteConnection),
    file: FileId,
    removed: &Rollup,
    added: &Rollup,
) -> Result<(), sqlx::Error> {
    for (period, added) in
        RoutePeriod::ALL.into_iter().zip(admitted(backend, connection, added).await?)
    {
        let removed = removed.routes.by(period);
        let (table, column) = route_table_of(period);
        let read = format!(
            "SELECT {column} AS start, {ROUTE_COLUMNS} FROM {table} WHERE {column} = ?1 AND log_file = ?2"
        );
        let read: Arc<str> = read.into();
        let remove =
            format!("DELETE FROM {table} WHERE {column} = ?1 AND log_file = ?2 AND route = ?3");
        let remove: Arc<str> = remove.into();
        let starts: BTreeSet<Micros> =
            removed.iter().chain(&added).map(|it| it.counts.start).collect();
        let mut stored = Vec::new();
        for start in starts {
            let query =
                sqlx::query(AssertSqlSafe(Arc::clone(&read))).bind(Time(start)).bind(file.0);
            for row in &query.fetch_all(&mut *connection).await? {
                stored.push(rows::route(file, row)?);
            }
        }
        for ((start, route), left) in replaced(stored, removed, added) {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(&remove))).bind(Time(start));
            query.bind(file.0).bind(&*route).execute(&mut *connection).await?;
            if let Some(left) = left {
                send(connection, adds(period), &left).await?;
            }
        }
    }
    Ok(())
}

/// Returns the counts by hour and by day, as far as routes are counted by themselves.
async fn admitted(
    backend: &Sqlite,
    connection: &mut SqliteConnection,
    rollup: &Rollup,
) -> Result<[Vec<RouteCounts>; 2], sqlx::Error> {
    ensure(backend, connection, &rollup.routes).await?;
    Ok(rollup.routes.admitted(&mut backend.known_routes()))
}

/// Reads which routes the days of these rows have, unless that is known.
async fn ensure(
    backend: &Sqlite,
    connection: &mut SqliteConnection,
    routes: &RouteTally,
) -> Result<(), sqlx::Error> {
    let unknown = backend.known_routes().unknown(routes);
    for day in unknown {
        let start = Time(Micros::from(day) * DAY_US);
        let query = sqlx::query_as(ROUTES_OF_DAY).bind(start);
        let found: Vec<(String, bool)> = query.fetch_all(&mut *connection).await?;
        let mut known = backend.known_routes();
        known.knows(day);
        found.iter().for_each(|(route, failing)| known.add(day, route, *failing));
    }
    Ok(())
}

fn adds(period: RoutePeriod) -> Arc<str> {
    add_routes(period, NEW, [RESPONSE_BYTES, DURATION_SUM, "excluded.durations"])
}

async fn send(
    connection: &mut SqliteConnection,
    sql: Arc<str>,
    it: &RouteCounts,
) -> Result<(), sqlx::Error> {
    let mut query =
        sqlx::query(AssertSqlSafe(sql)).bind(Time(it.counts.start)).bind(it.counts.file.0);
    for rows in it.counts.rows {
        query = query.bind(rows);
    }
    let durations = serde_json::to_string(&it.counts.durations)
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let query = query.bind(it.counts.response_bytes).bind(it.duration).bind(durations);
    query.bind(&*it.route).execute(connection).await?;
    Ok(())
}
