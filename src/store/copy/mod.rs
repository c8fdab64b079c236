//! Moves everything from one database to another, of either kind.
//!
//! # How the databases are kept still
//!
//! The *source* is locked by the database itself: PostgreSQL's `log_file` in SHARE mode, SQLite's file by a
//! transaction that could write. Whatever a copy is ended by, this lock ends with it. Readers go on. A lock
//! with a name lets writers that start meanwhile say why they cannot ([`StoreError::BeingCopied`]).
//!
//! The *target* gets a mark that stays until all is there and was compared: a schema that no program knows
//! ([`StoreError::HalfCopied`]). So no daemon of any version begins with half of the rows.
//!
//! # How a copy goes on
//!
//! Rows are copied in parts: a day of a table, or what a partition has, each in several transactions. A copy that finds a mark of the
//! same source compares each part that is there with the source, by the number of rows and their digest. What
//! is equal stays, what differs is removed and copied again. So it does not matter what happened in between:
//! a power cut, or a daemon that has stored more in the source.
//!
//! # How values stay the same
//!
//! Rows travel as they are encoded for PostgreSQL's COPY ([`Tuples`]); SQLite reads and writes the same
//! encoding. `canonical` has the digest, which does not depend on how a database writes a value.

mod canonical;
mod read;
mod tables;

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection};

pub use canonical::Sum;
pub use tables::{COPY_TABLES, CopyPart, CopyTable, NOT_COPIED};

pub(super) use canonical::compact;
pub(super) use read::{PIECE, Rows};
pub(super) use tables::WITH_SEQUENCE;

use super::error::StoreError;
use super::location::Location;
use super::postgres::{PgCopier, Postgres};
use super::schema::{COPYING, Schema};
use super::sqlite::{Sqlite, SqliteCopier};
use super::time::Time;
use super::{Backend, Store, either, on_connection, sql};
use crate::model::columns::Source as _;
use crate::model::{Micros, Tuples};
use read::read;

/// The session of one side.
type Session = Backend<PgCopier, SqliteCopier>;

/// Why a copy cannot begin, or failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A writer is alive.
    #[error(
        "a running log-ingestd{owner} writes to {store}: stop it first, and start it again with the URL of \
         the other database when the copy has ended"
    )]
    Written {
        /// The database.
        store: String,
        /// ` (host:pid)`, or nothing if the writer holds no file.
        owner: String,
    },
    /// There are two copies at once.
    #[error("another `log-ingestd copy` is at work on {store}: wait until it has ended")]
    Busy {
        /// The database.
        store: String,
    },
    /// A sweep removes rows.
    #[error(
        "old rows of {store} are being removed: start the copy again when that sweep has ended"
    )]
    Swept {
        /// The database.
        store: String,
    },
    /// Source and target are one.
    #[error("{store} is the source and the target: expected two databases")]
    Same {
        /// The database.
        store: String,
    },
    /// The target has rows of its own.
    #[error(
        "{store} holds rows already, in {table}: expected an empty database as the target, since a copy \
         keeps all ids"
    )]
    NotEmpty {
        /// The database.
        store: String,
        /// A table with rows.
        table: &'static str,
    },
    /// The target holds half of another copy.
    #[error(
        "{store} holds half of a {begun}, and this is a {asked}: finish that one, or give an empty database \
         as the target"
    )]
    OtherSource {
        /// The target.
        store: String,
        /// `copy from …`.
        begun: String,
        /// The same of the source that is asked for.
        asked: String,
    },
}

/// The tables of a source or a target.
#[derive(Debug)]
pub struct CopyTables {
    session: Session,
    store: String,
}

/// The database that is copied. It stands still as long as this lives.
#[derive(Debug)]
pub struct CopySource {
    /// What is in it.
    pub tables: CopyTables,
}

/// The database that is filled.
#[derive(Debug)]
pub struct CopyTarget {
    /// What is in it.
    pub tables: CopyTables,
    /// Whether it has something of an earlier attempt.
    pub is_resumed: bool,
}

/// # Errors
///
/// [`CopyError`], for all methods here.
impl CopyTables {
    /// Returns the parts of a table, in order. Some may be empty.
    pub async fn parts(&mut self, table: &'static CopyTable) -> Result<Vec<CopyPart>, CopyError> {
        Ok(parts(&mut self.session, table).await?)
    }

