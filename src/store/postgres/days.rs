//! A partition for the days of each batch, made before its first row. `layout` decides which days share one.
//!
//! A partition is made as a table of its own and then attached. `CREATE TABLE … PARTITION OF` would lock
//! the parent against all other sessions, and a one-hour SELECT that is open on it would stall ingest
//! at midnight. ATTACH lets others read and write. A default partition is not used: each ATTACH would have to
//! read all of it, and no partition could be detached while others go on.
//!
//! Ten daemons may need the same day at once, and a sweep may drop another: all of them first take
//! one advisory lock. It is held for as long as a few partitions take; ingest into days that have one does not
//! need it.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tracing::{debug, warn};

use super::carve::{self, Carved};
use super::citus::Placement;
use super::layout::{OWN_PARTITION, comment, comments, date, days_of, gap, midnight, partition};
use super::side::Side;
use super::wire::Wire;
use super::{PgLane, PgWriter, Postgres, lock};
use crate::model::Batch;
use crate::store::answers::{DayRange, Prepared, Table};
use crate::store::error::{self, Explanation, Kind, StoreError, failed};

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

/// Partitions that are made under one lock: an eighth of a second.
const AT_ONCE: usize = 16;

/// Partitions that were attached, by table and first day, with the day after their last one.
#[derive(Debug, Default)]
pub(super) struct KnownDays(BTreeMap<(Table, i32), i32>);

impl KnownDays {
    /// Returns the days of the partition that has this day.
    pub(super) fn range(&self, table: Table, day: i32) -> Option<DayRange> {
        let (&(of, first), &end) = self.0.range(..=(table, day)).next_back()?;
        (of == table && day < end).then_some(DayRange { first, end })
    }

    /// Adds a partition, in the place of those that had days of it.
    pub(super) fn insert(&mut self, table: Table, days: DayRange) {
        while let Some(old) = self.overlapping(table, days) {
            self.0.remove(&(table, old));
        }
        self.0.insert((table, days.first), days.end);
    }

    fn overlapping(&self, table: Table, days: DayRange) -> Option<i32> {
        let (&(of, first), &end) = self.0.range(..(table, days.end)).next_back()?;
        (of == table && end > days.first).then_some(first)
    }

    /// Forgets the partition that has this day.
    pub(super) fn remove(&mut self, table: Table, day: i32) {
        if let Some(days) = self.range(table, day) {
            self.0.remove(&(table, days.first));
        }
    }
}

/// A partition of a table, by its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    /// Whole days between its bounds.
    pub(super) days: DayRange,
    /// Whether a DETACH … CONCURRENTLY was cut short: its rows are not visible any more.
    pub(super) is_leaving: bool,
}

/// The partitions that there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// The current day, by the clock of the server.
    pub(super) today: i32,
    all: Vec<(Table, Part)>,
}

