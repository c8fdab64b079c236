//! Stores rows and offsets, together or not at all.
//!
//! One contract has two backends; [`Location`] decides which. `postgres` sends binary COPY into
//! partitions by time, `sqlite` runs prepared inserts on one file. Only this module has SQL: what
//! both databases understand is in `sql` and is run in one place, by [`Store`], [`Writer`] and
//! [`Sweeper`]; the columns come from [`crate::model::columns`]. The
//! module spawns no tasks and repeats nothing: each call is one attempt, whose error says what the
//! caller may do ([`StoreError`]).
//!
//! # How a line is stored once
//!
//! A [`Writer`] claims a file: its lock ends with the process, and the row names it, with a higher epoch. Each commit
//! moves the file's offset by compare-and-swap on offset and epoch, in the transaction that adds
//! the rows. The id of a row is made from file and offset. So a line that some fault stored twice is
//! found: by SQLite at once, by PostgreSQL when the day is over and gets its indexes, by `verify` at any
//! time.
//!
//! # After a lost connection
//!
//! Make a new [`Writer`], [`Writer::hold_again`] each file, and only then read
//! [`Writer::committed`]: the COMMIT of the old connection may still run on the server, whose lock
//! is free only after it. If the offset is the end of the batch (`to`), the commit happened. If it is the
//! beginning (`from`), send the batch again. If later batches were sent too ([`Lane`]), their ends under
//! the same epoch tell that all before them happened. A higher epoch means that another process owns the file.
//! Anything else means that the database is not what it was: see [`LostClaim`].
//!
//! # After a restore
//!
//! A database may go back in time, under a writer that lives. Then its offsets are the truth: they say what the
//! rows of that time hold, and the rest is read again. Ids of files that were registered since are given
//! again, to other files; no epoch is (`schema`), so that no commit of before fits a claim of after.
//! [`Writer::database`] tells one database from another, and [`StoreError::Replaced`] says that an SQLite file was
//! replaced while a connection was open.

mod answers;
mod audit;
mod bound;
mod copy;
mod error;
mod examine;
mod export;
mod foreign_text;
mod lane;
mod ledger;
mod line_forms;
mod location;
mod nul_runs;
mod parameters;
mod postgres;
mod priority;
mod rows;
mod schema;
mod search;
mod sql;
mod sqlite;
mod statement;
mod sweeper;
mod time;
mod tls;
mod writer;

use std::sync::Arc;

pub use crate::model::{StoredRequest, StoredRow};
pub use answers::{
    Committed, DayRange, FileCounts, FileReport, Forgotten, IgnoredReport, Ledger, LostClaim,
    NewOrKnown, PastDays, Prepared, RejectKey, Shown, StoredLine, SweepReport, Table,
};
pub use copy::{
    COPY_TABLES, CopyError, CopyPart, CopySource, CopyTable, CopyTables, CopyTarget, NOT_COPIED,
    Sum,
};
pub use error::{Cause, StoreError, chain};
pub use examine::{Examination, LockTable};
pub use export::{CsvCells, Header, write_csv, write_json_lines};
pub use lane::{Lane, Turn};
pub use location::{Location, LocationError, Server};
pub use postgres::Indexer;
pub use priority::lower_priority;
pub use schema::{Schema, Step};
pub use search::{
    Asked, Attention, Baseline, By, Changes, ChangesQuestion, CodeCount, Counted, Counting, Cursor,
    Direction, Event, FileMark, FilesPage, FoundRow, MOST_COUNTED, Marks, Order, Overview, Point,
    Reader, RecentRows, RejectList, RejectMark, RowPage, RowPages, SearchedRow, SortBy, SortedRows,
    Story, Suggested, Suggestion, Suggestions, Top, TopItem,
};
pub use sweeper::{DayRemoved, OldFile, Sweeper};
pub(crate) use tls::AnyCertificate;
pub use writer::{ClaimRequest, Closing, DatabaseId, Writer};

use error::{Explanation, Kind};
use postgres::{PgWriter, Postgres};
use schema::OlderSchema;
use sqlite::{Sqlite, SqliteWriter};

/// A database that has its tables. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    location: Arc<Location>,
    backend: Backend<Arc<Postgres>, Arc<Sqlite>>,
}

/// What each database has of one kind: its server or file, a session, or a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend<P, S> {
    Postgres(P),
    Sqlite(S),
}

/// Evaluates the same expression for either backend.
macro_rules! either {
    ($backend:expr, $it:ident => $expression:expr) => {
        match $backend {
            $crate::store::Backend::Postgres($it) => $expression,
            $crate::store::Backend::Sqlite($it) => $expression,
        }
    };
}

