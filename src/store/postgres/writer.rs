//! Claims of files on PostgreSQL: each session has one lock, which ends with it, and a number that is
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

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::{Postgres, lock};
use crate::model::{Checkpoint, Cut, FileId, NewFile, Sighting};
use crate::store::answers::Committed;
use crate::store::error::{Explanation, Kind, StoreError, failed};
use crate::store::time::Time;
use crate::store::writer::ClaimRequest;
use crate::store::{bound, rows, schema, sql};

/// Adds the format that a file has had to the others. `jsonb_object` makes JSON of a text as `to_jsonb`
/// does, whose result may depend on settings: Citus sends no such function to a worker.
const CLAIM: &str = sql::claim!(
    "CASE WHEN format = $6 OR other_formats ? format THEN other_formats
          ELSE other_formats || (jsonb_object(ARRAY['', format]) -> '') END",
    ", writer = $13"
);

/// [`CLAIM`] for several files in one round trip: `$1` to `$11` are lists, `$12` owner, `$13` writer.
const CLAIM_MANY: &str = concat!(
    "UPDATE log_file SET epoch = ",
    schema::next_epoch!(),
    ", path = seen_path, format = seen_format, owner = $12, writer = $13, host = seen_host,
       machine = COALESCE(seen_machine, machine),
       file_system = COALESCE(seen_file_system, file_system),
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
const CLOSE: &str = sql::close!("now()");
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
const JOIN: &str = "
    WITH new AS MATERIALIZED (
        SELECT ('x0' || right(translate(gen_random_uuid()::text, '-', ''), 15))::bit(64)::bigint AS number)
    SELECT number, pg_try_advisory_lock(number) AS locked FROM new";

/// Which of the writers `$1` are alive, and which of the files `$2` a daemon of an older schema holds.
/// It takes no lock. A lock of one number, which writers have, is shown in two halves.
const HELD: &str = "
    SELECT objsubid = 1 AS is_writer,
           CASE objsubid WHEN 1 THEN (classid::bigint << 32) | objid::bigint ELSE objid::bigint END AS number
      FROM pg_locks
     WHERE locktype = 'advisory' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND CASE objsubid WHEN 1 THEN (classid::bigint << 32) | objid::bigint = ANY ($1)
           ELSE classid::bigint = $3 AND objid::bigint = ANY ($2::bigint[]) END";

/// Files that one transaction claims.
const AT_ONCE: usize = 1000;

/// One session and the files that it claims.
#[derive(Debug)]
pub(in crate::store) struct PgWriter {
    pub(in crate::store) backend: Arc<Postgres>,
    pub(in crate::store) connection: PgConnection,
    pub(super) owner: String,
    /// The number that shows that this session is alive; `None` before it has claimed anything.
    number: Option<i64>,
    /// Files that this writer registered.
    registered: HashSet<FileId>,
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
            number: None,
            registered: HashSet::new(),
        })
    }

    /// Returns the number of this session, whose lock it takes at the first call.
    async fn number(&mut self) -> Result<i64, sqlx::Error> {
        loop {
            if let Some(number) = self.number {
                return Ok(number);
            }
            let row = sqlx::query(JOIN).fetch_one(&mut self.connection).await?;
            if row.try_get("locked")? {
                self.number = Some(row.try_get("number")?);
            }
        }
    }

    /// Returns how many files one transaction takes. Citus locks rows, and finds the worker of a file, only
    /// in statements that name one file.
    fn at_once(&self) -> usize {
        if self.backend.is_distributed() { 1 } else { AT_ONCE }
    }

    /// Returns the candidates of each sighting, the newest first.
    pub(in crate::store) async fn candidates(
        &mut self,
        seen: &[&Sighting],
    ) -> Result<Vec<Vec<Checkpoint>>, StoreError> {
        let at_once = self.at_once();
        let found = candidates(&mut self.connection, seen, at_once).await;
        found.map_err(failed(&self.backend.name))
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
            let (number, at_once) = (self.number().await?, self.at_once());
            let mut tx = self.connection.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
                .bind(lock::NAMESPACE)
                .bind(lock::REGISTER)
                .execute(&mut *tx)
                .await?;
            let mut registered = Vec::with_capacity(files.len());
            let seen = each(files, |(new, _)| &new.sighting);
            let again = candidates(&mut tx, &seen, at_once).await?;
            for ((new, known), again) in files.iter().zip(again) {
                if rows::has_unknown(&again, known, &self.registered) {
                    registered.push(None);
                    continue;
                }
                let query = bound::register!(REGISTER, new, &self.owner).bind(number);
                registered.push(Some(rows::checkpoint(&query.fetch_one(&mut *tx).await?)?));
            }
            for cut in cuts {
                let ended = bound::cut!(CUT, cut).execute(&mut *tx).await?;
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
        let mut claimed = HashMap::with_capacity(requests.len());
        for some in requests.chunks(self.at_once()) {
            let done = self.claim_some(some).await.map_err(failed(&self.backend.name))?;
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

    async fn claim_some(&mut self, requests: &[ClaimRequest<'_>]) -> Result<Claimed, sqlx::Error> {
        let number = self.number().await?;
        let files = each(requests, |request| request.file);
        let mut tx = self.connection.begin().await?;
        let (known, free) = free(&mut tx, number, &files).await?;
        let requests: Vec<_> = requests.iter().filter(|it| free.contains(&it.file)).collect();
        let rows = match &requests[..] {
            [] => Vec::new(),
            [ClaimRequest { file, seen, format }] => {
                let query = bound::claim!(CLAIM, file, seen, format, &self.owner).bind(number);
                query.fetch_all(&mut *tx).await?
            }
            many => claim_many(many, &self.owner, number).fetch_all(&mut *tx).await?,
        };
        let claimed = rows.iter().map(rows::checkpoint).collect::<Result<_, _>>()?;
        tx.commit().await?;
        Ok(Claimed { known, claimed })
    }

    /// Takes files again whose epochs are still these: their rows name the session that was lost, until
    /// now. Returns those of which the epoch is another.
    pub(in crate::store) async fn hold_again(
        &mut self,
        claims: &[(FileId, i64)],
    ) -> Result<Vec<FileId>, StoreError> {
        let mut lost = Vec::new();
        for some in claims.chunks(self.at_once()) {
            let held = self.hold_some(some).await.map_err(failed(&self.backend.name))?;
            lost.extend(held.lost);
            if let Some(file) = held.ending.first() {
                let why = format!("file {} is still locked by a connection that is ending", file.0);
                return Err(Kind::Unavailable.error(&self.backend.name, Explanation(why)));
            }
        }
        Ok(lost)
    }

    async fn hold_some(&mut self, claims: &[(FileId, i64)]) -> Result<HeldAgain, sqlx::Error> {
        let number = self.number().await?;
        let files = each(claims, |(file, _)| *file);
        let mut tx = self.connection.begin().await?;
        // A session that was lost may still commit. After its end, which shows that its rows are free,
        // none but a claim changes them.
        let (_, free) = free(&mut tx, number, &files).await?;
        let epochs = sqlx::query("SELECT id, committed, epoch FROM log_file WHERE id = ANY($1)");
        let now = epochs.bind(ids(&files)).fetch_all(&mut *tx).await?;
        let now = now.iter().map(rows::committed).collect::<Result<Vec<_>, _>>()?;
        let now: HashMap<FileId, i64> = now.iter().map(|now| (now.file, now.epoch)).collect();
        let is_same = |&&(file, epoch): &&(FileId, i64)| now.get(&file) == Some(&epoch);
        let (same, lost): (Vec<_>, Vec<_>) = claims.iter().partition(is_same);
        let (held, ending): (Vec<FileId>, Vec<FileId>) =
            same.iter().map(|(file, _)| *file).partition(|file| free.contains(file));
        if !held.is_empty() {
            // A crash of the server ends this session, too: its number need not be on the disk.
            sqlx::raw_sql("SET LOCAL synchronous_commit = off").execute(&mut *tx).await?;
            let hold = match &held[..] {
                [one] => sqlx::query("UPDATE log_file SET writer = $2 WHERE id = $1").bind(one.0),
                all => {
                    let hold = "UPDATE log_file SET writer = $2 WHERE id = ANY($1)";
                    sqlx::query(hold).bind(ids(all))
                }
            };
            hold.bind(number).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(HeldAgain { lost: lost.iter().map(|(file, _)| *file).collect(), ending })
    }

    /// Releases those of the files that this session has. This does not wait for the disk: after a crash of
    /// the server an old name may come back, of a session that is gone. A message is short, so that the
    /// caller may give up without leaving the server at work.
    pub(in crate::store) async fn release(&mut self, files: &[FileId]) -> Result<(), StoreError> {
        let Some(number) = self.number else { return Ok(()) };
        for some in files.chunks(AT_ONCE) {
            let ids: Vec<String> = some.iter().map(|file| file.0.to_string()).collect();
            let release = format!(
                "BEGIN; SET LOCAL synchronous_commit = off;
                 UPDATE log_file SET owner = NULL, writer = NULL
                  WHERE id IN ({}) AND writer = {number}; COMMIT",
                ids.join(",")
            );
            // Numbers only.
            sqlx::raw_sql(AssertSqlSafe(release))
                .execute(&mut self.connection)
                .await
                .map_err(failed(&self.backend.name))?;
        }
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
}

fn ids(files: &[FileId]) -> Vec<i32> {
    files.iter().map(|file| file.0).collect()
}

/// What became of requests for files.
struct Claimed {
    /// Files that have a row.
    known: HashSet<FileId>,
    claimed: Vec<Checkpoint>,
}

/// What became of files that were claimed over a connection that was lost.
struct HeldAgain {
    /// Another writer has claimed them since.
    lost: Vec<FileId>,
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
        if let [one] = some {
            let rows = bound::candidates!(one).fetch_all(&mut *connection).await?;
            candidates.push(rows.iter().map(rows::checkpoint).collect::<Result<_, _>>()?);
            continue;
        }
        let query = sqlx::query(CANDIDATES_OF_MANY)
            .bind(each(some, |seen| seen.host.clone()))
            .bind(each(some, |seen| seen.key.map(|key| key.device as i64)))
            .bind(each(some, |seen| seen.key.map(|key| key.inode as i64)))
            .bind(each(some, |seen| seen.head.map(|head| head.print.0.to_vec())))
            .bind(each(some, |seen| seen.head.map(|head| head.length as i32)));
        let mut found = vec![Vec::new(); some.len()];
        for row in query.fetch_all(&mut *connection).await? {
            let nth = usize::try_from(row.try_get::<i64, _>("nth")?).unwrap_or_default();
            if let Some(found) = nth.checked_sub(1).and_then(|at| found.get_mut(at)) {
                found.push(rows::checkpoint(&row)?);
            }
        }
        candidates.extend(found);
    }
    Ok(candidates)
}

/// Returns which of these files have a row, and which of them this writer may take, and locks the rows of
/// these. No row is waited for that a living writer may hold: it is locked only when it is free.
async fn free(
    connection: &mut PgConnection,
    number: i64,
    files: &[FileId],
) -> Result<(HashSet<FileId>, HashSet<FileId>), sqlx::Error> {
    let rows = match files {
        [one] => sqlx::query("SELECT id, writer FROM log_file WHERE id = $1").bind(one.0),
        all => sqlx::query("SELECT id, writer FROM log_file WHERE id = ANY($1)").bind(ids(all)),
    };
    let named = named(&rows.fetch_all(&mut *connection).await?)?;
    let known = named.iter().map(|(file, _)| *file).collect();
    let may_be_free: Vec<FileId> = unheld(connection, number, named).await?;
    let rows = match &may_be_free[..] {
        [] => return Ok((known, HashSet::new())),
        [one] => {
            let lock = "SELECT id, writer FROM log_file WHERE id = $1 FOR UPDATE";
            sqlx::query(lock).bind(one.0)
        }
        all => {
            let lock = "SELECT id, writer FROM log_file WHERE id = ANY($1) ORDER BY id FOR UPDATE";
            sqlx::query(lock).bind(ids(all))
        }
    };
    // Another writer may have claimed one while its row was waited for.
    let named = self::named(&rows.fetch_all(&mut *connection).await?)?;
    Ok((known, unheld(connection, number, named).await?.into_iter().collect()))
}

/// Reads which writer each row names.
fn named(rows: &[PgRow]) -> Result<Vec<(FileId, Option<i64>)>, sqlx::Error> {
    rows.iter().map(|row| Ok((FileId(row.try_get("id")?), row.try_get("writer")?))).collect()
}

/// Returns those of the files that no other living writer holds.
async fn unheld(
    connection: &mut PgConnection,
    number: i64,
    mut named: Vec<(FileId, Option<i64>)>,
) -> Result<Vec<FileId>, sqlx::Error> {
    let writers: HashSet<i64> = named.iter().filter_map(|(_, writer)| *writer).collect();
    let writers: Vec<i64> = writers.into_iter().filter(|writer| *writer != number).collect();
    let held = sqlx::query(HELD)
        .bind(writers)
        .bind(named.iter().map(|(file, _)| i64::from(file.0)).collect::<Vec<_>>())
        .bind(i64::from(lock::FILE))
        .fetch_all(connection)
        .await?;
    let (mut alive, mut of_older) = (HashSet::new(), HashSet::new());
    for row in held {
        let of = if row.try_get("is_writer")? { &mut alive } else { &mut of_older };
        of.insert(row.try_get::<i64, _>("number")?);
    }
    named.retain(|(file, writer)| {
        !of_older.contains(&i64::from(file.0)) && writer.is_none_or(|it| !alive.contains(&it))
    });
    Ok(named.into_iter().map(|(file, _)| file).collect())
}

/// [`CLAIM_MANY`] with its values.
fn claim_many<'q>(
    requests: &[&ClaimRequest<'_>],
    owner: &'q str,
    number: i64,
) -> Query<'q, sqlx::Postgres, PgArguments> {
    sqlx::query(CLAIM_MANY)
        .bind(each(requests, |it| it.file.0))
        .bind(each(requests, |it| it.seen.path.clone()))
        .bind(each(requests, |it| it.seen.key.map(|key| key.device as i64)))
        .bind(each(requests, |it| it.seen.key.map(|key| key.inode as i64)))
        .bind(each(requests, |it| it.seen.key.and_then(|key| key.birth_us).map(Time)))
        .bind(each(requests, |it| it.format.to_owned()))
        .bind(each(requests, |it| it.seen.host.clone()))
        .bind(each(requests, |it| it.seen.origin.machine.clone()))
        .bind(each(requests, |it| it.seen.origin.file_system))
        .bind(each(requests, |it| it.seen.head.map(|head| head.print.0.to_vec())))
        .bind(each(requests, |it| it.seen.head.map(|head| head.length as i32)))
        .bind(owner)
        .bind(number)
}

fn each<'a, T, V>(items: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    items.iter().map(value).collect()
}
