//! The PostgreSQL backend, for servers from version 14.
//!
//! Each call that writes makes a connection or has one. They have no pool, because a pool waits and tries
//! again by itself, which the caller decides; those who only read share a few sessions (`readers`). Commits
//! have a protocol layer of their own (`wire`); the driver runs everything else. Session locks must outlive a
//! transaction, so a pooler in front of the server has to pool sessions, not transactions.

mod batch;
mod carve;
mod citus;
mod commit;
mod copying;
mod days;
mod indexes;
mod lane;
mod layout;
mod ledger;
mod literal;
mod readers;
mod reparse;
mod rollup;
mod side;
mod sweeper;
mod wire;
mod writer;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use tokio::sync::watch;

use super::answers::{DayRange, Table};
use super::error::{self, Explanation, Kind, StoreError, failed, from_migrate, from_sqlx};
use super::location::Server;
use super::schema::{self, OlderSchema, Schema};
use super::sql::NEWEST_SCHEMA;
use super::tls::Tls;
use days::KnownDays;
use layout::Layout;
use wire::{Row as TextRow, Wire};

pub(super) use batch::transact;
pub(super) use copying::PgCopier;
pub use indexes::Indexer;
pub(super) use lane::PgLane;
pub(super) use layout::OWN_PARTITION;
pub(super) use literal::{fill, quoted, read_time, time};
pub(super) use readers::Readers;
pub(super) use sweeper::PgSweeper;
pub(super) use writer::PgWriter;

pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    schema::migrator([
        (1, "tables", include_str!("../../../migrations/postgres/0001_tables.sql")),
        (2, "fence", include_str!("../../../migrations/postgres/0002_fence.sql")),
        (3, "reject code", include_str!("../../../migrations/postgres/0003_reject_code.sql")),
        (4, "first offset", include_str!("../../../migrations/postgres/0004_first_offset.sql")),
        (5, "nul runs", include_str!("../../../migrations/postgres/0005_nul_runs.sql")),
        (6, "ignored files", include_str!("../../../migrations/postgres/0006_ignored_files.sql")),
        (7, "writers", include_str!("../../../migrations/postgres/0007_writers.sql")),
        (8, "request ids", include_str!("../../../migrations/postgres/0008_request_ids.sql")),
        (9, "far times", include_str!("../../../migrations/postgres/0009_far_times.sql")),
        (10, "repeats", include_str!("../../../migrations/postgres/0010_repeats.sql")),
        (11, "line patches", include_str!("../../../migrations/postgres/0011_line_patches.sql")),
    ])
});

/// Longest time to connect and authenticate.
const CONNECT: Duration = Duration::from_secs(10);

/// The oldest server: DETACH PARTITION CONCURRENTLY came with it.
const OLDEST_SERVER: i32 = 140_000;

/// How long a migration waits for a lock: other sessions wait for the migration meanwhile.
const MIGRATION_LOCK_TIMEOUT: &str = "SET lock_timeout = '2s'";

/// The settings of every session. A stopped, unplugged or unreachable client must lose its locks in
/// bounded time (keep-alives: 60 s; silence: 120 s), and no statement waits long for a lock that a
/// person or a tool holds. Notices ("already exists, skipping") are not needed.
///
/// A commit waits until it is on the disk, and on the standbys that the server waits for, whatever the
/// server, database or role have as their default: what a log or the spool loses after it cannot be
/// read again. `remote_apply` waits for more, and stays. A session may always set this.
///
/// Answers to statements without parameters are text: numbers keep all of their digits, and bytes have the
/// form that the driver reads.
const SESSION: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') <> 'remote_apply';
    SET default_transaction_isolation = 'read committed';
    SET client_min_messages = warning;
    SET lock_timeout = '10s';
    SET idle_session_timeout = '120s';
    SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SET extra_float_digits = 1;
    SET bytea_output = 'hex';";

/// What sessions that only read have in addition. JIT costs more than these queries do. Each search
/// occupies one processor: others store lines. They are set after
/// the connection is made, since a pooler does not pass `options` on. The server looks ten times a second whether
/// the client is still there, where its system can tell.
const READING: &str = "
    SET default_transaction_read_only = on;
    SET jit = off;
    SET max_parallel_workers_per_gather = 0;
    SELECT set_config('client_connection_check_interval', '100ms', false) WHERE version() LIKE '%linux%';
    SET statement_timeout =";

