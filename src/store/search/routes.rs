//! Lists of routes over any range: the most requested ones, and the slowest.
//!
//! All rows of the range are in the counts by route, of which there are few: those by day for the whole days of a long
//! range, and those by hour for the rest. A condition on more than servers is answered from the newest rows.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::Reader;
use super::counting::servers_of;
use super::counts::Point;
use crate::model::{
    CountedRow, FileId, Filter, Micros, NO_URL, OTHER_ROUTES, Rollup, RouteCounts, RoutePeriod,
};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::{self, Columns};
use crate::store::sql::{CLASS_COLUMNS, route_table_of};
use crate::store::statement::Statement;

/// Ranges that are shorter have counts by hour alone: two days.
const LONG: Micros = 48 * 3_600_000_000;
/// Ranges up to this length are counted from their rows, if these are few: hours at their ends would be much of them.
const SHORT: Micros = 2 * 3_600_000_000;
/// How few they are: those that are read within a tenth of a second.
const FEW: i64 = 10_000;
/// Rows that are counted where the counts by route do not tell. Each is read, since their URLs are folded here.
const SAMPLE: i64 = 50_000;
/// The classes of errors.
const ERRORS: Range<usize> = 3..5;

/// What is first in a list of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrder {
    /// Most requests.
    Rows,
    /// Most requests with a status from 400 to 599.
    Errors,
    /// Most bytes.
    Bytes,
    /// Longest duration that 19 of 20 requests did not exceed.
    P95,
    /// Longest sum of durations.
    Total,
}

impl RouteOrder {
    /// All, with their names.
    pub const ALL: [(&str, RouteOrder); 5] = [
        ("requests", RouteOrder::Rows),
        ("errors", RouteOrder::Errors),
        ("bytes", RouteOrder::Bytes),
        ("p95", RouteOrder::P95),
        ("total", RouteOrder::Total),
    ];

    /// Returns what is compared; `None` for a route that has none of it.
    fn measure(self, route: &RouteItem) -> Option<i64> {
        match self {
            RouteOrder::Rows => Some(route.counts.number()),
            RouteOrder::Errors => Some(route.errors()),
            RouteOrder::Bytes => Some(route.counts.bytes),
            RouteOrder::P95 => route.counts.quantile(0.95),
            RouteOrder::Total => route.counts.quantile(0.5).map(|_| route.duration),
        }
    }
}

/// A route and its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteItem {
    /// The route, or the pattern of URLs; [`NO_URL`] for rows without one, [`OTHER_ROUTES`] for all that are not counted
    /// by themselves.
    pub route: Arc<str>,
    /// Rows by class, bytes and durations.
    pub counts: Point,
    /// Sum of their durations, in microseconds.
    pub duration: i64,
}

impl RouteItem {
    /// Returns the number of rows with a status from 400 to 599.
    pub fn errors(&self) -> i64 {
        self.counts.rows[ERRORS].iter().sum()
    }

    /// Returns the mean duration in microseconds; `None` if no row has one.
    pub fn mean(&self) -> Option<i64> {
        let timed: i64 = self.counts.durations.iter().sum();
        (timed > 0).then(|| self.duration / timed)
    }

    /// Returns whether it stands for routes that are not counted by themselves.
    pub fn is_other(&self) -> bool {
        *self.route == *OTHER_ROUTES
    }

    /// Returns whether it stands for rows without a URL.
    pub fn has_no_url(&self) -> bool {
        *self.route == *NO_URL
    }
}

/// A list of routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// The first ones by the order that was asked for.
    pub items: Vec<RouteItem>,
    /// How many routes there are.
    pub number: usize,
    /// The start of what is counted: that of an hour, unless the rows were read.
    pub from: Micros,
    /// The end of it.
    pub to: Micros,
    /// Rows of all routes.
    pub counted: i64,
    /// Rows of the range that are counted by no route: an older log-ingestd has stored them.
    pub uncounted: i64,
    /// From when on all rows are counted by their routes; `None` if all of the range are.
    pub counted_from: Option<Micros>,
    /// Whether all rows were counted that meet the filter, and not the newest ones alone.
    pub is_whole: bool,
}

