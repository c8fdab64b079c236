//! What charts show, from the counts by minute and by hour alone.

use std::collections::BTreeMap;

use super::Reader;
use super::condition::of_server;
use super::statement::Statement;
use crate::model::{CLASSES, Micros, Period, histogram};
use crate::store::error::StoreError;
use crate::store::rows::Columns;

const SECOND: Micros = 1_000_000;

/// Most points of a chart.
const POINTS: i64 = 360;

/// Lengths of a point, in seconds; from an hour on, counts by hour are enough.
const STEPS: [i64; 12] =
    [60, 300, 600, 3600, 7200, 10_800, 21_600, 28_800, 43_200, 86_400, 172_800, 604_800];

/// Counts over a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The first point's first moment.
    pub from: Micros,
    /// Behind the last point.
    pub to: Micros,
    /// Length of a point, seconds.
    pub step: i64,
    /// Those that count anything, in order.
    pub points: Vec<(Micros, Point)>,
    /// All together.
    pub total: Point,
}

/// Counts of one stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Rows by class: 1xx, 2xx, 3xx, 4xx, 5xx, any other code or none.
    pub rows: [i64; CLASSES],
    /// Sum of response bytes.
    pub bytes: i64,
    durations: Vec<i64>,
}

impl Point {
    /// The duration, in microseconds, that the share `q` of the rows did not exceed, as far as
    /// [`histogram::quantile`] tells; `None` if no row told its duration.
    pub fn quantile(&self, q: f64) -> Option<i64> {
        histogram::quantile(&self.durations, q)
    }

    fn add(&mut self, other: &Point) {
        for (rows, more) in self.rows.iter_mut().zip(other.rows) {
            *rows += more;
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
        histogram::add(&mut self.durations, &other.durations);
    }
}

/// The shortest step with which the range has few points enough, and whose counts it is made from.
/// Histograms of more than two days of minutes would be many.
fn step(from: Micros, to: Micros) -> (i64, Period) {
    let seconds = (to - from).div_euclid(SECOND);
    let long = seconds > 2 * 86_400;
    let fits = |step: &&i64| seconds / **step <= POINTS && (!long || **step >= 3600);
    let step = STEPS.iter().find(fits).or(STEPS.last()).copied().unwrap_or(86_400);
    (step, if step >= 3600 { Period::Hour } else { Period::Minute })
}

impl Reader {
    /// Counts from `from` to `to`, both moved outward to whole steps; of one server if it is named.
    ///
    /// # Errors
    ///
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
        let (table, start) = match period {
            Period::Minute => ("gunicorn_minute", "minute"),
            Period::Hour => ("gunicorn_hour", "hour"),
        };
        let mut statement = Statement::default();
        statement.sql("SELECT ").sql(start).sql(
            " AS start, informational, successful, redirection, client_error, server_error, other, \
             response_bytes, ",
        );
        statement.sql(if self.is_postgres() { "to_json(durations)::text AS " } else { "" });
        statement.sql("durations FROM ").sql(table);
        statement.sql(" WHERE ").sql(start).sql(" >= ").time(from);
        statement.sql(" AND ").sql(start).sql(" < ").time(to);
        if let Some(server) = server {
            of_server(&mut statement, server);
        }
        let counted = statement.rows(self, point, point).await?;
        let mut points: BTreeMap<Micros, Point> = BTreeMap::new();
        let mut total = Point::default();
        for (start, counts) in counted {
            points.entry(start - start.rem_euclid(length)).or_default().add(&counts);
            total.add(&counts);
        }
        Ok(Overview { from, to, step, points: points.into_iter().collect(), total })
    }
}

fn point(row: &impl Columns) -> Result<(Micros, Point), sqlx::Error> {
    let int = |column| row.int(column).map(Option::unwrap_or_default);
    let rows = [
        int("informational")?,
        int("successful")?,
        int("redirection")?,
        int("client_error")?,
        int("server_error")?,
        int("other")?,
    ];
    let durations = row.text("durations")?.unwrap_or_default();
    let durations = crate::store::sqlite::histogram(&durations)?;
    let start = row.time("start")?.unwrap_or_default();
    Ok((start, Point { rows, bytes: int("response_bytes")?, durations }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_few_points_and_short_ones_have_minutes() {
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
