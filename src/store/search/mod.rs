//! Searches of the page and of the command line, each within bounded time and memory.
//!
//! All searches share a small pool of connections, which cannot write. Ingest has its own
//! connection and never waits for a search.
//!
//! This is not a query language: a [`Filter`](crate::model::Filter) has fixed fields, and its SQL is
//! built here. PostgreSQL and SQLite share a statement where both understand it.
//!
//! Files, in reading order: [`statement`] (SQL with parameters), [`condition`] (a filter as SQL),
//! [`rows`] (pages of rows), [`counts`] (charts and most frequent values), [`lists`] (files and
//! rejects).

mod condition;
mod counts;
mod lists;
mod rows;
mod statement;

use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::{PgPool, SqlitePool};

use super::answers::Table;
use super::error::{Explanation, Kind, StoreError, from_sqlx};
use super::{Backend, Store};

pub use counts::{By, Overview, Point, Top, TopItem};
pub use lists::{FileList, IgnoredList, RejectList};
pub use rows::{Cursor, Direction, FoundRow, RowPage, RowPages, SearchedRow};

/// Most connections of all searches.
const MAX_CONNECTIONS: u32 = 4;
/// How long a search waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection stays open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of SQLite's file that are memory-mapped (256 MiB): reading them needs no copy.
const MMAP_SIZE: &str = "268435456";

/// Runs searches. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Backend<PgPool, SqlitePool>,
    /// The store's name, for messages.
    name: String,
}

impl Store {
    /// Returns the read side. It connects at the first search.
    pub fn reader(&self) -> Reader {
        let pool = match &self.backend {
            Backend::Postgres(it) => Backend::Postgres(it.pool(pool_options())),
            Backend::Sqlite(it) => {
                let options = it.options_to_read(MMAP_SIZE);
                Backend::Sqlite(pool_options().connect_lazy_with(options))
            }
        };
        Reader { pool, name: self.location.to_string() }
    }
}

fn pool_options<DB: sqlx::Database>() -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
}

impl Reader {
    /// Returns whether the database is PostgreSQL; otherwise it is SQLite.
    pub fn is_postgres(&self) -> bool {
        matches!(self.pool, Backend::Postgres(_))
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                let why = "no connection was free or could be opened in time";
                Kind::Unavailable.error(&self.name, Explanation(why.into()))
            }
            error => from_sqlx(&self.name, error),
        }
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
