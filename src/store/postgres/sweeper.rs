//! Removal of old rows: whole partitions by DETACH and DROP, the others by small deletes. A partition has a day,
//! or a month or a year that was old already when its rows came.
//!
//! # Why a day may be postponed
//!
//! A plain DETACH or DROP locks the parent against all other transactions: with a one-hour SELECT
//! open, it would wait for the SELECT, and ingest would wait for it. DETACH … CONCURRENTLY blocks no
//! transaction, but it waits for all that use the parent now. Until it ends, the rows of the day are
//! invisible, and a late line of that day has no partition. So a sweep first lists the transactions
//! that use the parent, waits for them a short time, and postpones the day if they stay. A transaction
//! may still begin between that check and the DETACH. Then a lock_timeout ends the wait, and the next
//! sweep (or the next line of that day) finishes with FINALIZE.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::citus::{self, Placement};
use super::days::{Attached, Parts, attached, finalize, under_lock};
use super::layout::{OWN_PARTITION, comments, days_of, partition};
use super::{Postgres, lock};
use crate::model::Micros;
use crate::store::answers::{DayRange, Table};
use crate::store::error::{self, StoreError, failed};
use crate::store::sweeper::DayRemoved;
use crate::store::time::Time;

const DAY_US: i64 = 86_400_000_000;

/// How long a transaction that uses the table may last to count as short.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two checks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a DETACH waits for transactions that began after the check.
const SHORT_WAIT: &str = "SET lock_timeout = '3s'";
/// The timeout of every session.
const USUAL_WAIT: &str = "SET lock_timeout = '10s'";

/// One session that holds the sweepers' lock.
#[derive(Debug)]
pub(in crate::store) struct PgSweeper {
    pub(in crate::store) backend: Arc<Postgres>,
    pub(in crate::store) connection: PgConnection,
}

impl Postgres {
    pub(in crate::store) async fn sweeper(
        self: &Arc<Self>,
    ) -> Result<Option<PgSweeper>, StoreError> {
        let session = self.connect_and_lock(lock::SWEEP).await?;
        Ok(session.map(|connection| PgSweeper { backend: Arc::clone(self), connection }))
    }

    /// Checks without taking the lock: a sweep that began in that instant would end at once.
    pub(in crate::store) async fn is_being_swept(&self) -> Result<bool, StoreError> {
        let mut connection = self.connect().await?;
        let is_held = AssertSqlSafe(lock::is_held(lock::SWEEP));
        let held = sqlx::query_scalar(is_held).fetch_one(&mut connection).await;
        held.map_err(failed(&self.name))
    }
}

impl PgSweeper {
    /// Returns the connection, which is always open.
    #[expect(clippy::unused_async, reason = "other sessions may have to connect")]
    pub(in crate::store) async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        Ok(&mut self.connection)
    }

    /// Ends the sweep: from now on another one may begin. The lock would end with the session, but the
    /// server needs a moment to notice that the client has gone.
    pub(in crate::store) async fn end(mut self) {
        let unlock = sqlx::query("SELECT pg_advisory_unlock($1, $2)")
            .bind(lock::NAMESPACE)
            .bind(lock::SWEEP)
            .execute(&mut self.connection);
        // If the connection is lost, the lock ends with it.
        let _ = unlock.await;
        let _ = self.connection.close().await;
    }

    /// Returns the days of attached partitions, of those whose DETACH was cut short, and of tables that were
    /// detached and not dropped.
    pub(in crate::store) async fn whole_days(
        &mut self,
        table: Table,
        cutoff: Micros,
    ) -> Result<Vec<DayRange>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_class c JOIN pg_class p USING (relnamespace)
              WHERE p.oid = to_regclass($1) AND c.relkind = 'r' AND starts_with(c.relname, $1)
                AND obj_description(c.oid, 'pg_class') = ANY ($2)",
        )
        .bind(table.name())
        .bind(comments(table))
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed(&self.backend.name))?;
        let last = cutoff.div_euclid(DAY_US);
        let days = names.iter().filter_map(|name| days_of(table, name));
        let mut days: Vec<DayRange> = days.filter(|it| i64::from(it.end) <= last).collect();
        days.sort_unstable();
        Ok(days)
    }

    /// Counts the rows between two short locks, because that can take a while, and midnight's partitions
    /// must not wait for it. A late line may attach the day again meanwhile.
    pub(in crate::store) async fn remove_days(
        &mut self,
        table: Table,
        days: DayRange,
    ) -> Result<DayRemoved, StoreError> {
        let name = partition(table, days);
        let connection = &mut self.connection;
        let removing = async {
            if !unused(connection, table).await? {
                return Ok(DayRemoved::Postponed);
            }
            let placement = self.backend.placement();
            under_lock(connection, async |it| detach(it, table, &name, placement).await).await?;
            self.backend.known_days().remove(table, days.first);
            let count = format!("SELECT count(*) FROM {name}");
            let rows: i64 =
                sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *connection).await?;
            let dropped =
                under_lock(connection, async |it| drop_part(it, table, &name).await).await?;
            Ok(if dropped { DayRemoved::Rows(rows as u64) } else { DayRemoved::Postponed })
        };
        match removing.await {
            Ok(removed) => Ok(removed),
            // Locked (55P03), or another day of this table is still leaving (55000).
            Err(error) if ["55P03", "55000"].contains(&error::code(&error).as_str()) => {
                Ok(DayRemoved::Postponed)
            }
            Err(error) => Err(error::from_sqlx(&self.backend.name, error)),
        }
    }

    /// Deletes from the partition that the cutoff cuts and from years before 2000; after 2100, from the last
    /// partition too.
    pub(in crate::store) async fn delete(
        &mut self,
        table: Table,
        cutoff: Micros,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let column = table.time_column();
        let mut partitions = vec![format!("{}_before_2000", table.name())];
        let day = i32::try_from(cutoff.div_euclid(DAY_US)).unwrap_or(i32::MAX);
        if OWN_PARTITION.contains(day) {
            let parts = Parts::of(&mut self.connection, &[table]).await;
            let parts = parts.map_err(failed(&self.backend.name))?;
            let cut = parts.part(table, day).filter(|it| days_of(table, &it.name) == Some(it.days));
            partitions.extend(cut.map(|part| part.name.clone()));
        } else if day >= OWN_PARTITION.end {
            partitions.push(format!("{}_from_2100", table.name()));
        }
        let mut deleted = 0;
        for name in partitions {
            let there = attached(&mut self.connection, table, &name).await;
            if there.map_err(failed(&self.backend.name))? != Attached::Yes {
                continue;
            }
            let limit = limit.saturating_sub(u32::try_from(deleted).unwrap_or(u32::MAX));
            if limit == 0 {
                break;
            }
            deleted += self.delete_before(&name, column, cutoff, limit).await?;
        }
        Ok(deleted)
    }

    /// Deletes rows of one table with a time before `cutoff`, at most `limit`.
    pub(in crate::store) async fn delete_before(
        &mut self,
        table: &str,
        column: &str,
        cutoff: Micros,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let connection = &mut self.connection;
        let deleted = if self.backend.is_distributed() {
            citus::delete(connection, (table, column), cutoff, limit).await
        } else {
            // A row's place is stable within one statement, and cheaper to find than its key.
            let sql = format!(
                "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM {table} WHERE {column} < $1 LIMIT $2))"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(Time(cutoff)).bind(i64::from(limit));
            query.execute(connection).await.map(|done| done.rows_affected())
        };
        deleted.map_err(failed(&self.backend.name))
    }
}

