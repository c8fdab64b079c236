//! Builds indexes of past days while ingest goes on, in one process at a time.

use super::answers::{PastDay, Table};
use super::error::StoreError;
use super::postgres::PgIndexer;

/// The lock for building indexes. It is released on drop, or when its process ends. Only PostgreSQL
/// needs it: in SQLite all indexes exist from the first row on.
#[derive(Debug)]
pub struct Indexer {
    backend: Box<PgIndexer>,
}

impl From<PgIndexer> for Indexer {
    fn from(backend: PgIndexer) -> Indexer {
        Indexer { backend: Box::new(backend) }
    }
}

impl Indexer {
    /// Returns the days before `today` (UTC, counted from 1970) that lack an index and are large
    /// enough for one, oldest first.
    ///
    /// # Errors
    /// [`StoreError`], as for all methods here.
    pub async fn past_days(&mut self, today: i32) -> Result<Vec<PastDay>, StoreError> {
        self.backend.past_days(today).await
    }

    /// Builds the missing indexes of a day. The day can be read and written meanwhile. An interrupted
    /// build starts again the next time.
    pub async fn index(&mut self, table: Table, day: i32) -> Result<(), StoreError> {
        self.backend.index(table, day).await
    }
}