    /// Sums the rows of a part.
    pub async fn sum(&mut self, part: &CopyPart) -> Result<Sum, CopyError> {
        Ok(read(&mut self.session, part, async |_| Ok(())).await?)
    }

    /// Returns how many rows a table has.
    pub async fn count(&mut self, table: &CopyTable) -> Result<u64, CopyError> {
        Ok(count(&mut self.session, table).await?)
    }

    /// Releases the database as it is.
    pub async fn end(self) {
        either!(self.session, it => it.end().await);
    }
}

/// # Errors
///
/// [`CopyError`], for all methods here.
impl CopySource {
    /// Locks a database for a copy.
    pub async fn begin(store: &Store) -> Result<CopySource, CopyError> {
        let session = match &store.backend {
            Backend::Postgres(it) => Backend::Postgres(PgCopier::of_source(it).await?),
            Backend::Sqlite(it) => Backend::Sqlite(SqliteCopier::of_source(it).await?),
        };
        Ok(CopySource { tables: CopyTables { session, store: store.location.to_string() } })
    }

    /// Copies the rows of a part, of which the target has none, and calls `stored` with their number as they
    /// are stored.
    pub async fn copy(
        &mut self,
        part: &CopyPart,
        target: &mut CopyTarget,
        mut stored: impl FnMut(u64),
    ) -> Result<Sum, CopyError> {
        let sum = read(&mut self.tables.session, part, async |rows: &Tuples| {
            either!(&mut target.tables.session, it => it.store(part, rows).await)?;
            stored(rows.count());
            Ok(())
        });
        Ok(sum.await?)
    }

    /// Returns what the mark of a target says of this source.
    fn mark(&self) -> String {
        format!("copy from {}", self.tables.store)
    }
}

/// # Errors
///
/// [`CopyError`], for all methods here.
impl CopyTarget {
    /// Opens a database for the rows of `source`: makes its tables, refuses rows that are not of an earlier
    /// attempt to copy the same source, and marks it.
    pub async fn begin(location: Location, source: &CopySource) -> Result<CopyTarget, CopyError> {
        let schema = Store::schema(&location).await?;
        let backend = match schema.is_half_copied() {
            true => Self::unchecked(&location)?,
            // Tables of an older schema may be used by daemons of that release.
            false if schema.found.is_some() => Store::open_to_read(location.clone()).await?.backend,
            false => Store::open(location.clone()).await?.backend,
        };
        let store = location.to_string();
        let (postgres, sqlite) = match &source.tables.session {
            Backend::Postgres(session) => (Some(session), None),
            Backend::Sqlite(session) => (None, Some(session)),
        };
        let session = match &backend {
            Backend::Postgres(it) => Backend::Postgres(PgCopier::of_target(it, postgres).await?),
            Backend::Sqlite(it) => Backend::Sqlite(SqliteCopier::of_target(it, sqlite).await?),
        };
        let tables = CopyTables { session, store };
        let mut this = CopyTarget { tables, is_resumed: schema.is_half_copied() };
        match this.is_resumed {
            true => this.check_mark(&source.mark()).await?,
            false => this.set_mark(&source.mark()).await?,
        }
        Ok(this)
    }

    /// Returns a database whose mark says that it is of no use to others.
    fn unchecked(location: &Location) -> Result<Backend<Arc<Postgres>, Arc<Sqlite>>, StoreError> {
        let name = location.to_string();
        Ok(match location {
            Location::Postgres(server) => {
                Backend::Postgres(Postgres::new((**server).clone(), name).into())
            }
            Location::Sqlite(path) => Backend::Sqlite(Sqlite::at(path, name)?.into()),
        })
    }

