//! The PostgreSQL backend, for servers from version 14.
//!
//! Each call makes a connection or has one. There is no pool, because a pool waits and tries again by
//! itself, which the caller decides. Session locks must outlive a transaction, so a pooler in front of
//! the server has to pool sessions, not transactions.

mod citus;
mod commit;
mod days;
mod indexes;
mod ledger;
mod reparse;
mod rollup;
mod sweeper;
mod writer;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row};

use super::answers::Table;
use super::error::{Explanation, Kind, StoreError, failed, from_migrate, from_sqlx};
use super::location::Server;
use super::schema::{self, OlderSchema, Schema};
use super::sql::NEWEST_SCHEMA;
use super::tls::Tls;

pub use indexes::Indexer;
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
const SESSION: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') <> 'remote_apply';
    SET client_min_messages = warning;
    SET lock_timeout = '10s';
    SET idle_session_timeout = '120s';
    SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;";

/// The settings of sessions that only read. JIT costs more than these queries do. They are set after
/// the connection is made, since a pooler does not pass `options` on.
const READING_SESSION: &str = "
    SET default_transaction_read_only = on;
    SET statement_timeout = '10s';
    SET lock_timeout = '10s';
    SET jit = off;";

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

    /// Waits for the lock with this number; it ends with the session at the latest.
    pub(super) async fn wait(
        connection: &mut PgConnection,
        number: i32,
    ) -> Result<(), sqlx::Error> {
        let lock = sqlx::query("SELECT pg_advisory_lock($1, $2)").bind(NAMESPACE).bind(number);
        lock.execute(connection).await.map(|_| ())
    }
}

/// A server and what is known of it.
#[derive(Debug)]
pub(super) struct Postgres {
    options: PgConnectOptions,
    tls: Tls,
    /// The [`super::Location`] as text, for messages.
    pub(super) name: String,
    /// Partitions that were attached. If a sweep has dropped one since, COPY finds it missing.
    days: Mutex<HashSet<(Table, i32)>>,
    /// Whether Citus had distributed the tables when a session was made last.
    distributed: AtomicBool,
    /// Days to which rows were added.
    fresh: Mutex<BTreeSet<(Table, i32)>>,
}

impl Postgres {
    fn new(server: Server, name: String) -> Postgres {
        let Server { options, tls } = server;
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
            distributed: AtomicBool::new(false),
            fresh: Mutex::default(),
        }
    }

    pub(super) async fn open(
        server: Server,
        name: String,
        older: OlderSchema,
    ) -> Result<Self, StoreError> {
        let this = Postgres::new(server, name);
        let mut connection = this.connect_to_any().await?;
        this.refuse_shared_session(&mut connection).await?;
        this.migrate(&mut connection, older).await?;
        // The work is done; an error while the session is closed changes nothing.
        let _ = connection.close().await;
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
    async fn connect_to_any(&self) -> Result<PgConnection, StoreError> {
        let files = self.tls.check_files().await;
        files.map_err(|why| Kind::Refused.error(&self.name, Explanation(why)))?;
        let connecting = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            sqlx::raw_sql(SESSION).execute(&mut connection).await?;
            Ok(connection)
        };
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

    /// Returns a pool of sessions that only read.
    pub(super) fn pool(&self, pool: PgPoolOptions) -> PgPool {
        let pool = pool.after_connect(|connection, _| {
            Box::pin(
                async move { sqlx::raw_sql(READING_SESSION).execute(connection).await.map(|_| ()) },
            )
        });
        pool.connect_lazy_with(self.options.clone())
    }

    /// Refuses a pooler that pools transactions. It lends one session to many clients, which would share
    /// the locks and settings of the session. Two connected clients that have the same session prove
    /// it. Where the server has room for only one connection, nothing can be proved.
    async fn refuse_shared_session(&self, one: &mut PgConnection) -> Result<(), StoreError> {
        // Servers that share an address may have the same process numbers, but hardly the same start
        // time. Every user may read both.
        let session = async |connection: &mut PgConnection| -> Result<String, sqlx::Error> {
            let whose = "SELECT pg_backend_pid() || ' ' || pg_postmaster_start_time()";
            sqlx::raw_sql(whose).fetch_one(connection).await?.try_get(0)
        };
        let Ok(mut other) = self.connect_to_any().await else { return Ok(()) };
        let first = session(one).await.map_err(failed(&self.name))?;
        let second = session(&mut other).await.map_err(failed(&self.name))?;
        let _ = other.close().await; // as above
        if first == second {
            let why = "a connection pooler in between pools transactions, and locks are held by \
                       sessions: have it pool sessions (pool_mode = session), or connect to \
                       PostgreSQL itself";
            return Err(Kind::Refused.error(&self.name, Explanation(why.into())));
        }
        Ok(())
    }

    /// Returns the schema of the database, and refuses a server that is too old.
    async fn found(&self, connection: &mut PgConnection) -> Result<Schema, StoreError> {
        let row = sqlx::query(
            "SELECT current_setting('server_version_num')::int4,
                    to_regclass('_sqlx_migrations') IS NOT NULL",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(failed(&self.name))?;
        let server: i32 = row.try_get(0).map_err(failed(&self.name))?;
        if server < OLDEST_SERVER {
            let why = format!("PostgreSQL 14 or newer is needed, this is {}", server / 10_000);
            return Err(Kind::Failed.error(&self.name, Explanation(why)));
        }
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
        if older == OlderSchema::Refuse && schema.found.is_some() {
            return schema.current(&self.name);
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
    fn known_days(&self) -> MutexGuard<'_, HashSet<(Table, i32)>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a session that holds a lock of [`lock`], `None` while another session has it.
    async fn connect_and_lock(&self, number: i32) -> Result<Option<PgConnection>, StoreError> {
        let mut connection = self.connect().await?;
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
            .bind(lock::NAMESPACE)
            .bind(number)
            .fetch_one(&mut connection)
            .await
            .map_err(failed(&self.name))?;
        // These locks are also held while the tables are distributed.
        self.check_placement(&mut connection).await.map_err(failed(&self.name))?;
        Ok(locked.then_some(connection))
    }

    pub(super) fn fresh_days(&self) -> Vec<(Table, i32)> {
        std::mem::take(&mut *self.fresh()).into_iter().collect()
    }

    /// Returns the days to which rows were added; see [`Postgres::known_days`].
    fn fresh(&self) -> MutexGuard<'_, BTreeSet<(Table, i32)>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
