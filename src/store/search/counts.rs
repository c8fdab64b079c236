//! Counts for charts and for lists of the most frequent values.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Reader;
use super::condition::of_server;
use crate::model::{CLASSES, Counts, FileId, Filter, Micros, Period, histogram};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::{self, Columns};
use crate::store::sql::{CLASS_COLUMNS, table_of};
use crate::store::statement::Statement;

pub(super) const SECOND: Micros = 1_000_000;

/// Most points of a chart.
const MAX_POINTS: i64 = 360;

/// Lengths of a point, in seconds. From an hour on, the counts by hour are used.
const STEPS: [i64; 12] =
    [60, 300, 600, 3600, 7200, 10_800, 21_600, 28_800, 43_200, 86_400, 172_800, 604_800];

/// Counts over a time range, from the counts by minute and hour alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The start of the first point.
    pub from: Micros,
    /// The end of the last point.
    pub to: Micros,
    /// Length of a point, in seconds.
    pub step: i64,
    /// The points with rows, by their starts, in order.
    pub points: Vec<(Micros, Point)>,
    /// The sum of all points.
    pub total: Point,
}

/// Counts of one point in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Rows by status class: 1xx, 2xx, 3xx, 4xx, 5xx, any other code or none.
    pub rows: [i64; CLASSES],
    /// Sum of response bytes.
    pub bytes: i64,
    /// Rows by duration, see [`histogram`].
    pub(super) durations: Vec<i64>,
}

impl Point {
    /// Returns the duration in microseconds that the share `q` of the rows did not exceed, with the
    /// precision of [`histogram::quantile`]. Returns `None` if no row has a duration.
    pub fn quantile(&self, q: f64) -> Option<i64> {
        histogram::quantile(&self.durations, q)
    }

    /// Returns how many rows each part of [`histogram::PARTS`] has; as long as the last part that has any.
    pub fn heat(&self) -> Vec<i64> {
        histogram::parts(&self.durations)
    }

    /// Returns the number of rows.
    pub fn number(&self) -> i64 {
        self.rows.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Point) {
        for (rows, more) in self.rows.iter_mut().zip(other.rows) {
            *rows += more;
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
        histogram::add(&mut self.durations, &other.durations);
    }
}

/// Returns the shortest step that divides the range in at most [`MAX_POINTS`], and the counts to
/// read. Ranges of more than two days use hours: the histograms of their minutes would be too many.
pub(super) fn step(from: Micros, to: Micros) -> (i64, Period) {
    let seconds = (to - from).div_euclid(SECOND);
    let long = seconds > 2 * 86_400;
    let fits = |step: &&i64| seconds / **step <= MAX_POINTS && (!long || **step >= 3600);
    let step = STEPS.iter().find(fits).or(STEPS.last()).copied().unwrap_or(86_400);
    (step, if step >= 3600 { Period::Hour } else { Period::Minute })
}

impl Reader {
    /// Returns the counts from `from` to `to`, both moved outward to whole steps, of all servers or
    /// of one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn overview(
        &self,
        from: Micros,
        to: Micros,
        server: Option<&str>,
    ) -> Result<Overview, StoreError> {
        let (step, period) = step(from, to);
        let length = step * SECOND;
        let from = from - from.rem_euclid(length);
        let to = to + (-to).rem_euclid(length);
        let durations = if self.is_postgres() { "to_json(durations)::text" } else { "durations" };
        let mut statement = counts_of_range(period, (from, to), durations);
        if let Some(server) = server {
            of_server(&mut statement, server);
        }
        let counted = self.ask(vec![statement]).await?.next(point, point)?;
        let mut points: BTreeMap<Micros, Point> = BTreeMap::new();
        let mut total = Point::default();
        for (start, counts) in counted {
            points.entry(start - start.rem_euclid(length)).or_default().add(&counts);
            total.add(&counts);
        }
        Ok(Overview { from, to, step, points: points.into_iter().collect(), total })
    }
}

/// Selects the counts of a range, for [`point`]; `durations` is their histogram as JSON. Conditions may follow.
pub(super) fn counts_of_range(
    period: Period,
    (from, to): (Micros, Micros),
    durations: &str,
) -> Statement {
    let (table, start) = table_of(period);
    let mut statement = Statement::default();
    statement.sql("SELECT ").sql(start).sql(" AS start, ").sql(CLASS_COLUMNS);
    statement.sql(", response_bytes, ").sql(durations).sql(" AS durations FROM ").sql(table);
    statement.sql(" WHERE ").sql(start).sql(" >= ").time(from);
    statement.sql(" AND ").sql(start).sql(" < ").time(to);
    statement
}

pub(super) fn point(row: &impl Columns) -> Result<(Micros, Point), sqlx::Error> {
    // Of which file the counts are does not matter.
    let Counts { start, rows, response_bytes: bytes, durations, .. } =
        rows::period(FileId(0), row)?;
    Ok((start, Point { rows, bytes, durations }))
}

/// Number of the newest rows that [`Reader::top`] counts. More would take too long for a person who
/// waits.
const SAMPLE: i64 = 300_000;

/// The value whose occurrences are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// URLs without their query, by number of requests.
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

/// URLs without their query, in SQL.
pub(super) fn paths(reader: &Reader) -> &'static str {
    match reader.is_postgres() {
        true => "split_part(url, '?', 1)",
        false => "substr(url, 1, instr(url || '?', '?') - 1)",
    }
}

