//! Claims of files on SQLite: a transaction that checks whether the owner in the row is alive.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::owners::Alive;
use super::{Sqlite, clock};
use crate::model::{
    Checkpoint, FileId, NewFile, RejectedLine, Row, Sighting, StoredRequest, StoredRow,
};
use crate::store::answers::{Committed, StoredLine};
use crate::store::error::{Explanation, Kind, StoreError, failed, from_io};
use crate::store::rows;
use crate::store::sql::{self, IN_SQLITE};

/// Adds the format that a file has had to the others.
const CLAIM: &str = sql::claim!(
    "CASE WHEN format = $6 OR EXISTS (SELECT 1 FROM json_each(other_formats) WHERE value = format)
          THEN other_formats ELSE json_insert(other_formats, '$[#]', format) END"
);

const REGISTER: &str = sql::register!("$11");
const CLOSE: &str = sql::close!("$5");

/// A transaction that writes takes the write lock at its beginning: one that began by reading
/// could not wait for it later, but would fail at once.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// One connection and the lock that shows that its process is alive.
#[derive(Debug)]
pub(in crate::store) struct SqliteWriter {
    pub(super) backend: Arc<Sqlite>,
    pub(super) connection: SqliteConnection,
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

    pub(in crate::store) async fn candidates(
        &mut self,
        seen: &Sighting,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        candidates(&mut self.connection, seen).await.map_err(failed(&self.backend.name))
    }

    /// Adds a file. Two writers may both have found no candidate, so the second one to write looks again:
    /// a row that it does not know was added by the other writer, and may be of the same file.
    pub(in crate::store) async fn register(
        &mut self,
        new: &NewFile,
        known: &[FileId],
    ) -> Result<Option<Checkpoint>, StoreError> {
        let seen = &new.sighting;
        let register = async {
            let mut tx = self.connection.begin_with(BEGIN).await?;
            let again = candidates(&mut tx, seen).await?;
            let is_news = |id| !known.contains(id) && !self.registered.contains(id);
            if again.iter().any(|it| is_news(&it.file)) {
                tx.rollback().await?;
                return Ok(None);
            }
            let row = sqlx::query(REGISTER)
                .bind(seen.host.clone())
                .bind(seen.path.clone())
                .bind(seen.key.map(|key| key.device as i64))
                .bind(seen.key.map(|key| key.inode as i64))
                .bind(seen.key.and_then(|key| key.birth_us).map(clock::text))
                .bind(new.format.clone())
                .bind(new.time_estimated)
                .bind(seen.head.map(|head| head.print.0.to_vec()))
                .bind(seen.head.map(|head| i64::from(head.length)))
                .bind(self.alive.owner.clone())
                .bind(clock::now())
                .fetch_one(&mut *tx)
                .await?;
            let checkpoint = rows::checkpoint(&row)?;
            tx.commit().await?;
            self.registered.insert(checkpoint.file);
            Ok(Some(checkpoint))
        };
        register.await.map_err(failed(&self.backend.name))
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
            let row = sqlx::query(CLAIM)
                .bind(file.0)
                .bind(seen.path.clone())
                .bind(seen.key.map(|key| key.device as i64))
                .bind(seen.key.map(|key| key.inode as i64))
                .bind(seen.key.and_then(|key| key.birth_us).map(clock::text))
                .bind(format.to_owned())
                .bind(self.alive.owner.clone())
                .fetch_one(&mut *tx)
                .await?;
            let checkpoint = rows::checkpoint(&row)?;
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
                .bind(self.alive.owner.clone())
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

    pub(in crate::store) async fn release(&mut self, file: FileId) -> Result<(), StoreError> {
        sqlx::query("UPDATE log_file SET owner = NULL WHERE id = ?1 AND owner = ?2")
            .bind(file.0)
            .bind(self.alive.owner.clone())
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
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

    pub(in crate::store) async fn close(
        &mut self,
        file: FileId,
        epoch: i64,
        lost_bytes: u64,
        reason: &str,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(CLOSE)
            .bind(file.0)
            .bind(epoch)
            .bind(i64::try_from(lost_bytes).unwrap_or(i64::MAX))
            .bind(reason.to_owned())
            .bind(clock::now())
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        self.touched(file, done.rows_affected())
    }

    /// Checks that a statement with an epoch has found its file; else another process owns the file.
    fn touched(&self, file: FileId, rows: u64) -> Result<(), StoreError> {
        match rows {
            1 => Ok(()),
            _ => Err(StoreError::Conflict { store: self.backend.name.clone(), files: vec![file] }),
        }
    }

    pub(in crate::store) async fn lose(
        &mut self,
        file: FileId,
        epoch: i64,
        lost_bytes: u64,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(sql::LOSE)
            .bind(file.0)
            .bind(epoch)
            .bind(i64::try_from(lost_bytes).unwrap_or(i64::MAX))
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        self.touched(file, done.rows_affected())
    }

    pub(in crate::store) async fn open_files(
        &mut self,
        host: &str,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        let files = async {
            let rows = sqlx::query(sql::OPEN_FILES)
                .bind(host.to_owned())
                .fetch_all(&mut self.connection)
                .await?;
            rows.iter().map(rows::checkpoint).collect::<Result<_, _>>()
        };
        files.await.map_err(failed(&self.backend.name))
    }

    pub(in crate::store) async fn moved(
        &mut self,
        file: FileId,
        epoch: i64,
        path: &str,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(sql::MOVED)
            .bind(file.0)
            .bind(epoch)
            .bind(path.to_owned())
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        self.touched(file, done.rows_affected())
    }

    pub(in crate::store) async fn line_at(
        &mut self,
        file: FileId,
        offset: u64,
    ) -> Result<Option<StoredLine>, StoreError> {
        let line = async {
            let row = sqlx::query(IN_SQLITE.row_at.as_str())
                .bind(file.row_id(offset))
                .bind(file.0)
                .fetch_optional(&mut self.connection)
                .await?;
            if let Some(row) = row {
                return StoredRow::read(&row).map(|row| Some(StoredLine::Row(Box::new(row))));
            }
            let request = sqlx::query(IN_SQLITE.request_at.as_str())
                .bind(file.row_id(offset))
                .bind(file.0)
                .fetch_optional(&mut self.connection)
                .await?;
            if let Some(row) = request {
                let request = StoredRequest::read(&row)?;
                return Ok(Some(StoredLine::Request(Box::new(request))));
            }
            let reject = sqlx::query(IN_SQLITE.reject_at.as_str())
                .bind(file.0)
                .bind(offset as i64)
                .fetch_optional(&mut self.connection)
                .await?;
            let reject = reject.as_ref().map(RejectedLine::read).transpose()?;
            Ok(reject.map(Into::into))
        };
        line.await.map_err(failed(&self.backend.name))
    }

    /// Checks the schema: a silent writer keeps its files here, but the tables may be of a newer schema.
    pub(in crate::store) async fn keep_alive(&mut self) -> Result<(), StoreError> {
        self.backend.look_at_schema(&mut self.connection).await
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

async fn candidates(
    connection: &mut SqliteConnection,
    seen: &Sighting,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let rows = sqlx::query(sql::CANDIDATES)
        .bind(seen.host.clone())
        .bind(seen.key.map(|key| key.device as i64))
        .bind(seen.key.map(|key| key.inode as i64))
        .bind(seen.head.map(|head| head.print.0.to_vec()))
        .bind(seen.head.map(|head| i64::from(head.length)))
        .fetch_all(connection)
        .await?;
    rows.iter().map(rows::checkpoint).collect()
}
