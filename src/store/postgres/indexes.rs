//! What makes questions fast, and when: a day's btrees are built when the day is over.
//!
//! # Why not from the first row
//!
//! A btree over all rows costs the server four tenths of what COPY itself costs it, and several
//! connections that store one log wait for each other at its last page. Measured with a million
//! lines over several connections, relative to a table without any index: the indexes of the open
//! day (`migrations/postgres`) 1.2 times the time, with one btree on `timestamp` in addition 1.8
//! times. Built when the day is over, all of them together take about twice as long as storing it
//! did, and no commit waits.
//!
//! So the open day has one BRIN index, which ingest hardly feels as long as its newest ranges are
//! not summarized; [`Postgres::summarize`] does that from time to time. It also has two small
//! partial btrees for errors.
//!
//! # Which
//!
//! A btree's entry may take 2,704 bytes at most, and everything that a client sends may be longer:
//! `url` is indexed by its first 200 characters, `user_id` and `request_id` by their hashes; a day is a
//! partition, so that the time need not be in it. The open day has no index of `request_id`: a link from the
//! one log to the other knows the time. `method` and `host` have few values, and a rare one is found by
//! the BRIN index. The last one is unique: it proves once more that no line is stored twice.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::citus::{self, Placement};
use super::layout::{days_of, partition};
use super::{Postgres, lock};
use crate::store::answers::{DayRange, PastDays, Table};
use crate::store::error::{self, StoreError, failed};

/// A smaller day is read as fast as an index would be: 4 MiB, some 15,000 rows.
const WORTH_IT: i64 = 4 << 20;

/// How long an index waits for transactions that use the day: `CREATE INDEX CONCURRENTLY` blocks
/// neither readers nor writers.
const INDEX_LOCK_TIMEOUT: &str = "SET lock_timeout = '1h'";

/// Less than `deadlock_timeout` (1 s), after which an autovacuum would give way to us: it is to go on.
const SUMMARY_LOCK_TIMEOUT: &str = "SET lock_timeout = '200ms'";

/// Adds new rows to the BRIN indexes of a table, which is an expression of SQL.
fn summarize(table: &str) -> String {
    format!(
        "SELECT coalesce(sum(brin_summarize_new_values(x.indexrelid)), 0) FROM pg_index x
           JOIN pg_class d ON d.oid = x.indexrelid JOIN pg_am a ON a.oid = d.relam
          WHERE x.indrelid = {table} AND a.amname = 'brin'"
    )
}

/// `$1`: the table, `$2`: the least size in bytes, `$3`: the suffixes of its indexes.
fn past_days(placement: Placement) -> String {
    let (size, inserted) = match placement {
        Placement::OneServer => ("pg_relation_size(c.oid)", "coalesce(n_tup_ins, 0)"),
        // On the coordinator a table is empty; that a day has not grown says as well that nothing came.
        Placement::Distributed => ("citus_relation_size(c.oid)", "size"),
    };
    format!(
        "SELECT name, {inserted} FROM (
             SELECT c.oid, c.relname::text AS name, s.n_tup_ins, {size} AS size
               FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
              WHERE i.inhparent = to_regclass($1) AND NOT i.inhdetachpending
                AND cardinality($3::text[]) >
                    (SELECT count(*) FROM pg_index x JOIN pg_class d ON d.oid = x.indexrelid
                      WHERE x.indrelid = c.oid AND x.indisvalid
                        AND d.relname IN (SELECT c.relname || '_' || unnest($3::text[])))
             OFFSET 0) AS day
          WHERE size >= $2 ORDER BY name"
    )
}

/// Suffix of the name, whether it is unique, and what follows `ON table USING`.
struct Index(&'static str, bool, &'static str);

const GUNICORN_LOG: &[Index] = &[
    Index("timestamp", false, "btree (timestamp)"),
    Index("url", false, "btree (left(url, 200) text_pattern_ops, timestamp)"),
    Index("user_id", false, "hash (user_id)"),
    Index("user_ip", false, "btree (user_ip, timestamp)"),
    Index("code", false, "btree (code, timestamp)"),
    Index("request_id", false, "hash (request_id)"),
    Index("line", true, "btree (id, log_file)"),
];

const REQUEST_LOG: &[Index] = &[
    Index("timestamp", false, "btree (timestamp)"),
    Index("path", false, "btree (left(path, 200) text_pattern_ops, timestamp)"),
    Index("user_id", false, "hash (user_id)"),
    Index("ip_address", false, "btree (ip_address, timestamp)"),
    Index("status_code", false, "btree (status_code, timestamp)"),
    Index("request_id", false, "hash (request_id)"),
    Index("line", true, "btree (id, log_file)"),
];

