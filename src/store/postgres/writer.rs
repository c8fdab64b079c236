//! Claims of files on PostgreSQL: each session that commits has one lock, which ends with it, and a number that is
//! never used again. The row of a file names the session that holds its claim.
//!
//! A lock for each file would be simpler, and was the rule once: 50,000 files filled the lock table of a
//! server with its default settings. Now a claim is a transaction: the file is free if its row names no
//! session, this one, or one whose lock is gone. The number is taken from 60 random bits, so that a
//! session that is gone never comes back under the number of another one.
//!
//! Daemons of a schema before this one had a lock for each file. One that is still connected after the
//! upgrade can store nothing, but keeps its files until it ends: its locks are respected.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::batch::batch;
use super::literal::{self, fill, moment, print, quoted};
use super::side::Side;
use super::wire::{Row, Wire};
use super::{FoundLedger, LEDGER, Postgres, Spare, is_true, lock};
use crate::model::{Checkpoint, Cut, FileId, NewFile, Sighting};
use crate::store::answers::{Committed, LostClaim, NewOrKnown};
use crate::store::error::{Explanation, Kind, StoreError, failed};
use crate::store::schema::claim_number;
use crate::store::writer::ClaimRequest;
use crate::store::{bound, rows, schema, sql};

/// Adds the format that a file has had to the others. `jsonb_object` makes JSON of a text as `to_jsonb`
/// does, whose result may depend on settings: Citus sends no such function to a worker.
const CLAIM: &str = sql::claim!(
    "CASE WHEN format = $6 OR other_formats ? format THEN other_formats
          ELSE other_formats || (jsonb_object(ARRAY['', format]) -> '') END",
    ", writer = $14"
);

/// [`CLAIM`] for several files in one round trip: `$1` to `$11` are lists, `$12` owner, `$13` the number of
/// the claim, `$14` writer.
const CLAIM_MANY: &str = concat!(
    "UPDATE log_file SET epoch = ",
    schema::next_epoch!("$13"),
    ", path = seen_path, format = seen_format, owner = $12, writer = $14, host = seen_host,
       machine = COALESCE(seen_machine, machine),
       file_system = COALESCE(seen_file_system, file_system),
       patched_from = CASE WHEN format = seen_format THEN patched_from ELSE committed END,
       other_formats = CASE WHEN format = seen_format OR other_formats ? format THEN other_formats
           ELSE other_formats || (jsonb_object(ARRAY['', format]) -> '') END,
       device = COALESCE(seen_device, device),
       inode = CASE WHEN seen_device IS NULL THEN inode ELSE seen_inode END,
       birth = CASE WHEN seen_device IS NULL THEN birth ELSE seen_birth END,
       head = COALESCE(seen_head, head), head_length = COALESCE(seen_head_length, head_length),
       closed_at = NULL, closed_reason = NULL, lost_bytes = 0, kept_to = NULL
      FROM unnest($1::int4[], $2::text[], $3::int8[], $4::int8[], $5::timestamptz[], $6::text[],
                  $7::text[], $8::text[], $9::int8[], $10::bytea[], $11::int4[])
           AS seen (seen_id, seen_path, seen_device, seen_inode, seen_birth, seen_format, seen_host,
                    seen_machine, seen_file_system, seen_head, seen_head_length)
     WHERE id = seen_id RETURNING ",
    sql::checkpoint_columns!()
);

const REGISTER: &str = sql::register!("now()", ", writer", ", $16");

