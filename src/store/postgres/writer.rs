//! Claiming files on PostgreSQL: session locks, which end with their connection.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Postgres, lock, time};
use crate::model::{Checkpoint, FileId, Sighting};
use crate::store::answers::{Committed, StoredLine};
use crate::store::error::{Explanation, Kind, StoreError, failed};
use crate::store::rows::{self, Columns, checkpoint_columns};
use crate::store::schema::next_epoch;

const CANDIDATES: &str = concat!(
    "SELECT ",
    checkpoint_columns!(),
    " FROM log_file
      WHERE host = $1 AND ((device = $2 AND inode = $3) OR (head = $4 AND head_length = $5))
      ORDER BY id DESC"
);

/// As for `jsonb_object`, see the one in `reparse`.
const CLAIM: &str = concat!(
    "UPDATE log_file SET epoch = ",
    next_epoch!(),
    ", path = $2, format = $6, owner = $7,
            other_formats = CASE WHEN format = $6 OR other_formats ? format THEN other_formats
                            ELSE other_formats || (jsonb_object(ARRAY['', format]) -> '') END,
            device = CASE WHEN $3::bigint IS NULL THEN device ELSE $3 END,
            inode = CASE WHEN $3::bigint IS NULL THEN inode ELSE $4 END,
            birth = CASE WHEN $3::bigint IS NULL THEN birth ELSE $5 END,
            closed_at = NULL, closed_reason = NULL, lost_bytes = 0
      WHERE id = $1 RETURNING ",
    checkpoint_columns!()
);

const MOVED: &str = "UPDATE log_file SET path = $3 WHERE id = $1 AND epoch = $2";

const CLOSE: &str = "
    UPDATE log_file SET closed_at = now(), closed_reason = $4, lost_bytes = $3, size = committed + $3
     WHERE id = $1 AND epoch = $2";

const LOSE: &str = "UPDATE log_file SET lost_bytes = $3 WHERE id = $1 AND epoch = $2";

const OPEN_FILES: &str = concat!(
    "SELECT ",
    checkpoint_columns!(),
    " FROM log_file WHERE host = $1 AND closed_at IS NULL ORDER BY id"
);

/// What [`rows::stored`] reads.
macro_rules! row_columns {
    () => {
        "timestamp, log_offset, duration, response_bytes, code, pid, method, url, host, user_id, \
         host(user_ip) AS user_ip, agent, source, protocol, request::text, response::text, \
         headers::text"
    };
}
pub(in crate::store) use row_columns;

const ROW_AT: &str =
    concat!("SELECT ", row_columns!(), " FROM gunicorn_log WHERE id = $1 AND log_file = $2");

/// What [`rows::stored_request`] reads.
macro_rules! request_columns {
    () => {
        "timestamp, log_offset, response_time_ms, status_code, method, path, query_params, \
         headers::text, body, content_type, response_headers::text, response_body, \
         host(ip_address) AS ip_address, user_id, user_agent, session_id, extra_data::text"
    };
}
pub(in crate::store) use request_columns;

const REQUEST_AT: &str =
    concat!("SELECT ", request_columns!(), " FROM request_log WHERE id = $1 AND log_file = $2");

const REJECT_AT: &str =
    "SELECT reason, raw FROM rejected_line WHERE log_file = $1 AND log_offset = $2";

/// One session: the locks that it holds, and what it last looked at.
#[derive(Debug)]
pub(in crate::store) struct PgWriter {
    pub(super) backend: Arc<Postgres>,
    pub(super) connection: PgConnection,
    pub(super) owner: String,
    pub(super) held: HashSet<FileId>,
    /// Files that this writer registered: nobody else's work.
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

