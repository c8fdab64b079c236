//! Claims of files on PostgreSQL: session locks, which end with their connection.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Postgres, lock};
use crate::model::{Checkpoint, Cut, FileId, NewFile, Sighting};
use crate::store::answers::Committed;
use crate::store::error::{Explanation, Kind, StoreError, failed};
use crate::store::{bound, rows, sql};

/// Adds the format that a file has had to the others. `jsonb_object` makes JSON of a text as `to_jsonb`
/// does, whose result may depend on settings: Citus sends no such function to a worker.
const CLAIM: &str = sql::claim!(
    "CASE WHEN format = $6 OR other_formats ? format THEN other_formats
          ELSE other_formats || (jsonb_object(ARRAY['', format]) -> '') END"
);

const REGISTER: &str = sql::register!("now()");
const CLOSE: &str = sql::close!("now()");
const CUT: &str = sql::cut!("now()");

/// One session and the locks that it holds.
#[derive(Debug)]
pub(in crate::store) struct PgWriter {
    pub(in crate::store) backend: Arc<Postgres>,
    pub(in crate::store) connection: PgConnection,
    pub(super) owner: String,
    pub(super) held: HashSet<FileId>,
    /// Files that this writer registered.
    pub(super) registered: HashSet<FileId>,
}

impl PgWriter {
    pub(in crate::store) async fn connect(
        backend: &Arc<Postgres>,
        owner: &str,
    ) -> Result<PgWriter, StoreError> {
        Ok(PgWriter {
            backend: Arc::clone(backend),
            connection: backend.connect().await?,
            owner: owner.to_owned(),
            held: HashSet::new(),
            registered: HashSet::new(),
        })
    }

    /// Adds files, several in one transaction. Two writers may both have found no candidate, so the second
    /// one to get the lock looks again: a row that it does not know was added by the other writer, and
    /// may be of the same file.
    pub(in crate::store) async fn register(
        &mut self,
        files: &[(NewFile, Vec<FileId>)],
        cuts: &[Cut],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let register = async {
            let mut tx = self.connection.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
                .bind(lock::NAMESPACE)
                .bind(lock::REGISTER)
                .execute(&mut *tx)
                .await?;
            let mut registered = Vec::with_capacity(files.len());
            for (new, known) in files {
                let again = bound::candidates!(new.sighting).fetch_all(&mut *tx).await?;
                if rows::has_unknown(&again, known, &self.registered)? {
                    registered.push(None);
                    continue;
                }
                let query = bound::register!(REGISTER, new, &self.owner);
                registered.push(Some(rows::checkpoint(&query.fetch_one(&mut *tx).await?)?));
            }
            for cut in cuts {
                let ended = bound::cut!(CUT, cut).execute(&mut *tx).await?;
                if ended.rows_affected() != 1 || registered.iter().any(Option::is_none) {
                    tx.rollback().await?;
                    return Ok(vec![None; files.len()]);
                }
            }
            // No other session can know them yet, so this does not wait.
            let ids: Vec<i32> = registered.iter().flatten().map(|it| it.file.0).collect();
            sqlx::query("SELECT pg_advisory_lock($1, id) FROM unnest($2::int4[]) AS id")
                .bind(lock::FILE)
                .bind(ids)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(registered)
        };
        let registered = register.await.map_err(failed(&self.backend.name))?;
        for checkpoint in registered.iter().flatten() {
            self.registered.insert(checkpoint.file);
            self.held.insert(checkpoint.file);
        }
        if registered.iter().any(Option::is_some) {
            for cut in cuts.iter().filter(|cut| self.held.contains(&cut.file)).collect::<Vec<_>>() {
                self.unlock(cut.file).await?;
            }
        }
        Ok(registered)
    }

    pub(in crate::store) async fn claim(
        &mut self,
        file: FileId,
        seen: &Sighting,
        format: &str,
    ) -> Result<Option<Checkpoint>, StoreError> {
        if !self.lock(file).await? {
            return Ok(None);
        }
        let row = bound::claim!(CLAIM, file, seen, format, &self.owner)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        let Some(row) = row else {
            self.unlock(file).await?;
            let why = format!("log_file has no row with id {}", file.0);
            return Err(Kind::Failed.error(&self.backend.name, Explanation(why)));
        };
        rows::checkpoint(&row).map(Some).map_err(failed(&self.backend.name))
    }