/// Advisory locks have two numbers; the first one is a namespace. Those of writers have one number, of 60
/// random bits.
mod lock {
    use sqlx::PgConnection;

    /// The namespace of the numbers below.
    pub(super) const NAMESPACE: i32 = 0x6c69_6430;
    /// The namespace of locks of files, which daemons had before schema 7; the number is the id of the file.
    pub(super) const FILE: i32 = 0x6c69_6431;

    /// Held while partitions come or go.
    pub(super) const DAYS: i32 = 1;
    /// Held while a file is registered.
    pub(super) const REGISTER: i32 = 2;
    /// Held by the one sweep that runs.
    pub(super) const SWEEP: i32 = 3;
    /// Held while indexes are built.
    pub(super) const INDEX: i32 = 4;
    /// Held while the schema is upgraded.
    pub(super) const MIGRATE: i32 = 5;
    /// Held while everything is copied to another database, or from one.
    pub(super) const COPY: i32 = 6;

    /// Takes the lock with this number unless another session has it.
    pub(super) async fn try_take(
        connection: &mut PgConnection,
        number: i32,
    ) -> Result<bool, sqlx::Error> {
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)");
        lock.bind(NAMESPACE).bind(number).fetch_one(connection).await
    }

    /// Returns the question whether a session has the lock with this number.
    pub(super) fn is_held(number: i32) -> String {
        format!(
            "SELECT EXISTS (SELECT 1 FROM pg_locks
                             WHERE locktype = 'advisory' AND objsubid = 2 AND granted
                               AND classid = {NAMESPACE}::bigint::oid AND objid = {number}::bigint::oid
                               AND database = (SELECT oid FROM pg_database
                                                WHERE datname = current_database()))"
        )
    }

    /// Waits for the lock with this number; it ends with the session at the latest.
    pub(super) async fn wait(
        connection: &mut PgConnection,
        number: i32,
    ) -> Result<(), sqlx::Error> {
        let lock = sqlx::query("SELECT pg_advisory_lock($1, $2)").bind(NAMESPACE).bind(number);
        lock.execute(connection).await.map(|_| ())
    }

    /// Releases the lock with this number.
    pub(super) async fn release(
        connection: &mut PgConnection,
        number: i32,
    ) -> Result<(), sqlx::Error> {
        let unlock = sqlx::query("SELECT pg_advisory_unlock($1, $2)").bind(NAMESPACE).bind(number);
        unlock.execute(connection).await.map(|_| ())
    }
}

/// Returns whether a row says so.
fn is_true(row: &TextRow) -> bool {
    row.first().is_some_and(|value| value.as_deref() == Some("t"))
}

/// Sessions that were made to open the database, for the first writer or reader.
#[derive(Debug)]
struct Spare {
    wire: Wire,
    /// The number of `wire` as a writer, if it has taken one.
    number: Option<i64>,
    side: Option<PgConnection>,
    ledger: FoundLedger,
    made: Instant,
    /// Whether the database was being copied then.
    is_copied: bool,
}

/// What a session that commits has found.
struct Found {
    wire: Wire,
    /// The answer to [`WHICH_SESSION`].
    session: String,
    /// Its number as a writer, if it has taken one.
    number: Option<i64>,
    ledger: FoundLedger,
    /// Whether the database is being copied.
    is_copied: bool,
}

/// How long they are of use: the server ends them when they were silent for two minutes.
const SPARE: Duration = Duration::from_secs(10);

/// Servers that share an address may have the same process numbers, but hardly the same start time. Every
/// user may read both.
const WHICH_SESSION: &str = "SELECT pg_backend_pid() || ' ' || pg_postmaster_start_time()";

/// Asks for the newest schema, which table the ledger is, and whether that has its key: `pg_restore` makes keys
/// after it has loaded all rows.
const LEDGER: &str = "
    SELECT max(version), to_regclass('log_file')::oid, to_regclass('log_file_pkey') IS NOT NULL
      FROM _sqlx_migrations WHERE success";

/// The answer to [`LEDGER`].
#[derive(Clone, Copy, Debug)]
struct FoundLedger {
    schema: Schema,
    table: Option<u32>,
    has_key: bool,
}