impl Parts {
    /// Returns the question for the partitions of these tables; each row of the answer is one text for
    /// [`Parts::read`]. A bound is printed and read by the same settings of the session.
    pub(super) fn question(tables: &[Table]) -> String {
        let tables: Vec<String> =
            tables.iter().map(|table| format!("to_regclass('{}')", table.name())).collect();
        let day = |bound: &str, round: &str, none: i32| {
            format!(
                "coalesce(CASE WHEN {bound} LIKE '''%' THEN
                     {round}(extract(epoch FROM btrim({bound}, '''')::timestamptz) / 86400) END, {none})::bigint"
            )
        };
        format!(
            "SELECT 'today ' || floor(extract(epoch FROM now()) / 86400)::bigint
             UNION ALL
             SELECT concat_ws(' ', p.relname, {}, {}, i.inhdetachpending::int, c.relname)
               FROM pg_inherits i
               JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
              CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),
                                              '^FOR VALUES FROM [(](.*)[)] TO [(](.*)[)]$') AS bounds
              WHERE i.inhparent IN ({}) AND bounds IS NOT NULL",
            day("bounds[1]", "ceil", i32::MIN),
            day("bounds[2]", "floor", i32::MAX),
            tables.join(", ")
        )
    }

    /// Reads the answer.
    pub(super) fn read(rows: impl IntoIterator<Item = String>) -> Parts {
        let mut parts = Parts::default();
        for row in rows {
            match row.strip_prefix("today ") {
                Some(today) => parts.today = today.parse().unwrap_or_default(),
                None => parts.all.extend(Part::read(&row)),
            }
        }
        parts
    }

    /// Asks for the partitions of these tables.
    pub(super) async fn of(
        connection: &mut PgConnection,
        tables: &[Table],
    ) -> Result<Parts, sqlx::Error> {
        let question = AssertSqlSafe(Parts::question(tables));
        let rows = sqlx::raw_sql(question).fetch_all(connection).await?;
        let rows = rows.iter().map(|row| row.try_get::<String, _>(0));
        Ok(Parts::read(rows.collect::<Result<Vec<_>, _>>()?))
    }

    /// Returns the partitions of a table.
    pub(super) fn of_table(&self, table: Table) -> impl Iterator<Item = &Part> {
        self.all.iter().filter(move |(of, _)| *of == table).map(|(_, part)| part)
    }

    /// Returns the partition that has this day.
    pub(super) fn part(&self, table: Table, day: i32) -> Option<&Part> {
        self.of_table(table).find(|part| part.days.contains(day))
    }

    /// Returns the days of the partition that has this day and is not leaving.
    fn range(&self, table: Table, day: i32) -> Option<DayRange> {
        self.part(table, day).filter(|part| !part.is_leaving).map(|part| part.days)
    }
}

impl Part {
    fn read(row: &str) -> Option<(Table, Part)> {
        let [table, first, end, leaving, name] =
            <[&str; 5]>::try_from(row.splitn(5, ' ').collect::<Vec<_>>()).ok()?;
        let table = Table::ALL.into_iter().find(|it| it.name() == table)?;
        let days = DayRange { first: first.parse().ok()?, end: end.parse().ok()? };
        Some((table, Part { name: name.to_owned(), days, is_leaving: leaving == "1" }))
    }
}

/// Which partition days get that are later than clocks explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Future {
    /// All of them one: lines with such times came.
    Shared,
    /// One each: they are to be ready for their lines.
    ByDay,
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
    for (table, day) in wanted(batch) {
        known.remove(table, day);
    }
}

impl Postgres {
    pub(in crate::store) async fn prepare_days(
        &self,
        days: Range<i32>,
    ) -> Result<Prepared, StoreError> {
        let wanted =
            Table::ALL.into_iter().flat_map(|table| days.clone().map(move |it| (table, it)));
        let wanted: Vec<(Table, i32)> =
            wanted.filter(|(_, day)| OWN_PARTITION.contains(*day)).collect();
        let is_ready = |(table, day): &(Table, i32)| {
            self.known_days().range(*table, *day).is_some_and(DayRange::is_one_day)
        };
        if wanted.iter().all(is_ready) {
            return Ok(Prepared::All);
        }
        let mut connection = self.connect().await?;
        make_all(self, &mut connection, &wanted, Future::ByDay).await?;
        self.take_out(&mut connection, &wanted).await
    }

    pub(in crate::store) async fn prepare_later(&self, day: i32) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let wanted = Table::ALL.into_iter().map(|table| (table, day));
        self.make_days(&mut connection, wanted.filter(|_| OWN_PARTITION.contains(day)).collect())
            .await
    }

    /// Gives those of these days a partition of their own that share one with days of the future. The days have a
    /// place without it: an error postpones it, and nothing else.
    async fn take_out(
        &self,
        connection: &mut PgConnection,
        wanted: &[(Table, i32)],
    ) -> Result<Prepared, StoreError> {
        let parts = Parts::of(connection, &Table::ALL).await.map_err(failed(&self.name))?;
        let is_shared =
            |(table, day): &&(Table, i32)| carve::shared(&parts, *table, *day).is_some();
        let shared: Vec<_> = wanted.iter().filter(is_shared).copied().collect();
        if shared.is_empty() {
            return Ok(Prepared::All);
        }
        // A copy of the database reads in one snapshot, which does not see rows that move.
        let has_lock = lock::try_take(connection, lock::SWEEP).await;
        let prepared = match has_lock.map_err(failed(&self.name))? {
            true => self.take_out_each(connection, &shared).await,
            false => Prepared::Postponed,
        };
        if prepared == Prepared::Postponed && shared.iter().any(|(_, day)| *day <= parts.today) {
            warn!(
                "rows that came before their time are still in one partition with later days, although their day has \
                 come: the tables are being read, swept or copied; it is tried again"
            );
        }
        Ok(prepared)
    }

    async fn take_out_each(
        &self,
        connection: &mut PgConnection,
        shared: &[(Table, i32)],
    ) -> Prepared {
        let mut prepared = Prepared::All;
        for &(table, day) in shared {
            let taken = carve::take_out(connection, table, day, self.placement()).await;
            match taken {
                Ok(Carved::Days(days)) => {
                    let mut known = self.known_days();
                    days.into_iter().for_each(|days| known.insert(table, days));
                }
                Ok(Carved::Postponed) => prepared = Prepared::Postponed,
                Err(error) => {
                    prepared = Prepared::Postponed;
                    warn!(
                        table = table.name(),
                        day = %DayRange::of_day(day),
                        error = %error,
                        "this day stays in one partition with later days; where a right is missing, the tables' owner \
                         gives it a partition with `log-ingestd migrate --days 7`"
                    );
                }
                Ok(Carved::TooMany) => warn!(
                    table = table.name(),
                    day = %DayRange::of_day(day),
                    limit = carve::MOST,
                    "too many rows came before their time: this day stays in one partition with later days, \
                     and a sweep removes its rows one by one"
                ),
                // Another session has done it.
                Ok(Carved::Nothing) => self.known_days().remove(table, day),
            }
        }
        if let Err(error) = lock::release(connection, lock::SWEEP).await {
            debug!(error = %error, "the lock of sweeps ends with its session");
        }
        prepared
    }

    /// Makes those of these partitions that are missing. Those that are known cost nothing.
    pub(super) async fn make_days(
        &self,
        connection: &mut PgConnection,
        mut wanted: Vec<(Table, i32)>,
    ) -> Result<(), StoreError> {
        wanted.retain(|(table, day)| self.known_days().range(*table, *day).is_none());
        make_all(self, connection, &wanted, Future::Shared).await
    }

    /// Remembers the days of these partitions, an answer to [`NEWEST`].
    pub(super) fn remember(&self, partitions: &str) {
        let mut known = self.known_days();
        for name in partitions.split(',') {
            let days = |table| Some((table, days_of(table, name)?));
            if let Some((table, days)) = Table::ALL.into_iter().find_map(days) {
                known.insert(table, days);
            }
        }
    }

    /// Returns those of the days that no partition has, and remembers the partitions of the others.
    fn missing(&self, wanted: &[(Table, i32)], parts: &Parts) -> Vec<(Table, i32)> {
        let mut known = self.known_days();
        let mut missing = Vec::new();
        for &(table, day) in wanted {
            match parts.range(table, day) {
                Some(days) => known.insert(table, days),
                None => missing.push((table, day)),
            }
        }
        missing
    }

    /// Notes the partitions of these days as those to which rows are added. Returns the days whose partition is
    /// not known.
    fn note_fresh(&self, wanted: &[(Table, i32)]) -> Vec<(Table, i32)> {
        let (known, mut fresh) = (self.known_days(), self.fresh());
        let mut unknown = Vec::new();
        for &(table, day) in wanted {
            match known.range(table, day) {
                Some(days) => drop(fresh.insert((table, days))),
                None => unknown.push((table, day)),
            }
        }
        unknown
    }
}

fn wanted(batch: &Batch) -> Vec<(Table, i32)> {
    let days = [&batch.days, &batch.request_days, &batch.rejected_days];
    let days = Table::ALL.into_iter().zip(days);
    let days = days.flat_map(|(table, days)| days.iter().map(move |day| (table, *day)));
    days.filter(|(_, day)| OWN_PARTITION.contains(*day)).collect()
}

/// Makes sure that each day of a batch has a partition. Days that are known cost nothing, and those that
/// are there one question for all.
async fn ensure(
    backend: &Postgres,
    wire: &mut Wire,
    side: &mut Side,
    batch: &Batch,
) -> Result<(), StoreError> {
    let unknown = backend.note_fresh(&wanted(batch));
    if unknown.is_empty() {
        return Ok(());
    }
    let is_asked = |table: &Table| unknown.iter().any(|(of, _)| of == table);
    let tables: Vec<Table> = Table::ALL.into_iter().filter(is_asked).collect();
    let answer = wire.query(&Parts::question(&tables)).await.map_err(failed(&backend.name))?;
    let parts = Parts::read(answer.into_iter().flatten().flatten());
    let missing = backend.missing(&unknown, &parts);
    if !missing.is_empty() {
        make_all(backend, side.get().await?, &missing, Future::Shared).await?;
    }
    backend.note_fresh(&unknown);
    Ok(())
}

/// Makes the partitions of these days, a few at a time.
async fn make_all(
    backend: &Postgres,
    connection: &mut PgConnection,
    wanted: &[(Table, i32)],
    future: Future,
) -> Result<(), StoreError> {
    for table in Table::ALL {
        let days: Vec<_> = wanted.iter().filter(|(of, _)| *of == table).copied().collect();
        if days.is_empty() {
            continue;
        }
        // If all are there, no lock is needed.
        let parts = Parts::of(connection, &[table]).await.map_err(failed(&backend.name))?;
        let mut missing = backend.missing(&days, &parts).into_iter().map(|(_, day)| day);
        loop {
            // A partition that was made just now may have many of them.
            let is_unknown = |day: &i32| backend.known_days().range(table, *day).is_none();
            let some: Vec<i32> = missing.by_ref().filter(is_unknown).take(AT_ONCE).collect();
            let Some(mut at) = some.first().copied() else { break };
            let made = under_lock(connection, async |connection| {
                let mut maker = Maker::new(backend, connection, table).await?;
                for day in some {
                    at = day;
                    maker.make(day, future).await?;
                }
                Ok(())
            });
            made.await.map_err(|error| no_partition(backend, table, at, error))?;
        }
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
    match (result, lock::release(connection, lock::DAYS).await) {
        (Ok(value), Ok(())) => Ok(value),
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

/// Makes partitions of one table, under the lock.
struct Maker<'a> {
    backend: &'a Postgres,
    connection: &'a mut PgConnection,
    table: Table,
    parts: Parts,
    /// Tables that a sweep detached and, because its process ended, did not drop.
    detached: HashSet<DayRange>,
}

impl<'a> Maker<'a> {
    async fn new(
        backend: &'a Postgres,
        connection: &'a mut PgConnection,
        table: Table,
    ) -> Result<Maker<'a>, sqlx::Error> {
        let parts = Parts::of(connection, &[table]).await?;
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_class c JOIN pg_class p USING (relnamespace)
              WHERE p.oid = to_regclass($1) AND c.relkind = 'r' AND NOT c.relispartition
                AND starts_with(c.relname, $1) AND obj_description(c.oid, 'pg_class') = ANY ($2)",
        )
        .bind(table.name())
        .bind(comments(table))
        .fetch_all(&mut *connection)
        .await?;
        let detached = names.iter().filter_map(|name| days_of(table, name)).collect();
        Ok(Maker { backend, connection, table, parts, detached })
    }

    /// Makes and attaches the partition of a day, unless there is one. A table that was detached is attached
    /// again, with its rows.
    async fn make(&mut self, day: i32, future: Future) -> Result<(), sqlx::Error> {
        let table = self.table;
        let days = match self.parts.part(table, day).cloned() {
            Some(Part { days, is_leaving: false, .. }) => {
                self.backend.known_days().insert(table, days);
                return Ok(());
            }
            Some(Part { name, days, .. }) => {
                finalize(self.connection, table, &name).await?;
                self.parts.all.retain(|(_, part)| part.name != name);
                match days_of(table, &name) == Some(days) {
                    true => self.detached.insert(days),
                    false => false, // a person made it, who will know what becomes of it
                };
                self.choose(day, future)
            }
            None => self.choose(day, future),
        };
        let name = partition(table, days);
        // A person may have given a table of this name other bounds: then COPY says that it finds no room.
        if !self.parts.of_table(table).any(|part| part.name == name) {
            self.attach(&name, days).await?;
            self.parts.all.push((table, Part { name, days, is_leaving: false }));
        }
        self.backend.known_days().insert(table, days);
        Ok(())
    }

    /// Returns the days of a new partition for `day`.
    fn choose(&self, day: i32, future: Future) -> DayRange {
        let free = gap(day, self.parts.of_table(self.table).map(|part| part.days));
        let is_free = |days: &&DayRange| days.contains(day) && days.within(free) == **days;
        if let Some(detached) = self.detached.iter().find(is_free) {
            return *detached;
        }
        let layout = self.backend.layout(self.parts.today);
        match future {
            Future::ByDay if day >= layout.future() => DayRange::of_day(day),
            _ => layout.range(day).within(free),
        }
    }

    async fn attach(&mut self, name: &str, days: DayRange) -> Result<(), sqlx::Error> {
        let connection = &mut *self.connection;
        if self.detached.contains(&days) {
            add_columns(connection, self.table, name).await?;
        }
        let steps = steps(self.table, name, days);
        if self.backend.placement() == Placement::OneServer {
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
}

/// Returns the statements that make a partition and attach it.
pub(super) fn steps(table: Table, name: &str, days: DayRange) -> [String; 3] {
    let parent = table.name();
    [
        format!("CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL)"),
        format!("COMMENT ON TABLE {name} IS '{}'", comment(table, days)),
        attach(table, name, days),
    ]
}

/// Returns the statement that attaches a partition.
pub(super) fn attach(table: Table, name: &str, days: DayRange) -> String {
    let (parent, from, to) = (table.name(), midnight(days.first), midnight(days.end));
    format!("ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')")
}

/// Adds the columns that the table has got since this one was detached.
async fn add_columns(
    connection: &mut PgConnection,
    table: Table,
    name: &str,
) -> Result<(), sqlx::Error> {
    let added: Option<String> = sqlx::query_scalar(
        "SELECT string_agg(format('ADD COLUMN %I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                                  ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid),
                                  CASE WHEN a.attnotnull THEN ' NOT NULL' END), ', ')
           FROM pg_attribute a
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
            AND NOT EXISTS (SELECT FROM pg_attribute b
                             WHERE b.attrelid = to_regclass($2) AND b.attname = a.attname)",
    )
    .bind(table.name())
    .bind(name)
    .fetch_one(&mut *connection)
    .await?;
    if let Some(added) = added {
        let add = AssertSqlSafe(format!("ALTER TABLE {name} {added}"));
        sqlx::raw_sql(add).execute(connection).await?;
    }
    Ok(())
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

    const LOG: Table = Table::GunicornLog;

    #[test]
    fn the_newest_answer_about_a_day_counts() {
        let mut known = KnownDays::default();
        let range = |first, end| DayRange { first, end };
        known.insert(LOG, range(100, 200));
        known.insert(Table::RequestLog, range(150, 151));
        assert_eq!((known.range(LOG, 199), known.range(LOG, 200)), (Some(range(100, 200)), None));
        assert_eq!(known.range(Table::RequestLog, 100), None);
        // Days were taken out of it.
        known.insert(LOG, range(100, 101));
        known.insert(LOG, range(101, 200));
        assert_eq!(known.range(LOG, 100), Some(range(100, 101)));
        assert_eq!(known.range(LOG, 101), Some(range(101, 200)));
        known.insert(LOG, range(90, 300));
        assert_eq!((known.range(LOG, 101), known.0.len()), (Some(range(90, 300)), 2));
        known.remove(LOG, 250);
        assert_eq!((known.range(LOG, 101), known.0.len()), (None, 1));
    }

    #[test]
    fn an_answer_about_partitions_is_read_with_any_name() {
        let rows = [
            "today 20784",
            "gunicorn_log 20780 20781 0 gunicorn_log_20261123",
            "gunicorn_log -2147483648 10957 1 of a person",
            "other 1 2 0 other",
        ];
        let parts = Parts::read(rows.map(str::to_owned));
        assert_eq!((parts.today, parts.all.len()), (20_784, 2));
        assert_eq!(parts.range(LOG, 20_780), Some(DayRange::of_day(20_780)));
        let other = parts.part(LOG, 0).unwrap();
        assert_eq!((other.name.as_str(), other.is_leaving), ("of a person", true));
        assert_eq!((parts.range(LOG, 0), parts.range(LOG, 20_781)), (None, None));
    }
}
