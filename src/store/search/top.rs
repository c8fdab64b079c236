//! What occurs most often, among the newest rows of a range: as many as can be counted while somebody
//! waits.

use serde::Serialize;

use super::Reader;
use super::statement::Statement;
use crate::model::{Filter, Micros};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::Columns;

/// Rows that are counted; the range is cut so that it holds about so many.
const SAMPLE: i64 = 300_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// URLs without their query, by requests.
    Url,
    /// Users.
    User,
    /// Addresses of clients.
    Address,
    /// User-Agent headers.
    Agent,
    /// Host headers.
    Host,
    /// URLs without their query, by mean duration.
    Slow,
}

impl By {
    /// All, by their names.
    pub const ALL: [(&str, By); 6] = [
        ("url", By::Url),
        ("user", By::User),
        ("address", By::Address),
        ("agent", By::Agent),
        ("host", By::Host),
        ("slow", By::Slow),
    ];

    fn expression(self, postgres: bool) -> &'static str {
        match self {
            By::Url | By::Slow if postgres => "split_part(url, '?', 1)",
            By::Url | By::Slow => "substr(url, 1, instr(url || '?', '?') - 1)",
            By::User => "user_id",
            By::Address if postgres => "host(user_ip)",
            By::Address => "user_ip",
            By::Agent => "agent",
            By::Host => "host",
        }
    }
}

/// The most frequent values.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// Most frequent first; slowest first for [`By::Slow`].
    pub items: Vec<TopItem>,
    /// Rows that were counted, of whatever value.
    pub counted: i64,
    /// The first moment whose rows were counted; later than asked for if there were too many.
    pub from: Micros,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopItem {
    /// The value; `None` for the rows that have none.
    pub value: Option<String>,
    /// Rows with it.
    pub rows: i64,
    /// Of them, those with a code of 400 or more.
    pub errors: i64,
    /// Sum of their response bytes.
    pub bytes: i64,
    /// Mean duration, microseconds.
    pub mean: Option<i64>,
    /// Longest duration, microseconds.
    pub max: Option<i64>,
}

impl Reader {
    /// The `limit` most frequent values.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn top(&self, by: By, filter: &Filter, limit: usize) -> Result<Top, StoreError> {
        let from = self.begin_of_sample(filter).await?;
        let mut statement = Statement::default();
        statement.sql("SELECT value, rows, errors, bytes, mean, longest, ");
        statement.sql(if self.is_postgres() {
            "(sum(rows) OVER ())::bigint AS counted FROM (SELECT "
        } else {
            "sum(rows) OVER () AS counted FROM (SELECT "
        });
        statement.sql(by.expression(self.is_postgres()));
        statement.sql(if self.is_postgres() {
            " AS value, count(*) AS rows, count(*) FILTER (WHERE code >= 400) AS errors, \
             least(coalesce(sum(response_bytes), 0), 9223372036854775807)::bigint AS bytes, \
             avg(duration)::bigint AS mean, max(duration) AS longest"
        } else {
            " AS value, count(*) AS rows, count(*) FILTER (WHERE code >= 400) AS errors, \
             CAST(total(response_bytes) AS INTEGER) AS bytes, \
             CAST(avg(duration) AS INTEGER) AS mean, max(duration) AS longest"
        });
        statement.sql(" FROM gunicorn_log WHERE timestamp >= ").time(from);
        statement.sql(" AND timestamp < ").time(filter.to);
        self.conditions(&mut statement, Table::GunicornLog, filter);
        statement.sql(" GROUP BY 1) AS counts");
        statement.sql(match by {
            By::Slow => " WHERE mean IS NOT NULL ORDER BY mean DESC, value LIMIT ",
            _ => " ORDER BY rows DESC, value LIMIT ",
        });
        statement.int(limit as i64);
        let found = statement.rows(self, item, item).await?;
        let counted = found.first().map_or(0, |(_, counted)| *counted);
        Ok(Top { items: found.into_iter().map(|(item, _)| item).collect(), counted, from })
    }

    /// From where on the range holds about [`SAMPLE`] rows, by the counts of minutes and hours.
    async fn begin_of_sample(&self, filter: &Filter) -> Result<Micros, StoreError> {
        let mut from = filter.from;
        // Hours first, so that a range of months reads few counts; then the minutes of what is left.
        for (table, start) in [("gunicorn_hour", "hour"), ("gunicorn_minute", "minute")] {
            let mut statement = Statement::default();
            // The newest stretch with which there are enough; it is counted, too.
            statement.sql("SELECT max(start) AS start FROM (SELECT start, sum(n) OVER (ORDER BY start DESC) AS newer FROM (SELECT ");
            statement.sql(start).sql(
                " AS start, sum(informational + successful + redirection + client_error + \
                 server_error + other) AS n FROM ",
            );
            statement.sql(table).sql(" WHERE ").sql(start).sql(" >= ").time(from);
            statement.sql(" AND ").sql(start).sql(" < ").time(filter.to);
            statement.sql(" GROUP BY 1) AS counts) AS sums WHERE newer >= ").int(SAMPLE);
            let found = statement.rows(self, begin, begin).await?;
            from = found.into_iter().flatten().next().unwrap_or(from).max(from);
        }
        Ok(from)
    }
}

fn begin(row: &impl Columns) -> Result<Option<Micros>, sqlx::Error> {
    row.time("start")
}

fn item(row: &impl Columns) -> Result<(TopItem, i64), sqlx::Error> {
    let int = |column| row.int(column).map(Option::unwrap_or_default);
    let item = TopItem {
        value: row.text("value")?,
        rows: int("rows")?,
        errors: int("errors")?,
        bytes: int("bytes")?,
        mean: row.int("mean")?,
        max: row.int("longest")?,
    };
    Ok((item, int("counted")?))
}
