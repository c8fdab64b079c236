//! Values that a filter may have, with their counts: what is offered while a person types.

use serde::Serialize;

use super::Reader;
use super::condition::like_anywhere;
use super::counts::paths;
use crate::model::{Filter, Micros};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::Columns;
use crate::store::statement::Statement;

/// Number of the newest rows whose values are offered. A person waits after each letter, so they are fewer than for
/// a list.
const SAMPLE: i64 = 20_000;

/// The field whose values are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suggested {
    /// URLs without their query.
    Url,
    /// Patterns of URLs.
    Route,
    /// Codes and classes of codes: 404, 4xx.
    Code,
    /// Methods.
    Method,
    /// Addresses of clients.
    Address,
    /// Users.
    User,
    /// Host headers.
    Host,
    /// User-Agent headers.
    Agent,
    /// Machines.
    Server,
}

impl Suggested {
    /// All, with the names that a filter has for them.
    pub const ALL: [(&str, Suggested); 9] = [
        ("url", Suggested::Url),
        ("route", Suggested::Route),
        ("code", Suggested::Code),
        ("method", Suggested::Method),
        ("address", Suggested::Address),
        ("user", Suggested::User),
        ("host", Suggested::Host),
        ("agent", Suggested::Agent),
        ("server", Suggested::Server),
    ];

    /// Returns the queries of its values, one row for each row of `newest`.
    fn values(self) -> &'static [&'static str] {
        match self {
            Suggested::Url => &["SELECT path AS value FROM newest"],
            Suggested::Route => &["SELECT route AS value FROM newest"],
            Suggested::Code => &[
                "SELECT CAST(code AS text) AS value FROM newest",
                "SELECT CAST(code / 100 AS text) || 'xx' AS value FROM newest WHERE code BETWEEN 100 AND 999",
            ],
            Suggested::Method => &["SELECT method AS value FROM newest"],
            Suggested::Address => &["SELECT address AS value FROM newest"],
            Suggested::User => &["SELECT user_id AS value FROM newest"],
            Suggested::Host => &["SELECT host AS value FROM newest"],
            Suggested::Agent => &["SELECT agent AS value FROM newest"],
            Suggested::Server => &[
                "SELECT file.host AS value FROM newest JOIN log_file AS file ON file.id = log_file",
            ],
        }
    }
}

/// A value, and how many rows of the sample have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// The name of its field.
    pub field: &'static str,
    /// The value.
    pub value: String,
    /// Rows with it.
    pub rows: i64,
}

/// Values that contain a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestions {
    /// By field, the most frequent of a field first.
    pub items: Vec<Suggestion>,
    /// The start of the sample. It is later than the filter's if the range has more rows.
    pub from: Micros,
}

impl Reader {
    /// Returns up to `limit` values of each field that contain `part`, upper or lower case alike, among the newest
    /// rows of the range that meet the filter.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn suggest(
        &self,
        fields: &[(&'static str, Suggested)],
        part: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Suggestions, StoreError> {
        let from = self.start_of_sample(filter, SAMPLE).await?;
        let address = if self.is_postgres() { "host(user_ip)" } else { "user_ip" };
        let mut statement = Statement::default();
        statement.sql("WITH newest AS MATERIALIZED (SELECT ").sql(paths(self)).sql(" AS path, ");
        statement.sql(address).sql(
            " AS address, route, code, method, user_id, host, agent, log_file FROM gunicorn_log \
             WHERE timestamp >= ",
        );
        statement.time(from).sql(" AND timestamp < ").time(filter.to);
        self.conditions(&mut statement, Table::GunicornLog, filter);
        statement.sql(")");
        let mut is_first = true;
        for (nth, (_, field)) in fields.iter().enumerate() {
            for values in field.values() {
                statement.sql(if is_first { " " } else { " UNION ALL " });
                is_first = false;
                statement.sql("SELECT * FROM (SELECT ").sql(&format!("{nth} AS field, value"));
                statement
                    .sql(", count(*) AS n FROM (")
                    .sql(values)
                    .sql(") AS of_field WHERE value ");
                statement.sql(if self.is_postgres() { "ILIKE " } else { "LIKE " });
                statement.text(like_anywhere(part)).sql(" ESCAPE '\\' AND value <> ''");
                statement.sql(" GROUP BY value ORDER BY n DESC, value LIMIT ").int(limit as i64);
                statement.sql(") AS counted");
            }
        }
        let found = self.ask(vec![statement]).await?.next(item, item)?;
        let mut items: Vec<Suggestion> = Vec::with_capacity(found.len());
        for (nth, value, rows) in found {
            let Some((field, _)) = usize::try_from(nth).ok().and_then(|nth| fields.get(nth)) else {
                continue;
            };
            items.push(Suggestion { field, value, rows });
        }
        // The parts of a UNION ALL may come in any order.
        let place = |item: &Suggestion| fields.iter().position(|(name, _)| *name == item.field);
        items.sort_by(|one, two| {
            (place(one), -one.rows, &one.value).cmp(&(place(two), -two.rows, &two.value))
        });
        Ok(Suggestions { items, from })
    }
}

fn item(row: &impl Columns) -> Result<(i64, String, i64), sqlx::Error> {
    let (field, rows) = (row.int("field")?.unwrap_or(-1), row.int("n")?.unwrap_or_default());
    Ok((field, row.text("value")?.unwrap_or_default(), rows))
}
