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
//! because a browser has gone away, its session is closed, and the server looks for that each second
//! (`client_connection_check_interval`). A server that is gone without a word is noticed by a deadline
//! here: the driver offers no way to set TCP's keep-alives (`side.rs`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use tokio::sync::Semaphore;

use super::Postgres;
use super::batch::batch;
use crate::store::error::{self, Explanation, Kind, StoreError};
use crate::store::search::{self, ACQUIRE_TIMEOUT, Reader};

/// How much later than the server's own timeout an answer may come.
const LATE: Duration = Duration::from_secs(5);

/// For how long a session is used. PostgreSQL may have missed, in one session, that a day was attached: a page that
/// asks all the time would lack it for as long.
const LONGEST_USE: Duration = Duration::from_secs(300);

/// A session, and since when it was made and not used.
#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    made: Instant,
    since: Instant,
}

/// The sessions.
#[derive(Debug)]
pub(in crate::store) struct Readers {
    pub(in crate::store) backend: Arc<Postgres>,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// How long a statement may run.
    timeout: Duration,
}

impl Readers {
    /// At most `most` sessions at once. Each is made when it is needed.
    pub(in crate::store) fn new(
        backend: &Arc<Postgres>,
        most: usize,
        timeout: Duration,
    ) -> Readers {
        let (backend, permits) = (Arc::clone(backend), Semaphore::new(most));
        Readers { backend, permits, idle: Mutex::default(), timeout }
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
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            let why = format!("no connection was free within {} s", ACQUIRE_TIMEOUT.as_secs());
            return Err(self.unavailable(why));
        };
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
