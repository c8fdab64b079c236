//! The one transaction of an ingest: offsets by compare-and-swap, rows by binary COPY, and counts, in one
//! message of statements, which takes one round trip.
//!
//! Nothing waits for the answer to the compare-and-swap, so a mismatch has to raise an error inside: it has
//! [`CONFLICT`] as SQLSTATE, and the ids of the files that do not match as DETAIL. The rest of the message
//! is dropped by the server then, the rows and COMMIT too.

use sqlx::error::DatabaseError;

use super::citus::{self, Placement};
use super::lane::take;
use super::literal::{array, bytes, fill, line_forms, nul_runs, number, print, quoted};
use super::wire::{Answer, Wire};
use super::{PgLane, PgWriter, Postgres, days, rollup, routes};
use crate::model::{Batch, FileId, Span, Tuples};
use crate::store::answers::Table;
use crate::store::error::{self, Explanation, Kind, StoreError};
use crate::store::lane::Turn;
use crate::store::sql;

/// The SQLSTATE of a commit whose offset or epoch is not that of the file, or whose rejects have changed. The
/// SQL standard leaves classes from I on to others.
pub(super) const CONFLICT: &str = "LI001";

/// One file: Citus sends this to the worker that has the file and its rows.
const MOVE_ONE: &str = sql::move_one!(
    "now()",
    "CASE WHEN $16 = '[]' THEN nul_runs ELSE nul_runs || $16 END",
    "CASE WHEN $17 = '[]' THEN line_forms ELSE line_forms || $17 END",
    "$19",
    ", owner = CASE WHEN $18 THEN NULL ELSE owner END,
       writer = CASE WHEN $18 THEN NULL ELSE writer END"
);

/// Several files in one statement, which finds those that it has not moved.
const MOVE_MANY: &str = "
    WITH moved AS (
    UPDATE log_file AS f
       SET committed = s.upto, size = s.size, lines = f.lines + s.lines,
           stored_rows = f.stored_rows + s.stored_rows, rejected = f.rejected + s.rejected,
           excluded = f.excluded + s.excluded,
           head_length = COALESCE(s.head_length, f.head_length), head = COALESCE(s.head, f.head),
           guard_length = s.guard_length, guard = s.guard, digest = s.digest,
           digest_state = s.digest_state, committed_at = now(),
           nul_runs = CASE WHEN s.nul_runs = '[]' THEN f.nul_runs ELSE f.nul_runs || s.nul_runs END,
           line_forms = CASE WHEN s.line_forms = '[]' THEN f.line_forms
                             ELSE f.line_forms || s.line_forms END,
           far_times = f.far_times + s.far_times,
           owner = CASE WHEN s.releases THEN NULL ELSE f.owner END,
           writer = CASE WHEN s.releases THEN NULL ELSE f.writer END
      FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[],
                  $7::int8[], $8::int8[], $9::int8[], $10::int4[], $11::bytea[], $12::int4[],
                  $13::bytea[], $14::bytea[], $15::bytea[], $16::jsonb[], $17::jsonb[], $18::bool[],
                  $19::int8[])
           AS s (id, epoch, start, upto, size, lines, stored_rows, rejected, excluded,
                 head_length, head, guard_length, guard, digest, digest_state, nul_runs, line_forms,
                 releases, far_times)
     WHERE f.id = s.id AND f.epoch = s.epoch AND f.committed = s.start
     RETURNING f.id AS moved_id)
    SELECT coalesce(array_agg(asked), '{}') INTO others FROM unnest($1::int4[]) AS asked
     WHERE asked NOT IN (SELECT moved_id FROM moved);";

/// Waits for the transaction that has the place before, which may take as long as its rows do. An error
/// comes from the wait itself only; then the batch is sent again.
const WAIT_FOR: &str = "
    SET LOCAL lock_timeout = '60s';
    SELECT pg_advisory_xact_lock_shared($1);
    SET LOCAL lock_timeout = '10s';";

/// What ends an attempt.
pub(super) enum Trouble {
    /// The offset or epoch of these files, or rejects of theirs, have changed since the attempt was
    /// prepared.
    Moved(Vec<FileId>),
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Trouble {
        let answer = error.as_database_error().and_then(|it| it.try_downcast_ref::<Answer>());
        match answer.filter(|_| error::code(&error) == CONFLICT).and_then(Answer::detail) {
            Some(ids) => Trouble::Moved(
                ids.split(',').filter_map(|id| Some(FileId(id.parse().ok()?))).collect(),
            ),
            None => Trouble::Sql(error),
        }
    }
}

impl Trouble {
    /// Returns whether a day of the batch may have no partition.
    fn may_lack_partition(&self, backend: &Postgres) -> bool {
        let Trouble::Sql(error) = self else { return false };
        lacks_partition(error) || (backend.is_distributed() && citus::is_of_a_worker(error))
    }

    pub(super) fn into_error(self, backend: &Postgres) -> StoreError {
        match self {
            Trouble::Moved(files) => StoreError::Conflict { store: backend.name.clone(), files },
            // The day has left since it was looked for, and the next attempt makes it; or PostgreSQL has missed, in
            // this session alone, that another one attached it, and the next session sees it. No row is at fault.
            Trouble::Sql(error) if lacks_partition(&error) => {
                let why = error.as_database_error().map(DatabaseError::message).unwrap_or_default();
                let why = format!("{why}; if this stays, see the bounds of its day");
                Kind::Unavailable.error(&backend.name, Explanation(why))
            }
            Trouble::Sql(error) => backend.classify(error),
        }
    }
}