    pub(in crate::store) async fn candidates(
        &mut self,
        seen: &Sighting,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        candidates(&mut self.connection, seen).await.map_err(failed(&self.backend.name))
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
        let row = sqlx::query(CLAIM)
            .bind(file.0)
            .bind(&seen.path)
            .bind(seen.key.map(|key| key.device as i64))
            .bind(seen.key.map(|key| key.inode as i64))
            .bind(seen.key.and_then(|key| key.birth_us).map(time))
            .bind(format)
            .bind(&self.owner)
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

    /// The lock comes first: after it, nobody else can raise the epoch that is then read.
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

    /// All in one message. The name of an owner is for people: it may come back after a crash of
    /// the server, which is why nobody waits for the disk here.
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
        let ids: Vec<i32> = files.iter().map(|file| file.0).collect();
        let rows = sqlx::query("SELECT id, committed, epoch FROM log_file WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        rows.iter()
            .map(rows::committed)
            .collect::<Result<_, _>>()
            .map_err(failed(&self.backend.name))
    }

    /// The row's lock is free when the transaction that moves its offset has ended.
    pub(in crate::store) async fn settled(
        &mut self,
        files: &[FileId],
    ) -> Result<Vec<Committed>, StoreError> {
        let mut settled = Vec::with_capacity(files.len());
        // Citus locks rows for those only who name one file.
        let at_once = if self.backend.is_distributed() { 1 } else { files.len().max(1) };
        for some in files.chunks(at_once) {
            settled.extend(self.settled_of(some).await?);
        }
        Ok(settled)
    }

    async fn settled_of(&mut self, files: &[FileId]) -> Result<Vec<Committed>, StoreError> {
        let (one, ids): (_, Vec<i32>) = (
            "SELECT id, committed, epoch FROM log_file WHERE id = $1 FOR UPDATE",
            files.iter().map(|file| file.0).collect(),
        );
        let asked = match files {
            [file] => sqlx::query(one).bind(file.0),
            _ => sqlx::query(
                "SELECT id, committed, epoch FROM log_file WHERE id = ANY($1) ORDER BY id FOR UPDATE",
            )
            .bind(ids),
        };
        let rows =
            asked.fetch_all(&mut self.connection).await.map_err(failed(&self.backend.name))?;
        rows.iter()
            .map(rows::committed)
            .collect::<Result<_, _>>()
            .map_err(failed(&self.backend.name))
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
            .bind(reason)
            .execute(&mut self.connection)
            .await
            .map_err(failed(&self.backend.name))?;
        self.touched(file, done.rows_affected())
    }

    /// A statement with an epoch finds its file, or the file is somebody else's.
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
        let done = sqlx::query(LOSE)
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
            let rows = sqlx::query(OPEN_FILES).bind(host).fetch_all(&mut self.connection).await?;
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
        let done = sqlx::query(MOVED)
            .bind(file.0)
            .bind(epoch)
            .bind(path)
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
            let row = sqlx::query(ROW_AT)
                .bind(file.row_id(offset))
                .bind(file.0)
                .fetch_optional(&mut self.connection)
                .await?;
            if let Some(row) = row {
                return rows::stored(&row).map(|row| Some(StoredLine::Row(Box::new(row))));
            }
            let request = sqlx::query(REQUEST_AT)
                .bind(file.row_id(offset))
                .bind(file.0)
                .fetch_optional(&mut self.connection)
                .await?;
            if let Some(row) = request {
                let request = rows::stored_request(&row)?;
                return Ok(Some(StoredLine::Request(Box::new(request))));
            }
            let reject = sqlx::query(REJECT_AT)
                .bind(file.0)
                .bind(offset as i64)
                .fetch_optional(&mut self.connection)
                .await?;
            reject.as_ref().map(reject_of).transpose()
        };
        line.await.map_err(failed(&self.backend.name))
    }

    /// An idle daemon learns here that the tables are of a newer schema.
    pub(in crate::store) async fn keep_alive(&mut self) -> Result<(), StoreError> {
        self.backend.look_at_schema(&mut self.connection).await
    }

    /// A session gets a lock that it has once more; so a lock is asked for only once.
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

pub(super) async fn candidates(
    connection: &mut PgConnection,
    seen: &Sighting,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let rows = sqlx::query(CANDIDATES)
        .bind(&seen.host)
        .bind(seen.key.map(|key| key.device as i64))
        .bind(seen.key.map(|key| key.inode as i64))
        .bind(seen.head.map(|head| head.print.0.to_vec()))
        .bind(seen.head.map(|head| head.length as i32))
        .fetch_all(connection)
        .await?;
    rows.iter().map(rows::checkpoint).collect()
}

pub(super) fn reject_of(row: &PgRow) -> Result<StoredLine, sqlx::Error> {
    Ok(StoredLine::Reject {
        reason: row.text("reason")?.unwrap_or_default(),
        raw: row.bytes("raw")?.unwrap_or_default(),
    })
}
