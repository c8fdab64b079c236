//! Counts of the rows that meet a filter, for charts.
//!
//! What the counts by minute and hour can answer comes from them: all rows, those of a server, and how many
//! have a status of a class. For everything else the rows are read, slice by slice ([`sample`](super::sample)). After
//! each statement there is an answer: exact if all slices were read, otherwise an estimate with its error.
//!
//! PostgreSQL gets many slices in one statement, and compares its clock before each of them. Citus would run all
//! of them at once, and SQLite's clock stands still in a statement: they get one slice at a time.

use std::collections::BTreeMap;
use std::mem;
use std::time::{Duration, Instant};

use super::Reader;
use super::counts::{Overview, Point, SECOND, counts_of_range, point, step};
use super::sample::{Sample, Slice};
use crate::model::{CLASSES, Condition, Filter, Micros, Share, histogram};
use crate::store::Backend;
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::{self, Columns};
use crate::store::sql;
use crate::store::statement::Statement;

/// Most slices of a statement.
const AT_ONCE: usize = 256;

/// Counts of what meets a filter, which become exact as they go on.
#[derive(Clone, Debug)]
pub struct Counting {
    reader: Reader,
    filter: Filter,
    from: Micros,
    to: Micros,
    step: i64,
    source: Source,
    gone_before: Option<Micros>,
}

/// Where the counts are from.
#[derive(Clone, Debug)]
enum Source {
    /// The counts by minute and hour alone.
    Counts(Overview),
    /// The rows; `known` has how many match in each slot, if the counts tell.
    Rows { sample: Box<Sample>, known: Option<BTreeMap<Micros, [i64; CLASSES]>> },
}

/// What is counted so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The counts, or estimates of them.
    pub overview: Overview,
    /// Which part of the rows was read, from 0 to 1. At 1 everything is exact.
    pub share: f64,
    /// By how many rows the sum is wrong at most, in 95 of 100 cases.
    pub error: i64,
    /// Rows before this time may have been removed from the tables: only their counts are left, which do not tell
    /// whether they meet the filter.
    pub gone_before: Option<Micros>,
}

impl Reader {
    /// Counts what meets a filter, for about the time `budget`, in two round trips. The range is moved outward to
    /// whole steps.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn count(&self, filter: &Filter, budget: Duration) -> Result<Counting, StoreError> {
        let end = Instant::now() + budget;
        let (step, period) = step(filter.from, filter.to);
        let length = step * SECOND;
        let from = filter.from - filter.from.rem_euclid(length);
        let to = filter.to + (-filter.to).rem_euclid(length);
        let classes = filter.classes();
        let durations = match (classes, self.is_postgres()) {
            (None, _) => "'[]'",
            (Some(_), true) => "to_json(durations)::text",
            (Some(_), false) => "durations",
        };
        let mut counts = counts_of_range(period, (from, to), durations);
        self.conditions(&mut counts, Table::GunicornLog, &servers_of(filter));
        let last_sweep = Statement::of(sql::LAST_SWEEP, []);
        let mut answers = self.ask(vec![counts, last_sweep]).await?;
        let mut slots: BTreeMap<Micros, Point> = BTreeMap::new();
        let mut total = Point::default();
        for (start, counts) in answers.next(point, point)? {
            slots.entry(start - start.rem_euclid(length)).or_default().add(&counts);
            total.add(&counts);
        }
        let gone = answers.next(rows::sweep, rows::sweep)?.pop().map(|sweep| sweep.cutoff);
        let gone_before = gone.filter(|gone| slots.keys().next().is_some_and(|first| first < gone));
        let mut counting = Counting {
            reader: self.clone(),
            filter: filter.clone(),
            from,
            to,
            step,
            source: Source::Counts(Overview::default()),
            gone_before,
        };
        match classes {
            Some(classes) if are_all(&classes, &total) => {
                counting.gone_before = None;
                let points = slots.into_iter().collect();
                counting.source = Source::Counts(Overview { from, to, step, points, total });
            }
            _ => {
                let known = classes.filter(|classes| are_known(classes, &total)).map(|classes| {
                    let of = |point: &Point| {
                        let mut rows = point.rows;
                        for (rows, share) in rows.iter_mut().zip(classes) {
                            if share != Share::All {
                                *rows = 0;
                            }
                        }
                        rows
                    };
                    slots.iter().map(|(start, point)| (*start, of(point))).collect()
                });
                let slots = slots.iter().map(|(start, point)| (*start, point.rows)).collect();
                let sample = Box::new(Sample::new((from, to), length, &slots, gone_before));
                counting.source = Source::Rows { sample, known };
                counting.go_on(end.saturating_duration_since(Instant::now())).await?;
            }
        }
        Ok(counting)
    }

    /// Returns whether one statement may read several slices.
    pub(super) fn reads_slices_at_once(&self) -> bool {
        match &self.backend {
            Backend::Postgres(readers) => !readers.backend.is_distributed(),
            Backend::Sqlite(_) => false,
        }
    }
}

