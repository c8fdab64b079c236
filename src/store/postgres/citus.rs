//! Distribution of the tables over several servers by Citus.
//!
//! `log_file` is distributed by its id and everything that belongs to a file by `log_file`, co-located:
//! a transaction of ingest touches the one worker that has the file. `sweep` stays on the
//! coordinator, which is where daemons connect to. Most statements are the same on both; those that
//! Citus would refuse, or would run on all workers for one file, ask [`Postgres::is_distributed`].

use std::sync::atomic::Ordering;

use crate::store::location::Server;
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::literal::fill;
use super::{Postgres, lock};
use crate::model::Micros;
use crate::store::error::{self, Explanation, Kind, StoreError, failed};
use crate::store::foreign_text::violates_constraint;

/// The tables, in the order in which they are distributed, and by which column.
const TABLES: [(&str, &str); 8] = [
    ("log_file", "id"),
    ("gunicorn_log", "log_file"),
    ("request_log", "log_file"),
    ("rejected_line", "log_file"),
    ("gunicorn_minute", "log_file"),
    ("gunicorn_hour", "log_file"),
    ("gunicorn_route_hour", "log_file"),
    ("gunicorn_route_day", "log_file"),
];

/// Where the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// On one server.
    OneServer,
    /// On the workers of a Citus cluster.
    Distributed,
}

/// How long distributing waits for the sessions that use a table; new sessions wait meanwhile.
const DISTRIBUTION_SETTINGS: &str = "SET lock_timeout = '10s'; SET client_min_messages = warning";

/// Ids come from an integer's own sequence: Citus distributes identity columns only if they are bigint.
const PLAIN_SEQUENCE: &str = "
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'log_file'::regclass
                                              AND attname = 'id' AND attidentity <> '') THEN
            ALTER TABLE log_file ALTER COLUMN id DROP IDENTITY;
            CREATE SEQUENCE log_file_id AS integer MAXVALUE 33554431 OWNED BY log_file.id;
            PERFORM setval('log_file_id', (SELECT coalesce(max(id), 0) + 1 FROM log_file), false);
            ALTER TABLE log_file ALTER COLUMN id SET DEFAULT nextval('log_file_id');
        END IF;
    END $$";

/// Whether the database has the extension.
pub(super) const HAS_CITUS: &str =
    "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";

const IS_DISTRIBUTED: &str = "SELECT EXISTS (SELECT FROM pg_dist_partition
     WHERE logicalrelid = to_regclass($1) AND partmethod = 'h')";

/// Returns the question whether the files are distributed, for a database with the extension.
pub(super) fn has_distributed_files() -> String {
    fill(IS_DISTRIBUTED, &["'log_file'".to_owned()])
}

impl Postgres {
    /// Returns where the tables were when a session was made last.
    pub(super) fn placement(&self) -> Placement {
        match self.distributed.load(Ordering::Relaxed) {
            true => Placement::Distributed,
            false => Placement::OneServer,
        }
    }

    /// Returns whether the tables were distributed when a session was made last.
    pub(in crate::store) fn is_distributed(&self) -> bool {
        self.placement() == Placement::Distributed
    }

    /// Finds out whether the tables are distributed.
    pub(super) async fn check_placement(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let has: bool = sqlx::query_scalar(HAS_CITUS).fetch_one(&mut *connection).await?;
        let is = has && is_distributed(connection, "log_file").await?;
        self.distributed.store(is, Ordering::Relaxed);
        Ok(())
    }

    /// Classifies an error as [`error::from_sqlx`] does. Of a row that a worker refuses there is only the
    /// message, so it is recognised by the message, and only in English.
    pub(super) fn classify(&self, error: sqlx::Error) -> StoreError {
        match error.as_database_error().map(DatabaseError::message) {
            Some(message)
                if self.is_distributed()
                    && is_of_a_worker(&error)
                    && violates_constraint(message) =>
            {
                Kind::BadRow.error(&self.name, Explanation(message.to_owned()))
            }
            _ => error::from_sqlx(&self.name, error),
        }
    }