/// Runs statements that both databases understand on the connection of either backend's session.
macro_rules! on_connection {
    ($backend:expr, $connection:ident => $statements:expr) => {
        $crate::store::either!($backend, session => {
            match session.connection().await {
                Ok($connection) => {
                    let done = async { $statements };
                    done.await.map_err($crate::store::error::failed(&session.backend.name))
                }
                Err(error) => Err(error),
            }
        })
    };
}
use {either, on_connection};

impl Store {
    /// Connects once, refuses a newer schema and makes or upgrades the tables, under a lock, so
    /// that several daemons may start at once. An SQLite file is made with its directories,
    /// readable by its owner only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`], `Refused`, `Newer` or `Failed`.
    pub async fn open(location: Location) -> Result<Store, StoreError> {
        Store::open_with(location, |_| ()).await
    }

    /// The same. `reached` is called at the latest when the database is open, and as soon as a server has let
    /// this program in: then the [`Store::round_trip`] is known, and connections may be begun. Each is made, or
    /// fails, when the database was looked at.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn open_with(
        location: Location,
        reached: impl FnOnce(&Store),
    ) -> Result<Store, StoreError> {
        Store::connect_and_migrate(location, OlderSchema::Upgrade, reached).await
    }

    /// Opens a database for reading. Tables of an older schema are refused and not upgraded, since daemons
    /// may run that know no other schema. Nothing is made where there is nothing.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`], [`StoreError::Older`] and [`StoreError::Absent`].
    pub async fn open_to_read(location: Location) -> Result<Store, StoreError> {
        Store::connect_and_migrate(location, OlderSchema::Refuse, |_| ()).await
    }

    async fn connect_and_migrate(
        location: Location,
        older: OlderSchema,
        reached: impl FnOnce(&Store),
    ) -> Result<Store, StoreError> {
        let (name, location) = (location.to_string(), Arc::new(location));
        let store = |backend| Store { location: Arc::clone(&location), backend };
        match &*location {
            Location::Postgres(server) => {
                let store = |it: &Arc<Postgres>| store(Backend::Postgres(Arc::clone(it)));
                let reached = |it: &Arc<Postgres>| reached(&store(it));
                Ok(store(&Postgres::open((**server).clone(), name, older, reached).await?))
            }
            Location::Sqlite(path) => {
                let backend = Sqlite::open(path, name, older).await?;
                let store = store(Backend::Sqlite(Arc::new(backend)));
                reached(&store);
                Ok(store)
            }
        }
    }

    /// Returns the schema of a database. It changes nothing, and makes no SQLite file.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn schema(location: &Location) -> Result<Schema, StoreError> {
        let name = location.to_string();
        match location {
            Location::Postgres(options) => Postgres::schema((**options).clone(), name).await,
            Location::Sqlite(path) => Sqlite::schema(path, name).await,
        }
    }

    /// Refuses a database whose tables cannot be distributed by Citus. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] with what is missing, and as for [`Store::open`].
    pub async fn may_distribute(location: &Location) -> Result<(), StoreError> {
        let name = location.to_string();
        match location {
            Location::Postgres(options) => {
                Postgres::may_distribute((**options).clone(), name).await
            }
            Location::Sqlite(_) => {
                let why = "Citus distributes tables of PostgreSQL: give its database URL";
                Err(Kind::Refused.error(&name, Explanation(why.into())))
            }
        }
    }

    /// Distributes the tables over the workers of a Citus cluster, with the rows that they have: files by
    /// their id, and what belongs to a file on the same worker. Returns the tables that were not
    /// distributed before.
    ///
    /// # Errors
    ///
    /// As for [`Store::may_distribute`].
    pub async fn distribute(&self) -> Result<Vec<&'static str>, StoreError> {
        match &self.backend {
            Backend::Postgres(backend) => backend.distribute().await,
            Backend::Sqlite(_) => Store::may_distribute(&self.location).await.map(|()| Vec::new()),
        }
    }

    /// Returns what would be applied to a database of this schema, in order.
    pub fn steps(location: &Location, schema: Schema) -> Vec<Step> {
        let migrations = match location {
            Location::Postgres(_) => &postgres::MIGRATIONS,
            Location::Sqlite(_) => &sqlite::MIGRATIONS,
        };
        let newer = migrations.iter().filter(|step| Some(step.version) > schema.found);
        newer.map(|it| Step { schema: it.version, about: it.description.to_string() }).collect()
    }

    /// Returns where the rows are stored.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Returns how many writers can work at the same time.
    pub fn concurrent_writers(&self) -> usize {
        match &self.backend {
            Backend::Postgres(_) => usize::MAX,
            Backend::Sqlite(_) => 1,
        }
    }

    /// Returns how long an answer takes, from when a connection was made last.
    pub fn round_trip(&self) -> std::time::Duration {
        match &self.backend {
            Backend::Postgres(backend) => backend.round_trip(),
            Backend::Sqlite(_) => std::time::Duration::ZERO,
        }
    }

    /// Makes a connection for ingest. `owner` names this process for people: `host:pid`.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn writer(&self, owner: &str) -> Result<Writer, StoreError> {
        let backend = match &self.backend {
            Backend::Postgres(it) => Backend::Postgres(PgWriter::connect(it, owner).await?),
            Backend::Sqlite(it) => Backend::Sqlite(SqliteWriter::connect(it, owner).await?),
        };
        Ok(Writer { backend })
    }

    /// Returns the sweep that finished last.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn last_sweep(&self) -> Result<Option<SweepReport>, StoreError> {
        self.probe().last_sweep().await
    }

    /// Takes note of how long rows stay; `None` is for ever. On PostgreSQL, days that are older share new
    /// partitions of months and years, and so do all that are older than 400 days, which is the limit before
    /// the first call. SQLite has no partitions.
    pub fn keep_rows(&self, age: Option<std::time::Duration>) {
        if let Backend::Postgres(backend) = &self.backend {
            backend.keep_rows(age);
        }
    }

    /// Makes the partitions of these UTC days (since 1970) for every table before their first rows, so that
    /// no commit waits for it at midnight. Older days may share one. Rows that came before their time move to the
    /// new partition. SQLite has none.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn prepare_days(&self, days: std::ops::Range<i32>) -> Result<Prepared, StoreError> {
        match &self.backend {
            Backend::Postgres(backend) => backend.prepare_days(days).await,
            Backend::Sqlite(_) => Ok(Prepared::All),
        }
    }

    /// Makes the partition of a UTC day (since 1970) for every table. All days that are later than clocks explain
    /// share one. SQLite has none.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn prepare_later(&self, day: i32) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(backend) => backend.prepare_later(day).await,
            Backend::Sqlite(_) => Ok(()),
        }
    }

    /// Takes the right to build indexes, `None` while another process has it or if there is nothing to build.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn indexer(&self) -> Result<Option<Indexer>, StoreError> {
        match &self.backend {
            Backend::Postgres(backend) => backend.indexer().await,
            Backend::Sqlite(_) => Ok(None),
        }
    }

    /// Returns the partitions to which this process has added rows since the last call, oldest first.
    pub fn fresh_days(&self) -> Vec<(Table, DayRange)> {
        match &self.backend {
            Backend::Postgres(backend) => backend.fresh_days(),
            Backend::Sqlite(_) => Vec::new(),
        }
    }

    /// Adds the new rows of these partitions to the indexes that they had from the beginning.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn summarize(&self, days: &[(Table, DayRange)]) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(backend) if !days.is_empty() => backend.summarize(days).await,
            _ => Ok(()),
        }
    }

    /// Returns whether a sweep runs now. Rows are removed before the report of the sweep is stored.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn is_being_swept(&self) -> Result<bool, StoreError> {
        either!(&self.backend, backend => backend.is_being_swept().await)
    }

    /// Takes the right to sweep, `None` while another process has it.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub async fn sweeper(&self) -> Result<Option<Sweeper>, StoreError> {
        let backend = match &self.backend {
            Backend::Postgres(it) => it.sweeper().await?.map(Backend::Postgres),
            Backend::Sqlite(it) => it.sweeper().await?.map(Backend::Sqlite),
        };
        Ok(backend.map(|backend| Sweeper { backend }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Reparsed};

    /// The daemon runs them in tasks that move between threads. This is never called: it must compile.
    #[expect(dead_code, reason = "the types are the test")]
    fn every_future_is_send(
        store: &Store,
        writer: &mut Writer,
        lane: &mut Lane,
        sweeper: &mut Sweeper,
        indexer: &mut Indexer,
        reparsed: &Reparsed,
    ) {
        fn send(_: impl Send) {}
        let batch = Batch::default();
        send(Store::open(store.location().clone()));
        send(store.writer(""));
        send(store.prepare_days(0..1));
        send(writer.commit(&batch));
        send(writer.reparse(reparsed));
        send(store.lane(""));
        send(lane.commit(&batch, None));
        send(sweeper.remove_days(Table::GunicornLog, DayRange::of_day(0)));
        send(indexer.index(Table::GunicornLog, DayRange::of_day(0)));
        send(store.summarize(&[]));
    }
}
