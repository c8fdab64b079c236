//! The ledger as a whole: known paths, which files are ignored, and which closed files are still there.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::Connection;

use super::answers::IgnoredReport;
use super::error::{StoreError, failed};
use super::sql::{LEDGER_IN_POSTGRES, LEDGER_IN_SQLITE, LedgerQueries};
use super::sqlite::clock;
use super::time::Time;
use super::{Backend, Store, Writer, either, on_connection, rows, sql};
use crate::model::{FileId, Micros, now};

/// Ids that one statement takes.
const IDS: usize = 5000;

/// A closed file that was seen again within this time is not marked anew (1 h).
const MARKED_US: i64 = 3_600_000_000;

/// # Errors
///
/// As for [`Store::open`].
impl Store {
    /// Returns each path at which a log of this host was last seen, and when the first log there was
    /// registered, in microseconds since 1970.
    pub async fn known_paths(&self, host: &str) -> Result<HashMap<String, Micros>, StoreError> {
        either!(&self.backend, backend => {
            let mut connection = backend.connect().await?;
            let read = async {
                let mut paths = HashMap::new();
                let mut rows = sqlx::query(sql::KNOWN_PATHS).bind(host).fetch(&mut connection);
                while let Some(row) = rows.try_next().await? {
                    let (path, first_seen_at) = rows::known_path(&row)?;
                    let first = paths.entry(path).or_insert(first_seen_at);
                    *first = first_seen_at.min(*first);
                }
                Ok(paths)
            };
            read.await.map_err(failed(&backend.name))
        })
    }

    /// Returns the files that daemons ignore, of all hosts, at most `limit`, by host and path.
    pub async fn ignored_files(&self, limit: u32) -> Result<Vec<IgnoredReport>, StoreError> {
        either!(&self.backend, backend => {
            let mut connection = backend.connect().await?;
            let query = sqlx::query(sql::IGNORED).bind(None::<&str>).bind(i64::from(limit));
            let rows = query.fetch_all(&mut connection).await;
            rows.and_then(|rows| rows.iter().map(rows::ignored).collect())
                .map_err(failed(&backend.name))
        })
    }
}

/// # Errors
///
/// [`StoreError`], for all methods here.
impl Writer {
    /// Returns the files of a host that the database says are ignored, by path.
    pub async fn ignored_files(&mut self, host: &str) -> Result<Vec<IgnoredReport>, StoreError> {
        on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::IGNORED).bind(Some(host)).bind(i64::from(u32::MAX));
            let rows = query.fetch_all(connection).await?;
            rows.iter().map(rows::ignored).collect::<Result<Vec<_>, _>>()
        })
    }

    /// Removes ignored files of a host, each a path and the word of its reason, and adds others, in one
    /// transaction. The added ones are confirmed now, by `owner`.
    pub async fn replace_ignored(
        &mut self,
        host: &str,
        owner: &str,
        gone: &[(String, &'static str)],
        new: &[IgnoredReport],
    ) -> Result<(), StoreError> {
        let queries = self.ledger_queries();
        let gone: Vec<Value> =
            gone.iter().map(|(path, reason)| json!({ "path": path, "reason": reason })).collect();
        let new: Vec<Value> = new
            .iter()
            .map(|it| {
                json!({
                    "path": it.path, "reason": it.reason, "detail": it.detail, "bytes": it.bytes,
                    "files": it.files, "since": clock::text(it.since),
                })
            })
            .collect();
        let (gone, new) = (Value::from(gone).to_string(), Value::from(new).to_string());
        on_connection!(&mut self.backend, connection => {
            let mut tx = connection.begin_with(queries.begin).await?;
            sqlx::query(queries.remove_ignored).bind(host).bind(gone).execute(&mut *tx).await?;
            sqlx::query(queries.add_ignored)
                .bind(host)
                .bind(new)
                .bind(Time(now()))
                .bind(owner)
                .execute(&mut *tx)
                .await?;
            tx.commit().await
        })
    }

    /// Says that a daemon still ignores the files that it has written down.
    pub async fn confirm_ignored(&mut self, host: &str, owner: &str) -> Result<(), StoreError> {
        on_connection!(&mut self.backend, connection => {
            let query = sqlx::query(sql::CONFIRM_IGNORED).bind(host).bind(Time(now())).bind(owner);
            query.execute(connection).await.map(|_| ())
        })
    }

    /// Says that the content of closed files is still on this daemon's disk, in archives for example, so
    /// that they stay in the ledger. Files that are open, or were marked within the last hour, are left
    /// as they are.
    pub async fn seen_again(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        let queries = self.ledger_queries();
        let (open, close) = match &self.backend {
            Backend::Postgres(_) => ('{', '}'),
            Backend::Sqlite(_) => ('[', ']'),
        };
        let now = now();
        for some in files.chunks(IDS) {
            let ids: Vec<String> = some.iter().map(|file| file.0.to_string()).collect();
            let ids = format!("{open}{}{close}", ids.join(","));
            on_connection!(&mut self.backend, connection => {
                sqlx::query(queries.seen_again)
                    .bind(Time(now))
                    .bind(ids)
                    .bind(Time(now - MARKED_US))
                    .execute(connection)
                    .await
                    .map(|_| ())
            })?;
        }
        Ok(())
    }

    fn ledger_queries(&self) -> &'static LedgerQueries {
        match &self.backend {
            Backend::Postgres(_) => &LEDGER_IN_POSTGRES,
            Backend::Sqlite(_) => &LEDGER_IN_SQLITE,
        }
    }
}
