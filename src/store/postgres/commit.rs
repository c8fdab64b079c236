//! The one transaction of an ingest: offsets by compare-and-swap, rows by binary COPY.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::citus::{self, Placement};
use super::{PgWriter, rollup};
use crate::model::{Batch, FileId, Fingerprint, Span, Tuples};
use crate::store::answers::Table;
use crate::store::error::{self, StoreError};
use crate::store::nul_runs::NulRuns;
use crate::store::{bound, sql};

/// One file: Citus sends this to the worker that has the file and its rows.
const MOVE_ONE: &str =
    sql::move_one!("now()", "CASE WHEN $16 = '[]' THEN nul_runs ELSE nul_runs || $16 END");

/// Several files in one round trip.
const MOVE_MANY: &str = "
    UPDATE log_file AS f
       SET committed = s.upto, size = s.size, lines = f.lines + s.lines,
           stored_rows = f.stored_rows + s.stored_rows, rejected = f.rejected + s.rejected,
           excluded = f.excluded + s.excluded,
           head_length = COALESCE(s.head_length, f.head_length), head = COALESCE(s.head, f.head),
           guard_length = s.guard_length, guard = s.guard, digest = s.digest,
           digest_state = s.digest_state, committed_at = now(),
           nul_runs = CASE WHEN s.nul_runs = '[]' THEN f.nul_runs ELSE f.nul_runs || s.nul_runs END
      FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[],
                  $7::int8[], $8::int8[], $9::int8[], $10::int4[], $11::bytea[], $12::int4[],
                  $13::bytea[], $14::bytea[], $15::bytea[], $16::jsonb[])
           AS s (id, epoch, start, upto, size, lines, stored_rows, rejected, excluded,
                 head_length, head, guard_length, guard, digest, digest_state, nul_runs)
     WHERE f.id = s.id AND f.epoch = s.epoch AND f.committed = s.start";

/// Signature, no flags, no extension: <https://www.postgresql.org/docs/current/sql-copy.html>.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The count of fields that no row has.
const COPY_TRAILER: &[u8] = &[0xff, 0xff];
/// Bytes sent at once; the driver keeps a buffer of this size.
const COPY_CHUNK: usize = 1024 * 1024; // 1 MiB

/// What ends an attempt.
pub(super) enum Trouble {
    /// The offset or epoch of a span, or a reject, has changed since the attempt was prepared.
    Moved,
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

impl PgWriter {
    pub(in crate::store) async fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.ensure_days(batch).await?;
        let mut done = self.attempt(batch).await;
        if let Err(Trouble::Sql(error)) = &done
            && (lacks_partition(error)
                || (self.backend.is_distributed() && citus::is_of_a_worker(error)))
        {
            // A sweep dropped the day meanwhile. Nothing of the attempt is stored.
            self.forget_days(batch);
            self.ensure_days(batch).await?;
            done = self.attempt(batch).await;
        }
        match done {
            Ok(()) => Ok(()),
            Err(Trouble::Sql(error)) => Err(self.backend.classify(error)),
            Err(Trouble::Moved) => Err(self.conflict(&batch.spans).await?),
        }
    }

    async fn attempt(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let placement = self.backend.placement();
        self.in_transaction(async |connection| {
            move_all(connection, &batch.spans, placement).await?;
            send(connection, batch).await?;
            Ok(rollup::add(connection, &batch.rollup).await?)
        })
        .await
    }

    pub(super) async fn in_transaction(
        &mut self,
        write: impl AsyncFnOnce(&mut PgConnection) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut tx = self.connection.begin().await?;
        let result = write(&mut tx).await;
        match result {
            Ok(()) => Ok(tx.commit().await?),
            Err(trouble) => {
                // The first error is the one to return. If the rollback fails too, the connection is
                // lost, and the server rolls back by itself.
                let _ = tx.rollback().await;
                Err(trouble)
            }
        }
    }

    /// Sends the rows before the offset moves: rows take the time, and block no other transaction. After
    /// an error the connection is dropped, and its transaction with it.
    pub(in crate::store) async fn stage(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.ensure_days(batch).await?;
        let stage = async {
            sqlx::raw_sql("BEGIN").execute(&mut self.connection).await?;
            send(&mut self.connection, batch).await
        };
        stage.await.map_err(|error| self.backend.classify(error))
    }