    pub(in crate::store) async fn may_distribute(
        server: Server,
        name: String,
    ) -> Result<(), StoreError> {
        let this = Postgres::new(server, name);
        let mut connection = this.connect_to_any().await?;
        let has: bool = sqlx::query_scalar(HAS_CITUS)
            .fetch_one(&mut connection)
            .await
            .map_err(failed(&this.name))?;
        if has {
            return Ok(());
        }
        let available: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citus')",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(failed(&this.name))?;
        let why = match available {
            true => "Citus is installed, but not in this database: CREATE EXTENSION citus",
            false => "this server has no Citus: its tables cannot be distributed",
        };
        Err(Kind::Refused.error(&this.name, Explanation(why.into())))
    }

    /// Distributes one table after the other, each in a transaction of Citus' own, so that a second call
    /// continues where the first one ended. Sweeps, index builds and new partitions wait for the locks
    /// meanwhile; commits wait for their table.
    pub(in crate::store) async fn distribute(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut connection = self.connect().await?;
        let mut done = Vec::new();
        let distribute = async {
            for number in [lock::SWEEP, lock::INDEX, lock::DAYS, lock::REGISTER] {
                lock::wait(&mut connection, number).await?;
            }
            sqlx::raw_sql(DISTRIBUTION_SETTINGS).execute(&mut connection).await?;
            sqlx::raw_sql(PLAIN_SEQUENCE).execute(&mut connection).await?;
            for (table, column) in TABLES {
                if is_distributed(&mut connection, table).await? {
                    continue;
                }
                let beside = if table == "log_file" { "none" } else { "log_file" };
                sqlx::query(
                    "SELECT create_distributed_table($1::regclass, $2, colocate_with => $3)",
                )
                .bind(table)
                .bind(column)
                .bind(beside)
                .execute(&mut connection)
                .await?;
                // The rows that were here have been copied; what they took is given back.
                let truncate = format!(
                    "SELECT truncate_local_data_after_distributing_table('{table}'::regclass)"
                );
                sqlx::raw_sql(AssertSqlSafe(truncate)).execute(&mut connection).await?;
                done.push(table);
            }
            self.check_placement(&mut connection).await
        };
        distribute.await.map_err(failed(&self.name))?;
        // The work is done; an error while the session is closed changes nothing.
        let _ = connection.close().await;
        Ok(done)
    }
}

/// Returns whether the error may be a worker's answer to a COPY, whose own code is lost on the way.
pub(super) fn is_of_a_worker(error: &sqlx::Error) -> bool {
    error::code(error) == "XX000"
}

/// Runs a command on each shard of a table by itself; `%1$s` in the command is the shard. What names a
/// row's place means nothing on another shard. Returns the answers, such as `DELETE 5`.
pub(super) async fn on_shards(
    connection: &mut PgConnection,
    table: &str,
    command: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let answers: Vec<(bool, String)> =
        sqlx::query_as("SELECT success, result FROM run_command_on_shards($1::regclass, $2)")
            .bind(table)
            .bind(command)
            .fetch_all(connection)
            .await?;
    if let Some((_, why)) = answers.iter().find(|(success, _)| !success) {
        return Err(sqlx::Error::Protocol(format!("a shard of {table} failed: {why}")));
    }
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Deletes rows of a table with a time before `cutoff`, at most `limit` on each shard. So a sum below
/// `limit` says that no such rows are left.
pub(super) async fn delete(
    connection: &mut PgConnection,
    (table, column): (&str, &str),
    cutoff: Micros,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let before = format!("timestamptz 'epoch' + {cutoff} * interval '1 microsecond'");
    let command = format!(
        "DELETE FROM %1$s WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM %1$s WHERE {column} < {before} LIMIT {limit}))"
    );
    let answers = on_shards(connection, table, &command).await?;
    Ok(answers.iter().filter_map(|it| it.strip_prefix("DELETE ")?.parse::<u64>().ok()).sum())
}

async fn is_distributed(connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(IS_DISTRIBUTED).bind(table).fetch_one(connection).await
}
