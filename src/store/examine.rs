//! What `log-ingestd doctor` asks a database: its version, schema, clock, the user's rights, and whether its
//! lock table is large enough. Nothing is changed.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, PgConnection, Row};

use super::error::{StoreError, failed};
use super::postgres::Postgres;
use super::schema::Schema;
use super::sqlite::Sqlite;
use super::{Location, Store};
use crate::model::{Micros, now};

/// What was found out about a database.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The program of the database and its version.
    pub version: String,
    /// The schema of the tables.
    pub schema: Schema,
    /// How far the database's clock is ahead of this machine's, in microseconds; `None` for a file.
    pub clock_ahead: Option<Micros>,
    /// What the user may not do with the tables, each as `INSERT on log_file`.
    pub missing_rights: Vec<String>,
    /// Whether the user may make the tables, and the partitions of new days.
    pub may_create: bool,
    /// The lock table of the server, if the tables have partitions.
    pub locks: Option<LockTable>,
}

/// How many locks questions take, and how many a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTable {
    /// Partitions of `gunicorn_log`.
    pub partitions: u64,
    /// Locks of a question without a time range: the table, its partitions and their indexes.
    pub per_question: u64,
    /// `max_locks_per_transaction`.
    pub per_transaction: u64,
    /// Transactions for which that is multiplied: `max_connections` and `max_prepared_transactions`.
    pub transactions: u64,
}

impl LockTable {
    /// Returns how many sessions may ask without a time range at once. The server keeps an entry for each
    /// lock of each session, and has room for twice as many as it has locks.
    pub fn sessions(&self) -> u64 {
        2 * self.per_transaction * self.transactions / self.per_question.max(1)
    }

    /// Returns the `max_locks_per_transaction` with which so many sessions may.
    pub fn needed_for(&self, sessions: u64) -> u64 {
        (sessions * self.per_question).div_ceil(2 * self.transactions.max(1)).next_multiple_of(64)
    }

    /// Returns the same when so many days are full, and have all their indexes.
    pub fn with_full_days(&self, days: u64) -> LockTable {
        let per_question = self.per_question.max(1 + LOCKS_OF_DAY * days);
        LockTable { per_question, ..*self }
    }
}

/// Locks of a day that is over: its partition and nine indexes.
const LOCKS_OF_DAY: u64 = 10;

/// What the program does with each of its tables.
const MISSING_RIGHTS: &str = "
    SELECT kind || ' on ' || name
      FROM unnest(ARRAY['log_file', 'gunicorn_log', 'request_log', 'rejected_line', 'gunicorn_minute',
                        'gunicorn_hour', 'gunicorn_route_hour', 'gunicorn_route_day', 'ignored_file',
                        'sweep']) AS name,
           unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS kind
     WHERE to_regclass(name) IS NOT NULL AND NOT has_table_privilege(name, kind)
     ORDER BY name, kind";

/// Whether the user is the owner, or may make tables where there are none. A schema that is missing has no
/// rights.
const MAY_CREATE: &str = "
    SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
           AND coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
                          WHERE oid = to_regclass('gunicorn_log')), true)";

const LOCKS: &str = "
    WITH parts AS (SELECT inhrelid AS part FROM pg_inherits WHERE inhparent = to_regclass('gunicorn_log'))
    SELECT (SELECT count(*) FROM parts),
           (SELECT count(*) FROM pg_index
             WHERE indrelid = to_regclass('gunicorn_log') OR indrelid IN (SELECT part FROM parts)),
           current_setting('max_locks_per_transaction')::bigint,
           current_setting('max_connections')::bigint
               + current_setting('max_prepared_transactions')::bigint";

impl Store {
    /// Examines a database.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub async fn examine(location: &Location) -> Result<Examination, StoreError> {
        let name = location.to_string();
        match location {
            Location::Postgres(server) => {
                let postgres = Postgres::new((**server).clone(), name.clone());
                let mut connection = postgres.connect_to_any().await?;
                let schema = postgres.found(&mut connection).await?;
                let examined = examine_server(&mut connection, schema).await;
                let _ = connection.close().await; // nothing was written
                examined.map_err(failed(&name))
            }
            Location::Sqlite(path) => {
                let schema = Sqlite::schema(path, name.clone()).await?;
                let options = SqliteConnectOptions::new().in_memory(true);
                let connected = SqliteConnection::connect_with(&options).await;
                let mut connection = connected.map_err(failed(&name))?;
                let version = sqlx::query_scalar::<_, String>("SELECT sqlite_version()");
                let version = version.fetch_one(&mut connection).await.map_err(failed(&name))?;
                Ok(Examination {
                    version: format!("SQLite {version}"),
                    schema,
                    clock_ahead: None,
                    missing_rights: Vec::new(),
                    may_create: true,
                    locks: None,
                })
            }
        }
    }
}

async fn examine_server(
    connection: &mut PgConnection,
    schema: Schema,
) -> Result<Examination, sqlx::Error> {
    let asked = now();
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let clock: Micros = sqlx::query_scalar(clock).fetch_one(&mut *connection).await?;
    let between = asked + (now() - asked) / 2;
    let version = sqlx::query_scalar::<_, String>("SHOW server_version");
    let version = version.fetch_one(&mut *connection).await?;
    let missing_rights = sqlx::query_scalar(MISSING_RIGHTS).fetch_all(&mut *connection).await?;
    let may_create = sqlx::query_scalar(MAY_CREATE).fetch_one(&mut *connection).await?;
    let row = sqlx::query(LOCKS).fetch_one(&mut *connection).await?;
    let number = |at: usize| row.try_get::<i64, _>(at).map(|it| it.unsigned_abs());
    let partitions = number(0)?;
    let locks = LockTable {
        partitions,
        per_question: 1 + partitions + number(1)?,
        per_transaction: number(2)?,
        transactions: number(3)?,
    };
    Ok(Examination {
        version: format!("PostgreSQL {version}"),
        schema,
        clock_ahead: Some(clock - between),
        missing_rights,
        may_create,
        locks: (partitions > 0).then_some(locks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_table_is_for_so_many_sessions() {
        let locks = LockTable {
            partitions: 120,
            per_question: 1207,
            per_transaction: 64,
            transactions: 100,
        };
        assert_eq!(locks.sessions(), 10);
        assert_eq!(locks.needed_for(32), 256);
        assert!(LockTable { per_transaction: 256, ..locks }.sessions() >= 32);
        let ten = LockTable { partitions: 10, per_question: 91, ..locks };
        assert_eq!(ten.with_full_days(120).per_question, 1201);
        assert_eq!(ten.with_full_days(1), ten);
    }
}