/// [`REGISTER`] for several files in one round trip: `$1` to `$14` are lists, `$15` owner, `$16` writer, `$17`
/// the number of the claim. They may have to fulfil a condition.
macro_rules! register_many {
    ($($condition:tt)*) => {
        concat!(
            "INSERT INTO log_file (host, path, device, inode, birth, format, time_estimated, head,
                                   head_length, owner, first_offset, committed, size, guard,
                                   guard_length, machine, file_system, first_seen_at, epoch, writer)
             SELECT new_host, new_path, new_device, new_inode, new_birth, new_format, new_estimated,
                    new_head, new_head_length, $15, new_offset, new_offset, new_offset, new_guard,
                    new_guard_length, new_machine, new_file_system, now(), ",
            schema::first_epoch!("$17"),
            ", $16
               FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::timestamptz[],
                           $6::text[], $7::bool[], $8::bytea[], $9::int4[], $10::int8[],
                           $11::bytea[], $12::int4[], $13::text[], $14::int8[]) WITH ORDINALITY
                    AS new (new_host, new_path, new_device, new_inode, new_birth, new_format,
                            new_estimated, new_head, new_head_length, new_offset, new_guard,
                            new_guard_length, new_machine, new_file_system, nth)",
            $($condition)*
            " ORDER BY nth RETURNING ",
            sql::checkpoint_columns!()
        )
    };
}

const REGISTER_MANY: &str = register_many!();

/// The same for files without candidates; the others are left out.
const REGISTER_UNLESS_KNOWN: &str = register_many!(
    " WHERE NOT EXISTS (SELECT FROM log_file WHERE ",
    sql::may_be!("new_host", "new_device", "new_inode", "new_head", "new_head_length"),
    ")",
);

const CUT: &str = sql::cut!("now()", ", writer = NULL");

/// [`sql::CANDIDATES`] of several sightings: each row with the place of its sighting, from 1 on.
const CANDIDATES_OF_MANY: &str = concat!(
    "SELECT nth, found.* FROM unnest($1::text[], $2::int8[], $3::int8[], $4::bytea[], $5::int4[])
            WITH ORDINALITY AS seen (seen_host, seen_device, seen_inode, seen_head, seen_length, nth)
      CROSS JOIN LATERAL (SELECT ",
    sql::checkpoint_columns!(),
    " FROM log_file WHERE ",
    sql::may_be!("seen_host", "seen_device", "seen_inode", "seen_head", "seen_length"),
    ") AS found ORDER BY nth, id DESC"
);

/// Takes the lock of a number that no session ever had.
macro_rules! join {
    ($lock:literal) => {
        concat!(
            "WITH new AS MATERIALIZED (
                 SELECT ('x0' || right(translate(gen_random_uuid()::text, '-', ''), 15))::bit(64)::bigint
                        AS number)
             SELECT number, ",
            $lock,
            " AS locked FROM new"
        )
    };
}

const JOIN: &str = join!("pg_try_advisory_lock(number)");

/// The same at the first question, which is asked again if there are no tables.
pub(super) const JOIN_FIRST: &str = join!(
    "CASE WHEN to_regclass('_sqlx_migrations') IS NOT NULL THEN pg_try_advisory_lock(number) END"
);

/// Which writers are alive, and which of the files `$1` a daemon of an older schema holds, whose locks have
/// the namespace `$2`. It takes no lock. A lock of one number, which writers have, is shown in two halves.
const HELD: &str = "
    SELECT objsubid = 1 AS is_writer,
           CASE objsubid WHEN 1 THEN (classid::bigint << 32) | objid::bigint ELSE objid::bigint END AS number
      FROM pg_locks
     WHERE locktype = 'advisory' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (objsubid = 1 OR (classid::bigint = $2 AND objid::bigint IN ($1)))";

/// Files that one transaction claims.
const AT_ONCE: usize = 1000;

/// One session and the files that it claims.
#[derive(Debug)]
pub(in crate::store) struct PgWriter {
    pub(in crate::store) backend: Arc<Postgres>,
    /// The session that has the lock and commits.
    pub(super) wire: Wire,
    /// The number of the table `log_file` when it was last looked at: another one after the tables were made anew.
    pub(in crate::store) ledger: Option<u32>,
    pub(super) side: Side,
    pub(super) owner: String,
    /// The number that shows that this session is alive; `None` before it has one.
    number: Option<i64>,
    /// Files that this writer registered.
    registered: HashSet<FileId>,
}