impl PgWriter {
    pub(in crate::store) async fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.ensure_days(batch).await?;
        self.ensure_routes(&batch.rollup).await?;
        let statements = format!(
            "BEGIN;{}{}{}{}COMMIT",
            moves(&batch.spans, self.backend.placement()),
            copies(batch),
            rollup::adds(&batch.rollup),
            routes::adds(&self.backend, &batch.rollup),
        );
        let mut done = transact(&mut self.wire, &statements, batch).await;
        if let Err(trouble) = &done
            && trouble.may_lack_partition(&self.backend)
        {
            // A sweep dropped the day meanwhile. Nothing of the attempt is stored.
            days::forget(&self.backend, batch);
            self.ensure_days(batch).await?;
            done = transact(&mut self.wire, &statements, batch).await;
        }
        done.map_err(|trouble| trouble.into_error(&self.backend))
    }
}

/// Runs the statements of one transaction, and hands the rows of a batch to their COPYs.
pub(super) async fn transact(
    wire: &mut Wire,
    statements: &str,
    batch: &Batch,
) -> Result<(), Trouble> {
    Ok(wire.commit(statements, &batch.tables()).await?)
}

impl PgLane {
    /// Stores a batch in one message, after the one with the turn `after`. The rows are sent before the offset
    /// moves: they take the time, and block no other transaction. The turn ends with the transaction, and the
    /// session takes that of its next batch.
    pub(in crate::store) async fn commit(
        &mut self,
        batch: &Batch,
        after: Option<Turn>,
    ) -> Result<(), StoreError> {
        self.ensure_days(batch).await?;
        self.ensure_routes(&batch.rollup).await?;
        let next = Turn::new()?;
        let wait = after.map_or_else(String::new, |turn| fill(WAIT_FOR, &[turn.0.to_string()]));
        let statements = format!(
            "BEGIN;{}{wait}{}{}{}COMMIT;SELECT pg_advisory_unlock({}), {}",
            copies(batch),
            moves(&batch.spans, self.backend.placement()),
            rollup::adds(&batch.rollup),
            routes::adds(&self.backend, &batch.rollup),
            self.turn.0,
            take(next),
        );
        match transact(&mut self.wire, &statements, batch).await {
            Ok(()) => {
                self.turn = next;
                Ok(())
            }
            Err(trouble) => {
                if trouble.may_lack_partition(&self.backend) {
                    days::forget(&self.backend, batch); // the next attempt makes it
                }
                Err(trouble.into_error(&self.backend))
            }
        }
    }
}

/// Returns the statement that moves all offsets, or raises [`CONFLICT`].
fn moves(spans: &[Span], placement: Placement) -> String {
    let body = match spans {
        // On Citus the statement for many would go to every worker.
        spans if spans.len() == 1 || placement == Placement::Distributed => {
            let one = |span: &Span| {
                let update = fill(MOVE_ONE, &of_one(span));
                format!("{update}; IF NOT FOUND THEN others := others || {}; END IF;", span.file.0)
            };
            spans.iter().map(one).collect()
        }
        spans => fill(MOVE_MANY, &of_many(spans)),
    };
    guarded(&body)
}

/// Returns a block of statements, which raises [`CONFLICT`] for the ids that they leave in `others`.
pub(super) fn guarded(body: &str) -> String {
    let block = format!(
        "DECLARE others int4[] := '{{}}'; taken int8; BEGIN {body}
         IF others <> '{{}}' THEN RAISE EXCEPTION USING ERRCODE = '{CONFLICT}',
            MESSAGE = 'log-ingestd: another offset or owner', DETAIL = array_to_string(others, ',');
         END IF; END"
    );
    format!("DO {};", quoted(&block))
}

/// Returns a COPY for each table that has rows, in the order in which they are sent.
pub(super) fn copies(batch: &Batch) -> String {
    let copy = |(table, rows): (Table, &Tuples)| {
        let columns = table.declared().iter().take(rows.width());
        let columns: Vec<&str> = columns.map(|column| column.name).collect();
        let (table, columns) = (table.name(), columns.join(", "));
        (rows.count() > 0).then(|| format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary);"))
    };
    Table::ALL.into_iter().zip(batch.tables()).filter_map(copy).collect()
}

/// The values of [`MOVE_ONE`].
fn of_one(span: &Span) -> [String; 19] {
    [
        span.file.0.to_string(),
        span.epoch.to_string(),
        span.from.to_string(),
        span.to.offset.to_string(),
        span.size.to_string(),
        span.lines.to_string(),
        span.rows.to_string(),
        span.rejected.to_string(),
        span.excluded.to_string(),
        number(span.head.map(|head| head.length)),
        print(span.head),
        number(span.to.tail_fingerprint.map(|tail| tail.length)),
        print(span.to.tail_fingerprint),
        bytes(span.to.digest.as_ref().map(|digest| &digest.sum[..])),
        bytes(span.to.digest.as_ref().map(|digest| &digest.state[..])),
        nul_runs(&span.nul_runs),
        line_forms(&span.form_changes),
        span.releases.to_string(),
        span.far_times.to_string(),
    ]
}

/// The values of [`MOVE_MANY`]: a list of each.
fn of_many(spans: &[Span]) -> [String; 19] {
    let mut lists: [Vec<String>; 19] = Default::default();
    for span in spans {
        lists.iter_mut().zip(of_one(span)).for_each(|(list, value)| list.push(value));
    }
    lists.map(array)
}

/// Returns whether a row found no partition: a check violation without the name of a constraint.
fn lacks_partition(error: &sqlx::Error) -> bool {
    error::code(error) == "23514"
        && error.as_database_error().is_some_and(|answer| answer.constraint().is_none())
}
