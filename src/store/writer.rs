//! What ingest asks of a store: claims, commits, and what is known of files.

use super::answers::{Committed, FileReport, RejectKey, StoredLine, StoredReject};
use super::either;
use super::error::StoreError;
use super::postgres::PgWriter;
use super::sqlite::SqliteWriter;
use crate::model::{Batch, Checkpoint, FileId, Micros, NewFile, Reparsed, Sighting};

/// One connection that claims files and commits batches. What it claimed is free again when it is
/// dropped, or when its process ends in whatever way.
///
/// After [`StoreError::Unavailable`] from any call, drop it and make another. [`StoreError::Newer`] from
/// whatever writes says that nothing was written, and that nothing more will be.
#[derive(Debug)]
pub struct Writer {
    backend: WriterBackend,
}

#[derive(Debug)]
enum WriterBackend {
    Postgres(Box<PgWriter>),
    Sqlite(Box<SqliteWriter>),
}

impl From<PgWriter> for Writer {
    fn from(backend: PgWriter) -> Writer {
        Writer { backend: WriterBackend::Postgres(Box::new(backend)) }
    }
}

impl From<SqliteWriter> for Writer {
    fn from(backend: SqliteWriter) -> Writer {
        Writer { backend: WriterBackend::Sqlite(Box::new(backend)) }
    }
}

impl Writer {
    /// How often to call [`Writer::keep_alive`] while there is nothing to commit.
    pub const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(30);