impl Reader {
    /// Returns the first `limit` routes by an order. Without a filter, or with one of servers, all rows are counted of
    /// the range, which is moved outward to whole hours. With any other filter, the newest rows are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn routes(
        &self,
        filter: &Filter,
        order: RouteOrder,
        limit: usize,
    ) -> Result<Routes, StoreError> {
        let servers = servers_of(filter);
        let is_of_servers =
            *filter == Filter { from: filter.from, to: filter.to, ..servers.clone() };
        let is_short = filter.to - filter.from <= SHORT;
        if !is_of_servers || is_short {
            let rows = if is_of_servers { FEW } else { SAMPLE };
            let from = self.start_of_sample(filter, rows).await?;
            if !is_of_servers || from <= filter.from {
                return self.routes_of_rows(from, filter, order, limit).await;
            }
        }
        self.routes_of_counts(filter, &servers, order, limit).await
    }

    async fn routes_of_counts(
        &self,
        filter: &Filter,
        servers: &Filter,
        order: RouteOrder,
        limit: usize,
    ) -> Result<Routes, StoreError> {
        let (hour, day) = (RoutePeriod::Hour, RoutePeriod::Day);
        let from = hour.start(filter.from);
        let to = hour.start(filter.to.saturating_add(hour.micros() - 1)).max(from);
        let days = day.start(from.saturating_add(day.micros() - 1))..day.start(to);
        let days = if to - from > LONG { days } else { from..from };
        let mut statements = Vec::new();
        let hours = [from..days.start, days.end..to];
        let hours = hours.into_iter().map(|range| (hour, range));
        for (period, range) in hours.chain([(day, days.clone())]) {
            if !range.is_empty() {
                statements.push(self.counts_of_routes(period, &range, servers));
            }
        }
        let reads = statements.len();
        statements.push(self.counts_of_hours(&(from..to), servers));
        let mut answers = self.ask(statements).await?;
        // What is counted by hour and not by route, in the periods of the counts by route.
        let mut missing: BTreeMap<Micros, i64> = BTreeMap::new();
        let mut sums: HashMap<Arc<str>, RouteItem> = HashMap::new();
        for _ in 0..reads {
            for counts in answers.next(route, route)? {
                let rows: i64 = counts.counts.rows.iter().sum();
                *missing.entry(counts.counts.start).or_default() -= rows;
                add(&mut sums, counts);
            }
        }
        for (start, rows) in answers.next(hour_of, hour_of)? {
            let start = if days.contains(&start) { day.start(start) } else { start };
            *missing.entry(start).or_default() += rows;
        }
        let uncounted = missing.values().filter(|rows| **rows > 0).sum();
        let last = missing.iter().rfind(|(_, rows)| **rows > 0).map(|(start, _)| *start);
        let counted_from = last.map(|start| {
            let period = if days.contains(&start) { day } else { hour };
            start + period.micros()
        });
        let is_whole = uncounted == 0;
        Ok(Routes { uncounted, counted_from, is_whole, ..listed(sums, order, limit, from..to) })
    }

    async fn routes_of_rows(
        &self,
        from: Micros,
        filter: &Filter,
        order: RouteOrder,
        limit: usize,
    ) -> Result<Routes, StoreError> {
        let mut statement = Statement::default();
        statement.sql("SELECT timestamp, code, response_bytes, duration, route, url");
        statement.sql(" FROM gunicorn_log WHERE timestamp >= ").time(from);
        statement.sql(" AND timestamp < ").time(filter.to);
        self.conditions(&mut statement, Table::GunicornLog, filter);
        // A minute may have more rows than a sample.
        statement.sql(" ORDER BY timestamp DESC LIMIT ").int(2 * SAMPLE + 1);
        let rows = self.ask(vec![statement]).await?.next(sampled, sampled)?;
        let is_cut = i64::try_from(rows.len()).is_ok_and(|rows| rows > 2 * SAMPLE);
        let mut rollup = Rollup::default();
        let mut first = filter.to;
        for row in &rows {
            first = first.min(row.timestamp);
            let (route, url) = (row.route.as_deref(), row.url.as_deref());
            let &SampledRow { timestamp, code, response_bytes, duration, .. } = row;
            let counted = CountedRow { timestamp, code, response_bytes, duration, route, url };
            rollup.count(FileId(0), &counted);
        }
        let mut sums = HashMap::new();
        for counts in rollup.routes.by(RoutePeriod::Day) {
            add(&mut sums, counts);
        }
        let from = if is_cut { first } else { from };
        let is_whole = from <= filter.from;
        Ok(Routes { is_whole, ..listed(sums, order, limit, from..filter.to) })
    }

    /// Selects the counts of routes in a range, for [`route`].
    fn counts_of_routes(
        &self,
        period: RoutePeriod,
        range: &Range<Micros>,
        servers: &Filter,
    ) -> Statement {
        let (table, column) = route_table_of(period);
        let durations = if self.is_postgres() { "to_json(durations)::text" } else { "durations" };
        let mut statement = Statement::default();
        statement.sql("SELECT ").sql(column).sql(" AS start, ").sql(CLASS_COLUMNS);
        statement.sql(", response_bytes, duration_sum, route, ").sql(durations);
        statement.sql(" AS durations FROM ").sql(table);
        statement.sql(" WHERE ").sql(column).sql(" >= ").time(range.start);
        statement.sql(" AND ").sql(column).sql(" < ").time(range.end);
        self.conditions(&mut statement, Table::GunicornLog, servers);
        statement
    }

    /// Selects how many rows the hours of a range have, for [`hour_of`].
    fn counts_of_hours(&self, range: &Range<Micros>, servers: &Filter) -> Statement {
        let mut statement = Statement::default();
        statement.sql("SELECT hour AS start, CAST(sum(").sql(&CLASS_COLUMNS.replace(", ", " + "));
        statement.sql(") AS bigint) AS n FROM gunicorn_hour WHERE hour >= ").time(range.start);
        statement.sql(" AND hour < ").time(range.end);
        self.conditions(&mut statement, Table::GunicornLog, servers);
        statement.sql(" GROUP BY hour");
        statement
    }
}

