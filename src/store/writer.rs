//! The contract of ingest: claims, commits, and queries about files.

use sqlx::Connection;

use super::answers::{Committed, Forgotten};
use super::error::StoreError;
use super::postgres::PgWriter;
use super::sql::LineQueries;
use super::sqlite::SqliteWriter;
use super::{Backend, either, on_connection, rows, sql};
use crate::model::{Batch, Checkpoint, Cut, FileId, NewFile, Reparsed, Sighting};

/// A file that is to be claimed, where it was seen, and the format by which it is read.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    /// Its id.
    pub file: FileId,
    /// Where it is now.
    pub seen: &'a Sighting,
    /// The format of its lines.
    pub format: &'a str,
}

/// One connection that claims files and commits batches. Its claims end when it is dropped, or when its
/// process ends in any way.
///
/// After [`StoreError::Unavailable`] from any call, drop it and make another. After
/// [`StoreError::Newer`] nothing was written, and no later call can write.
#[derive(Debug)]
pub struct Writer {
    pub(super) backend: Backend<PgWriter, SqliteWriter>,
}

impl Writer {
    /// How often to call [`Writer::keep_alive`] while there is nothing to commit.
    pub const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(30);

    /// How many open files are read at once.
    const PAGE: i64 = 1000;

    /// Returns files of the same host with the same device and inode, or the same first line, and those of
    /// other hosts with both; open and closed, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], here and below.
    pub async fn candidates(&mut self, seen: &Sighting) -> Result<Vec<Checkpoint>, StoreError> {
        Ok(self.candidates_of_all(&[seen]).await?.pop().unwrap_or_default())
    }

    /// Returns the [`Writer::candidates`] of each of these sightings, in their order.
    pub async fn candidates_of_all(
        &mut self,
        seen: &[&Sighting],
    ) -> Result<Vec<Vec<Checkpoint>>, StoreError> {
        either!(&mut self.backend, it => it.candidates(seen).await)
    }

    /// Registers a file that is none of the [`Writer::candidates`], and claims it. Its offset is 0 and its
    /// epoch [`super::FIRST_EPOCH`].
    ///
    /// `known` are the candidates that the caller has compared it with. If another writer has
    /// registered one more since, which may be the same file, the answer is `None`: compare again.
    /// So one file on disk or one content never gets two rows.
    pub async fn register(
        &mut self,
        new: &NewFile,
        known: &[FileId],
    ) -> Result<Option<Checkpoint>, StoreError> {
        let registered = self.register_all(&[(new.clone(), known.to_vec())]).await?;
        Ok(registered.into_iter().flatten().next())
    }

    /// Registers several different files, each with the candidates that it was compared with, in one
    /// transaction, because the transaction takes most of the time.
    ///
    /// # Errors
    ///
    /// Some of the files may be registered nevertheless.
    pub async fn register_all(
        &mut self,
        files: &[(NewFile, Vec<FileId>)],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let registered = either!(&mut self.backend, it => it.register(files, &[]).await);
        self.unless_schema(registered).await
    }

    /// Registers the file that goes on where a power cut has cut off others, and ends those, in one
    /// transaction. `None`, and nothing changed, if another writer has claimed one that was cut, or has
    /// registered one more candidate.
    pub async fn register_after_cut(
        &mut self,
        new: &NewFile,
        known: &[FileId],
        cuts: &[Cut],
    ) -> Result<Option<Checkpoint>, StoreError> {
        let files = [(new.clone(), known.to_vec())];
        let registered = either!(&mut self.backend, it => it.register(&files, cuts).await);
        let registered = self.unless_schema(registered).await?;
        Ok(registered.into_iter().flatten().next())
    }

    /// Claims the file: locks it, raises its epoch, stores where it is now, and opens it again if it was
    /// closed. `None` if another writer has it. A stream leaves device and inode as they were.
    pub async fn claim(
        &mut self,
        file: FileId,
        seen: &Sighting,
        format: &str,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let claimed = self.claim_all(&[ClaimRequest { file, seen, format }]).await?;
        Ok(claimed.into_iter().flatten().next())
    }

