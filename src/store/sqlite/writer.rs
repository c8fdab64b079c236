//! Claims of files on SQLite: a transaction that checks whether the owner in the row is alive.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::Sqlite;
use super::owners::Alive;
use crate::model::{Checkpoint, Cut, FileId, NewFile, Sighting, now};
use crate::store::answers::Committed;
use crate::store::error::{Explanation, Kind, StoreError, failed, from_io};
use crate::store::time::Time;
use crate::store::{bound, rows, sql};

/// Adds the format that a file has had to the others.
const CLAIM: &str = sql::claim!(
    "CASE WHEN format = $6 OR EXISTS (SELECT 1 FROM json_each(other_formats) WHERE value = format)
          THEN other_formats ELSE json_insert(other_formats, '$[#]', format) END"
);

const REGISTER: &str = sql::register!("$16");
const CLOSE: &str = sql::close!("$6");
const CUT: &str = sql::cut!("$6");

/// A transaction that writes takes the write lock at its beginning: one that began by reading
/// could not wait for it later, but would fail at once.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// One connection and the lock that shows that its process is alive.
#[derive(Debug)]
pub(in crate::store) struct SqliteWriter {
    pub(in crate::store) backend: Arc<Sqlite>,
    pub(in crate::store) connection: SqliteConnection,
    alive: Alive,
    /// Files that this writer registered.
    registered: HashSet<FileId>,
}

/// Whether a file is free for a writer.
enum Free {
    Yes,
    No,
    NoSuchFile,
}

impl SqliteWriter {
    pub(in crate::store) async fn connect(
        backend: &Arc<Sqlite>,
        owner: &str,
    ) -> Result<SqliteWriter, StoreError> {
        let alive = backend.locks.join(owner).map_err(|error| from_io(&backend.name, error))?;
        let connection = backend.connect_to_write().await?;
        Ok(SqliteWriter {
            backend: Arc::clone(backend),
            connection,
            alive,
            registered: HashSet::new(),
        })
    }

    /// Closes the connection. The last connection that is closed empties the write-ahead log into the file and removes it.
    pub(in crate::store) async fn end(self) {
        // The work is done; an error while the connection is closed changes nothing.
        let _ = self.connection.close().await;
    }

    /// Adds files, each in a transaction.
    pub(in crate::store) async fn register(
        &mut self,
        files: &[(NewFile, Vec<FileId>)],
        cuts: &[Cut],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let mut registered = Vec::with_capacity(files.len());
        for (new, known) in files {
            let one = self.register_one(new, known, cuts).await;
            registered.push(one.map_err(failed(&self.backend.name))?);
        }
        Ok(registered)
    }

    /// Adds a file. Two writers may both have found no candidate, so the second one to write looks again:
    /// a row that it does not know was added by the other writer, and may be of the same file.
    async fn register_one(
        &mut self,
        new: &NewFile,
        known: &[FileId],
        cuts: &[Cut],
    ) -> Result<Option<Checkpoint>, sqlx::Error> {
        let mut tx = self.connection.begin_with(BEGIN).await?;
        let again = bound::candidates!(new.sighting).fetch_all(&mut *tx).await?;
        if rows::has_unknown(&again, known, &self.registered)? {
            tx.rollback().await?;
            return Ok(None);
        }
        let query = bound::register!(REGISTER, new, &self.alive.owner).bind(Time(now()));
        let checkpoint = rows::checkpoint(&query.fetch_one(&mut *tx).await?)?;
        for cut in cuts {
            let query = bound::cut!(CUT, cut).bind(Time(now()));
            if query.execute(&mut *tx).await?.rows_affected() != 1 {
                tx.rollback().await?;
                return Ok(None);
            }
        }
        tx.commit().await?;
        self.registered.insert(checkpoint.file);
        Ok(Some(checkpoint))
    }