    /// Takes the lock first: after that, no other writer can raise the epoch that is then read.
    pub(in crate::store) async fn hold_again(
        &mut self,
        file: FileId,
        epoch: i64,
    ) -> Result<bool, StoreError> {
        let locked = self.lock(file).await?;
        let now = self.committed(&[file]).await?;
        if now.first().is_none_or(|now| now.epoch != epoch) {
            if locked {
                self.unlock(file).await?;
            }
            return Ok(false);
        }
        if locked {
            return Ok(true);
        }
        let why = format!("file {} is still locked by a connection that is ending", file.0);
        Err(Kind::Unavailable.error(&self.backend.name, Explanation(why)))
    }

    /// Releases all files in one message. The name of an owner is for people only. So this does not wait
    /// for the disk: after a crash of the server an old name may come back.
    pub(in crate::store) async fn release(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        let held: Vec<FileId> = files.iter().filter(|it| self.held.remove(it)).copied().collect();
        if held.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = held.iter().map(|file| file.0.to_string()).collect();
        let ids = ids.join(",");
        let release = format!(
            "BEGIN; SET LOCAL synchronous_commit = off;
             UPDATE log_file SET owner = NULL WHERE id IN ({ids}); COMMIT;
             SELECT pg_advisory_unlock({}, id) FROM unnest('{{{ids}}}'::int4[]) AS id",
            lock::FILE
        );
        // Numbers only.
        sqlx::raw_sql(AssertSqlSafe(release))
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        Ok(())
    }

    pub(in crate::store) async fn committed(
        &mut self,
        files: &[FileId],
    ) -> Result<Vec<Committed>, StoreError> {
        let query = sqlx::query("SELECT id, committed, epoch FROM log_file WHERE id = ANY($1)");
        self.offsets(query.bind(ids(files))).await
    }

    /// Waits for the lock of each row, which is free when the transaction that moves the offset has ended.
    pub(in crate::store) async fn settled(
        &mut self,
        files: &[FileId],
    ) -> Result<Vec<Committed>, StoreError> {
        let mut settled = Vec::with_capacity(files.len());
        // Citus locks rows only in statements that name one file.
        let at_once = if self.backend.is_distributed() { 1 } else { files.len().max(1) };
        for some in files.chunks(at_once) {
            let query = match some {
                [file] => sqlx::query(
                    "SELECT id, committed, epoch FROM log_file WHERE id = $1 FOR UPDATE",
                )
                .bind(file.0),
                _ => sqlx::query(
                    "SELECT id, committed, epoch FROM log_file WHERE id = ANY($1) \
                     ORDER BY id FOR UPDATE",
                )
                .bind(ids(some)),
            };
            settled.extend(self.offsets(query).await?);
        }
        Ok(settled)
    }

    async fn offsets(
        &mut self,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<Vec<Committed>, StoreError> {
        let rows = query.fetch_all(&mut self.connection).await;
        rows.and_then(|rows| rows.iter().map(rows::committed).collect())
            .map_err(failed(&self.backend.name))
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
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        Ok(done.rows_affected())
    }

    /// Takes the lock of a file. PostgreSQL would grant a lock that the session has a second time, so a lock
    /// is requested only once.
    async fn lock(&mut self, file: FileId) -> Result<bool, StoreError> {
        if self.held.contains(&file) {
            return Ok(true);
        }
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
            .bind(lock::FILE)
            .bind(file.0)
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        if locked {
            self.held.insert(file);
        }
        Ok(locked)
    }

    async fn unlock(&mut self, file: FileId) -> Result<(), StoreError> {
        self.held.remove(&file);
        sqlx::query("SELECT pg_advisory_unlock($1, $2)")
            .bind(lock::FILE)
            .bind(file.0)
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        Ok(())
    }
}

fn ids(files: &[FileId]) -> Vec<i32> {
    files.iter().map(|file| file.0).collect()
}