impl PgWriter {
    pub(in crate::store) async fn connect(
        backend: &Arc<Postgres>,
        owner: &str,
    ) -> Result<PgWriter, StoreError> {
        let (wire, number, connection, found, is_copied) = match backend.spare() {
            Some(Spare { wire, number, side, ledger, is_copied, .. }) => {
                (wire, number, side, ledger, is_copied)
            }
            None => {
                let is_copied = lock::is_held(lock::COPY);
                let (wire, rows) = backend.connect_wire(&[&is_copied, LEDGER]).await?;
                let is_copied = rows.first().is_some_and(is_true);
                (wire, None, None, FoundLedger::of(rows.into_iter().nth(1)), is_copied)
            }
        };
        if is_copied {
            return Err(StoreError::BeingCopied { store: backend.name.clone() });
        }
        Ok(PgWriter {
            backend: Arc::clone(backend),
            wire,
            ledger: found.ready(&backend.name)?,
            side: Side::new(backend, connection),
            owner: owner.to_owned(),
            number,
            registered: HashSet::new(),
        })
    }

    /// Returns the session for statements with parameters.
    pub(in crate::store) async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.side.get().await
    }

    /// Shows the server that the session is alive, checks the schema, and looks which table the ledger is now.
    pub(in crate::store) async fn keep_alive(&mut self) -> Result<(), StoreError> {
        let name = &self.backend.name;
        let rows = self.wire.query(LEDGER).await.map_err(failed(name))?;
        self.ledger = FoundLedger::of(rows.into_iter().next()).ready(name)?;
        Ok(())
    }

    /// Closes what has been of no use for a while.
    pub(in crate::store) fn rest(&mut self) {
        self.side.rest();
    }

    /// Returns the number of this session, whose lock it takes if it has none.
    async fn number(&mut self) -> Result<i64, StoreError> {
        join(&mut self.wire, &mut self.number).await.map_err(failed(&self.backend.name))
    }

    /// Returns how many files one transaction takes. Citus locks rows, and finds the worker of a file, only
    /// in statements that name one file.
    fn at_once(&self) -> usize {
        if self.backend.is_distributed() { 1 } else { AT_ONCE }
    }

    /// Returns the candidates of each sighting, the newest first. Takes the lock of this session meanwhile if
    /// it has none: the next call will need it.
    pub(in crate::store) async fn candidates(
        &mut self,
        seen: &[&Sighting],
    ) -> Result<Vec<Vec<Checkpoint>>, StoreError> {
        let at_once = self.at_once();
        let name = &self.backend.name;
        let number = async { join(&mut self.wire, &mut self.number).await.map_err(failed(name)) };
        let found =
            async { candidates(self.side.get().await?, seen, at_once).await.map_err(failed(name)) };
        let (number, found) = futures_util::future::join(number, found).await;
        number.and(found)
    }

    /// Adds files, several in one transaction. Two writers may both have found no candidate, so the second
    /// one to get the lock looks again: a row that it does not know was added by the other writer, and
    /// may be of the same file.
    pub(in crate::store) async fn register(
        &mut self,
        files: &[(NewFile, Vec<FileId>)],
        cuts: &[Cut],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let (number, at_once) = (self.number().await?, self.at_once());
        let connection = self.side.get().await?;
        let by = By { owner: &self.owner, number, registered: &self.registered, at_once };
        let done = by.register(connection, files, cuts).await;
        if matches!(done, Ok(None)) {
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await; // as for an error
        }
        let done = or_rolled_back(connection, done).await;
        let registered = done.map_err(failed(&self.backend.name))?;
        let registered = registered.unwrap_or_else(|| vec![None; files.len()]);
        self.registered.extend(registered.iter().flatten().map(|checkpoint| checkpoint.file));
        Ok(registered)
    }

    /// Adds a file that has no candidates, and returns the candidates of one that has some. This is one message:
    /// the lock of [`lock::REGISTER`] is not held while an answer is on its way. On Citus, which does not insert
    /// what a condition is for, the file is only looked for.
    pub(in crate::store) async fn register_unless_known(
        &mut self,
        new: &NewFile,
    ) -> Result<NewOrKnown<Checkpoint>, StoreError> {
        if self.backend.is_distributed() {
            let found = self.candidates(&[&new.sighting]).await?.pop();
            return Ok(NewOrKnown::Known(found.unwrap_or_default()));
        }
        let number = self.number().await?;
        let connection = self.side.get().await?;
        let register = async {
            let candidates = candidates_query(&[&new.sighting]);
            let insert = register_unless_known_query(new, &self.owner, number);
            let all = format!("{}; {candidates}; {insert}; COMMIT", begin_to_register());
            let answers = batch(connection, &all).await?;
            let rows = |nth: usize| {
                let rows = answers.get(nth).into_iter().flatten().map(rows::checkpoint);
                rows.collect::<Result<Vec<_>, _>>()
            };
            // The first two answers are those of BEGIN and of the lock.
            Ok(match rows(3)?.pop() {
                Some(registered) => NewOrKnown::New(registered),
                None => NewOrKnown::Known(rows(2)?),
            })
        };
        let done = register.await;
        let done = or_rolled_back(connection, done).await.map_err(failed(&self.backend.name))?;
        if let NewOrKnown::New(registered) = &done {
            self.registered.insert(registered.file);
        }
        Ok(done)
    }

    /// Claims files, many in one transaction. `None` for those that another writer has.
    pub(in crate::store) async fn claim(
        &mut self,
        requests: &[ClaimRequest<'_>],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let mut claimed = HashMap::with_capacity(requests.len());
        for some in requests.chunks(self.at_once()) {
            let done = self.claim_some(some).await?;
            for file in some.iter().map(|request| request.file) {
                if !done.known.contains(&file) {
                    let why = format!("log_file has no row with id {}", file.0);
                    return Err(Kind::Failed.error(&self.backend.name, Explanation(why)));
                }
            }
            claimed.extend(done.claimed.into_iter().map(|it| (it.file, it)));
        }
        Ok(requests.iter().map(|request| claimed.remove(&request.file)).collect())
    }

    async fn claim_some(&mut self, requests: &[ClaimRequest<'_>]) -> Result<Claimed, StoreError> {
        let number = self.number().await?;
        let files = each(requests, |request| request.file);
        let (connection, owner) = (self.side.get().await?, &self.owner);
        let claim = async {
            let (known, free) = free(connection, number, &files).await?;
            let requests: Vec<_> = requests.iter().filter(|it| free.contains(&it.file)).collect();
            let claim = match &requests[..] {
                [] => "COMMIT".to_owned(),
                requests => format!("{}; COMMIT", claim_query(requests, owner, number)),
            };
            let rows = batch(connection, &claim).await?;
            let rows = rows.first().into_iter().flatten();
            Ok(Claimed { known, claimed: rows.map(rows::checkpoint).collect::<Result<_, _>>()? })
        };
        let claimed = claim.await;
        or_rolled_back(connection, claimed).await.map_err(failed(&self.backend.name))
    }

    /// Takes files again whose epochs are still these: their rows name the session that was lost, until
    /// now. Returns the claims that are lost.
    pub(in crate::store) async fn hold_again(
        &mut self,
        claims: &[Committed],
    ) -> Result<Vec<(FileId, LostClaim)>, StoreError> {
        let mut lost = Vec::new();
        for some in claims.chunks(self.at_once()) {
            let held = self.hold_some(some).await?;
            lost.extend(held.lost);
            if let Some(file) = held.ending.first() {
                let why = format!("file {} is still locked by a connection that is ending", file.0);
                return Err(Kind::Unavailable.error(&self.backend.name, Explanation(why)));
            }
        }
        Ok(lost)
    }

    async fn hold_some(&mut self, claims: &[Committed]) -> Result<HeldAgain, StoreError> {
        let number = self.number().await?;
        let files = each(claims, |claim| claim.file);
        let connection = self.side.get().await?;
        let hold = async {
            // A session that was lost may still commit. After its end, which shows that its rows are free,
            // none but a claim changes them.
            let (_, free) = free(connection, number, &files).await?;
            let mut statements =
                format!("SELECT id, committed, epoch FROM log_file WHERE {}", are(&files));
            let free_claims = claims.iter().filter(|claim| free.contains(&claim.file));
            let free_claims: Vec<_> = free_claims.copied().collect();
            if !free_claims.is_empty() {
                // A crash of the server ends this session, too: its number need not be on the disk.
                statements += &format!(
                    "; SET LOCAL synchronous_commit = off;
                     UPDATE log_file SET writer = {number} WHERE {} AND {}",
                    are(&each(&free_claims, |claim| claim.file)),
                    are_under(&free_claims),
                );
            }
            let now = batch(connection, &format!("{statements}; COMMIT")).await?;
            let now = now.first().into_iter().flatten().map(rows::committed);
            let now = now.collect::<Result<Vec<_>, _>>()?;
            let now: HashMap<FileId, Committed> = now.iter().map(|now| (now.file, *now)).collect();
            let mut held = HeldAgain::default();
            for claim in claims {
                match claim.lost(now.get(&claim.file)) {
                    Some(how) => held.lost.push((claim.file, how)),
                    None if free.contains(&claim.file) => {}
                    None => held.ending.push(claim.file),
                }
            }
            Ok(held)
        };
        let held = hold.await;
        or_rolled_back(connection, held).await.map_err(failed(&self.backend.name))
    }

    /// Releases those of the files that this session has. This does not wait for the disk: after a crash of
    /// the server an old name may come back, of a session that is gone. A message is short, so that the
    /// caller may give up without leaving the server at work.
    pub(in crate::store) async fn release(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        let Some(number) = self.number else { return Ok(()) };
        for some in files.chunks(AT_ONCE) {
            let release = format!(
                "BEGIN; SET LOCAL synchronous_commit = off;
                 UPDATE log_file SET owner = NULL, writer = NULL
                  WHERE id IN ({}) AND writer = {number}; COMMIT",
                listed(some)
            );
            self.wire.query(&release).await.map_err(failed(&self.backend.name))?;
        }
        Ok(())
    }

    pub(in crate::store) async fn committed(
        &mut self,
        files: &[FileId],
    ) -> Result<Vec<Committed>, StoreError> {
        self.offsets(files, "").await
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
            settled.extend(self.offsets(some, "ORDER BY id FOR UPDATE").await?);
        }
        Ok(settled)
    }

    async fn offsets(&mut self, files: &[FileId], how: &str) -> Result<Vec<Committed>, StoreError> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let which = are(files);
        let query = format!("SELECT id, committed, epoch FROM log_file WHERE {which} {how}");
        let rows = self.wire.query(&query).await.map_err(failed(&self.backend.name))?;
        let read = |row: &Row| {
            let number = |nth: usize| row.get(nth)?.as_deref()?.parse::<i64>().ok();
            let (file, offset) = (i32::try_from(number(0)?).ok()?, u64::try_from(number(1)?).ok()?);
            Some(Committed { file: FileId(file), offset, epoch: number(2)? })
        };
        Ok(rows.iter().filter_map(read).collect())
    }
}

