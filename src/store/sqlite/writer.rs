//! Claims of files on SQLite: a transaction that checks whether the owner in the row is alive.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::owners::Alive;
use super::{COPY_LOCK, Sqlite};
use crate::model::{Checkpoint, Cut, FileId, FileKey, NewFile, Sighting, now};
use crate::store::answers::{Committed, LostClaim};
use crate::store::error::{Explanation, Kind, StoreError, failed, from_io};
use crate::store::schema::claim_number;
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
const CUT: &str = sql::cut!("$6", "");

/// A transaction that writes takes the write lock at its beginning: one that began by reading
/// could not wait for it later, but would fail at once.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// One connection and the lock that shows that its process is alive.
#[derive(Debug)]
pub(in crate::store) struct SqliteWriter {
    pub(in crate::store) backend: Arc<Sqlite>,
    pub(in crate::store) connection: SqliteConnection,
    /// The file that the connection has open.
    pub(in crate::store) opened: FileKey,
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
        // After its own lock: a copy has its lock before it looks for writers.
        let copied = backend.locks.is_taken(COPY_LOCK);
        if copied.map_err(|error| from_io(&backend.name, error))? {
            return Err(StoreError::BeingCopied { store: backend.name.clone() });
        }
        let (connection, opened) = backend.connect_to_write().await?;
        Ok(SqliteWriter {
            backend: Arc::clone(backend),
            connection,
            opened,
            alive,
            registered: HashSet::new(),
        })
    }

    /// Returns the connection, which is always open.
    #[expect(clippy::unused_async, reason = "the other backend may have to connect")]
    pub(in crate::store) async fn connection(
        &mut self,
    ) -> Result<&mut SqliteConnection, StoreError> {
        Ok(&mut self.connection)
    }

    /// Checks that the file is still there.
    pub(in crate::store) fn check_place(&self) -> Result<(), StoreError> {
        self.backend.check_place(self.opened)
    }

    /// Checks the schema.
    pub(in crate::store) async fn keep_alive(&mut self) -> Result<(), StoreError> {
        self.backend.check_schema(&mut self.connection).await
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
                let query = bound::register!(REGISTER, new, &self.alive.owner);
                let query = query.bind(Time(now())).bind(claim_number());
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

    /// Takes files again whose epochs are still these. Returns the claims that are lost.
    pub(in crate::store) async fn hold_again(
        &mut self,
        claims: &[Committed],
    ) -> Result<Vec<(FileId, LostClaim)>, StoreError> {
        let mut lost = Vec::new();
        for some in claims.chunks(AT_ONCE) {
            self.hold_some(some, &mut lost).await?;
        }
        Ok(lost)
    }

    async fn hold_some(
        &mut self,
        claims: &[Committed],
        lost: &mut Vec<(FileId, LostClaim)>,
    ) -> Result<(), StoreError> {
        let name = &self.backend.name;
        let mut tx = self.connection.begin_with(BEGIN).await.map_err(failed(name))?;
        let mut owners = Owners::new(&self.backend, &self.alive.owner);
        for claim in claims {
            let now = committed(&mut tx, claim.file).await.map_err(failed(name))?;
            if let Some(how) = claim.lost(now.as_ref()) {
                lost.push((claim.file, how));
                continue;
            }
            if owners.free(&mut tx, claim.file).await? != Free::Yes {
                // Dropping the transaction rolls it back.
                let why = format!("file {} still belongs to a writer that is ending", claim.file.0);
                return Err(Kind::Unavailable.error(name, Explanation(why)));
            }
            sqlx::query("UPDATE log_file SET owner = ?2 WHERE id = ?1")
                .bind(claim.file.0)
                .bind(&self.alive.owner)
                .execute(&mut *tx)
                .await
                .map_err(failed(name))?;
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
        let read = async {
            let mut all = Vec::with_capacity(files.len());
            for file in files {
                all.extend(committed(&mut self.connection, *file).await?);
            }
            Ok(all)
        };
        read.await.map_err(failed(&self.backend.name))
    }
}

/// Returns how far a file is stored; `None` if it has no row.
async fn committed(
    connection: &mut SqliteConnection,
    file: FileId,
) -> Result<Option<Committed>, sqlx::Error> {
    let row = sqlx::query("SELECT id, committed, epoch FROM log_file WHERE id = ?1")
        .bind(file.0)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(rows::committed).transpose()
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
