//! The connections of a copy.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::insert::Insert;
use super::owners;
use super::writer::BEGIN;
use super::{Sqlite, clock, rollup};
use crate::model::Tuples;
use crate::model::columns::{Column, Encoding};
use crate::store::copy::{CopyError, CopyPart, CopyTable, PIECE, Rows};
use crate::store::error::{StoreError, failed, from_io};
use crate::store::rows::unreadable;
use crate::store::sql::Dialect;

/// How long a copy waits for its locks, which a writer that starts may have for an instant.
const INSTANT: Duration = Duration::from_secs(1);

/// Rows that are removed in one transaction.
const AT_ONCE: i64 = 20_000;

/// The connection of one side.
#[derive(Debug)]
pub(in crate::store) struct SqliteCopier {
    pub(in crate::store) backend: Arc<Sqlite>,
    connection: SqliteConnection,
    /// The statements of the table that is being filled.
    insert: Option<(&'static str, Insert)>,
    /// They end with this.
    locks: Vec<File>,
}

impl SqliteCopier {
    async fn connect(backend: &Arc<Sqlite>) -> Result<SqliteCopier, CopyError> {
        let store = backend.name.clone();
        let locked = match backend.locks.wait(super::COPY_LOCK, INSTANT).await {
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                return Err(CopyError::Busy { store });
            }
            locked => locked.map_err(|error| from_io(&store, error))?,
        };
        let options = backend.options().pragma("cache_size", super::WRITER_CACHE);
        let connection = SqliteConnection::connect_with(&options).await.map_err(failed(&store))?;
        let backend = Arc::clone(backend);
        Ok(SqliteCopier { backend, connection, insert: None, locks: vec![locked] })
    }

    async fn lock_out_sweeps(&mut self) -> Result<(), CopyError> {
        let store = self.backend.name.clone();
        match self.backend.locks.wait("sweep", INSTANT).await {
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(CopyError::Swept { store }),
            Err(error) => Err(from_io(&store, error).into()),
            Ok(lock) => {
                self.locks.push(lock);
                Ok(())
            }
        }
    }

    /// Locks a file that is copied, and refuses one that has a writer.
    pub(in crate::store) async fn of_source(
        backend: &Arc<Sqlite>,
    ) -> Result<SqliteCopier, CopyError> {
        let mut this = Self::connect(backend).await?;
        // After the lock with a name: a writer that is not alive yet will find that one.
        if this.has_other_writer()? {
            let owner = this.live_owner().await?;
            let owner = owner.map(|owner| format!(" ({})", owners::for_people(&owner)));
            let store = backend.name.clone();
            return Err(CopyError::Written { store, owner: owner.unwrap_or_default() });
        }
        this.lock_out_sweeps().await?;
        let begun = sqlx::raw_sql(BEGIN).execute(&mut this.connection).await;
        begun.map_err(failed(&backend.name))?;
        Ok(this)
    }

    /// Locks a file that is filled.
    pub(in crate::store) async fn of_target(
        backend: &Arc<Sqlite>,
        source: Option<&SqliteCopier>,
    ) -> Result<SqliteCopier, CopyError> {
        let object = |backend: &Sqlite| {
            let found = backend.path.metadata().map_err(|error| from_io(&backend.name, error));
            found.map(|found| (found.dev(), found.ino()))
        };
        if let Some(source) = source
            && object(&source.backend)? == object(backend)?
        {
            return Err(CopyError::Same { store: backend.name.clone() });
        }
        let mut this = Self::connect(backend).await?;
        this.lock_out_sweeps().await?;
        Ok(this)
    }