fn indexes(table: Table) -> &'static [Index] {
    match table {
        Table::GunicornLog => GUNICORN_LOG,
        Table::RequestLog => REQUEST_LOG,
        Table::RejectedLine => &[], // few, and it has a primary key
    }
}

/// The lock for building indexes. It is released on drop, or when its process ends. Only PostgreSQL
/// needs it: in SQLite all indexes exist from the first row on.
#[derive(Debug)]
pub struct Indexer {
    backend: Arc<Postgres>,
    connection: PgConnection,
}

impl Postgres {
    pub(in crate::store) async fn indexer(self: &Arc<Self>) -> Result<Option<Indexer>, StoreError> {
        let session = self.connect_and_lock(lock::INDEX).await?;
        Ok(session.map(|connection| Indexer { backend: Arc::clone(self), connection }))
    }

    /// Adds new rows to the BRIN index. A partition that another session has locked is left for the next
    /// time, or for the vacuum that keeps it, which does the same; so is one that is not ours, or not there any
    /// more.
    pub(in crate::store) async fn summarize(
        &self,
        days: &[(Table, DayRange)],
    ) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let summarize = async {
            sqlx::raw_sql(SUMMARY_LOCK_TIMEOUT).execute(&mut connection).await?;
            for (table, days) in days {
                let name = partition(*table, *days);
                let done = if self.is_distributed() {
                    citus::on_shards(&mut connection, &name, &summarize("'%1$s'::regclass"))
                        .await
                        .map(|_| ())
                } else {
                    let query = sqlx::query(AssertSqlSafe(summarize("to_regclass($1)"))).bind(name);
                    query.execute(&mut connection).await.map(|_| ())
                };
                match done {
                    Err(error)
                        if !["55P03", "42501", "42P01"].contains(&error::code(&error).as_str()) =>
                    {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        summarize.await.map_err(failed(&self.name))
    }
}

impl Indexer {
    /// Returns the partitions of days before `today` (UTC, counted from 1970) that lack an index and are large
    /// enough for one, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as for all methods here.
    pub async fn past_days(&mut self, today: i32) -> Result<Vec<PastDays>, StoreError> {
        let mut past = Vec::new();
        for table in Table::ALL {
            let suffixes: Vec<&str> = indexes(table).iter().map(|index| index.0).collect();
            let rows = sqlx::query(AssertSqlSafe(past_days(self.backend.placement())))
                .bind(table.name())
                .bind(WORTH_IT)
                .bind(suffixes)
                .fetch_all(&mut self.connection)
                .await
                .map_err(failed(&self.backend.name))?;
            for row in rows {
                let name: String = row.try_get(0).map_err(failed(&self.backend.name))?;
                let inserted: i64 = row.try_get(1).map_err(failed(&self.backend.name))?;
                if let Some(days) = days_of(table, &name)
                    && days.end <= today
                {
                    past.push(PastDays { table, days, inserted });
                }
            }
        }
        Ok(past)
    }

    /// Builds the missing indexes of a partition. It can be read and written meanwhile. What an
    /// interrupted build left is built anew: an index that is not valid only costs.
    pub async fn index(&mut self, table: Table, days: DayRange) -> Result<(), StoreError> {
        let day = partition(table, days);
        let connection = &mut self.connection;
        let build = async {
            sqlx::raw_sql(INDEX_LOCK_TIMEOUT).execute(&mut *connection).await?;
            for Index(suffix, unique, definition) in indexes(table) {
                let name = format!("{day}_{suffix}");
                match is_valid(connection, &name).await? {
                    Some(true) => continue,
                    Some(false) => {
                        let drop = format!("DROP INDEX CONCURRENTLY {name}");
                        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await?;
                    }
                    None => {}
                }
                let unique = if *unique { "UNIQUE " } else { "" };
                let create =
                    format!("CREATE {unique}INDEX CONCURRENTLY {name} ON {day} USING {definition}");
                sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
            }
            let analyze = format!("ANALYZE {day}");
            sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut *connection).await?;
            Ok(())
        };
        build.await.map_err(failed(&self.backend.name))
    }
}

/// `None` if there is no such index.
async fn is_valid(connection: &mut PgConnection, name: &str) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)")
        .bind(name)
        .fetch_optional(connection)
        .await
}