/// What became of requests for files.
struct Claimed {
    /// Files that have a row.
    known: HashSet<FileId>,
    claimed: Vec<Checkpoint>,
}

/// What became of files that were claimed over a connection that was lost.
#[derive(Default)]
struct HeldAgain {
    lost: Vec<(FileId, LostClaim)>,
    /// The lost connection has not ended yet.
    ending: Vec<FileId>,
}

/// Returns the candidates of each sighting, the newest first: of `at_once` sightings in a round trip.
async fn candidates(
    connection: &mut PgConnection,
    seen: &[&Sighting],
    at_once: usize,
) -> Result<Vec<Vec<Checkpoint>>, sqlx::Error> {
    let mut candidates = Vec::with_capacity(seen.len());
    for some in seen.chunks(at_once) {
        let query = AssertSqlSafe(candidates_query(some));
        let rows = sqlx::raw_sql(query).fetch_all(&mut *connection).await?;
        candidates.extend(found(&rows, some.len())?);
    }
    Ok(candidates)
}

/// Reads the answer to a query for the candidates of so many sightings.
fn found(rows: &[PgRow], sightings: usize) -> Result<Vec<Vec<Checkpoint>>, sqlx::Error> {
    let mut found = vec![Vec::new(); sightings];
    for row in rows {
        let nth = match sightings {
            1 => 1,
            _ => usize::try_from(row.try_get::<i64, _>("nth")?).unwrap_or_default(),
        };
        if let Some(found) = nth.checked_sub(1).and_then(|at| found.get_mut(at)) {
            found.push(rows::checkpoint(row)?);
        }
    }
    Ok(found)
}