    /// Claims several different files as [`Writer::claim`] does, many in one transaction.
    ///
    /// # Errors
    ///
    /// Some of the files may be claimed nevertheless.
    pub async fn claim_all(
        &mut self,
        requests: &[ClaimRequest<'_>],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let done = either!(&mut self.backend, it => it.claim(requests).await);
        self.unless_schema(done).await
    }

    /// Takes a file again that a lost writer of this process had under `epoch`. `false` if another writer
    /// has claimed it since.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] while the lost connection still holds the lock: the server
    /// ends it within a minute or so.
    pub async fn hold_again(&mut self, file: FileId, epoch: i64) -> Result<bool, StoreError> {
        Ok(self.hold_all_again(&[(file, epoch)]).await?.is_empty())
    }

    /// Takes files again as [`Writer::hold_again`] does, many in one transaction. Returns those that another
    /// writer has claimed since.
    ///
    /// # Errors
    ///
    /// As for [`Writer::hold_again`]; some of the files may be held nevertheless.
    pub async fn hold_all_again(
        &mut self,
        claims: &[(FileId, i64)],
    ) -> Result<Vec<FileId>, StoreError> {
        either!(&mut self.backend, it => it.hold_again(claims).await)
    }

    /// Stores where a claimed file is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the epoch is another.
    pub async fn moved(&mut self, file: FileId, epoch: i64, path: &str) -> Result<(), StoreError> {
        let done = on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::MOVED).bind(file.0).bind(epoch).bind(path);
            query.execute(connection).await.map(|done| done.rows_affected())
        });
        self.touched(file, done).await
    }

    /// Gives all files of host `from` to host `to`, those that are ignored too. Returns how many of them
    /// are logs. The caller has to hold the open ones.
    pub async fn rename_host(&mut self, from: &str, to: &str) -> Result<u64, StoreError> {
        let renamed = on_connection!(&mut self.backend, connection => {
            let ignored = sqlx::query(sql::RENAME_IGNORED).bind(from).bind(to);
            ignored.execute(&mut *connection).await?;
            let query = sqlx::query(sql::RENAME_HOST).bind(from).bind(to);
            query.execute(connection).await.map(|done| done.rows_affected())
        });
        self.unless_schema(renamed).await
    }

    /// Moves what power cuts and truncations have ended of the log `known` to another host, as the claim
    /// of the log itself has done. Where that goes on depends on them.
    pub async fn rename_ended(&mut self, known: &Checkpoint, to: &str) -> Result<(), StoreError> {
        let Some(key) = known.key else { return Ok(()) };
        let renamed = on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::RENAME_ENDED).bind(&known.host).bind(to);
            let query = query.bind(key.device as i64).bind(key.inode as i64);
            query.execute(connection).await.map(|_| ())
        });
        self.unless_schema(renamed).await
    }

    /// Removes a file that this writer holds, with its rows, rejects and counts, in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the epoch is another.
    pub async fn forget(&mut self, file: FileId, epoch: i64) -> Result<Forgotten, StoreError> {
        let (from, to) = (file.row_id(0), FileId(file.0 + 1).row_id(0));
        let mut forgotten = Forgotten::default();
        let done = on_connection!(&mut self.backend, connection => {
            let mut tx = connection.begin().await?;
            let done = sqlx::query(sql::FORGET_FILE).bind(file.0).bind(epoch).execute(&mut *tx).await?;
            if done.rows_affected() == 0 {
                return Ok(0);
            }
            let mut rows = 0;
            for sql in sql::FORGET_ROWS {
                let query = sqlx::query(sql).bind(file.0).bind(from).bind(to);
                rows += query.execute(&mut *tx).await?.rows_affected();
            }
            let mut others = [0; 3];
            for (sql, count) in sql::FORGET_REJECTS_AND_COUNTS.into_iter().zip(&mut others) {
                let query = sqlx::query(sql).bind(file.0);
                *count = query.execute(&mut *tx).await?.rows_affected();
            }
            tx.commit().await?;
            forgotten = Forgotten { rows, rejected: others[0] };
            Ok(1)
        });
        self.touched(file, done).await?;
        self.release(file).await?;
        Ok(forgotten)
    }

    /// Releases a file; nothing happens if this writer does not have it.
    pub async fn release(&mut self, file: FileId) -> Result<(), StoreError> {
        self.release_all(&[file]).await
    }

    /// Releases several files.
    pub async fn release_all(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        either!(&mut self.backend, it => it.release(files).await)
    }

    /// Stores the batch in one transaction. Never put it inside `select!` or a timeout: a COPY
    /// finishes or aborts.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if an offset or epoch is not the batch's, [`StoreError::BadRow`]
    /// if some row cannot be stored; nothing is stored then. After [`StoreError::Unavailable`]
    /// it may have been stored: see the module's page.
    pub async fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let done = either!(&mut self.backend, it => it.commit(batch).await);
        self.unless_schema(done).await
    }

    /// Begins the transaction of a batch and sends its rows, without moving an offset. The rows are
    /// invisible until [`Writer::seal`]; if the writer is dropped instead, nothing is stored. An SQLite
    /// file has one writer at a time, so there [`Writer::seal`] sends the rows too.
    ///
    /// # Errors
    ///
    /// As for [`Writer::commit`], but for [`StoreError::Conflict`]. The writer is of no further use.
    pub async fn stage(&mut self, batch: &Batch) -> Result<(), StoreError> {
        match &mut self.backend {
            Backend::Postgres(backend) => backend.stage(batch).await,
            Backend::Sqlite(_) => Ok(()),
        }
    }

    /// Moves the offsets of a staged batch and commits it. Another writer of this process may hold the
    /// claims: the epoch shows whether they are still valid.
    ///
    /// # Errors
    ///
    /// As for [`Writer::commit`]. The writer is of no further use.
    pub async fn seal(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let done = match &mut self.backend {
            Backend::Postgres(backend) => backend.seal(batch).await,
            Backend::Sqlite(backend) => backend.commit(batch).await,
        };
        self.unless_schema(done).await
    }

    /// Returns offset and epoch of files after the transactions that move them have ended: so a caller
    /// learns whether a commit without an answer happened.
    pub async fn settled(&mut self, files: &[FileId]) -> Result<Vec<Committed>, StoreError> {
        match &mut self.backend {
            Backend::Postgres(backend) => backend.settled(files).await,
            Backend::Sqlite(backend) => backend.committed(files).await,
        }
    }

    /// Returns offset and epoch of files as they are stored now.
    pub async fn committed(&mut self, files: &[FileId]) -> Result<Vec<Committed>, StoreError> {
        either!(&mut self.backend, it => it.committed(files).await)
    }

    /// Closes a file that was truncated, replaced or deleted. `lost_bytes` of it were gone before they
    /// could be read. `kept_to` is given if its object goes on as another file: up to where it still
    /// holds this one. If the file appears again, a claim opens it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the epoch is another.
    pub async fn close_file(
        &mut self,
        file: FileId,
        epoch: i64,
        lost_bytes: u64,
        reason: &str,
        kept_to: Option<u64>,
    ) -> Result<(), StoreError> {
        let kept_to = kept_to.map(|offset| offset as i64);
        let done = either!(&mut self.backend, it => it.close(file, epoch, lost_bytes, reason, kept_to).await);
        self.touched(file, done).await
    }

    /// Stores that `lost_bytes` of a file that stays open are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the epoch is another.
    pub async fn record_loss(
        &mut self,
        file: FileId,
        epoch: i64,
        lost_bytes: u64,
    ) -> Result<(), StoreError> {
        let lost_bytes = i64::try_from(lost_bytes).unwrap_or(i64::MAX);
        let done = on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::LOSE).bind(file.0).bind(epoch).bind(lost_bytes);
            query.execute(connection).await.map(|done| done.rows_affected())
        });
        self.touched(file, done).await
    }

    /// Returns open files of a host, oldest first: `PAGE` at most of those after `after`, since
    /// there may be many.
    pub async fn open_files(
        &mut self,
        host: &str,
        after: FileId,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::OPEN_FILES).bind(host).bind(after.0).bind(Self::PAGE);
            let rows = query.fetch_all(connection).await?;
            rows.iter().map(rows::checkpoint).collect::<Result<Vec<_>, _>>()
        })
    }

    /// Makes rows of rejects, in one transaction: it removes the rejects, adds rows with the same ids, and
    /// moves the counters of the file. `false`, and nothing changed, if one of the rejects is gone. No
    /// claim is needed: the offset does not move.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadRow`] if some row cannot be stored; nothing changed then.
    pub async fn reparse(&mut self, lines: &Reparsed) -> Result<bool, StoreError> {
        let done = either!(&mut self.backend, it => it.reparse(lines).await);
        match self.unless_schema(done).await {
            Ok(false) => self.keep_alive().await.map(|()| false),
            done => done,
        }
    }

    /// Checks that a statement with an epoch has found its file; else another process owns the file.
    async fn touched(
        &mut self,
        file: FileId,
        rows: Result<u64, StoreError>,
    ) -> Result<(), StoreError> {
        let store = either!(&self.backend, it => &it.backend.name);
        let done = rows.and_then(|rows| match rows {
            1 => Ok(()),
            _ => Err(StoreError::Conflict { store: store.clone(), files: vec![file] }),
        });
        self.unless_schema(done).await
    }

    pub(super) fn line_queries(&self) -> &'static LineQueries {
        match &self.backend {
            Backend::Postgres(_) => &sql::IN_POSTGRES,
            Backend::Sqlite(_) => &sql::IN_SQLITE,
        }
    }

    /// Replaces an error by its cause, if a newer daemon has upgraded the tables meanwhile. The schema is
    /// read only after an error that waiting would not cure.
    async fn unless_schema<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match done {
            Err(error) if !error.is_transient() && !error.is_about_schema() => {
                match self.keep_alive().await {
                    Err(reason) if reason.is_about_schema() => Err(reason),
                    _ => Err(error),
                }
            }
            done => done,
        }
    }

    /// Closes the connection, which leaves an SQLite file without files beside it. Without this call
    /// nothing is lost.
    pub async fn end(self) {
        match self.backend {
            Backend::Postgres(_) => {}
            Backend::Sqlite(backend) => backend.end().await,
        }
    }

    /// Shows the database that this process is alive, and checks the connection and the schema. A
    /// PostgreSQL server ends a session that was silent for two minutes, so that the files of a stopped or
    /// unreachable daemon become free.
    pub async fn keep_alive(&mut self) -> Result<(), StoreError> {
        either!(&mut self.backend, it => it.backend.check_schema(&mut it.connection).await)
    }
}