impl FoundLedger {
    /// `None` if there are no tables.
    fn of(row: Option<TextRow>) -> FoundLedger {
        let mut columns = row.into_iter().flatten();
        let schema = schema_of(columns.next());
        let table = columns.next().flatten().and_then(|table| table.parse().ok());
        let has_key = columns.next().flatten().is_some_and(|has| has == "t");
        FoundLedger { schema, table, has_key }
    }

    /// Returns which table the ledger is. Refuses any other schema, and a ledger into which rows are still being
    /// restored: a file that is missing may come.
    fn ready(self, store: &str) -> Result<Option<u32>, StoreError> {
        self.schema.current(store)?;
        if !self.has_key {
            let why = "its table log_file has no primary key: a restore is under way, or was left half done";
            return Err(Kind::Unavailable.error(store, Explanation(why.into())));
        }
        Ok(self.table)
    }
}

/// The SQLSTATE of a statement about a table that does not exist.
const NO_SUCH_TABLE: &str = "42P01";

/// Reads the answer to [`NEWEST_SCHEMA`].
fn schema_of(newest: Option<Option<String>>) -> Schema {
    Schema::of(newest.flatten().and_then(|version| version.parse().ok()))
}

/// A server and what is known of it.
#[derive(Debug)]
pub(super) struct Postgres {
    options: PgConnectOptions,
    tls: Tls,
    /// The [`super::Location`] as text, for messages.
    pub(super) name: String,
    /// Partitions that were attached. If a sweep has dropped one since, COPY finds it missing, and it is made
    /// again.
    days: Mutex<KnownDays>,
    /// How many days in the past have a partition each; see `layout`.
    by_day: AtomicI32,
    /// Whether Citus had distributed the tables when a session was made last.
    distributed: AtomicBool,
    /// Partitions to which rows were added.
    fresh: Mutex<BTreeSet<(Table, DayRange)>>,
    spare: Mutex<Option<Spare>>,
    /// How long an answer took when a session was made last, in microseconds.
    round_trip_us: AtomicU64,
    /// Becomes true when the database has been looked at. Sessions that are made before wait for it: if they
    /// should not have been made, nothing was asked and no lock taken in them.
    opened: watch::Receiver<bool>,
}

impl Postgres {
    pub(super) fn new(server: Server, name: String) -> Postgres {
        Postgres::opened_by(watch::channel(true).1, server, name)
    }

    fn opened_by(opened: watch::Receiver<bool>, server: Server, name: String) -> Postgres {
        let Server { options, tls, .. } = server;
        let application = options.get_application_name().unwrap_or("log-ingestd").to_owned();
        let options = options
            .application_name(&application)
            // Poolers refuse parameters of the start that they do not know; no query needs this one.
            .extra_float_digits(None)
            .disable_statement_logging();
        Postgres {
            options,
            tls,
            name,
            days: Mutex::default(),
            by_day: AtomicI32::new(layout::LONGEST_BY_DAY),
            distributed: AtomicBool::new(false),
            fresh: Mutex::default(),
            spare: Mutex::default(),
            round_trip_us: AtomicU64::new(0),
            opened,
        }
    }

    /// Opens the database. `reached` is called when the server has let this user in.
    pub(super) async fn open(
        server: Server,
        name: String,
        older: OlderSchema,
        reached: impl FnOnce(&Arc<Self>),
    ) -> Result<Arc<Self>, StoreError> {
        let (opening, opened) = watch::channel(false);
        let this = Arc::new(Postgres::opened_by(opened, server, name));
        // At the same time, and kept for the first writer: to connect takes many round trips. The driver believes
        // any length that a server announces: it is given up as soon as the other session has failed.
        let side = this.in_time(PgConnection::connect_with(&this.options));
        // Where the server has room for only one connection, a shared session cannot be proved.
        let side = Box::pin(async {
            // The driver opens the same files, and would wait for what comes out of a FIFO.
            Ok(match this.tls.check_files().await {
                Ok(()) => side.await.ok(),
                Err(_) => None,
            })
        });
        let (wire, mut side) = futures_util::future::try_join(Box::pin(this.reach()), side).await?;
        reached(&this);
        let Found { wire, session, number, ledger, is_copied } = this.look(wire, older).await?;
        if let Some(other) = &mut side {
            this.refuse_shared_session(&session, number, other).await?;
        }
        if !ledger.schema.is_current() {
            let mut connection = match side {
                Some(connection) => connection,
                None => {
                    drop(wire);
                    this.connect_to_any().await?
                }
            };
            this.migrate(&mut connection, older).await?;
            // The work is done; an error while the session is closed changes nothing.
            let _ = connection.close().await;
        } else {
            let spare = Spare { wire, number, side, ledger, made: Instant::now(), is_copied };
            *this.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(spare);
        }
        opening.send_replace(true);
        Ok(this)
    }