/// Rolls back what an error has left open. That error is the one to return: if this fails too, the connection
/// is lost, and the server rolls back by itself.
async fn or_rolled_back<T>(
    connection: &mut PgConnection,
    done: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    if done.is_err() {
        let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    }
    done
}

/// Begins a transaction, and returns which of these files have a row, and which of them this writer may take,
/// whose rows it locks. No row is waited for that a living writer may hold: it is locked only when it is free.
async fn free(
    connection: &mut PgConnection,
    number: i64,
    files: &[FileId],
) -> Result<(HashSet<FileId>, HashSet<FileId>), sqlx::Error> {
    let held = held_of(files);
    let look = format!("BEGIN; SELECT id, writer FROM log_file WHERE {}; {held}", are(files));
    let answers = batch(connection, &look).await?;
    let named = named(answers.get(1))?;
    let known = named.iter().map(|(file, _)| *file).collect();
    let may_be_free = unheld(number, named, answers.get(2))?;
    if may_be_free.is_empty() {
        return Ok((known, HashSet::new()));
    }
    let order = if may_be_free.len() > 1 { "ORDER BY id" } else { "" };
    let lock = format!(
        "SELECT id, writer FROM log_file WHERE {} {order} FOR UPDATE; {held}",
        are(&may_be_free)
    );
    let answers = batch(connection, &lock).await?;
    // Another writer may have claimed one while its row was waited for.
    let free = unheld(number, self::named(answers.first())?, answers.get(1))?;
    Ok((known, free.into_iter().collect()))
}

