//! The sessions of a copy: rows come by `COPY … TO`, and leave by the COPY of `wire`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, TryStreamExt};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::days::Parts;
use super::layout::OWN_PARTITION;
use super::wire::Wire;
use super::{Postgres, lock};
use crate::model::columns::{Column, Encoded, Encoding, Source as _};
use crate::model::{Taken, Tuples};
use crate::store::answers::{DayRange, Table};
use crate::store::copy::{CopyError, CopyPart, CopyTable, PIECE, Rows, WITH_SEQUENCE, compact};
use crate::store::error::{StoreError, failed};
use crate::store::sql::Dialect;

/// One side may be silent for as long as the other one works; a day is sorted by one statement.
const PATIENT: &str = "
    SET idle_session_timeout = 0;
    SET idle_in_transaction_session_timeout = 0;
    SET statement_timeout = 0;
    SET jit = off;";

/// How long a copy waits for its locks.
const A_MOMENT: Duration = Duration::from_secs(2);
/// Time between two attempts.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Commits wait for the lock, questions do not. The snapshot is taken after it.
const STAND_STILL: [&str; 2] =
    ["BEGIN ISOLATION LEVEL REPEATABLE READ", "LOCK TABLE log_file IN SHARE MODE"];

/// Who holds a file and is alive.
const LIVE_OWNER: &str = "
    SELECT coalesce(owner, '') FROM log_file
     WHERE writer IN (SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
                       WHERE locktype = 'advisory' AND granted AND objsubid = 1
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
     ORDER BY id LIMIT 1";

/// Which database of which server it is, however its URL is written.
const WHICH_DATABASE: &str = "
    SELECT oid || ' ' || pg_postmaster_start_time() FROM pg_database WHERE datname = current_database()";

/// What begins the output of a binary COPY, before flags and the length of an extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The session of one side.
#[derive(Debug)]
pub(in crate::store) struct PgCopier {
    pub(in crate::store) backend: Arc<Postgres>,
    connection: PgConnection,
    /// The session that stores rows, of a target.
    wire: Option<Wire>,
    /// Which database it is.
    which: String,
}

impl PgCopier {
    /// Makes a session that holds the locks for a copy.
    async fn connect(backend: &Arc<Postgres>) -> Result<PgCopier, CopyError> {
        let mut connection = backend.connect_to_any().await?;
        let name = &backend.name;
        sqlx::raw_sql(PATIENT).execute(&mut connection).await.map_err(failed(name))?;
        backend.check_placement(&mut connection).await.map_err(failed(name))?;
        let which = sqlx::query_scalar(WHICH_DATABASE).fetch_one(&mut connection).await;
        let which = which.map_err(failed(name))?;
        Ok(PgCopier { backend: Arc::clone(backend), connection, wire: None, which })
    }

    async fn lock_out_copies(&mut self) -> Result<(), CopyError> {
        match self.try_lock(lock::COPY).await? {
            true => Ok(()),
            false => Err(CopyError::Busy { store: self.backend.name.clone() }),
        }
    }

    async fn lock_out_sweeps(&mut self) -> Result<(), CopyError> {
        match self.try_lock(lock::SWEEP).await? {
            true => Ok(()),
            false => Err(CopyError::Swept { store: self.backend.name.clone() }),
        }
    }

    /// Takes a lock. The server needs a moment to notice that the client that had it has gone.
    async fn try_lock(&mut self, number: i32) -> Result<bool, StoreError> {
        let give_up = Instant::now() + A_MOMENT;
        loop {
            let taken = lock::try_take(&mut self.connection, number).await;
            let taken = taken.map_err(failed(&self.backend.name))?;
            if taken || Instant::now() >= give_up {
                return Ok(taken);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Locks a database that is copied, and refuses one in which a writer holds files.
    pub(in crate::store) async fn of_source(
        backend: &Arc<Postgres>,
    ) -> Result<PgCopier, CopyError> {
        let mut this = Self::connect(backend).await?;
        this.lock_out_copies().await?;
        let give_up = Instant::now() + A_MOMENT;
        while let Some(owner) = this.stand_still().await? {
            if Instant::now() >= give_up {
                let owner = format!(" ({owner})");
                return Err(CopyError::Written { store: backend.name.clone(), owner });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        this.lock_out_sweeps().await?;
        Ok(this)
    }

    /// Begins the transaction that keeps the database still, unless a writer that is alive holds a file:
    /// returns its name then. The server may not have noticed yet that the writer has gone.
    async fn stand_still(&mut self) -> Result<Option<String>, StoreError> {
        let connection = &mut self.connection;
        let begin = async {
            for statement in STAND_STILL {
                sqlx::raw_sql(statement).execute(&mut *connection).await?;
            }
            let owner = sqlx::query_scalar(LIVE_OWNER).fetch_optional(&mut *connection).await?;
            if owner.is_some() {
                sqlx::raw_sql("ROLLBACK").execute(connection).await?;
            }
            Ok(owner)
        };
        begin.await.map_err(failed(&self.backend.name))
    }

    /// Locks a database that is filled: no file is registered meanwhile.
    pub(in crate::store) async fn of_target(
        backend: &Arc<Postgres>,
        source: Option<&PgCopier>,
    ) -> Result<PgCopier, CopyError> {
        let mut this = Self::connect(backend).await?;
        if source.is_some_and(|source| source.which == this.which) {
            return Err(CopyError::Same { store: backend.name.clone() });
        }
        this.lock_out_copies().await?;
        this.lock_out_sweeps().await?;
        let name = &backend.name;
        lock::wait(&mut this.connection, lock::REGISTER).await.map_err(failed(name))?;
        let (mut wire, _) = backend.connect_wire(&[]).await?;
        wire.query(PATIENT).await.map_err(failed(name))?;
        this.wire = Some(wire);
        Ok(this)
    }

    /// Returns the session for statements with parameters, which is always open.
    #[expect(clippy::unused_async, reason = "other sessions may have to connect")]
    pub(in crate::store) async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        Ok(&mut self.connection)
    }

    /// Returns `false`: writers that hold a file have a row in the ledger, and registering waits for a lock.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "SQLite has to look")]
    pub(in crate::store) fn has_other_writer(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Returns the days of each partition of a table of lines, in order.
    pub(in crate::store) async fn days(
        &mut self,
        table: Table,
    ) -> Result<Vec<DayRange>, StoreError> {
        let parts = Parts::of(&mut self.connection, &[table]).await;
        let parts = parts.map_err(failed(&self.backend.name))?;
        let days = parts.of_table(table).filter(|part| !part.is_leaving).map(|part| part.days);
        let mut days: Vec<DayRange> = days.filter(|days| days.first < days.end).collect();
        days.sort_unstable();
        Ok(days)
    }

    /// Returns the rows of a SELECT of these columns.
    pub(in crate::store) async fn rows(
        &mut self,
        select: String,
        columns: &'static [Column],
    ) -> Result<impl Rows, sqlx::Error> {
        let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
        let output = self.connection.copy_out_raw(&copy).await?;
        Ok(PgRows {
            output,
            columns,
            pending: Vec::new(),
            taken: 0,
            has_begun: false,
            ended: false,
        })
    }

    /// Stores rows of a part in one transaction.
    pub(in crate::store) async fn store(
        &mut self,
        part: &CopyPart,
        rows: &Tuples,
    ) -> Result<(), StoreError> {
        let table = part.table;
        if let Some(lines) = table.lines {
            let days = match part.day() {
                Some(day) => BTreeSet::from([day]),
                None => days_of_rows(table, rows),
            };
            let days = days.into_iter().filter(|day| OWN_PARTITION.contains(*day));
            let days = days.map(|day| (lines, day)).collect();
            self.backend.make_days(&mut self.connection, days).await?;
        }
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let statements = format!(
            "BEGIN; COPY {} ({}) FROM STDIN (FORMAT binary); COMMIT",
            table.name,
            columns.join(", ")
        );
        let done = wire.commit(&statements, &[rows]).await;
        done.map_err(|error| self.backend.classify(error))
    }

    /// Removes the rows of a part.
    pub(in crate::store) async fn clear(&mut self, part: &CopyPart) -> Result<(), StoreError> {
        let among = part.among(Dialect::Postgres);
        let delete = AssertSqlSafe(format!("DELETE FROM {}{among}", part.table.name));
        let done = sqlx::raw_sql(delete).execute(&mut self.connection).await;
        done.map(|_| ()).map_err(failed(&self.backend.name))
    }

    /// Lets new rows have ids after those that were copied.
    pub(in crate::store) async fn set_sequences(&mut self) -> Result<(), StoreError> {
        for table in WITH_SEQUENCE {
            let set = AssertSqlSafe(format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}
                 HAVING max(id) IS NOT NULL"
            ));
            let done = sqlx::raw_sql(set).execute(&mut self.connection).await;
            done.map_err(failed(&self.backend.name))?;
        }
        Ok(())
    }

    /// Ends the session, and with it the locks.
    pub(in crate::store) async fn end(self) {
        // The work is done; an error while the session is closed changes nothing.
        let _ = self.connection.close().await;
    }
}

/// Returns the days of rows, since 1970.
fn days_of_rows(table: &CopyTable, rows: &Tuples) -> BTreeSet<i32> {
    let mut days = BTreeSet::new();
    let Some(column) = table.time_column() else { return days };
    for row in rows.rows() {
        // A time that cannot be read is refused by COPY.
        let time = Encoded::new(table.columns, &row).time(column).ok().flatten();
        days.extend(time.and_then(|time| i32::try_from(time.div_euclid(86_400_000_000)).ok()));
    }
    days
}

/// The output of a binary COPY.
struct PgRows<S> {
    output: S,
    columns: &'static [Column],
    /// Output that was received, from `taken` on.
    pending: Vec<u8>,
    taken: usize,
    /// Whether the header was taken.
    has_begun: bool,
    /// Whether the end was taken.
    ended: bool,
}

impl<S> PgRows<S> {
    /// Takes the header, once it is there.
    fn begin(&mut self) -> Result<bool, sqlx::Error> {
        let fixed = SIGNATURE.len() + 8;
        let Some((head, _)) = self.pending.split_at_checked(fixed) else { return Ok(false) };
        let extension = head.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
        if !head.starts_with(SIGNATURE) || extension > 0 {
            return Err(unreadable());
        }
        self.taken = fixed;
        Ok(true)
    }

    /// Appends the rows that are whole.
    fn take(&mut self, rows: &mut Tuples) -> Result<(), sqlx::Error> {
        let mut rest = &self.pending[self.taken..];
        while !self.ended && rows.bytes().len() < PIECE {
            match Tuples::take_row(&mut rest) {
                Taken::Row(row) if row.len() == self.columns.len() => {
                    rows.begin(row.len() as i16);
                    for (column, field) in self.columns.iter().zip(row) {
                        match field {
                            None => rows.null(),
                            Some([_version, json @ ..]) if column.encoding == Encoding::Json => {
                                rows.json(|out| compact(json, out));
                            }
                            Some(bytes) => rows.raw(bytes),
                        }
                    }
                }
                Taken::Row(_) => return Err(unreadable()),
                Taken::Partial => break,
                Taken::End => self.ended = true,
            }
        }
        self.taken = self.pending.len() - rest.len();
        Ok(())
    }
}

impl<S, B> Rows for PgRows<S>
where
    S: Stream<Item = Result<B, sqlx::Error>> + Unpin,
    B: AsRef<[u8]>,
{
    async fn fill(&mut self, rows: &mut Tuples) -> Result<bool, sqlx::Error> {
        loop {
            if !self.has_begun {
                self.has_begun = self.begin()?;
            }
            if self.has_begun {
                self.take(rows)?;
            }
            if rows.bytes().len() >= PIECE {
                return Ok(true);
            }
            self.pending.drain(..self.taken);
            self.taken = 0;
            match self.output.try_next().await? {
                Some(more) => self.pending.extend_from_slice(more.as_ref()),
                None if self.ended => return Ok(false),
                None => return Err(unreadable()),
            }
        }
    }
}

fn unreadable() -> sqlx::Error {
    sqlx::Error::Protocol("COPY … TO STDOUT sent something else than rows".to_owned())
}