/// Returns the part of a filter that the counts can meet: its servers.
pub(super) fn servers_of(filter: &Filter) -> Filter {
    let is_server = |it: &Condition| matches!(it, Condition::Server(_));
    let not = filter.not.iter().filter(|it| is_server(it)).cloned().collect();
    Filter { server: filter.server.clone(), not, ..Filter::default() }
}

/// Returns whether all rows match.
fn are_all(classes: &[Share; CLASSES], total: &Point) -> bool {
    classes.iter().zip(total.rows).all(|(share, rows)| *share == Share::All || rows == 0)
}

/// Returns whether the counts tell how many rows match.
fn are_known(classes: &[Share; CLASSES], total: &Point) -> bool {
    classes.iter().zip(total.rows).all(|(share, rows)| *share != Share::Some || rows == 0)
}

impl Counting {
    /// Returns whether everything is exact.
    pub fn is_done(&self) -> bool {
        match &self.source {
            Source::Counts(_) => true,
            Source::Rows { sample, .. } => sample.unread().is_empty(),
        }
    }

    /// Reads more rows, for about the time `budget`: of one slice at least. On PostgreSQL it takes one round trip.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn go_on(&mut self, budget: Duration) -> Result<(), StoreError> {
        let Source::Rows { sample, .. } = &mut self.source else { return Ok(()) };
        let end = Instant::now() + budget;
        let scan = Scan { reader: &self.reader, filter: &self.filter, step: self.step };
        while !sample.unread().is_empty() {
            if self.reader.reads_slices_at_once() {
                let slices = &sample.unread()[..sample.unread().len().min(AT_ONCE)];
                for points in scan.slices(slices, budget).await? {
                    sample.found(&points);
                }
                return Ok(());
            }
            let points = scan.slice(&sample.unread()[0]).await?;
            sample.found(&points);
            if Instant::now() >= end {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns what is counted so far.
    pub fn counted(&self) -> Counted {
        let &Counting { from, to, step, gone_before, .. } = self;
        match &self.source {
            Source::Counts(overview) => {
                Counted { overview: overview.clone(), share: 1.0, error: 0, gone_before }
            }
            Source::Rows { sample, known } => {
                let estimate = sample.estimate(known.as_ref());
                let (points, total) = (estimate.points, estimate.total);
                Counted {
                    overview: Overview { from, to, step, points, total },
                    share: sample.share(),
                    error: estimate.error,
                    gone_before,
                }
            }
        }
    }
}

/// Reads slices of `gunicorn_log`.
struct Scan<'a> {
    reader: &'a Reader,
    filter: &'a Filter,
    /// Length of a slot, in seconds.
    step: i64,
}

/// Points of one slice, by the starts of their slots.
type Points = Vec<(Micros, Point)>;

impl Scan<'_> {
    /// Reads one slice, by a statement of its own.
    async fn slice(&self, slice: &Slice) -> Result<Points, StoreError> {
        let mut statement = Statement::default();
        self.groups(&mut statement);
        statement.sql(" WHERE timestamp >= ").time(slice.low);
        statement.sql(" AND timestamp < ").time(slice.high);
        self.reader.conditions(&mut statement, Table::GunicornLog, self.filter);
        statement.sql(" GROUP BY 1, 2, 3");
        let groups = self.reader.ask(vec![statement]).await?.next(group, group)?;
        Ok(points(groups.into_iter().map(|(_, group)| group)))
    }

    /// Reads slices as long as `patience` lasts, in one statement: one at least.
    async fn slices(
        &self,
        slices: &[Slice],
        patience: Duration,
    ) -> Result<Vec<Points>, StoreError> {
        let mut statement = Statement::default();
        let times: Vec<_> = slices.iter().map(|it| (it.low, it.high)).collect();
        from_slices(&mut statement, &times, 1, patience);
        self.groups(&mut statement);
        within_slices(&mut statement, &times);
        self.reader.conditions(&mut statement, Table::GunicornLog, self.filter);
        statement.sql(" GROUP BY 1, 2, 3) AS found ON true");
        let mut read: Vec<Vec<Option<Group>>> = Vec::new();
        for (nth, group) in self.reader.ask(vec![statement]).await?.next(group, group)? {
            let nth = usize::try_from(nth).unwrap_or_default();
            if read.len() <= nth {
                read.resize_with(nth + 1, Vec::new);
            }
            read[nth].push(group);
        }
        Ok(read.iter_mut().map(|groups| points(mem::take(groups))).collect())
    }

    /// Appends the counts of rows by slot, class and bucket of their duration.
    fn groups(&self, to: &mut Statement) {
        let step = self.step;
        let (start, bytes) = if self.reader.is_postgres() {
            let start =
                format!("date_bin('{step} s', timestamp, '1970-01-01 00:00:00+00'::timestamptz)");
            let bytes = "least(coalesce(sum(response_bytes), 0), 9223372036854775807)::bigint";
            (start, bytes)
        } else {
            let start = format!(
                "strftime('%Y-%m-%d %H:%M:%S', strftime('%s', timestamp) / {step} * {step}, 'unixepoch')"
            );
            (start, "CAST(total(response_bytes) AS INTEGER)")
        };
        to.sql("SELECT ").sql(&start).sql(" AS start, ");
        to.sql("CASE WHEN code BETWEEN 100 AND 599 THEN code / 100 - 1 ELSE 5 END AS class, ");
        to.sql(&bucket()).sql(" AS bucket, count(*) AS number, ").sql(bytes);
        // A slice that is read alone has the number 0.
        let alone = if self.reader.reads_slices_at_once() { "" } else { ", 0 AS nth" };
        to.sql(" AS bytes").sql(alone).sql(" FROM gunicorn_log");
    }
}

