//! The contract of ingest: claims, commits, and queries about files.

use sqlx::Connection;

use super::answers::{Committed, Forgotten, LostClaim, NewOrKnown};
use super::error::{StoreError, failed};
use super::postgres::{self, PgWriter};
use super::sql::LineQueries;
use super::sqlite::SqliteWriter;
use super::statement::{Answers, Begin, Statement, Value, WRITE, run};
use super::time::Time;
use super::{Backend, either, on_connection, rows, sql};
use crate::model::{Batch, Checkpoint, Cut, FileId, FileKey, NewFile, Reparsed, Sighting, now};

/// Replaces an error by its cause, if a newer daemon has upgraded the tables meanwhile. The schema is
/// read only after an error that waiting would not cure.
macro_rules! unless_schema {
    ($session:expr, $done:expr) => {
        match $done {
            Err(error) if !error.is_transient() && !error.is_about_schema() => {
                match $session.keep_alive().await {
                    Err(reason) if reason.is_about_schema() => Err(reason),
                    _ => Err(error),
                }
            }
            done => done,
        }
    };
}
pub(super) use unless_schema;

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

/// A file that ends.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
    /// Its id.
    pub file: FileId,
    /// The epoch of its claim.
    pub epoch: i64,
    /// Bytes that were gone before they could be read.
    pub lost_bytes: u64,
    /// Why it ends.
    pub reason: &'a str,
    /// If its object goes on as another file: up to where it still holds this one.
    pub kept_to: Option<u64>,
}

/// Names a database as long as it lives: that of an SQLite file is not that of another file in its place, and
/// that of a PostgreSQL database changes when its tables are made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseId(Backend<Option<u32>, FileKey>);