    pub(super) async fn schema(server: Server, name: String) -> Result<Schema, StoreError> {
        let this = Postgres::new(server, name);
        let mut connection = this.connect_to_any().await?;
        this.found(&mut connection).await
    }

    /// Makes a session, and refuses tables of another schema.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.connect_to_any().await?;
        self.check_schema(&mut connection).await?;
        self.check_placement(&mut connection).await.map_err(failed(&self.name))?;
        Ok(connection)
    }

    /// Refuses tables of any other schema: a newer daemon may have upgraded them meanwhile.
    pub(super) async fn check_schema(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), StoreError> {
        let found = sqlx::query_scalar(NEWEST_SCHEMA).fetch_one(connection).await;
        Schema::of(found.map_err(failed(&self.name))?).current(&self.name)
    }

    /// Makes a session for tables of any schema.
    pub(super) async fn connect_to_any(&self) -> Result<PgConnection, StoreError> {
        self.connect_with(None, SESSION.to_owned()).await
    }

    /// Makes a session that only reads, of one that was made to open the database if there is one.
    async fn connect_to_read(&self, timeout: Duration) -> Result<PgConnection, StoreError> {
        let made = self.spare().and_then(|spare| spare.side);
        self.connect_with(made, format!("{SESSION}{READING} {}", timeout.as_millis())).await
    }

    async fn connect_with(
        &self,
        made: Option<PgConnection>,
        settings: String,
    ) -> Result<PgConnection, StoreError> {
        let files = self.tls.check_files().await;
        files.map_err(|why| Kind::Refused.error(&self.name, Explanation(why)))?;
        self.in_time(async {
            let mut connection = match made {
                Some(connection) => connection,
                None => PgConnection::connect_with(&self.options).await?,
            };
            sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
            Ok(connection)
        })
        .await
    }

    /// Makes a session that commits when the database is open, and finds out whether the tables are distributed.
    /// Asks these questions at once, each of which has one row as its answer; [`LEDGER`] is the last one, or not
    /// asked. Its answer is left out if there are no tables.
    async fn connect_wire(&self, questions: &[&str]) -> Result<(Wire, Vec<TextRow>), StoreError> {
        let wire = Box::pin(self.reach()).await?;
        if self.opened.clone().wait_for(|opened| *opened).await.is_err() {
            return Err(Kind::Unavailable.error(&self.name, Explanation("not opened".into())));
        }
        Box::pin(self.ask(wire, questions)).await
    }

    /// Makes a session that has not been asked anything.
    async fn reach(&self) -> Result<Wire, StoreError> {
        let files = self.tls.check_files().await;
        files.map_err(|why| Kind::Refused.error(&self.name, Explanation(why)))?;
        let connecting = async {
            let (wire, took) = Wire::connect(&self.options, &self.tls).await?;
            self.took(took);
            Ok(wire)
        };
        self.in_time(connecting).await
    }

    /// Asks questions as [`Postgres::connect_wire`] does.
    async fn ask(
        &self,
        mut wire: Wire,
        questions: &[&str],
    ) -> Result<(Wire, Vec<TextRow>), StoreError> {
        let all =
            |questions: &[&str]| format!("{SESSION}{}; {}", citus::HAS_CITUS, questions.join("; "));
        let asking = async {
            let asked = Instant::now();
            let (mut rows, count) = match wire.query(&all(questions)).await {
                Err(error) if error::code(&error) == NO_SUCH_TABLE => {
                    let others = &questions[..questions.len().saturating_sub(1)];
                    (wire.query(&all(others)).await?, others.len())
                }
                rows => (rows?, questions.len()),
            };
            self.took(asked.elapsed());
            let answers = rows.split_off(rows.len().saturating_sub(count));
            let has_citus = rows.last().is_some_and(is_true);
            let distributed = has_citus
                && wire.query(&citus::has_distributed_files()).await?.first().is_some_and(is_true);
            self.distributed.store(distributed, Ordering::Relaxed);
            Ok((wire, answers))
        };
        self.in_time(asking).await
    }

    /// Notes how long an answer took.
    fn took(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(0);
        self.round_trip_us.store(took, Ordering::Relaxed);
    }

    /// Connects within [`CONNECT`], and explains why it is not possible.
    async fn in_time<T>(
        &self,
        connecting: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(connected) => connected.map_err(|error| match self.tls.explain(&error) {
                Some(why) => Kind::Refused.error(&self.name, Explanation(why)),
                None => self.full(&error).unwrap_or_else(|| from_sqlx(&self.name, error)),
            }),
            Err(_) => {
                let why = format!("no answer within {} s", CONNECT.as_secs());
                Err(Kind::Unavailable.error(&self.name, Explanation(why)))
            }
        }
    }

    /// Returns the error for a server without a free connection, with what to do.
    fn full(&self, error: &sqlx::Error) -> Option<StoreError> {
        let answer = error.as_database_error().filter(|answer| {
            answer.code().is_some_and(|code| code == "53300") // too_many_connections
        })?;
        let why = format!(
            "{} (53300): raise max_connections, or the limit of the role or database; a daemon \
             holds one connection, and a few more for moments",
            answer.message()
        );
        Some(Kind::Unavailable.error(&self.name, Explanation(why)))
    }

    /// Refuses a pooler that pools transactions. It lends one session to many clients, which would share
    /// the locks and settings of the session. Two connected clients that have the same session prove it:
    /// `session` was that of another client, which has asked last. The settings of the new session are made
    /// with the question. The lock of the `number` that the other client has taken is released, since the
    /// pooler keeps the session.
    async fn refuse_shared_session(
        &self,
        session: &str,
        number: Option<i64>,
        other: &mut PgConnection,
    ) -> Result<(), StoreError> {
        let all = AssertSqlSafe(format!("{SESSION}{WHICH_SESSION}"));
        let rows = sqlx::raw_sql(all).fetch_all(&mut *other).await;
        let rows = rows.map_err(failed(&self.name))?;
        let which: String = rows
            .last()
            .map_or(Ok(String::new()), |row| row.try_get(0))
            .map_err(failed(&self.name))?;
        if session == which {
            if let Some(number) = number {
                let unlock = AssertSqlSafe(format!("SELECT pg_advisory_unlock({number})"));
                let _ = sqlx::raw_sql(unlock).execute(other).await; // it is refused in any case
            }
            let why = "a connection pooler in between pools transactions, and locks are held by \
                       sessions: have it pool sessions (pool_mode = session), or connect to \
                       PostgreSQL itself";
            return Err(Kind::Refused.error(&self.name, Explanation(why.into())));
        }
        Ok(())
    }

    /// Looks at the database in a session. If it may become a writer, which is so unless an `older` schema is
    /// refused, it takes a number, and remembers which days there are. Refuses a server that is too old.
    async fn look(&self, wire: Wire, older: OlderSchema) -> Result<Found, StoreError> {
        let [number, days] = match older {
            OlderSchema::Upgrade => [writer::JOIN_FIRST, days::NEWEST],
            OlderSchema::Refuse => ["SELECT NULL"; 2],
        };
        let is_copied = lock::is_held(lock::COPY);
        let questions =
            [WHICH_SESSION, "SHOW server_version_num", number, days, &is_copied, LEDGER];
        let (wire, rows) = Box::pin(self.ask(wire, &questions)).await?;
        let mut rows = rows.into_iter();
        let mut value = || rows.next()?.into_iter().next();
        let session = value().flatten().unwrap_or_default();
        let server = value().flatten().and_then(|version| version.parse().ok());
        self.not_too_old(server.unwrap_or(OLDEST_SERVER))?;
        let number = rows.next().and_then(|row| writer::joined(&row));
        if let Some([Some(partitions)]) = rows.next().as_deref() {
            self.remember(partitions);
        }
        let is_copied = rows.next().as_ref().is_some_and(is_true);
        Ok(Found { wire, session, number, ledger: FoundLedger::of(rows.next()), is_copied })
    }

    fn not_too_old(&self, server: i32) -> Result<(), StoreError> {
        if server < OLDEST_SERVER {
            let why = format!("PostgreSQL 14 or newer is needed, this is {}", server / 10_000);
            return Err(Kind::Failed.error(&self.name, Explanation(why)));
        }
        Ok(())
    }

    /// Returns the schema of the database, and refuses a server that is too old.
    pub(super) async fn found(&self, connection: &mut PgConnection) -> Result<Schema, StoreError> {
        let row = sqlx::query(
            "SELECT current_setting('server_version_num')::int4,
                    to_regclass('_sqlx_migrations') IS NOT NULL",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(failed(&self.name))?;
        let server: i32 = row.try_get(0).map_err(failed(&self.name))?;
        self.not_too_old(server)?;
        if !row.try_get::<bool, _>(1).map_err(failed(&self.name))? {
            return Ok(Schema::of(None));
        }
        let found = sqlx::query_scalar(NEWEST_SCHEMA).fetch_one(connection).await;
        Ok(Schema::of(found.map_err(failed(&self.name))?))
    }

    /// Makes or upgrades the tables. It takes a lock only if there is something to do, so that a user
    /// needs no right to make tables that exist. Of several programs that start at once the first one
    /// upgrades, and the others then find nothing to do.
    async fn migrate(
        &self,
        connection: &mut PgConnection,
        older: OlderSchema,
    ) -> Result<(), StoreError> {
        let schema = self.found(&mut *connection).await?;
        schema.not_newer(&self.name)?;
        if schema.is_current() {
            return Ok(());
        }
        if older == OlderSchema::Refuse {
            return schema.readable(&self.name);
        }
        lock::wait(connection, lock::MIGRATE).await.map_err(failed(&self.name))?;
        let schema = self.found(&mut *connection).await?;
        schema.not_newer(&self.name)?;
        if schema.is_current() {
            return Ok(());
        }
        sqlx::raw_sql(MIGRATION_LOCK_TIMEOUT)
            .execute(&mut *connection)
            .await
            .map_err(failed(&self.name))?;
        // `run` wants a connection of any lifetime, which no future that moves between threads has.
        let applied = MIGRATIONS.run_direct(None, connection, false).await;
        applied.map_err(|error| match from_migrate(&self.name, error) {
            StoreError::Refused { store, source } => {
                let (found, known) = (schema.found.unwrap_or(0), schema.known);
                let why = format!(
                    "{source}; schema {found} has to become {known}, by `log-ingestd migrate` with \
                     the database URL of a user who may"
                );
                StoreError::Refused { store, source: Explanation(why).into() }
            }
            error => error,
        })
    }

    /// Returns the cache of partitions. A panic in another thread does not make its entries wrong.
    fn known_days(&self) -> MutexGuard<'_, KnownDays> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of how long rows stay; `None` is for ever.
    pub(super) fn keep_rows(&self, age: Option<Duration>) {
        self.by_day.store(layout::days_kept(age), Ordering::Relaxed);
    }

    /// Returns what decides about new partitions on this day.
    fn layout(&self, today: i32) -> Layout {
        Layout { today, by_day: self.by_day.load(Ordering::Relaxed) }
    }

    /// Makes a session that holds a lock of [`lock`], `None` while another session has it.
    async fn connect_and_lock(&self, number: i32) -> Result<Option<PgConnection>, StoreError> {
        let mut connection = self.connect().await?;
        let locked = lock::try_take(&mut connection, number).await.map_err(failed(&self.name))?;
        // These locks are also held while the tables are distributed.
        self.check_placement(&mut connection).await.map_err(failed(&self.name))?;
        Ok(locked.then_some(connection))
    }

    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_us.load(Ordering::Relaxed))
    }

    /// Returns the sessions that were made to open the database, if they are of use.
    fn spare(&self) -> Option<Spare> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        spare.filter(|spare| spare.made.elapsed() < SPARE)
    }

    pub(super) fn fresh_days(&self) -> Vec<(Table, DayRange)> {
        std::mem::take(&mut *self.fresh()).into_iter().collect()
    }

    /// Returns the partitions to which rows were added; see [`Postgres::known_days`].
    fn fresh(&self) -> MutexGuard<'_, BTreeSet<(Table, DayRange)>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
