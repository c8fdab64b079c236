//! Batches that are sent at the same time and committed one after another.

use super::error::{Kind, StoreError};
use super::postgres::PgLane;
use super::sqlite::SqliteWriter;
use super::writer::unless_schema;
use super::{Backend, Store, either};
use crate::model::Batch;

/// A connection that claims nothing: another writer of this process holds the files.
///
/// The lanes of a process order themselves at the server: each has a place for its next batch, for which a batch on
/// another lane can wait there. So batches are sent without waiting for answers to those before them.
#[derive(Debug)]
pub struct Lane {
    backend: Backend<PgLane, SqliteWriter>,
}

/// The place of a batch among those of other lanes: a lock of the session that will store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(pub(super) i64);

impl Turn {
    /// Makes a turn that no transaction has: 60 random bits, as the numbers of writers have.
    pub(super) fn new() -> Result<Turn, StoreError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Kind::Failed.error("the system's random numbers", error))?;
        Ok(Turn(i64::from_be_bytes(random) & 0x0fff_ffff_ffff_ffff))
    }
}

impl Store {
    /// Makes a lane. `owner` names this process for people: `host:pid`.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn lane(&self, owner: &str) -> Result<Lane, StoreError> {
        let backend = match &self.backend {
            Backend::Postgres(it) => Backend::Postgres(PgLane::connect(it).await?),
            Backend::Sqlite(it) => Backend::Sqlite(SqliteWriter::connect(it, owner).await?),
        };
        Ok(Lane { backend })
    }
}

/// # Errors
///
/// As for [`Writer::commit`](super::Writer::commit). The lane is of no further use: drop it, since the batch after
/// this one waits for the end of its session.
impl Lane {
    /// Returns the place of the next batch.
    pub fn turn(&self) -> Turn {
        match &self.backend {
            Backend::Postgres(backend) => backend.turn,
            Backend::Sqlite(_) => Turn(0), // one writer at a time needs no order
        }
    }

    /// Stores a batch when the one with the turn `after` is stored or has failed, for which the server waits: the
    /// other one may be sent later. If that has failed, or a claim is not valid any more, the offsets and epochs
    /// show it.
    ///
    /// Never put it inside `select!` or a timeout: a COPY finishes or aborts.
    pub async fn commit(&mut self, batch: &Batch, after: Option<Turn>) -> Result<(), StoreError> {
        let done = match &mut self.backend {
            Backend::Postgres(backend) => backend.commit(batch, after).await,
            Backend::Sqlite(backend) => backend.commit(batch).await,
        };
        either!(&mut self.backend, it => unless_schema!(it, done))
    }

    /// Closes the connection, which leaves an SQLite file without files beside it. Without this call
    /// nothing is lost.
    pub async fn end(self) {
        match self.backend {
            Backend::Postgres(_) => {}
            Backend::Sqlite(backend) => backend.end().await,
        }
    }
}