/// Files that are changed in one transaction.
const AT_ONCE: usize = 1000;

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
    /// epoch one that no file ever had.
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

    /// Registers a file that has no [`Writer::candidates`], as [`Writer::register`] does, in the round trip that
    /// asks for them; else changes nothing and returns them. There may be none where the store looks in one step
    /// and adds in another: compare and [`Writer::register`].
    pub async fn register_unless_known(
        &mut self,
        new: &NewFile,
    ) -> Result<NewOrKnown<Checkpoint>, StoreError> {
        let done = match &mut self.backend {
            Backend::Postgres(backend) => backend.register_unless_known(new).await,
            // Nothing is far away, and to look takes no lock.
            Backend::Sqlite(backend) => {
                let found = backend.candidates(&[&new.sighting]).await;
                found.map(|mut found| NewOrKnown::Known(found.pop().unwrap_or_default()))
            }
        };
        self.unless_schema(done).await
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
        Ok(self.hold_all_again(&[Committed { file, offset: 0, epoch }]).await?.is_empty())
    }

    /// Takes files again as [`Writer::hold_again`] does, many in one transaction. Each claim says up to where its
    /// file is known to be stored. Returns the claims that are lost.
    ///
    /// # Errors
    ///
    /// As for [`Writer::hold_again`]; some of the files may be held nevertheless.
    pub async fn hold_all_again(
        &mut self,
        claims: &[Committed],
    ) -> Result<Vec<(FileId, LostClaim)>, StoreError> {
        either!(&mut self.backend, it => it.hold_again(claims).await)
    }

    /// Returns which database this connection has, or had when [`Writer::keep_alive`] was called last.
    pub fn database(&self) -> DatabaseId {
        DatabaseId(match &self.backend {
            Backend::Postgres(backend) => Backend::Postgres(backend.ledger),
            Backend::Sqlite(backend) => Backend::Sqlite(backend.opened),
        })
    }

    /// Checks that an SQLite file is still where it was opened; this takes microseconds. PostgreSQL is not asked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Replaced`] if another file is there, `Unavailable` if there is none.
    pub fn check_place(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(_) => Ok(()),
            Backend::Sqlite(backend) => backend.check_place(),
        }
    }

    /// Stores where a claimed file is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the epoch is another.
    pub async fn moved(&mut self, file: FileId, epoch: i64, path: &str) -> Result<(), StoreError> {
        self.moved_all(&[(file, epoch, path)]).await
    }

    /// Stores where claimed files are now, many in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] with the files whose epoch is another; the other ones are stored.
    pub async fn moved_all(&mut self, files: &[(FileId, i64, &str)]) -> Result<(), StoreError> {
        let moved = files.iter().map(|&(file, epoch, path)| {
            let values =
                [Value::Int(file.0.into()), Value::Int(epoch), Value::Text(path.to_owned())];
            (file, Statement::of(sql::MOVED, values))
        });
        self.change_all(moved.collect()).await
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

    /// Returns what is known of the files of `host` whose last path begins with `beginning`.
    pub async fn files_below(
        &mut self,
        host: &str,
        beginning: &str,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::FILES_BELOW).bind(host).bind(beginning);
            let rows = query.fetch_all(connection).await?;
            rows.iter().map(rows::checkpoint).collect::<Result<Vec<_>, _>>()
        })
    }

    /// Moves a closed file, which no daemon writes, to another host. Nothing happens if it is open.
    pub async fn rename_closed(&mut self, file: FileId, to: &str) -> Result<(), StoreError> {
        let renamed = on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::RENAME_CLOSED).bind(file.0).bind(to);
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
            let rejected = sqlx::query(sql::COUNT_REJECTS).bind(file.0).fetch_one(&mut *tx).await?;
            let rejected = rows::number(&rejected)?;
            for sql in sql::FORGET_REJECTS_AND_COUNTS {
                sqlx::query(sql).bind(file.0).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            forgotten = Forgotten { rows, rejected };
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
        self.close_files(&[Closing { file, epoch, lost_bytes, reason, kept_to }]).await
    }

    /// Closes files as [`Writer::close_file`] does, many in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] with the files whose epoch is another; the other ones are closed.
    pub async fn close_files(&mut self, closings: &[Closing<'_>]) -> Result<(), StoreError> {
        let close = match &self.backend {
            Backend::Postgres(_) => sql::close!("now()"),
            Backend::Sqlite(_) => sql::close!("$6"),
        };
        let closed = closings.iter().map(|it| {
            let values = [
                Value::Int(it.file.0.into()),
                Value::Int(it.epoch),
                Value::Int(i64::try_from(it.lost_bytes).unwrap_or(i64::MAX)),
                Value::Text(it.reason.to_owned()),
                it.kept_to.map_or(Value::Null, |offset| Value::Int(offset as i64)),
                Value::Time(Time(now())),
            ];
            (it.file, Statement::of(close, values))
        });
        self.change_all(closed.collect()).await
    }

    /// Runs a statement for each file, which returns a row if its epoch is the same.
    async fn change_all(&mut self, changes: Vec<(FileId, Statement)>) -> Result<(), StoreError> {
        let mut others = Vec::new();
        for some in changes.chunks(AT_ONCE) {
            let statements = some.iter().map(|(_, statement)| statement.clone()).collect();
            let done = self.transact(WRITE, statements).await;
            let mut answers = self.unless_schema(done).await?;
            for (file, _) in some {
                if answers.next(rows::number, rows::number)?.is_empty() {
                    others.push(*file);
                }
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        let store = either!(&self.backend, it => it.backend.name.clone());
        self.unless_schema(Err(StoreError::Conflict { store, files: others })).await
    }

    /// Runs statements in one transaction, on PostgreSQL in one round trip.
    pub(super) async fn transact(
        &mut self,
        begin: Begin,
        statements: Vec<Statement>,
    ) -> Result<Answers, StoreError> {
        let name = either!(&self.backend, it => it.backend.name.clone());
        let rows = match &mut self.backend {
            Backend::Postgres(session) => {
                let connection = session.connection().await?;
                let rows = postgres::transact(connection, begin.postgres, &statements).await;
                Backend::Postgres(rows.map_err(failed(&name))?)
            }
            Backend::Sqlite(session) => {
                let connection = session.connection().await?;
                let done = async {
                    let mut tx = connection.begin_with(begin.sqlite).await?;
                    let rows = run(&mut tx, statements).await?;
                    tx.commit().await?;
                    Ok(rows)
                };
                Backend::Sqlite(done.await.map_err(failed(&name))?)
            }
        };
        Ok(Answers::new(rows, &name))
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

    /// Stores what lines are that were read again, in one transaction: it removes what is stored of them,
    /// adds rows and rejects with the same ids, and moves the counts. `false`, and nothing changed, if one of
    /// the removed lines is gone. No claim is needed: the offset does not move.
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

    /// Stores that all lines of a file were read by this format, and whether it has times. Returns `false` if
    /// another writer has claimed the file since.
    pub async fn read_by(
        &mut self,
        file: FileId,
        epoch: i64,
        format: &str,
        has_time: bool,
    ) -> Result<bool, StoreError> {
        let done = on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::READ_BY).bind(file.0).bind(epoch).bind(format);
            let done = query.bind(!has_time).execute(connection).await?;
            Ok(done.rows_affected() == 1)
        });
        self.unless_schema(done).await
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

    /// See the macro.
    async fn unless_schema<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        either!(&mut self.backend, it => unless_schema!(it, done))
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
    /// unreachable daemon become free. [`Writer::database`] tells afterwards whether the tables of a PostgreSQL
    /// database were made anew.
    pub async fn keep_alive(&mut self) -> Result<(), StoreError> {
        either!(&mut self.backend, it => it.keep_alive().await)
    }

    /// Closes what has been of no use for a while. Call it now and then.
    pub fn rest(&mut self) {
        match &mut self.backend {
            Backend::Postgres(backend) => backend.rest(),
            Backend::Sqlite(_) => {}
        }
    }
}