    /// Returns the owner of a file that is alive.
    async fn live_owner(&mut self) -> Result<Option<String>, StoreError> {
        let name = &self.backend.name;
        let owners =
            sqlx::query_scalar("SELECT DISTINCT owner FROM log_file WHERE owner IS NOT NULL");
        let owners: Vec<String> =
            owners.fetch_all(&mut self.connection).await.map_err(failed(name))?;
        for owner in owners {
            if self.backend.locks.lives(&owner).map_err(|error| from_io(name, error))? {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    /// Returns the connection, which is always open.
    #[expect(clippy::unused_async, reason = "other sessions may have to connect")]
    pub(in crate::store) async fn connection(
        &mut self,
    ) -> Result<&mut SqliteConnection, StoreError> {
        Ok(&mut self.connection)
    }

    /// Returns whether a writer is alive, with files or without.
    pub(in crate::store) fn has_other_writer(&self) -> Result<bool, StoreError> {
        self.backend.locks.has_writer().map_err(|error| from_io(&self.backend.name, error))
    }

    /// Returns the rows of a SELECT of these columns.
    pub(in crate::store) fn rows(
        &mut self,
        select: String,
        columns: &'static [Column],
    ) -> impl Rows {
        let rows = sqlx::query(AssertSqlSafe(select)).persistent(false).fetch(&mut self.connection);
        SqliteRows { rows, columns }
    }

    /// Stores rows of a part in one transaction.
    pub(in crate::store) async fn store(
        &mut self,
        part: &CopyPart,
        rows: &Tuples,
    ) -> Result<(), StoreError> {
        let CopyTable { name: table, columns, .. } = *part.table;
        let insert = match self.insert.take() {
            Some((of, insert)) if of == table => insert,
            _ => Insert::into(table, columns),
        };
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        insert.run(&mut tx, rows, name).await?;
        tx.commit().await.map_err(failed(name))?;
        self.insert = Some((table, insert));
        Ok(())
    }

    /// Removes the rows of a part.
    pub(in crate::store) async fn clear(&mut self, part: &CopyPart) -> Result<(), StoreError> {
        let (table, among) = (part.table.name, part.among(Dialect::Sqlite));
        let delete = format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}{among} LIMIT {AT_ONCE})"
        );
        loop {
            let some = sqlx::query(AssertSqlSafe(delete.clone())).execute(&mut self.connection);
            if some.await.map_err(failed(&self.backend.name))?.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    /// Does nothing: the next id is the one after the largest.
    #[expect(clippy::unused_async, reason = "PostgreSQL has sequences")]
    pub(in crate::store) async fn set_sequences(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Closes the connection, and releases the locks.
    pub(in crate::store) async fn end(self) {
        // The work is done; an error while the connection is closed changes nothing.
        let _ = self.connection.close().await;
    }
}

/// The rows of a SELECT.
struct SqliteRows<'c> {
    rows: BoxStream<'c, Result<SqliteRow, sqlx::Error>>,
    columns: &'static [Column],
}

impl Rows for SqliteRows<'_> {
    async fn fill(&mut self, rows: &mut Tuples) -> Result<bool, sqlx::Error> {
        while rows.bytes().len() < PIECE {
            let Some(row) = self.rows.try_next().await? else { return Ok(false) };
            rows.begin(self.columns.len() as i16);
            for (nth, column) in self.columns.iter().enumerate() {
                encode(&row, nth, column, rows)?;
            }
        }
        Ok(true)
    }
}

/// Adds a field as it is encoded.
fn encode(
    row: &SqliteRow,
    nth: usize,
    column: &Column,
    rows: &mut Tuples,
) -> Result<(), sqlx::Error> {
    let wrong = || unreadable(column.name);
    match column.encoding {
        Encoding::Int8 | Encoding::Int4 | Encoding::Bool => {
            let Some(number) = row.try_get::<Option<i64>, _>(nth)? else { return null(rows) };
            match column.encoding {
                Encoding::Int8 => rows.int8(number),
                Encoding::Bool => rows.bool(number != 0),
                _ => rows.int4(number.try_into().map_err(|_| wrong())?),
            }
        }
        Encoding::Float8 => match row.try_get(nth)? {
            Some(number) => rows.float8(number),
            None => rows.null(),
        },
        Encoding::Bytes => match row.try_get(nth)? {
            Some(bytes) => rows.raw(bytes),
            None => rows.null(),
        },
        Encoding::Time | Encoding::Text | Encoding::Inet | Encoding::Json | Encoding::Int8s => {
            let Some(text) = row.try_get::<Option<&str>, _>(nth)? else { return null(rows) };
            match column.encoding {
                Encoding::Time => rows.time(clock::read(text).ok_or_else(wrong)?),
                Encoding::Inet => rows.inet(text.parse().map_err(|_| wrong())?),
                Encoding::Json => rows.json(|out| out.extend_from_slice(text.as_bytes())),
                Encoding::Int8s => rows.int8s(&rollup::array(text)?),
                _ => rows.text(text),
            }
        }
    }
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "it ends its caller")]
fn null(rows: &mut Tuples) -> Result<(), sqlx::Error> {
    rows.null();
    Ok(())
}
