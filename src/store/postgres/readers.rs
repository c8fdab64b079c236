//! Sessions that only read: a few, which all searches of a process share.
//!
//! # One round trip
//!
//! All statements of a view are one message of the simple protocol, whose values are literals: the
//! driver needs two round trips for one statement with parameters. Its own pool is not used, since it
//! asks a session whether it lives before and after each use. A session that has ended meanwhile is
//! noticed by the view itself, which then takes another one: it only reads, so it may ask again.
//!
//! # The end of a statement
//!
//! The server ends a statement that takes too long (`statement_timeout`). If the future of a view is dropped, for example
//! because a browser has gone away, its session is closed, and the server looks for that ten times a second
//! (`client_connection_check_interval`). A server that is gone without a word is noticed by a deadline
//! here: the driver offers no way to set TCP's keep-alives (`side.rs`).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Postgres;
use super::batch::batch;
use super::days::Parts;
use crate::model::Micros;
use crate::store::answers::Table;
use crate::store::error::{self, Explanation, Kind, StoreError};
use crate::store::search::{self, ACQUIRE_TIMEOUT, Reader};

/// How much later than the server's own timeout an answer may come.
const LATE: Duration = Duration::from_secs(5);

/// For how long the place of a dropped search stays taken: until the server has looked for its client, and as long again.
/// Who asks and goes away again and again would make a new session each time, which takes more than many a search.
const AFTER_DROPPED: Duration = Duration::from_millis(200);

/// For how long a session is used. PostgreSQL may have missed, in one session, that a day was attached: a page that
/// asks all the time would lack it for as long.
const LONGEST_USE: Duration = Duration::from_secs(300);

/// Partitions that one statement opens, when it has to look into all of them: 180 locks.
const AT_ONCE: usize = 16;

/// For how long ranges of time are used. When partitions have come since, one has a few more of them.
const RANGES: Duration = Duration::from_secs(60);

const DAY_US: Micros = 86_400_000_000;

/// A time range: from its first moment until before its end, where it has them.
type TimeRange = (Option<Micros>, Option<Micros>);

/// A session, and since when it was made and not used.
#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    made: Instant,
    since: Instant,
}

/// A place among the searches.
#[derive(Debug)]
struct Place<'r> {
    readers: &'r Readers,
    permit: Option<OwnedSemaphorePermit>,
}

impl Place<'_> {
    /// Gives the place back at once: the server has answered.
    fn leave(mut self) {
        self.permit = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.readers.dropped().push((Instant::now() + AFTER_DROPPED, permit));
        }
    }
}

/// The sessions.
#[derive(Debug)]
pub(in crate::store) struct Readers {
    pub(in crate::store) backend: Arc<Postgres>,
    permits: Arc<Semaphore>,
    /// Places of dropped searches, and until when they are taken.
    dropped: Mutex<Vec<(Instant, OwnedSemaphorePermit)>>,
    idle: Mutex<Vec<Idle>>,
    /// How long a statement may run.
    timeout: Duration,
    /// The first days of partitions, a few apart, of each table that was asked for, and since when they are known.
    cuts: Mutex<HashMap<Table, (Instant, Vec<i32>)>>,
}

impl Readers {
    /// At most `most` sessions at once. Each is made when it is needed.
    pub(in crate::store) fn new(
        backend: &Arc<Postgres>,
        most: usize,
        timeout: Duration,
    ) -> Readers {
        let (backend, permits) = (Arc::clone(backend), Arc::new(Semaphore::new(most)));
        Readers {
            backend,
            permits,
            dropped: Mutex::default(),
            idle: Mutex::default(),
            timeout,
            cuts: Mutex::default(),
        }
    }

    /// Returns ranges of time, the newest first, that are all times together, and of which each has a few
    /// partitions of a table. There is none if the table has so few.
    ///
    /// # Errors
    ///
    /// As for [`Readers::ask`].
    pub(in crate::store) async fn ranges(
        &self,
        table: Table,
    ) -> Result<Vec<TimeRange>, StoreError> {
        let known = self.cuts().get(&table).filter(|(since, _)| since.elapsed() < RANGES).cloned();
        let cuts = match known {
            Some((_, cuts)) => cuts,
            None => {
                let answer = self.ask(&Parts::question(&[table])).await?;
                let rows = answer.iter().flatten().map(|row| row.try_get::<String, _>(0));
                let rows: Result<Vec<String>, _> = rows.collect();
                let cuts = cuts(&Parts::read(rows.map_err(|error| self.failed(error))?), table);
                self.cuts().insert(table, (Instant::now(), cuts.clone()));
                cuts
            }
        };
        Ok(ranges(&cuts))
    }

    fn cuts(&self) -> MutexGuard<'_, HashMap<Table, (Instant, Vec<i32>)>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs statements in one round trip, and returns the rows of each.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: also if no session is free in time, or a statement takes too long.
    pub(in crate::store) async fn ask(
        &self,
        statements: &str,
    ) -> Result<Vec<Vec<PgRow>>, StoreError> {
        let place = self.place().await?;
        let answer = self.ask_by_session(statements).await;
        place.leave();
        answer
    }