/// Reads which writer each row names.
fn named(rows: Option<&Vec<PgRow>>) -> Result<Vec<(FileId, Option<i64>)>, sqlx::Error> {
    let rows = rows.into_iter().flatten();
    rows.map(|row| Ok((FileId(row.try_get("id")?), row.try_get("writer")?))).collect()
}

/// Returns those of the files that no other living writer holds, by the answer to [`held_of`].
fn unheld(
    number: i64,
    named: Vec<(FileId, Option<i64>)>,
    held: Option<&Vec<PgRow>>,
) -> Result<Vec<FileId>, sqlx::Error> {
    let (mut alive, mut of_older) = (HashSet::new(), HashSet::new());
    for row in held.into_iter().flatten() {
        let of = if row.try_get("is_writer")? { &mut alive } else { &mut of_older };
        of.insert(row.try_get::<i64, _>("number")?);
    }
    let is_free = |(file, writer): &(FileId, Option<i64>)| {
        let is_held = |writer: &i64| *writer != number && alive.contains(writer);
        !of_older.contains(&i64::from(file.0)) && !writer.as_ref().is_some_and(is_held)
    };
    Ok(named.into_iter().filter(is_free).map(|(file, _)| file).collect())
}

/// The writer that registers files.
struct By<'a> {
    owner: &'a str,
    number: i64,
    /// Files that it has registered before.
    registered: &'a HashSet<FileId>,
    /// Files in one statement.
    at_once: usize,
}

