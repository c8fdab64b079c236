//! Searches of the page and of the command line, each within bounded time and memory.
//!
//! All searches share a small pool of connections, which cannot write. Ingest has its own
//! connection and never waits for a search. A view takes two round trips to PostgreSQL at most, except where
//! Citus has distributed the tables. A search whose future is dropped ends, and so does one that takes
//! too long.
//!
//! This is not a query language: a [`Filter`](crate::model::Filter) has fixed fields, and its SQL is
//! built here. PostgreSQL and SQLite share a statement where both understand it.
//!
//! Files, in reading order: [`condition`] (a filter as SQL),
//! [`rows`] (pages of rows), [`sorted`] (rows in another order), [`story`] (rows around a request), [`recent`] (rows that
//! are new), [`counts`] (charts and most frequent values), [`routes`] (lists of routes),
//! [`counting`] (charts of what meets a filter, from the rows in the order of [`sample`]), [`changes`] (what distinguishes a
//! stretch of time, from the same order), [`suggest`] (values for a
//! filter), [`lists`] (files and rejects), [`marks`] (what happened to files, for charts).

mod changes;
mod condition;
mod counting;
mod counts;
mod lists;
mod marks;
mod recent;
mod routes;
mod rows;
mod sample;
mod sorted;
mod story;
mod suggest;

use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::answers::Table;
use super::error::{self, Explanation, Kind, StoreError, from_sqlx};
use super::statement::{Answers, Statement, message, run};
use super::{Backend, Store, postgres, sqlite};

pub use changes::{Asked, Baseline, Changes, ChangesQuestion};
pub use counting::{Counted, Counting};
pub use counts::{By, Overview, Point, Top, TopItem};
pub(super) use lists::files_of;
pub use lists::{Attention, CodeCount, FilesPage, MOST_COUNTED, RejectList};
pub use marks::{Event, FileMark, Marks, RejectMark};
pub use recent::RecentRows;
pub use routes::{RouteItem, RouteOrder, Routes};
pub use rows::{Cursor, Direction, FoundRow, RowPage, RowPages, SearchedRow};
pub use sorted::{Order, SortBy, SortedRows};
pub use story::Story;
pub use suggest::{Suggested, Suggestion, Suggestions};

/// Connections of all searches, at least and at most: in between as many as this machine has processors, since the
/// database may be on it, and has lines to store.
const CONNECTIONS: RangeInclusive<usize> = 2..=4;
/// How long a search waits for a free connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement may run. A person does not wait longer, and does not see the answer.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the error of a search whose statements had so much time.
pub(super) fn failed(name: &str, timeout: Duration, error: sqlx::Error) -> StoreError {
    match &*error::code(&error) {
        // query_canceled, SQLITE_INTERRUPT
        "57014" | "9" => {
            let why = format!(
                "the answer takes more than {} s: choose a shorter time range, or one more filter",
                timeout.as_secs()
            );
            Kind::Unavailable.error(name, Explanation(why))
        }
        _ => from_sqlx(name, error),
    }
}

/// Runs searches. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Reader {
    backend: Backend<Arc<postgres::Readers>, sqlite::Readers>,
    /// The store's name, for messages.
    name: String,
}

impl Store {
    /// Returns the read side. It connects at the first search.
    pub fn reader(&self) -> Reader {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let connections = processors.clamp(*CONNECTIONS.start(), *CONNECTIONS.end());
        self.readers(connections, STATEMENT_TIMEOUT)
    }

    /// Returns a read side with one connection of its own, which no search occupies.
    pub fn probe(&self) -> Reader {
        self.readers(1, STATEMENT_TIMEOUT)
    }

    /// Returns a read side with `most` connections, each of whose statements may take so long.
    pub(super) fn readers(&self, most: usize, timeout: Duration) -> Reader {
        let backend = match &self.backend {
            Backend::Postgres(it) => {
                Backend::Postgres(Arc::new(postgres::Readers::new(it, most, timeout)))
            }
            Backend::Sqlite(it) => Backend::Sqlite(sqlite::Readers::new(it, most, timeout)),
        };
        Reader { backend, name: self.location.to_string() }
    }
}

impl Reader {
    /// How long an unused connection stays open.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

    /// Returns whether the database is PostgreSQL; otherwise it is SQLite.
    pub fn is_postgres(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    /// Closes connections that have not been used for [`Reader::IDLE_TIMEOUT`]. Call it now and then.
    pub fn close_idle(&self) {
        match &self.backend {
            Backend::Postgres(readers) => readers.close_idle(),
            Backend::Sqlite(_) => {} // its pool does so by itself
        }
    }

    /// Runs statements, on PostgreSQL in one round trip. If the future is dropped, a statement that runs ends.
    async fn ask(&self, statements: Vec<Statement>) -> Result<Answers, StoreError> {
        let rows = match &self.backend {
            Backend::Postgres(readers) => {
                Backend::Postgres(readers.ask(&message(&statements)).await?)
            }
            Backend::Sqlite(readers) => {
                let (mut connection, _use) = readers.take().await?;
                let rows = run(&mut connection, statements).await;
                Backend::Sqlite(rows.map_err(|error| readers.failed(error))?)
            }
        };
        Ok(Answers::new(rows, &self.name))
    }
}

impl Table {
    /// Returns the names of the columns that the tables name differently.
    fn columns(self) -> Names {
        match self {
            Table::RequestLog => Names {
                url: "path",
                code: "status_code",
                address: "ip_address",
                agent: "user_agent",
                source: None,
                host: None,
            },
            _ => Names {
                url: "url",
                code: "code",
                address: "user_ip",
                agent: "agent",
                source: Some("source"),
                host: Some("host"),
            },
        }
    }
}

/// Names of columns; `None` for one that the table does not have.
struct Names {
    url: &'static str,
    code: &'static str,
    address: &'static str,
    agent: &'static str,
    source: Option<&'static str>,
    host: Option<&'static str>,
}