    /// Waits for a place.
    async fn place(&self) -> Result<Place<'_>, StoreError> {
        let end = Instant::now() + ACQUIRE_TIMEOUT;
        // One future, so that its turn is kept.
        let mut permit = pin!(Arc::clone(&self.permits).acquire_owned());
        loop {
            let next = {
                let mut dropped = self.dropped();
                dropped.retain(|(until, _)| *until > Instant::now());
                dropped.iter().map(|(until, _)| *until).min()
            };
            let until = next.map_or(end, |next| next.min(end));
            match tokio::time::timeout_at(until.into(), permit.as_mut()).await {
                Ok(Ok(permit)) => return Ok(Place { readers: self, permit: Some(permit) }),
                Err(_) if until < end => {}
                _ => {
                    let seconds = ACQUIRE_TIMEOUT.as_secs();
                    let why = format!("no connection was free within {seconds} s");
                    return Err(self.unavailable(why));
                }
            }
        }
    }

    fn dropped(&self) -> MutexGuard<'_, Vec<(Instant, OwnedSemaphorePermit)>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_by_session(&self, statements: &str) -> Result<Vec<Vec<PgRow>>, StoreError> {
        loop {
            let idle = self.take_idle();
            let is_reused = idle.is_some();
            let (mut connection, made) = match idle {
                Some(idle) => (idle.connection, idle.made),
                None => {
                    let made = Instant::now();
                    (Box::pin(self.backend.connect_to_read(self.timeout)).await?, made)
                }
            };
            // Only a session whose answer was read to its end is used again. A dropped one is closed.
            let asked = batch(&mut connection, statements);
            let asked = match tokio::time::timeout(self.timeout + LATE, asked).await {
                Ok(asked) => asked,
                Err(_) => return Err(self.unavailable("the server does not answer".to_owned())),
            };
            match asked {
                Err(error) if is_reused && has_ended(&error) => {}
                Err(error) if has_ended(&error) => {
                    return Err(self.failed(error));
                }
                // It may be within a transaction that has failed.
                Err(error) if statements.starts_with("BEGIN") => return Err(self.failed(error)),
                answer => {
                    self.give_back(connection, made);
                    return answer.map_err(|error| self.failed(error));
                }
            }
        }
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        search::failed(&self.backend.name, self.timeout, error)
    }

    fn unavailable(&self, why: String) -> StoreError {
        Kind::Unavailable.error(&self.backend.name, Explanation(why))
    }

    fn take_idle(&self) -> Option<Idle> {
        self.close_idle();
        self.idle().pop()
    }

    fn give_back(&self, connection: PgConnection, made: Instant) {
        self.idle().push(Idle { connection, made, since: Instant::now() });
    }

    /// Closes sessions that have not been used for a while, or were used for long.
    pub(in crate::store) fn close_idle(&self) {
        let is_of_use = |it: &Idle| {
            it.since.elapsed() < Reader::IDLE_TIMEOUT && it.made.elapsed() < LONGEST_USE
        };
        self.idle().retain(is_of_use);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the first day of each [`AT_ONCE`]th partition of a table.
fn cuts(parts: &Parts, table: Table) -> Vec<i32> {
    let mut first: Vec<i32> = parts.of_table(table).map(|part| part.days.first).collect();
    first.sort_unstable();
    first.into_iter().step_by(AT_ONCE).skip(1).collect()
}

/// Returns the ranges between these days, and those before and after them, the newest first.
fn ranges(cuts: &[i32]) -> Vec<TimeRange> {
    if cuts.is_empty() {
        return Vec::new();
    }
    let moments = cuts.iter().map(|day| Some(Micros::from(*day) * DAY_US));
    let from = std::iter::once(None).chain(moments.clone());
    let mut ranges: Vec<TimeRange> = from.zip(moments.chain([None])).collect();
    ranges.reverse();
    ranges
}

/// Returns whether a session is of no more use after this error. A refused or cancelled statement leaves it
/// as it was.
fn has_ended(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            let code = error::code(error);
            code.starts_with("08")
                || matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
        }
        sqlx::Error::ColumnDecode { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_all_times_together_and_each_has_few_partitions() {
        let parts = |count: i32| {
            let row = |day| format!("gunicorn_log {day} {} 0 some", day + 1);
            Parts::read((0..count).map(row))
        };
        let of = |count| ranges(&cuts(&parts(count), Table::GunicornLog));
        assert_eq!((of(0), of(16)), (vec![], vec![]));
        let at = |day: Micros| Some(day * DAY_US);
        assert_eq!(of(17), [(at(16), None), (None, at(16))]);
        assert_eq!(of(40), [(at(32), None), (at(16), at(32)), (None, at(16))]);
        assert_eq!(ranges(&cuts(&parts(40), Table::RequestLog)), []);
    }
}