impl By<'_> {
    /// Registers files in one transaction, in as few messages as it takes. Returns `None`, and leaves the
    /// transaction open, if nothing is to be changed.
    async fn register(
        &self,
        connection: &mut PgConnection,
        files: &[(NewFile, Vec<FileId>)],
        cuts: &[Cut],
    ) -> Result<Option<Vec<Option<Checkpoint>>>, sqlx::Error> {
        let begin = begin_to_register();
        let seen = each(files, |(new, _)| &new.sighting);
        let again = if files.len() <= self.at_once {
            let all = format!("{begin}; {}", candidates_query(&seen));
            let rows = sqlx::raw_sql(AssertSqlSafe(all)).fetch_all(&mut *connection).await?;
            found(rows.get(1..).unwrap_or_default(), seen.len())? // the first one is of the lock
        } else {
            sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await?;
            candidates(connection, &seen, self.at_once).await?
        };
        let is_new =
            |nth: &usize| !rows::has_unknown(&again[*nth], &files[*nth].1, self.registered);
        let new: Vec<usize> = (0..files.len()).filter(is_new).collect();
        let mut registered: Vec<Option<Checkpoint>> = vec![None; files.len()];
        let one_message = cuts.is_empty() && new.len() <= self.at_once;
        for some in new.chunks(self.at_once) {
            let end = if one_message { "; COMMIT" } else { "" };
            let new: Vec<&NewFile> = some.iter().map(|&nth| &files[nth].0).collect();
            let register = format!("{}{end}", register_query(&new, self.owner, self.number));
            let rows = sqlx::raw_sql(AssertSqlSafe(register)).fetch_all(&mut *connection).await?;
            // They come as they were inserted, in the order of the list.
            for (&nth, row) in some.iter().zip(&rows) {
                registered[nth] = Some(rows::checkpoint(row)?);
            }
        }
        for cut in cuts {
            let ended = bound::cut!(CUT, cut).execute(&mut *connection).await?;
            if ended.rows_affected() != 1 || registered.iter().any(Option::is_none) {
                return Ok(None);
            }
        }
        if !one_message || new.is_empty() {
            sqlx::raw_sql("COMMIT").execute(connection).await?;
        }
        Ok(Some(registered))
    }
}

/// Takes the lock of a session that has none, and returns its number.
async fn join(wire: &mut Wire, number: &mut Option<i64>) -> Result<i64, sqlx::Error> {
    loop {
        if let Some(number) = *number {
            return Ok(number);
        }
        *number = wire.query(JOIN).await?.first().and_then(joined);
    }
}

/// Reads the answer to [`JOIN`]; `None` if the session has not got the number.
pub(super) fn joined(row: &Row) -> Option<i64> {
    match &row[..] {
        [Some(number), Some(locked)] if locked == "t" => number.parse().ok(),
        _ => None,
    }
}

/// Begins a transaction in which no other writer registers a file. Fails without the key, which `pg_restore` makes
/// after it has loaded all rows: one that is added before may have the id of one that comes.
fn begin_to_register() -> String {
    format!(
        "BEGIN; SELECT pg_advisory_xact_lock({}, {}), 'log_file_pkey'::regclass",
        lock::NAMESPACE,
        lock::REGISTER
    )
}

/// The values of [`REGISTER`], but for the owner, the number and that of the claim.
fn values_of_new(new: &NewFile) -> [String; 14] {
    let NewFile { sighting, format, time_estimated, begins } = new;
    let tail = begins.tail_fingerprint;
    [
        quoted(&sighting.host),
        quoted(&sighting.path),
        literal::number(sighting.key.map(|key| key.device as i64)),
        literal::number(sighting.key.map(|key| key.inode as i64)),
        moment(sighting.key.and_then(|key| key.birth_us)),
        quoted(format),
        time_estimated.to_string(),
        print(sighting.head),
        literal::number(sighting.head.map(|head| head.length)),
        begins.offset.to_string(),
        print(tail),
        literal::number(tail.map(|tail| tail.length)),
        literal::text(sighting.origin.machine.as_deref()),
        literal::number(sighting.origin.file_system),
    ]
}

/// [`REGISTER`] or [`REGISTER_MANY`] with its values.
fn register_query(files: &[&NewFile], owner: &str, number: i64) -> String {
    if let [one] = files {
        let mut values = values_of_new(one).to_vec();
        values.insert(9, quoted(owner)); // as `$10`
        values.extend([number.to_string(), claim_number().to_string()]);
        return fill(REGISTER, &values);
    }
    fill(REGISTER_MANY, &lists_of_new(files, owner, number))
}