    /// Files of the same host with the same device and inode, or the same first line; open and
    /// closed, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], here and below.
    pub async fn candidates(&mut self, seen: &Sighting) -> Result<Vec<Checkpoint>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.candidates(seen).await)
    }

    /// Writes down a file that is none of the [`Writer::candidates`], and claims it; its offset is
    /// 0 and its epoch 1.
    ///
    /// `known` are the candidates that the caller has compared it with. If another writer has
    /// registered one more since, which may be this very file, the answer is `None`: look again.
    /// One file on disk never gets two rows, and one content not either.
    pub async fn register(
        &mut self,
        new: &NewFile,
        known: &[FileId],
    ) -> Result<Option<Checkpoint>, StoreError> {
        let registered = self.register_all(&[(new.clone(), known.to_vec())]).await?;
        Ok(registered.into_iter().flatten().next())
    }

    /// The same for several files, no two of which are alike, with the candidates that each was
    /// compared with: one transaction, where a transaction is what takes the time.
    ///
    /// # Errors
    ///
    /// Some of the files may be registered nevertheless.
    pub async fn register_all(
        &mut self,
        files: &[(NewFile, Vec<FileId>)],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let registered = match &mut self.backend {
            WriterBackend::Postgres(backend) => backend.register(files).await,
            WriterBackend::Sqlite(backend) => {
                let one_by_one = async {
                    let mut registered = Vec::with_capacity(files.len());
                    for (new, known) in files {
                        registered.push(backend.register(new, known).await?);
                    }
                    Ok(registered)
                };
                one_by_one.await
            }
        };
        self.unless_schema(registered).await
    }

    /// Takes the file: locks it, raises its epoch, writes down where it is now, and opens it again
    /// if it was closed. `None` if another writer has it. A stream leaves device and inode as
    /// they were.
    pub async fn claim(
        &mut self,
        file: FileId,
        seen: &Sighting,
        format: &str,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let done = either!(&mut self.backend, WriterBackend, backend => backend.claim(file, seen, format).await);
        self.unless_schema(done).await
    }

    /// Takes a file again that a lost writer of this process had under `epoch`. `false` if
    /// somebody else has claimed it since.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] while the lost connection still holds the lock: the server
    /// ends it within a minute or so.
    pub async fn hold_again(&mut self, file: FileId, epoch: i64) -> Result<bool, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.hold_again(file, epoch).await)
    }

    /// Writes down where a claimed file is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the epoch is another.
    pub async fn moved(&mut self, file: FileId, epoch: i64, path: &str) -> Result<(), StoreError> {
        let done = either!(&mut self.backend, WriterBackend, backend => backend.moved(file, epoch, path).await);
        self.unless_schema(done).await
    }

    /// Lets a file go; nothing happens if this writer does not have it.
    pub async fn release(&mut self, file: FileId) -> Result<(), StoreError> {
        self.release_all(&[file]).await
    }

    /// The same for several files.
    pub async fn release_all(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        match &mut self.backend {
            WriterBackend::Postgres(backend) => backend.release(files).await,
            WriterBackend::Sqlite(backend) => {
                for &file in files {
                    backend.release(file).await?;
                }
                Ok(())
            }
        }
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
        let done =
            either!(&mut self.backend, WriterBackend, backend => backend.commit(batch).await);
        self.unless_schema(done).await
    }

    /// Begins a batch's transaction and sends its rows, without moving an offset. Nobody sees them
    /// until [`Writer::seal`]; a writer that is dropped instead has sent nothing. An SQLite file has
    /// one writer at a time, so there this waits for [`Writer::seal`] too.
    ///
    /// # Errors
    ///
    /// As for [`Writer::commit`], but for [`StoreError::Conflict`]. The writer is of no further use.
    pub async fn stage(&mut self, batch: &Batch) -> Result<(), StoreError> {
        match &mut self.backend {
            WriterBackend::Postgres(backend) => backend.stage(batch).await,
            WriterBackend::Sqlite(_) => Ok(()),
        }
    }

    /// Moves the offsets of a staged batch and commits it. The files need not be claimed by this
    /// very writer: their epoch tells whether they still are.
    ///
    /// # Errors
    ///
    /// As for [`Writer::commit`]. The writer is of no further use.
    pub async fn seal(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let done = match &mut self.backend {
            WriterBackend::Postgres(backend) => backend.seal(batch).await,
            WriterBackend::Sqlite(backend) => backend.commit(batch).await,
        };
        self.unless_schema(done).await
    }

    /// Offset and epoch of files when no transaction is moving them any more: what became of a
    /// batch whose commit was not answered.
    pub async fn settled(&mut self, files: &[FileId]) -> Result<Vec<Committed>, StoreError> {
        match &mut self.backend {
            WriterBackend::Postgres(backend) => backend.settled(files).await,
            WriterBackend::Sqlite(backend) => backend.committed(files).await,
        }
    }

    /// Offset and epoch of files as they are stored now.
    pub async fn committed(&mut self, files: &[FileId]) -> Result<Vec<Committed>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.committed(files).await)
    }

    /// Writes down that nothing more comes under this identity: it was truncated, replaced or
    /// deleted, and `lost_bytes` of it were gone before they could be read. If it turns up after
    /// all, a claim takes that back.
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
    ) -> Result<(), StoreError> {
        let done = either!(&mut self.backend, WriterBackend, backend => backend.close(file, epoch, lost_bytes, reason).await);
        self.unless_schema(done).await
    }

    /// Writes down that `lost_bytes` of a file that goes on are gone.
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
        let done = either!(&mut self.backend, WriterBackend, backend => backend.lose(file, epoch, lost_bytes).await);
        self.unless_schema(done).await
    }

    /// The files of a host of which more may come, oldest first.
    pub async fn open_files(&mut self, host: &str) -> Result<Vec<Checkpoint>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.open_files(host).await)
    }

    /// What the line at `offset` became, `None` if nothing is stored there (or no more): tells
    /// whether a shorter copy of a file has the same content.
    pub async fn line_at(
        &mut self,
        file: FileId,
        offset: u64,
    ) -> Result<Option<StoredLine>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.line_at(file, offset).await)
    }

    /// The file's row as it stands now: offset, digest and counters of one moment.
    pub async fn report(&mut self, file: FileId) -> Result<Option<FileReport>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.report(file).await)
    }

    /// Rows and rejects whose lines begin in `from..to`, of one moment and in the order of their
    /// offsets; at most `limit` of either.
    pub async fn lines_between(
        &mut self,
        file: FileId,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<(u64, StoredLine)>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.lines_between(file, from, to, limit).await)
    }

    /// The offset of the first row or reject that stands at or behind the committed offset, where
    /// none can be.
    pub async fn line_behind(&mut self, file: FileId) -> Result<Option<u64>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.line_behind(file).await)
    }

    /// How many rows have an id that is not made of their file and offset, and the lowest of
    /// these ids. Reads the whole table.
    pub async fn strays(&mut self) -> Result<(u64, Option<i64>), StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.strays().await)
    }

    /// The latest time before which a sweep that finished after `since` has removed lines.
    pub async fn swept_before(&mut self, since: Micros) -> Result<Option<Micros>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.swept_before(since).await)
    }

    /// The next rejects behind `after`: at most `limit`, and no more once their lines have
    /// `weight` bytes.
    pub async fn rejects_after(
        &mut self,
        after: RejectKey,
        limit: u32,
        weight: u64,
    ) -> Result<Vec<StoredReject>, StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.rejects_after(after, limit, weight).await)
    }

    /// Makes rows of rejects, in one transaction: the rejects leave, the rows arrive under the same
    /// ids, and the file's counters move. `false`, and nothing changed, if one of the rejects is
    /// not there any more. No claim is needed: the offset does not move.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadRow`] if some row cannot be stored; nothing changed then.
    pub async fn reparse(&mut self, lines: &Reparsed) -> Result<bool, StoreError> {
        let done =
            either!(&mut self.backend, WriterBackend, backend => backend.reparse(lines).await);
        match self.unless_schema(done).await {
            Ok(false) => {
                either!(&mut self.backend, WriterBackend, backend => backend.keep_alive().await)
                    .map(|()| false)
            }
            done => done,
        }
    }

    /// What failed, or the reason why: that a newer daemon has upgraded the tables meanwhile. They are
    /// asked only after an error, and only if waiting would not cure it.
    async fn unless_schema<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match done {
            Err(error) if !error.is_transient() && !error.is_about_schema() => {
                match either!(&mut self.backend, WriterBackend, backend => backend.keep_alive().await)
                {
                    Err(reason) if reason.is_about_schema() => Err(reason),
                    _ => Err(error),
                }
            }
            done => done,
        }
    }

    /// Says good-bye, which leaves an SQLite file without files beside it. Nothing is lost without.
    pub async fn end(self) {
        match self.backend {
            WriterBackend::Postgres(_) => {}
            WriterBackend::Sqlite(backend) => backend.end().await,
        }
    }

    /// Tells the database that this process is alive, and learns whether the database is. A
    /// PostgreSQL server ends a writer that was silent for two minutes, so that the files of a
    /// stopped or unreachable daemon get free.
    pub async fn keep_alive(&mut self) -> Result<(), StoreError> {
        either!(&mut self.backend, WriterBackend, backend => backend.keep_alive().await)
    }
}
