//! Claims of files on SQLite: a transaction that checks whether the owner in the row is alive.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::Sqlite;
use super::owners::Alive;
use crate::model::{Checkpoint, Cut, FileId, NewFile, Sighting, now};
use crate::store::answers::Committed;
use crate::store::error::{Explanation, Kind, StoreError, failed, from_io};
use crate::store::time::Time;
use crate::store::writer::ClaimRequest;
use crate::store::{bound, rows, sql};

/// Adds the format that a file has had to the others.
const CLAIM: &str = sql::claim!(
    "CASE WHEN format = $6 OR EXISTS (SELECT 1 FROM json_each(other_formats) WHERE value = format)
          THEN other_formats ELSE json_insert(other_formats, '$[#]', format) END",
    ""
);

const REGISTER: &str = sql::register!("$16", "", "");
const CLOSE: &str = sql::close!("$6");
const CUT: &str = sql::cut!("$6", "");

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

/// Files that one transaction claims: other writers wait for it meanwhile.
const AT_ONCE: usize = 1000;

/// Whether a file is free for a writer.
#[derive(Clone, Copy, PartialEq, Eq)]
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

    /// Returns the candidates of each sighting, the newest first.
    pub(in crate::store) async fn candidates(
        &mut self,
        seen: &[&Sighting],
    ) -> Result<Vec<Vec<Checkpoint>>, StoreError> {
        let find = async {
            let mut candidates = Vec::with_capacity(seen.len());
            for seen in seen {
                let rows = bound::candidates!(seen).fetch_all(&mut self.connection).await?;
                candidates.push(rows.iter().map(rows::checkpoint).collect::<Result<_, _>>()?);
            }
            Ok(candidates)
        };
        find.await.map_err(failed(&self.backend.name))
    }

    /// Adds files, several in one transaction. Two writers may both have found no candidate, so the second
    /// one to write looks again: a row that it does not know was added by the other writer, and may be of
    /// the same file.
    pub(in crate::store) async fn register(
        &mut self,
        files: &[(NewFile, Vec<FileId>)],
        cuts: &[Cut],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let register = async {
            let mut tx = self.connection.begin_with(BEGIN).await?;
            let mut registered = Vec::with_capacity(files.len());
            for (new, known) in files {
                let again = bound::candidates!(new.sighting).fetch_all(&mut *tx).await?;
                let again = again.iter().map(rows::checkpoint).collect::<Result<Vec<_>, _>>()?;
                if rows::has_unknown(&again, known, &self.registered) {
                    registered.push(None);
                    continue;
                }
                let query = bound::register!(REGISTER, new, &self.alive.owner).bind(Time(now()));
                registered.push(Some(rows::checkpoint(&query.fetch_one(&mut *tx).await?)?));
            }
            for cut in cuts {
                let ended = bound::cut!(CUT, cut).bind(Time(now())).execute(&mut *tx).await?;
                if ended.rows_affected() != 1 || registered.iter().any(Option::is_none) {
                    tx.rollback().await?;
                    return Ok(vec![None; files.len()]);
                }
            }
            tx.commit().await?;
            Ok(registered)
        };
        let registered = register.await.map_err(failed(&self.backend.name))?;
        self.registered.extend(registered.iter().flatten().map(|checkpoint| checkpoint.file));
        Ok(registered)
    }

    /// Claims files, many in one transaction. `None` for those that another writer has.
    pub(in crate::store) async fn claim(
        &mut self,
        requests: &[ClaimRequest<'_>],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let mut claimed = Vec::with_capacity(requests.len());
        for some in requests.chunks(AT_ONCE) {
            claimed.extend(self.claim_some(some).await?);
        }
        Ok(claimed)
    }

    async fn claim_some(
        &mut self,
        requests: &[ClaimRequest<'_>],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        let mut owners = Owners::new(&self.backend, &self.alive.owner);
        let mut claimed = Vec::with_capacity(requests.len());
        for ClaimRequest { file, seen, format } in requests {
            match owners.free(&mut tx, *file).await? {
                Free::Yes => {}
                Free::No => {
                    claimed.push(None);
                    continue;
                }
                Free::NoSuchFile => {
                    let why = format!("log_file has no row with id {}", file.0);
                    return Err(Kind::Failed.error(name, Explanation(why)));
                }
            }
            let query = bound::claim!(CLAIM, file, seen, format, &self.alive.owner);
            let row = query.fetch_one(&mut *tx).await;
            claimed.push(Some(row.and_then(|row| rows::checkpoint(&row)).map_err(failed(name))?));
        }
        tx.commit().await.map_err(failed(name))?;
        Ok(claimed)
    }

    /// Takes files again whose epochs are still these. Returns those of which the epoch is another.
    pub(in crate::store) async fn hold_again(
        &mut self,
        claims: &[(FileId, i64)],
    ) -> Result<Vec<FileId>, StoreError> {
        let mut lost = Vec::new();
        for some in claims.chunks(AT_ONCE) {
            self.hold_some(some, &mut lost).await?;
        }
        Ok(lost)
    }

    async fn hold_some(
        &mut self,
        claims: &[(FileId, i64)],
        lost: &mut Vec<FileId>,
    ) -> Result<(), StoreError> {
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        let mut owners = Owners::new(&self.backend, &self.alive.owner);
        for &(file, epoch) in claims {
            let free = owners.free(&mut tx, file).await?;
            let done = sqlx::query("UPDATE log_file SET owner = ?3 WHERE id = ?1 AND epoch = ?2")
                .bind(file.0)
                .bind(epoch)
                .bind(&self.alive.owner)
                .execute(&mut *tx)
                .await
                .map_err(failed(name))?;
            match (done.rows_affected(), free) {
                (1, Free::Yes) => {}
                (1, _) => {
                    // Dropping the transaction rolls it back.
                    let why = format!("file {} still belongs to a writer that is ending", file.0);
                    return Err(Kind::Unavailable.error(name, Explanation(why)));
                }
                _ => lost.push(file),
            }
        }
        tx.commit().await.map_err(failed(name))
    }

    /// Releases those of the files that this writer has, in one transaction.
    pub(in crate::store) async fn release(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        let release = async {
            let mut tx = self.connection.begin_with(BEGIN).await?;
            for file in files {
                sqlx::query("UPDATE log_file SET owner = NULL WHERE id = ?1 AND owner = ?2")
                    .bind(file.0)
                    .bind(&self.alive.owner)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await
        };
        release.await.map_err(failed(&self.backend.name))
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

/// Which owners are alive, as far as that was asked within one transaction.
struct Owners<'a> {
    backend: &'a Sqlite,
    me: &'a str,
    alive: HashMap<String, bool>,
}

impl<'a> Owners<'a> {
    fn new(backend: &'a Sqlite, me: &'a str) -> Self {
        Self { backend, me, alive: HashMap::new() }
    }

    /// Returns whether this writer may claim the file. It runs inside the transaction of the claim, so that
    /// no other writer claims between this check and the update.
    async fn free(
        &mut self,
        connection: &mut SqliteConnection,
        file: FileId,
    ) -> Result<Free, StoreError> {
        let name = &self.backend.name;
        let row: Option<(Option<String>,)> =
            sqlx::query_as("SELECT owner FROM log_file WHERE id = ?1")
                .bind(file.0)
                .fetch_optional(connection)
                .await
                .map_err(failed(name))?;
        let Some((owner,)) = row else { return Ok(Free::NoSuchFile) };
        let Some(owner) = owner.filter(|owner| owner != self.me) else { return Ok(Free::Yes) };
        let is_alive = match self.alive.get(&owner) {
            Some(is_alive) => *is_alive,
            None => {
                let is_alive = self.backend.locks.lives(&owner);
                let is_alive = is_alive.map_err(|error| from_io(name, error))?;
                self.alive.insert(owner, is_alive);
                is_alive
            }
        };
        Ok(if is_alive { Free::No } else { Free::Yes })
    }
}
