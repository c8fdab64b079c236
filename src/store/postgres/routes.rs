//! Counts of rows by route, written in the transaction that stores the rows.

use std::fmt::Write as _;

use super::literal::{array, array_of_texts, fill, quoted, time};
use super::rollup::{AT_ONCE, DURATIONS, RESPONSE_BYTES, int};
use super::wire::{Row, Wire};
use super::{PgLane, PgWriter, Postgres};
use crate::model::{CLASSES, Counts, FileId, Micros, Rollup, RouteCounts, RoutePeriod, replaced};
use crate::store::error::StoreError;
use crate::store::sql::{ROUTE_COLUMNS, add_routes, route_table_of};
use crate::store::sqlite;

const DAY_US: Micros = 86_400_000_000;

const NEW: &str = "
    SELECT n, f, i, s, r, c, e, o, b, t, d::int8[], p
      FROM unnest($1::timestamptz[], $2::int4[], $3::int8[], $4::int8[], $5::int8[], $6::int8[],
                  $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[], $12::text[])
        AS new (n, f, i, s, r, c, e, o, b, t, d, p)";

/// A sum that a `bigint` cannot hold stays at the largest one.
const DURATION_SUM: &str =
    "least(9223372036854775807, c.duration_sum::numeric + excluded.duration_sum)";

/// The routes of some days, and whether they had nothing but client errors.
const ROUTES_OF_DAYS: &str = "
    SELECT extract(epoch FROM day)::int8 / 86400, route,
           (sum(informational + successful + redirection + server_error + other) = 0)::int4
      FROM gunicorn_route_day WHERE day = ANY ($1::timestamptz[]) GROUP BY 1, 2";

impl PgWriter {
    /// Reads which routes the days of these rows have, unless that is known.
    pub(super) async fn ensure_routes(&mut self, rollup: &Rollup) -> Result<(), StoreError> {
        let unknown = self.backend.known_routes().unknown(&rollup.routes);
        match unknown.is_empty() {
            true => Ok(()),
            false => Box::pin(read(&self.backend, &mut self.wire, &unknown)).await,
        }
    }
}

impl PgLane {
    /// Reads which routes the days of these rows have, unless that is known.
    pub(super) async fn ensure_routes(&mut self, rollup: &Rollup) -> Result<(), StoreError> {
        let unknown = self.backend.known_routes().unknown(&rollup.routes);
        match unknown.is_empty() {
            true => Ok(()),
            false => Box::pin(read(&self.backend, &mut self.wire, &unknown)).await,
        }
    }
}

/// Reads the routes of these days.
async fn read(backend: &Postgres, wire: &mut Wire, unknown: &[i32]) -> Result<(), StoreError> {
    let days = array_of_texts(unknown.iter().map(|day| time(Micros::from(*day) * DAY_US)));
    let read = wire.query(&fill(ROUTES_OF_DAYS, &[days])).await;
    let rows = read.map_err(|error| backend.classify(error))?;
    let mut known = backend.known_routes();
    unknown.iter().for_each(|day| known.knows(*day));
    for row in &rows {
        let number = |nth| int(row, nth).ok().flatten();
        let day = number(0).and_then(|day| i32::try_from(day).ok());
        let route = row.get(1).and_then(Option::as_deref);
        if let Some((day, route)) = day.zip(route) {
            known.add(day, route, number(2) == Some(1));
        }
    }
    Ok(())
}

/// Returns the statements that add to the counts of routes. As for [`rollup::adds`](super::rollup::adds) the
/// transaction has locked the rows of the files.
pub(super) fn adds(backend: &Postgres, rollup: &Rollup) -> String {
    let admitted = rollup.routes.admitted(&mut backend.known_routes());
    let mut statements = String::new();
    for (period, counts) in RoutePeriod::ALL.into_iter().zip(&admitted) {
        push_adds(&mut statements, period, counts);
    }
    statements
}

fn push_adds(statements: &mut String, period: RoutePeriod, all: &[RouteCounts]) {
    let sql = add_routes(period, NEW, [RESPONSE_BYTES, DURATION_SUM, DURATIONS]);
    for some in all.chunks(AT_ONCE) {
        statements.push_str(&fill(&sql, &values(some)));
        statements.push(';');
    }
}

