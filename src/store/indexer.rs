//! What makes questions fast is built beside ingest, by one process at a time.

use super::answers::{PastDay, Table};
use super::error::StoreError;
use super::postgres::PgIndexer;

/// The right to build indexes. Free again when it is dropped, or its process ends. Only PostgreSQL
/// has days to be indexed; in SQLite every index is there from the first row.
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
    /// Days before `today` (UTC, since 1970) that lack an index and are large enough to have use for
    /// one, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], here and below.
    pub async fn past_days(&mut self, today: i32) -> Result<Vec<PastDay>, StoreError> {
        self.backend.past_days(today).await
    }

    /// Builds the indexes that a day lacks. It can be read and written meanwhile, and what is cut
    /// short is built anew the next time.
    pub async fn index(&mut self, table: Table, day: i32) -> Result<(), StoreError> {
        self.backend.index(table, day).await
    }
}