/// Begins a statement for PostgreSQL that reads slices as long as `patience` lasts, the first `least` in any case, each with its
/// number. What is read of one follows, and `AS found ON true`.
pub(super) fn from_slices(
    statement: &mut Statement,
    slices: &[(Micros, Micros)],
    least: usize,
    patience: Duration,
) {
    statement.sql("SELECT wanted.nth, found.* FROM (SELECT * FROM (VALUES ");
    for (nth, (low, high)) in slices.iter().enumerate() {
        statement.sql(if nth == 0 { "(" } else { ", (" }).int(nth as i64).sql(", ");
        statement.time(*low).sql(", ").time(*high).sql(")");
    }
    // The rows of VALUES come one by one, so the clock is compared before each of them.
    let patience = patience.as_micros();
    statement.sql(&format!(
        ") AS slices (nth, low, high) WHERE nth < {least} OR clock_timestamp() < statement_timestamp() + \
         '{patience} us'::interval OFFSET 0) AS wanted LEFT JOIN LATERAL ("
    ));
}

/// Appends the condition that a row is in the slice of [`from_slices`].
pub(super) fn within_slices(statement: &mut Statement, slices: &[(Micros, Micros)]) {
    statement.sql(" WHERE timestamp >= wanted.low AND timestamp < wanted.high");
    // Leaves out the partitions of other days when the statement is planned.
    let low = slices.iter().map(|(low, _)| *low).min().unwrap_or_default();
    let high = slices.iter().map(|(_, high)| *high).max().unwrap_or_default();
    statement.sql(" AND timestamp >= ").time(low).sql(" AND timestamp < ").time(high);
}

/// Rows of one slot, class and bucket.
#[derive(Clone, Copy, Debug)]
struct Group {
    start: Micros,
    class: usize,
    bucket: Option<usize>,
    rows: i64,
    bytes: i64,
}

/// Reads the number of a slice, and a group of its rows; `None` of a slice without matching rows.
fn group(row: &impl Columns) -> Result<(i64, Option<Group>), sqlx::Error> {
    let index = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
    let nth = row.int("nth")?.unwrap_or_default();
    let Some(start) = row.time("start")? else { return Ok((nth, None)) };
    let class = index(row.int("class")?).filter(|class| *class < CLASSES).unwrap_or(CLASSES - 1);
    let (bucket, rows) = (index(row.int("bucket")?), row.int("number")?.unwrap_or_default());
    let bytes = row.int("bytes")?.unwrap_or_default();
    Ok((nth, Some(Group { start, class, bucket, rows, bytes })))
}

fn points(groups: impl IntoIterator<Item = Option<Group>>) -> Points {
    let mut points: BTreeMap<Micros, Point> = BTreeMap::new();
    for group in groups.into_iter().flatten() {
        let point = points.entry(group.start).or_default();
        point.rows[group.class] += group.rows;
        point.bytes = point.bytes.saturating_add(group.bytes);
        if let Some(bucket) = group.bucket.filter(|bucket| *bucket < histogram::BUCKETS) {
            if point.durations.len() <= bucket {
                point.durations.resize(bucket + 1, 0);
            }
            point.durations[bucket] += group.rows;
        }
    }
    points.into_iter().collect()
}

/// Returns the bucket of a duration in SQL, as [`histogram::bucket`] has it.
fn bucket() -> String {
    let floor = histogram::FLOOR_BITS;
    let part = histogram::PART_BITS;
    let parts = 1 << part;
    let last = histogram::first(histogram::BUCKETS - 1);
    let octaves = floor..last.ilog2() + 1;
    // The beginning of an octave decides, found in halves: a logarithm could be off at an edge.
    let shift = halves(octaves.clone(), &|octave| (octave - part).to_string());
    let first = halves(octaves, &|octave| (1 + (octave - floor) * parts).to_string());
    format!(
        "CASE WHEN duration IS NULL THEN NULL WHEN duration < {} THEN 0 WHEN duration >= {last} THEN {} \
         ELSE {first} + ((duration >> ({shift})) & {}) END",
        1 << floor,
        histogram::BUCKETS - 1,
        parts - 1,
    )
}

/// Returns an expression with the value of the octave that a duration is in.
fn halves(octaves: std::ops::Range<u32>, value: &dyn Fn(u32) -> String) -> String {
    let (low, high) = (octaves.start, octaves.end);
    if high - low == 1 {
        return value(low);
    }
    let middle = low.midpoint(high);
    let (below, above) = (halves(low..middle, value), halves(middle..high, value));
    format!("CASE WHEN duration < {} THEN {below} ELSE {above} END", 1_i64 << middle)
}