    pub(in crate::store) async fn seal(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let seal = async {
            move_all(&mut self.connection, &batch.spans, self.backend.placement()).await?;
            rollup::add(&mut self.connection, &batch.rollup).await?;
            sqlx::raw_sql("COMMIT").execute(&mut self.connection).await?;
            Ok(())
        };
        match seal.await {
            Ok(()) => Ok(()),
            Err(Trouble::Sql(error)) => Err(error::from_sqlx(&self.backend.name, error)),
            Err(Trouble::Moved) => {
                let files = batch.spans.iter().map(|span| span.file).collect();
                Err(StoreError::Conflict { store: self.backend.name.clone(), files })
            }
        }
    }

    async fn conflict(&mut self, spans: &[Span]) -> Result<StoreError, StoreError> {
        let files: Vec<FileId> = spans.iter().map(|span| span.file).collect();
        let now = self.committed(&files).await?;
        let matches = |span: &Span| {
            now.iter()
                .any(|it| it.file == span.file && it.offset == span.from && it.epoch == span.epoch)
        };
        let files = spans.iter().filter(|span| !matches(span)).map(|span| span.file).collect();
        Ok(StoreError::Conflict { store: self.backend.name.clone(), files })
    }
}

async fn move_all(
    connection: &mut PgConnection,
    spans: &[Span],
    placement: Placement,
) -> Result<(), Trouble> {
    let moved = match spans {
        [span] => move_one(connection, span).await?,
        // On Citus the statement for many would go to every worker.
        spans if placement == Placement::Distributed => {
            let mut moved = 0;
            for span in spans {
                moved += move_one(connection, span).await?;
            }
            moved
        }
        spans => move_many(connection, spans).await?,
    };
    if moved == spans.len() as u64 { Ok(()) } else { Err(Trouble::Moved) }
}

pub(super) async fn send(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    for (table, rows) in Table::ALL.into_iter().zip(batch.tables()) {
        copy(connection, table, rows).await?;
    }
    Ok(())
}

async fn move_one(connection: &mut PgConnection, span: &Span) -> Result<u64, sqlx::Error> {
    let done = bound::move_one!(MOVE_ONE, span).execute(connection).await?;
    Ok(done.rows_affected())
}

async fn move_many(connection: &mut PgConnection, spans: &[Span]) -> Result<u64, sqlx::Error> {
    fn each<T>(spans: &[Span], field: impl Fn(&Span) -> T) -> Vec<T> {
        spans.iter().map(field).collect()
    }
    let done = sqlx::query(MOVE_MANY)
        .bind(each(spans, |span| span.file.0))
        .bind(each(spans, |span| span.epoch))
        .bind(each(spans, |span| span.from as i64))
        .bind(each(spans, |span| span.to.offset as i64))
        .bind(each(spans, |span| span.size as i64))
        .bind(each(spans, |span| span.lines as i64))
        .bind(each(spans, |span| span.rows as i64))
        .bind(each(spans, |span| span.rejected as i64))
        .bind(each(spans, |span| span.excluded as i64))
        .bind(each(spans, |span| length(span.head)))
        .bind(each(spans, |span| bytes(span.head)))
        .bind(each(spans, |span| length(span.to.tail_fingerprint)))
        .bind(each(spans, |span| bytes(span.to.tail_fingerprint)))
        .bind(each(spans, |span| span.to.digest.map(|digest| digest.sum.to_vec())))
        .bind(each(spans, |span| span.to.digest.map(|digest| digest.state.to_vec())))
        .bind(spans.iter().map(|span| NulRuns(&span.nul_runs)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Binary COPY: of a million rows of Gunicorn's default format it took the server 1.4 s of CPU, the
/// text format 2.0 s and CSV 2.3 s.
async fn copy(
    connection: &mut PgConnection,
    table: Table,
    rows: &Tuples,
) -> Result<(), sqlx::Error> {
    if rows.count() == 0 {
        return Ok(());
    }
    let columns: Vec<&str> = table.declared().iter().map(|column| column.name).collect();
    let statement =
        format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name(), columns.join(", "));
    let mut copy = connection.copy_in_raw(&statement).await?;
    copy.send(COPY_HEADER).await?;
    for chunk in rows.bytes().chunks(COPY_CHUNK) {
        copy.send(chunk).await?;
    }
    copy.send(COPY_TRAILER).await?;
    copy.finish().await?;
    Ok(())
}

/// Returns whether a row found no partition: a check violation without the name of a constraint.
fn lacks_partition(error: &sqlx::Error) -> bool {
    error::code(error) == "23514"
        && error.as_database_error().is_some_and(|answer| answer.constraint().is_none())
}

fn length(print: Option<Fingerprint>) -> Option<i32> {
    print.map(|print| print.length as i32)
}

fn bytes(print: Option<Fingerprint>) -> Option<Vec<u8>> {
    print.map(|print| print.print.0.to_vec())
}