fn add(sums: &mut HashMap<Arc<str>, RouteItem>, counts: RouteCounts) {
    let RouteCounts { route, counts, duration } = counts;
    let point =
        Point { rows: counts.rows, bytes: counts.response_bytes, durations: counts.durations };
    match sums.get_mut(&route) {
        Some(sum) => {
            sum.counts.add(&point);
            sum.duration = sum.duration.saturating_add(duration);
        }
        None => {
            let item = RouteItem { route: Arc::clone(&route), counts: point, duration };
            sums.insert(route, item);
        }
    }
}

/// Returns the first routes by an order; those without what is compared are left out.
fn listed(
    sums: HashMap<Arc<str>, RouteItem>,
    order: RouteOrder,
    limit: usize,
    range: Range<Micros>,
) -> Routes {
    let number = sums.values().filter(|it| !it.is_other() && !it.has_no_url()).count();
    let counted = sums.values().map(|route| route.counts.number()).sum();
    let measured = sums.into_values().filter_map(|it| Some((order.measure(&it)?, it)));
    let mut items: Vec<(i64, RouteItem)> = measured.collect();
    items.sort_by(|(one, first), (two, second)| {
        two.cmp(one).then_with(|| first.route.cmp(&second.route))
    });
    items.truncate(limit);
    Routes {
        items: items.into_iter().map(|(_, item)| item).collect(),
        number,
        from: range.start,
        to: range.end,
        counted,
        uncounted: 0,
        counted_from: None,
        is_whole: true,
    }
}

fn route(row: &impl Columns) -> Result<RouteCounts, sqlx::Error> {
    // Of which file the counts are does not matter.
    rows::route(FileId(0), row)
}

fn hour_of(row: &impl Columns) -> Result<(Micros, i64), sqlx::Error> {
    Ok((row.time("start")?.unwrap_or_default(), row.int("n")?.unwrap_or_default()))
}

/// What is read of a row.
struct SampledRow {
    timestamp: Micros,
    code: Option<i32>,
    response_bytes: Option<i64>,
    duration: Option<i64>,
    route: Option<String>,
    url: Option<String>,
}

fn sampled(row: &impl Columns) -> Result<SampledRow, sqlx::Error> {
    Ok(SampledRow {
        timestamp: row.time("timestamp")?.unwrap_or_default(),
        code: row.int("code")?.and_then(|code| i32::try_from(code).ok()),
        response_bytes: row.int("response_bytes")?,
        duration: row.int("duration")?,
        route: row.text("route")?,
        url: row.text("url")?,
    })
}