/// Detaches a partition, and continues what a crash left half-way.
async fn detach(
    connection: &mut PgConnection,
    table: Table,
    name: &str,
    placement: Placement,
) -> Result<(), sqlx::Error> {
    match attached(connection, table, name).await? {
        Attached::Leaving => finalize(connection, table, name).await,
        Attached::No => Ok(()),
        Attached::Yes => {
            // Only one day of a table may be leaving at a time.
            if let Some(other) = leaving(connection, table).await? {
                finalize(connection, table, &other).await?;
            }
            sqlx::raw_sql(SHORT_WAIT).execute(&mut *connection).await?;
            // Citus has only the DETACH that locks the parent. The transactions that used it have ended,
            // and the short timeout holds for later ones.
            let how = match placement {
                Placement::Distributed => "",
                Placement::OneServer => "CONCURRENTLY",
            };
            let detach = format!("ALTER TABLE {} DETACH PARTITION {name} {how}", table.name());
            let detached = sqlx::raw_sql(AssertSqlSafe(detach)).execute(&mut *connection).await;
            sqlx::raw_sql(USUAL_WAIT).execute(connection).await?;
            detached.map(|_| ())
        }
    }
}

/// Returns `false` if the partition was attached again.
async fn drop_part(
    connection: &mut PgConnection,
    table: Table,
    name: &str,
) -> Result<bool, sqlx::Error> {
    if attached(connection, table, name).await? != Attached::No {
        return Ok(false);
    }
    sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {name}"))).execute(connection).await?;
    Ok(true)
}

async fn leaving(
    connection: &mut PgConnection,
    table: Table,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = to_regclass($1) AND i.inhdetachpending",
    )
    .bind(table.name())
    .fetch_optional(connection)
    .await
}

/// Returns whether all transactions that use the table now end within [`PATIENCE`]. Later ones do not
/// matter: a DETACH waits only for those before it.
pub(super) async fn unused(
    connection: &mut PgConnection,
    table: Table,
) -> Result<bool, sqlx::Error> {
    let give_up = Instant::now() + PATIENCE;
    let mut waited_for = users(connection, table).await?;
    while !waited_for.is_empty() {
        if Instant::now() >= give_up {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let now = users(connection, table).await?;
        waited_for.retain(|user| now.contains(user));
    }
    Ok(true)
}

/// Returns the transactions of other sessions that hold a lock on the table.
async fn users(
    connection: &mut PgConnection,
    table: Table,
) -> Result<HashSet<String>, sqlx::Error> {
    let users: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT virtualtransaction FROM pg_locks
          WHERE locktype = 'relation' AND relation = to_regclass($1)
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND virtualtransaction NOT IN
                (SELECT virtualtransaction FROM pg_locks WHERE pid = pg_backend_pid())",
    )
    .bind(table.name())
    .fetch_all(connection)
    .await?;
    Ok(users.into_iter().collect())
}