    pub(in crate::store) async fn claim(
        &mut self,
        file: FileId,
        seen: &Sighting,
        format: &str,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        match free(&self.backend, &mut tx, file, &self.alive.owner).await? {
            Free::Yes => {}
            Free::No => return Ok(None), // dropping the transaction rolls it back
            Free::NoSuchFile => {
                let why = format!("log_file has no row with id {}", file.0);
                return Err(Kind::Failed.error(name, Explanation(why)));
            }
        }
        let claim = async {
            let query = bound::claim!(CLAIM, file, seen, format, &self.alive.owner);
            let checkpoint = rows::checkpoint(&query.fetch_one(&mut *tx).await?)?;
            tx.commit().await?;
            Ok(Some(checkpoint))
        };
        claim.await.map_err(failed(name))
    }

    pub(in crate::store) async fn hold_again(
        &mut self,
        file: FileId,
        epoch: i64,
    ) -> Result<bool, StoreError> {
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        let free = free(&self.backend, &mut tx, file, &self.alive.owner).await?;
        let hold = async {
            let done = sqlx::query("UPDATE log_file SET owner = ?3 WHERE id = ?1 AND epoch = ?2")
                .bind(file.0)
                .bind(epoch)
                .bind(&self.alive.owner)
                .execute(&mut *tx)
                .await?;
            match (done.rows_affected(), &free) {
                (1, Free::Yes) => tx.commit().await.map(|()| true),
                _ => tx.rollback().await.map(|()| false),
            }?;
            Ok(done.rows_affected() == 1)
        };
        let same_epoch = hold.await.map_err(failed(name))?;
        match free {
            Free::No if same_epoch => {
                let why = format!("file {} still belongs to a writer that is ending", file.0);
                Err(Kind::Unavailable.error(name, Explanation(why)))
            }
            _ => Ok(same_epoch),
        }
    }

    pub(in crate::store) async fn release(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        for file in files {
            sqlx::query("UPDATE log_file SET owner = NULL WHERE id = ?1 AND owner = ?2")
                .bind(file.0)
                .bind(&self.alive.owner)
                .execute(&mut self.connection)
                .await
                .map_err(failed(&self.backend.name))?;
        }
        Ok(())
    }

    pub(in crate::store) async fn committed(
        &mut self,
        files: &[FileId],
    ) -> Result<Vec<Committed>, StoreError> {
        let committed = async {
            let mut all = Vec::with_capacity(files.len());
            for file in files {
                let row = sqlx::query("SELECT id, committed, epoch FROM log_file WHERE id = ?1")
                    .bind(file.0)
                    .fetch_optional(&mut self.connection)
                    .await?;
                all.extend(row.as_ref().map(rows::committed).transpose()?);
            }
            Ok(all)
        };
        committed.await.map_err(failed(&self.backend.name))
    }

    /// Returns how many files were closed: 0 if the epoch is another.
    pub(in crate::store) async fn close(
        &mut self,
        file: FileId,
        epoch: i64,
        lost_bytes: u64,
        reason: &str,
        kept_to: Option<i64>,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query(CLOSE)
            .bind(file.0)
            .bind(epoch)
            .bind(i64::try_from(lost_bytes).unwrap_or(i64::MAX))
            .bind(reason)
            .bind(kept_to)
            .bind(Time(now()))
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        Ok(done.rows_affected())
    }
}

/// Returns whether a writer may claim the file. It runs inside the transaction of the claim, so that no
/// other writer claims between this check and the update.
async fn free(
    backend: &Sqlite,
    connection: &mut SqliteConnection,
    file: FileId,
    me: &str,
) -> Result<Free, StoreError> {
    let row: Option<(Option<String>,)> = sqlx::query_as("SELECT owner FROM log_file WHERE id = ?1")
        .bind(file.0)
        .fetch_optional(connection)
        .await
        .map_err(failed(&backend.name))?;
    let Some((owner,)) = row else { return Ok(Free::NoSuchFile) };
    let taken = match owner {
        Some(owner) if owner != me => {
            backend.locks.lives(&owner).map_err(|error| from_io(&backend.name, error))?
        }
        _ => false,
    };
    Ok(if taken { Free::No } else { Free::Yes })
}