impl By {
    /// All, with their names.
    pub const ALL: [(&str, By); 6] = [
        ("url", By::Url),
        ("user", By::User),
        ("address", By::Address),
        ("agent", By::Agent),
        ("host", By::Host),
        ("slow", By::Slow),
    ];

    fn expression(self, reader: &Reader) -> &'static str {
        match self {
            By::Url | By::Slow => paths(reader),
            By::User => "user_id",
            By::Address if reader.is_postgres() => "host(user_ip)",
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
    /// Number of counted rows, with any value.
    pub counted: i64,
    /// The start of the counted range. It is later than the filter's if the range has too many rows.
    pub from: Micros,
}

/// One value and its counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopItem {
    /// The value; `None` for rows without one.
    pub value: Option<String>,
    /// Rows with this value.
    pub rows: i64,
    /// Rows with this value and a status code of 400 or more.
    pub errors: i64,
    /// Sum of the response bytes.
    pub bytes: i64,
    /// Mean duration in microseconds.
    pub mean: Option<i64>,
    /// Longest duration in microseconds.
    pub max: Option<i64>,
}

impl Reader {
    /// Returns the `limit` most frequent values among the newest rows of the range.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn top(&self, by: By, filter: &Filter, limit: usize) -> Result<Top, StoreError> {
        let from = self.start_of_sample(filter, SAMPLE).await?;
        self.top_from(from, by, filter, limit).await
    }

    /// Returns the `limit` most frequent values among all rows of the range, however long that takes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn top_of_range(
        &self,
        by: By,
        filter: &Filter,
        limit: usize,
    ) -> Result<Top, StoreError> {
        self.top_from(filter.from, by, filter, limit).await
    }

    async fn top_from(
        &self,
        from: Micros,
        by: By,
        filter: &Filter,
        limit: usize,
    ) -> Result<Top, StoreError> {
        let mut statement = Statement::default();
        statement.sql("SELECT value, rows, errors, bytes, mean, longest, ");
        statement.sql(if self.is_postgres() {
            "(sum(rows) OVER ())::bigint AS counted FROM (SELECT "
        } else {
            "sum(rows) OVER () AS counted FROM (SELECT "
        });
        statement.sql(by.expression(self));
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
        let found = self.ask(vec![statement]).await?.next(item, item)?;
        let counted = found.first().map_or(0, |(_, counted)| *counted);
        Ok(Top { items: found.into_iter().map(|(item, _)| item).collect(), counted, from })
    }

    /// Returns the time from which on the range has about `rows` rows, by the counts of minutes and hours.
    pub(super) async fn start_of_sample(
        &self,
        filter: &Filter,
        rows: i64,
    ) -> Result<Micros, StoreError> {
        // Hours first, so that a range of months reads few counts; then the minutes of the found hour, which
        // the second statement finds once more: so it does not have to wait for the first one.
        let mut hours = Statement::default();
        newest_with_a_sample(&mut hours, Period::Hour, filter, rows, None);
        let mut minutes = Statement::default();
        newest_with_a_sample(&mut minutes, Period::Minute, filter, rows, Some(Period::Hour));
        let mut found = self.ask(vec![hours, minutes]).await?;
        let mut from = filter.from;
        for _ in [Period::Hour, Period::Minute] {
            let start = found.next(start_of, start_of)?.into_iter().flatten().next();
            from = start.unwrap_or(from).max(from);
        }
        Ok(from)
    }
}

/// Appends the query for the newest hour or minute with which there are enough rows; it is counted, too. It
/// begins where a query for longer periods says, if there is one.
fn newest_with_a_sample(
    statement: &mut Statement,
    period: Period,
    filter: &Filter,
    rows: i64,
    within: Option<Period>,
) {
    let (table, start) = table_of(period);
    statement.sql("SELECT max(start) AS start FROM (SELECT start, sum(n) OVER (ORDER BY start DESC) AS newer FROM (SELECT ");
    statement.sql(start).sql(
        " AS start, sum(informational + successful + redirection + client_error + \
         server_error + other) AS n FROM ",
    );
    statement.sql(table).sql(" WHERE ").sql(start).sql(" >= ").time(filter.from);
    statement.sql(" AND ").sql(start).sql(" < ").time(filter.to);
    if let Some(longer) = within {
        statement.sql(" AND ").sql(start).sql(" >= coalesce((");
        newest_with_a_sample(statement, longer, filter, rows, None);
        statement.sql("), ").time(filter.from).sql(")");
    }
    statement.sql(" GROUP BY 1) AS counts) AS sums WHERE newer >= ").int(rows);
}

fn start_of(row: &impl Columns) -> Result<Option<Micros>, sqlx::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_limits_the_points_and_short_ranges_use_minutes() {
        for (seconds, expected, period) in [
            (900, 60, Period::Minute),
            (6 * 3600, 60, Period::Minute),
            (86_400, 300, Period::Minute),
            (2 * 86_400, 600, Period::Minute),
            (7 * 86_400, 3600, Period::Hour),
            (30 * 86_400, 7200, Period::Hour),
            (120 * 86_400, 28_800, Period::Hour),
            (400 * 86_400, 172_800, Period::Hour),
            (9_000 * 86_400, 604_800, Period::Hour),
        ] {
            assert_eq!(step(5, 5 + seconds * SECOND), (expected, period), "{seconds}");
        }
    }
}
