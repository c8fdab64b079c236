//! The read side: what people ask, each question within bounded time and memory.
//!
//! The only place with a pool of connections: a few people who look at pages share a few
//! connections, which cannot write, and ingest has its own.

mod condition;
mod line;
mod lists;
mod overview;
mod page;
mod statement;
mod top;
mod walk;

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{PgPool, SqlitePool};

use super::answers::Table;
use super::error::StoreError;
use super::{Backend, Store};

pub use lists::{FileList, RejectList};
pub use overview::{Overview, Point};
pub use page::{Cursor, Direction, FoundRow, RowPage};
pub use top::{By, Top, TopItem};
pub use walk::RowPages;

/// Connections of all who look, and how long one waits for its turn.
const MOST: u32 = 4;
const TURN: Duration = Duration::from_secs(5);
/// A connection that nobody needed for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of SQLite's file that are read through the page cache of the system, without a copy.
const MAPPED: &str = "268435456"; // 256 MiB

/// Answers questions. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Pool,
    /// For messages.
    name: String,
}

#[derive(Clone, Debug)]
enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Store {
    /// The read side. Nothing is connected until something is asked.
    pub fn reader(&self) -> Reader {
        let pool = match &self.backend {
            Backend::Postgres(backend) => Pool::Postgres(backend.pool(
                PgPoolOptions::new().max_connections(MOST).acquire_timeout(TURN).idle_timeout(IDLE),
            )),
            Backend::Sqlite(backend) => Pool::Sqlite(
                SqlitePoolOptions::new()
                    .max_connections(MOST)
                    .acquire_timeout(TURN)
                    .idle_timeout(IDLE)
                    .connect_lazy_with(backend.options_to_read(MAPPED)),
            ),
        };
        Reader { pool, name: self.location.to_string() }
    }
}

impl Reader {
    /// Whether PostgreSQL answers, and not SQLite.
    pub fn is_postgres(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                let why = "no connection was free or could be made in time";
                super::error::Kind::Unavailable
                    .error(&self.name, super::error::Explanation(why.into()))
            }
            error => super::error::from_sqlx(&self.name, error),
        }
    }
}

impl Table {
    /// Of its columns, those whose names the tables do not share.
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

/// Names of columns.
struct Names {
    url: &'static str,
    code: &'static str,
    address: &'static str,
    agent: &'static str,
    source: Option<&'static str>,
    host: Option<&'static str>,
}