/// Returns the statements that change the counts of `file` by route as rows of `added` take the place of those
/// of `removed`. As for [`rollup::change`](super::rollup::change) nothing else changes them meanwhile.
pub(super) async fn change(
    (backend, wire): (&Postgres, &mut Wire),
    file: FileId,
    removed: &Rollup,
    added: &Rollup,
) -> Result<String, sqlx::Error> {
    let admitted = added.routes.admitted(&mut backend.known_routes());
    let mut statements = String::new();
    for (period, added) in RoutePeriod::ALL.into_iter().zip(admitted) {
        let removed = removed.routes.by(period);
        let (table, column) = route_table_of(period);
        let starts = removed.iter().chain(&added).map(|it| time(it.counts.start));
        let starts = array_of_texts(starts);
        let columns = ROUTE_COLUMNS.replace("durations", "array_to_json(durations)");
        let stored = wire
            .query(&format!(
                "SELECT (extract(epoch FROM {column}) * 1000000)::int8, {columns} FROM {table}
                  WHERE log_file = {} AND {column} = ANY ({starts}::timestamptz[])",
                file.0
            ))
            .await?;
        let stored = stored.iter().map(|row| counts(file, row)).collect::<Result<Vec<_>, _>>()?;
        let changes = replaced(stored, removed, added);
        if changes.is_empty() {
            continue;
        }
        let starts = array_of_texts(changes.iter().map(|((start, _), _)| time(*start)));
        let routes = array(changes.iter().map(|((_, route), _)| quoted(route)));
        statements.push_str(&format!(
            "DELETE FROM {table} AS c USING unnest({starts}::timestamptz[], {routes}) AS old (n, p)
              WHERE c.log_file = {} AND c.{column} = n AND c.route = p;",
            file.0
        ));
        let left: Vec<RouteCounts> = changes.into_iter().filter_map(|(_, left)| left).collect();
        push_adds(&mut statements, period, &left);
    }
    Ok(statements)
}

/// Reads a row of the statements of [`change`].
fn counts(file: FileId, row: &Row) -> Result<RouteCounts, sqlx::Error> {
    let number = |nth| int(row, nth).map(Option::unwrap_or_default);
    let mut rows = [0; CLASSES];
    for (nth, rows) in rows.iter_mut().enumerate() {
        *rows = number(nth + 1)?;
    }
    let text = |nth: usize| row.get(nth).and_then(Option::as_deref).unwrap_or_default();
    let (start, response_bytes) = (number(0)?, number(CLASSES + 1)?);
    let durations = sqlite::histogram(text(CLASSES + 3))?;
    Ok(RouteCounts {
        route: text(CLASSES + 4).into(),
        counts: Counts { file, start, rows, response_bytes, durations },
        duration: number(CLASSES + 2)?,
    })
}

/// The values of [`NEW`]. A batch may have many routes, so each list is written in one piece.
fn values(all: &[RouteCounts]) -> [String; 12] {
    const NUMBERS: usize = CLASSES + 2;
    let mut starts = String::from("'{");
    let mut files = String::from("'{");
    let mut numbers: [String; NUMBERS] = std::array::from_fn(|_| String::from("'{"));
    let mut durations = String::from("'{");
    let mut start = (None, String::new());
    for RouteCounts { counts, duration, .. } in all {
        if start.0 != Some(counts.start) {
            start = (Some(counts.start), format!("\"{}\",", time(counts.start)));
        }
        starts.push_str(&start.1);
        // Writing to a String cannot fail.
        let _ = write!(files, "{},", counts.file.0);
        let each = counts.rows.iter().chain([&counts.response_bytes, duration]);
        for (list, number) in numbers.iter_mut().zip(each) {
            let _ = write!(list, "{number},");
        }
        durations.push_str("\"{");
        for rows in &counts.durations {
            let _ = write!(durations, "{rows},");
        }
        end(&mut durations, "}\",");
    }
    for list in numbers.iter_mut().chain([&mut starts, &mut files, &mut durations]) {
        end(list, "}'");
    }
    let [i, s, r, c, e, o, bytes, sums] = numbers;
    let routes = array(all.iter().map(|it| quoted(&it.route)));
    [starts, files, i, s, r, c, e, o, bytes, sums, durations, routes]
}

/// Ends a list whose last item may have a comma after it.
fn end(list: &mut String, with: &str) {
    if list.ends_with(',') {
        list.pop();
    }
    list.push_str(with);
}
