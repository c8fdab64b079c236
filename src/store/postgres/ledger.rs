//! Which files of the ledger still have lines or counts.
//!
//! A question about one file must not read a day: each partition is asked by the index that orders its
//! rows by line. The open day and small days have no such index yet: such a day is read once for all
//! files that are asked about.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::citus::Placement;
use super::{PgSweeper, citus};
use crate::model::Micros;
use crate::store::answers::Table;
use crate::store::error::{StoreError, failed};
use crate::store::sql;
use crate::store::time::Time;

/// Locks the files `$1`, but for those that are being claimed.
const LOCK_FILES: &str =
    "SELECT id FROM log_file WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED";

/// Deletes those of the locked files `$1` that may leave: `$2` the cutoff.
const DELETE_FILES: &str =
    concat!("DELETE FROM log_file WHERE id = ANY ($1) AND ", sql::may_leave!("$2"));

/// Returns those of the files `$1` that may leave: `$2` the cutoff.
const FIND_FILES: &str =
    concat!("SELECT id FROM log_file WHERE id = ANY ($1) AND ", sql::may_leave!("$2"));

/// Deletes those of the files `$1` that may leave by what their own rows say: a worker of Citus does not
/// know the others, and locks no rows of several files.
const DELETE_FOUND_FILES: &str = "
    DELETE FROM log_file WHERE id = ANY ($1) AND closed_at < $2
       AND (last_seen_at IS NULL OR last_seen_at < $2)";

/// Returns SQL that lists those of the files `ids` of which a table, `%1$s`, has a row. The first row
/// whose `key` is not before `from` is one of the file if its key is before `to`.
fn found(ids: &str, key: &str, (from, to): (&str, &str)) -> String {
    format!(
        "SELECT coalesce(string_agg(asked.id::text, ','), '')
           FROM unnest('{{{ids}}}'::integer[]) AS asked(id)
           CROSS JOIN LATERAL (SELECT part.{key} AS key FROM %1$s AS part
                                WHERE part.{key} >= {from} ORDER BY part.{key} LIMIT 1) AS first
          WHERE first.key < {to}"
    )
}

impl PgSweeper {
    /// Returns those of these files that have neither a line nor a count.
    pub(in crate::store) async fn unused_files(
        &mut self,
        mut files: Vec<i32>,
    ) -> Result<Vec<i32>, StoreError> {
        let parts = self.parts().await.map_err(failed(&self.backend.name))?;
        for (part, by) in parts {
            if files.is_empty() {
                break;
            }
            let ids = list(&files);
            let question = match by {
                By::File => found(&ids, "log_file", ("asked.id", "asked.id + 1")),
                By::Line => {
                    let bounds = ("(asked.id::bigint << 38)", "((asked.id::bigint + 1) << 38)");
                    found(&ids, "id", bounds)
                }
                By::Scan => format!(
                    "SELECT coalesce(string_agg(DISTINCT log_file::text, ','), '')
                       FROM %1$s WHERE log_file = ANY ('{{{ids}}}'::integer[])"
                ),
            };
            let used = self.ask(&part, &question).await.map_err(failed(&self.backend.name))?;
            files.retain(|file| !used.contains(file));
        }
        Ok(files)
    }

    /// Asks one table; on Citus, each of its shards.
    async fn ask(&mut self, part: &str, question: &str) -> Result<Vec<i32>, sqlx::Error> {
        let answers = if self.backend.is_distributed() {
            citus::on_shards(&mut self.connection, part, question).await?
        } else {
            let question = AssertSqlSafe(question.replace("%1$s", part));
            vec![
                sqlx::query_scalar(question)
                    .persistent(false)
                    .fetch_one(&mut self.connection)
                    .await?,
            ]
        };
        Ok(answers.iter().flat_map(|it| it.split(',')).filter_map(|id| id.parse().ok()).collect())
    }

    /// Returns the tables that may hold something of a file, and how each is asked. A day whose DETACH was
    /// cut short is among them: a late line may take it back.
    async fn parts(&mut self) -> Result<Vec<(String, By)>, sqlx::Error> {
        let counts = ["gunicorn_hour", "gunicorn_route_day"];
        let mut parts: Vec<_> = counts.map(|table| (table.to_owned(), By::File)).into();
        for table in [Table::RejectedLine, Table::GunicornLog, Table::RequestLog] {
            for (part, by_line) in partitions(&mut self.connection, table).await? {
                let by = match (table, by_line) {
                    (Table::RejectedLine, _) => By::File, // its primary key begins with the file
                    (_, true) => By::Line,
                    (_, false) => By::Scan,
                };
                parts.push((part, by));
            }
        }
        Ok(parts)
    }

    /// Deletes those of these files that may leave by their age. Returns how many left. Their rows are locked
    /// first, so that none of them can be claimed meanwhile; a row that is locked is being claimed, and
    /// stays.
    pub(in crate::store) async fn delete_files(
        &mut self,
        files: &[i32],
        cutoff: Micros,
    ) -> Result<u64, StoreError> {
        let delete = async {
            let mut tx = self.connection.begin().await?;
            let (find, delete) = match self.backend.placement() {
                Placement::OneServer => (LOCK_FILES, DELETE_FILES),
                Placement::Distributed => (FIND_FILES, DELETE_FOUND_FILES),
            };
            let find = sqlx::query_scalar(find).bind(files);
            let find = if self.backend.is_distributed() { find.bind(Time(cutoff)) } else { find };
            let found: Vec<i32> = find.fetch_all(&mut *tx).await?;
            let delete = sqlx::query(delete).bind(found).bind(Time(cutoff));
            let deleted = delete.execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            Ok(deleted)
        };
        delete.await.map_err(failed(&self.backend.name))
    }
}

/// How a table is asked whether it has anything of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// By an index on the file.
    File,
    /// By the index on the ids of the lines, which begin with the file.
    Line,
    /// By reading all of it.
    Scan,
}

/// Returns the partitions of a table, and whether each has the index of its lines.
async fn partitions(
    connection: &mut PgConnection,
    table: Table,
) -> Result<Vec<(String, bool)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT c.relname::text, EXISTS (
                    SELECT FROM pg_index x JOIN pg_class d ON d.oid = x.indexrelid
                     WHERE x.indrelid = c.oid AND x.indisvalid AND d.relname = c.relname || '_line')
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = to_regclass($1)",
    )
    .bind(table.name())
    .fetch_all(connection)
    .await
}

fn list(files: &[i32]) -> String {
    files.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}