/// [`REGISTER_UNLESS_KNOWN`] with its values.
fn register_unless_known_query(new: &NewFile, owner: &str, number: i64) -> String {
    fill(REGISTER_UNLESS_KNOWN, &lists_of_new(&[new], owner, number))
}

/// The values of [`REGISTER_MANY`].
fn lists_of_new(files: &[&NewFile], owner: &str, number: i64) -> Vec<String> {
    let mut lists = lists(files.iter().map(|new| values_of_new(new)));
    lists.extend([quoted(owner), number.to_string(), claim_number().to_string()]);
    lists
}

/// Returns the query for the candidates of these sightings.
fn candidates_query(seen: &[&Sighting]) -> String {
    let values = |seen: &&Sighting| {
        [
            quoted(&seen.host),
            literal::number(seen.key.map(|key| key.device as i64)),
            literal::number(seen.key.map(|key| key.inode as i64)),
            print(seen.head),
            literal::number(seen.head.map(|head| head.length)),
        ]
    };
    match seen {
        [one] => fill(sql::CANDIDATES, &values(one)),
        many => fill(CANDIDATES_OF_MANY, &lists(many.iter().map(values))),
    }
}

/// Returns an array of each value.
fn lists<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> Vec<String> {
    let mut lists = [const { Vec::new() }; N];
    for row in rows {
        lists.iter_mut().zip(row).for_each(|(list, value)| list.push(value));
    }
    lists.into_iter().map(literal::array).collect()
}

/// [`CLAIM`] or [`CLAIM_MANY`] with its values.
fn claim_query(requests: &[&ClaimRequest<'_>], owner: &str, number: i64) -> String {
    let values = |it: &&ClaimRequest<'_>| {
        let ClaimRequest { file, seen, format } = it;
        [
            file.0.to_string(),
            quoted(&seen.path),
            literal::number(seen.key.map(|key| key.device as i64)),
            literal::number(seen.key.map(|key| key.inode as i64)),
            moment(seen.key.and_then(|key| key.birth_us)),
            quoted(format),
            quoted(&seen.host),
            literal::text(seen.origin.machine.as_deref()),
            literal::number(seen.origin.file_system),
            print(seen.head),
            literal::number(seen.head.map(|head| head.length)),
        ]
    };
    let (owner, number) = (quoted(owner), number.to_string());
    let claim = claim_number().to_string();
    if let [one] = requests {
        let mut values = values(one).to_vec();
        values.insert(6, owner); // as `$7`
        values.extend([claim, number]);
        return fill(CLAIM, &values);
    }
    let mut lists = lists(requests.iter().map(values));
    lists.extend([owner, claim, number]);
    fill(CLAIM_MANY, &lists)
}

/// [`HELD`] with its values.
fn held_of(files: &[FileId]) -> String {
    fill(HELD, &[listed(files), lock::FILE.to_string()])
}

/// Returns the condition that a row of `log_file` is one of these. Citus finds the worker of one file by an
/// equation.
fn are(files: &[FileId]) -> String {
    match files {
        [file] => format!("id = {}", file.0),
        files => format!("id IN ({})", listed(files)),
    }
}

/// Returns the condition that a row is one of these, under its epoch.
fn are_under(claims: &[Committed]) -> String {
    match claims {
        [claim] => format!("epoch = {}", claim.epoch),
        claims => {
            let pairs = claims.iter().map(|claim| format!("({},{})", claim.file.0, claim.epoch));
            format!("(id, epoch) IN ({})", pairs.collect::<Vec<_>>().join(","))
        }
    }
}

/// Returns the ids as a list in SQL.
fn listed(files: &[FileId]) -> String {
    files.iter().map(|file| file.0.to_string()).collect::<Vec<_>>().join(",")
}

fn each<'a, T, V>(items: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    items.iter().map(value).collect()
}
