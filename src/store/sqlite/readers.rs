//! Connections that only read, and the end of their statements.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::SqlitePool;
use sqlx::pool::{PoolConnection, PoolOptions};

use super::Sqlite;
use crate::model::FileKey;
use crate::store::error::{Explanation, Kind, StoreError};
use crate::store::priority::lower_priority;
use crate::store::search::{self, ACQUIRE_TIMEOUT, Reader};

/// Bytes of the file that are memory-mapped (256 MiB): reading them needs no copy.
const MMAP_SIZE: &str = "268435456";

/// Instructions of SQLite's machine between two looks whether a statement has to end: a few microseconds, or
/// milliseconds for each row where one of them searches a long text.
const INSTRUCTIONS: i32 = 100;

/// A few connections, which all searches of a process share.
#[derive(Clone, Debug)]
pub(in crate::store) struct Readers {
    backend: Arc<Sqlite>,
    most: u32,
    /// The connections, and the file that they have open, or an older one.
    pool: Arc<Mutex<Option<(FileKey, SqlitePool)>>>,
    /// How long the statements of a view may run.
    timeout: Duration,
}

/// The use of a connection. Its statements are interrupted when this is dropped.
#[derive(Debug)]
pub(in crate::store) struct Use(Arc<AtomicBool>);

impl Drop for Use {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Readers {
    /// At most `most` connections at once. Each is made when it is needed.
    pub(in crate::store) fn new(backend: &Arc<Sqlite>, most: usize, timeout: Duration) -> Readers {
        let (backend, most) = (Arc::clone(backend), u32::try_from(most).unwrap_or(u32::MAX));
        Readers { backend, most, pool: Arc::default(), timeout }
    }

    /// Returns the connections to the file that is there now. Those to a file that was replaced are closed when they
    /// are not used any more.
    fn pool(&self) -> Result<SqlitePool, StoreError> {
        let here = self.backend.place()?;
        let mut current = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((opened, pool)) = &*current
            && *opened == here
        {
            return Ok(pool.clone());
        }
        let pool = PoolOptions::new()
            .max_connections(self.most)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Reader::IDLE_TIMEOUT)
            .connect_lazy_with(self.backend.options_to_read(MMAP_SIZE));
        self.backend.remember(here);
        *current = Some((here, pool.clone()));
        Ok(pool)
    }

    /// Takes a connection for the statements of one view.
    pub(in crate::store) async fn take(
        &self,
    ) -> Result<(PoolConnection<sqlx::Sqlite>, Use), StoreError> {
        let pool = self.pool()?;
        let take = async {
            let mut connection = pool.acquire().await?;
            let has_ended = Arc::new(AtomicBool::new(false));
            let (seen, end) = (Arc::clone(&has_ended), Instant::now() + self.timeout);
            let mut is_first = true;
            // It takes the place of that of the last use. The thread of the connection calls it.
            connection.lock_handle().await?.set_progress_handler(INSTRUCTIONS, move || {
                if std::mem::take(&mut is_first) {
                    lower_priority();
                }
                !seen.load(Ordering::Relaxed) && Instant::now() < end
            });
            Ok((connection, Use(has_ended)))
        };
        take.await.map_err(|error| self.failed(error))
    }

    /// Returns the error of a search.
    pub(in crate::store) fn failed(&self, error: sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                let why = format!("no connection was free within {} s", ACQUIRE_TIMEOUT.as_secs());
                Kind::Unavailable.error(&self.backend.name, Explanation(why))
            }
            error => search::failed(&self.backend.name, self.timeout, error),
        }
    }
}