    async fn check_mark(&mut self, asked: &str) -> Result<(), CopyError> {
        let (begun, schema): (String, Option<i64>) = on_connection!(&mut self.tables.session, connection => {
            let begun = sqlx::query_scalar(sql::COPY_MARK).bind(COPYING);
            let begun: String = begun.fetch_one(&mut *connection).await?;
            let schema = sqlx::query_scalar(sql::SCHEMA_BESIDE_MARK).bind(COPYING);
            Ok((begun, schema.fetch_one(connection).await?))
        })?;
        if begun != asked {
            let store = self.tables.store.clone();
            return Err(CopyError::OtherSource { store, begun, asked: asked.to_owned() });
        }
        Ok(Schema::of(schema).current(&self.tables.store)?)
    }

    /// Marks the database, if it is empty.
    async fn set_mark(&mut self, mark: &str) -> Result<(), CopyError> {
        let filled: Option<&'static str> = on_connection!(&mut self.tables.session, connection => {
            let mut tx = connection.begin().await?;
            // First of all: from then on no other writer changes an SQLite file.
            let set = sqlx::query(sql::MARK_COPY).bind(COPYING).bind(mark);
            set.bind(Vec::<u8>::new()).execute(&mut *tx).await?;
            for table in &COPY_TABLES {
                let is_filled = format!("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT 1) AS it", table.name);
                let rows: i64 = sqlx::query_scalar(AssertSqlSafe(is_filled)).fetch_one(&mut *tx).await?;
                if rows > 0 {
                    tx.rollback().await?;
                    return Ok(Some(table.name));
                }
            }
            tx.commit().await?;
            Ok(None)
        })?;
        if let Some(table) = filled {
            return Err(CopyError::NotEmpty { store: self.tables.store.clone(), table });
        }
        // A writer that has begun before the mark may store something.
        if either!(&self.tables.session, it => it.has_other_writer())? {
            self.remove_mark().await?;
            let (store, owner) = (self.tables.store.clone(), String::new());
            return Err(CopyError::Written { store, owner });
        }
        Ok(())
    }

    async fn remove_mark(&mut self) -> Result<(), StoreError> {
        on_connection!(&mut self.tables.session, connection => {
            sqlx::query(sql::UNMARK_COPY).bind(COPYING).execute(connection).await.map(|_| ())
        })
    }

    /// Removes the rows of a part.
    pub async fn clear(&mut self, part: &CopyPart) -> Result<(), CopyError> {
        Ok(either!(&mut self.tables.session, it => it.clear(part).await)?)
    }

    /// Gives the database to daemons.
    pub async fn finish(mut self) -> Result<(), CopyError> {
        either!(&mut self.tables.session, it => it.set_sequences().await)?;
        self.remove_mark().await?;
        self.tables.end().await;
        Ok(())
    }
}

async fn count(session: &mut Session, table: &CopyTable) -> Result<u64, StoreError> {
    let sql = format!("SELECT count(*) FROM {}", table.name);
    on_connection!(session, connection => {
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?;
        Ok(rows as u64)
    })
}

/// Returns the parts of a table, oldest first. In PostgreSQL these are the partitions, some
/// of which may be empty; elsewhere an index finds the next day that has a row.
async fn parts(
    session: &mut Session,
    table: &'static CopyTable,
) -> Result<Vec<CopyPart>, StoreError> {
    let Some(column) = table.time else { return Ok(vec![CopyPart::whole(table)]) };
    if let (Backend::Postgres(session), Some(lines)) = (&mut *session, table.lines) {
        let days = session.days(lines).await?;
        return Ok(days.into_iter().map(|days| CopyPart::of_days(table, days)).collect());
    }
    let mut parts = Vec::new();
    let first = format!("SELECT min({column}) AS first FROM {}", table.name);
    let mut first = earliest(session, first, None).await?;
    while let Some(at) = first {
        let part = CopyPart::around(table, at);
        parts.push(part);
        let Some(until) = part.until else { break };
        let next =
            format!("SELECT min({column}) AS first FROM {} WHERE {column} >= $1", table.name);
        first = earliest(session, next, Some(until)).await?;
    }
    Ok(parts)
}

/// Runs a statement that finds the first moment of all, or of those from `from` on.
async fn earliest(
    session: &mut Session,
    sql: String,
    from: Option<Micros>,
) -> Result<Option<Micros>, StoreError> {
    on_connection!(session, connection => {
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = match from {
            Some(from) => query.bind(Time(from)),
            None => query,
        };
        query.fetch_one(connection).await?.time("first")
    })
}
