//! What distinguishes a stretch of time from a baseline: rows of both, slice by slice in a random order ([`sample`](super::sample)),
//! for a [`Comparison`].
//!
//! Slices are short, since rows that are near to each other in time are alike: many short ones say more than few long ones.
//! As long as not all of them were read, the answer is an estimate with its error.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Reader;
use super::counting::{from_slices, servers_of, within_slices};
use super::counts::{SECOND, counts_of_range, point, step};
use super::sample::slices;
use crate::model::changes::{Compare, Comparison, Observed, Side};
use crate::model::{CLASSES, Codes, Filter, Micros, Period, histogram, scatter};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::{self, Columns};
use crate::store::sql::{self, table_of};
use crate::store::statement::Statement;

/// Rows of a slice, if the range is not too long for it.
const ROWS_OF_SLICE: i64 = 1000;
/// Most rows of a slice that are read: a log without times may have millions of them in one second.
const MOST_OF_SLICE: i64 = 20_000;
/// Rows of one statement, about.
const ROWS_AT_ONCE: f64 = 20_000.0;
/// Most slices of one statement.
const SLICES_AT_ONCE: usize = 256;
/// Most characters of a text that are read.
const MOST_CHARACTERS: i64 = 300;
/// The share of requests of the baseline that are slow, if no bound is given.
const USUALLY_SLOW: f64 = 0.05;

/// What a selection is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The rest of the range.
    Rest,
    /// The same stretch of the period before, which is as long as the range and ends where it begins.
    Before,
}

/// What is asked to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Numbers of requests.
    Requests,
    /// Requests with such a status.
    Codes(Codes),
    /// Requests that take so many microseconds or more; without a bound, longer than 19 of 20 of the baseline.
    Slow(Option<i64>),
}

/// A question for [`Reader::changes`].
#[derive(Clone, Debug)]
pub struct ChangesQuestion {
    /// The range, and what holds for both sides.
    pub filter: Filter,
    /// The selection: from its first moment until before its end.
    pub selected: (Micros, Micros),
    /// What it is compared with.
    pub baseline: Baseline,
    /// What is compared.
    pub asked: Asked,
}

impl ChangesQuestion {
    /// Returns the time ranges of the baseline: up to two, none if the selection is all of the range.
    pub fn baseline(&self) -> Vec<(Micros, Micros)> {
        let (from, to) = self.selected;
        let Filter { from: first, to: last, .. } = self.filter;
        let parts = match self.baseline {
            Baseline::Rest => vec![(first, from.min(last)), (to.max(first), last)],
            Baseline::Before => vec![(from - (last - first), to - (last - first))],
        };
        parts.into_iter().filter(|(from, to)| from < to).collect()
    }
}

/// A comparison, which becomes exact as it goes on.
#[derive(Clone, Debug)]
pub struct Changes {
    reader: Reader,
    filter: Filter,
    comparison: Comparison,
    sides: [Rows; 2],
    /// Whether the bound of slow requests is still to be found, from the first rows.
    lacks_bound: bool,
    /// Names of machines by file.
    servers: HashMap<i64, String>,
    gone_before: Option<Micros>,
}

/// What was read of a side.
#[derive(Clone, Debug, Default)]
struct Rows {
    /// Beginnings and ends of slices with the rows that they are taken to have, in the order in which they are read.
    slices: Vec<(Micros, Micros, f64)>,
    /// How many slices were read.
    read: usize,
    /// Whether a slice had more rows than are read.
    is_cut: bool,
}

impl Rows {
    fn is_done(&self) -> bool {
        self.read == self.slices.len()
    }

    /// Returns which part of the rows was read, from 0 to 1. At 1 all were.
    fn share(&self) -> f64 {
        let sum = |slices: &[(Micros, Micros, f64)]| {
            slices.iter().map(|(.., rows)| rows).fold(0.0, |sum, rows| sum + rows)
        };
        let all = sum(&self.slices);
        match (self.is_done(), self.is_cut) {
            (true, false) => 1.0,
            (true, true) => 0.999,
            _ if all > 0.0 => (sum(&self.slices[..self.read]) / all).min(0.999),
            _ => (self.read as f64 / self.slices.len() as f64).min(0.999),
        }
    }
}

impl Reader {
    /// Compares a selection with a baseline, for about the time `budget`. On PostgreSQL it takes two round trips, if
    /// these are not short.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn changes(
        &self,
        question: &ChangesQuestion,
        budget: Duration,
    ) -> Result<Changes, StoreError> {
        let end = Instant::now() + budget;
        let filter = &question.filter;
        let servers = servers_of(filter);
        let needs_times = question.asked == Asked::Slow(None)
            && filter.required().len() + filter.not.len()
                == servers.required().len() + servers.not.len();
        let durations = match (needs_times, self.is_postgres()) {
            (false, _) => "'[]'",
            (true, true) => "to_json(durations)::text",
            (true, false) => "durations",
        };
        let ranges: Vec<(Side, (Micros, Micros))> =
            std::iter::once((Side::Selection, question.selected))
                .chain(question.baseline().into_iter().map(|range| (Side::Baseline, range)))
                .collect();
        let mut statements = vec![Statement::of(sql::LAST_SWEEP, [])];
        for (side, range) in &ranges {
            let (_, period, (from, to)) = whole_steps(*range);
            let durations = if *side == Side::Baseline { durations } else { "'[]'" };
            let mut counts = counts_of_range(period, (from, to), durations);
            self.conditions(&mut counts, Table::GunicornLog, &servers);
            statements.push(counts);
            let (table, start) = table_of(period);
            let mut files = Statement::default();
            files
                .sql("SELECT id, host FROM log_file WHERE id IN (SELECT log_file FROM ")
                .sql(table);
            files.sql(" WHERE ").sql(start).sql(" >= ").time(from);
            files.sql(" AND ").sql(start).sql(" < ").time(to).sql(")");
            statements.push(files);
        }
        let mut answers = self.ask(statements).await?;
        let gone = answers.next(rows::sweep, rows::sweep)?.pop().map(|sweep| sweep.cutoff);
        let mut changes = Changes {
            reader: self.clone(),
            filter: filter.clone(),
            comparison: Comparison::new(Compare::Requests),
            sides: Default::default(),
            lacks_bound: false,
            servers: HashMap::new(),
            gone_before: None,
        };
        let mut times = Vec::new();
        for (side, range) in &ranges {
            let (length, _, whole) = whole_steps(*range);
            let mut counts: BTreeMap<Micros, [i64; CLASSES]> = BTreeMap::new();
            for (start, found) in answers.next(point, point)? {
                let slot = counts.entry(start - start.rem_euclid(length)).or_default();
                slot.iter_mut().zip(found.rows).for_each(|(sum, rows)| *sum += rows);
                histogram::add(&mut times, &found.durations);
            }
            changes.servers.extend(answers.next(server, server)?);
            if counts.keys().next() < gone.as_ref() && !counts.is_empty() {
                changes.gone_before = gone;
            }
            let cut = slices(whole, length, &counts, gone, ROWS_OF_SLICE);
            let rows = &mut changes.sides[*side as usize];
            for slice in cut {
                // What lies outside of the range has moved in with its step.
                let (low, high) = (slice.low.max(range.0), slice.high.min(range.1));
                if low < high {
                    let part = (high - low) as f64 / (slice.high - slice.low) as f64;
                    rows.slices.push((low, high, slice.expected.iter().sum::<f64>() * part));
                }
            }
        }
        // Two parts of a baseline are read alternately; slices that a sweep may have emptied stay last.
        let baseline = &mut changes.sides[Side::Baseline as usize].slices;
        baseline.sort_by_key(|(low, _, rows)| (*rows == 0.0, scatter(*low)));
        changes.comparison = Comparison::new(match question.asked {
            Asked::Requests => Compare::Requests,
            Asked::Codes(codes) => Compare::Codes(codes),
            Asked::Slow(Some(bound)) => Compare::Slow(bound),
            Asked::Slow(None) => {
                let bound = bound_of(&times);
                changes.lacks_bound = bound.is_none();
                Compare::Slow(bound.unwrap_or(i64::MAX))
            }
        });
        changes.go_on(end.saturating_duration_since(Instant::now())).await?;
        Ok(changes)
    }
}

/// Returns the length of the steps that a range is counted by in microseconds, their period, and the range moved outward to whole steps.
fn whole_steps((from, to): (Micros, Micros)) -> (Micros, Period, (Micros, Micros)) {
    let (step, period) = step(from, to);
    let length = step * SECOND;
    (length, period, (from - from.rem_euclid(length), to + (-to).rem_euclid(length)))
}

/// Returns the duration from which on requests are slower than usual: the end of the bucket that 19 of 20 do not exceed.
/// `None` without durations.
fn bound_of(durations: &[i64]) -> Option<i64> {
    let usual = histogram::quantile(durations, 1.0 - USUALLY_SLOW)?;
    Some(histogram::first(usize::from(histogram::bucket(usual)) + 1))
}

impl Changes {
    /// Returns whether all rows were read.
    pub fn is_done(&self) -> bool {
        self.sides.iter().all(Rows::is_done)
    }

    /// Returns what was found so far.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Returns which part of the rows of each side was read, from 0 to 1. At 1 everything is exact.
    pub fn shares(&self) -> [f64; 2] {
        [self.sides[0].share(), self.sides[1].share()]
    }

    /// Returns the time before which rows of the selection or the baseline may have been removed.
    pub fn gone_before(&self) -> Option<Micros> {
        self.gone_before
    }

    /// Returns the bound of slow requests in microseconds; `None` if others are compared, or none has a duration.
    pub fn bound(&self) -> Option<i64> {
        match self.comparison.compare() {
            Compare::Slow(bound) if !self.lacks_bound => Some(bound),
            _ => None,
        }
    }

    /// Reads more rows, for about the time `budget`: a slice of each side at least.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn go_on(&mut self, budget: Duration) -> Result<(), StoreError> {
        let end = Instant::now() + budget;
        loop {
            let next = self.next_slices();
            if next.is_empty() {
                return Ok(());
            }
            // The rest of the time is for the way of the rows and for counting them.
            let patience = end.saturating_duration_since(Instant::now()) / 2;
            let read = self.read(&next, patience).await?;
            if self.lacks_bound {
                self.find_bound(&next, &read);
            }
            for ((side, ..), rows) in next.iter().zip(read) {
                self.count(*side, rows);
                // Other requests of the page have their turn.
                tokio::task::yield_now().await;
            }
            if Instant::now() + budget / 4 >= end {
                return Ok(());
            }
        }
    }

    /// Returns the next slices of both sides by turns, as many as one statement reads.
    fn next_slices(&self) -> Vec<(Side, Micros, Micros)> {
        let most = if self.reader.reads_slices_at_once() { SLICES_AT_ONCE } else { 2 };
        let mut left = Side::BOTH.map(|side| {
            let rows = &self.sides[side as usize];
            rows.slices[rows.read..].iter().map(move |slice| (side, *slice))
        });
        let (mut next, mut rows) = (Vec::new(), 0.0);
        while next.len() < most && rows < ROWS_AT_ONCE {
            let before = next.len();
            for (side, (low, high, expected)) in left.iter_mut().filter_map(Iterator::next) {
                next.push((side, low, high));
                rows += expected;
            }
            if next.len() == before {
                break;
            }
        }
        next
    }

    /// Reads slices, one at least, and returns the rows of each that was read.
    async fn read(
        &self,
        next: &[(Side, Micros, Micros)],
        patience: Duration,
    ) -> Result<Vec<Vec<Found>>, StoreError> {
        let times: Vec<(Micros, Micros)> =
            next.iter().map(|(_, low, high)| (*low, *high)).collect();
        let mut read: Vec<Vec<Found>> = Vec::new();
        if !self.reader.reads_slices_at_once() {
            let mut statements = Vec::new();
            for (low, high) in times {
                let mut statement = Statement::default();
                self.columns(&mut statement);
                statement.sql(" WHERE timestamp >= ").time(low).sql(" AND timestamp < ").time(high);
                self.reader.conditions(&mut statement, Table::GunicornLog, &self.filter);
                statement.sql(" LIMIT ").int(MOST_OF_SLICE);
                statements.push(statement);
            }
            let mut answers = self.reader.ask(statements).await?;
            for _ in next {
                read.push(answers.next(found, found)?.into_iter().flatten().collect());
            }
            return Ok(read);
        }
        let mut statement = Statement::default();
        // One of each side: a selection alone says nothing.
        from_slices(&mut statement, &times, Side::BOTH.len(), patience);
        self.columns(&mut statement);
        within_slices(&mut statement, &times);
        self.reader.conditions(&mut statement, Table::GunicornLog, &self.filter);
        statement.sql(" LIMIT ").int(MOST_OF_SLICE).sql(") AS found ON true");
        for (nth, row) in self.reader.ask(vec![statement]).await?.next(numbered, numbered)? {
            if read.len() <= nth {
                read.resize_with(nth + 1, Vec::new);
            }
            read[nth].extend(row);
        }
        Ok(read)
    }

    /// Appends what is read of a row.
    fn columns(&self, to: &mut Statement) {
        to.sql("SELECT id, code, duration, pid, log_file, route, method, host, user_id");
        for text in ["url", "agent"] {
            to.sql(&format!(", substr({text}, 1, {MOST_CHARACTERS}) AS {text}"));
        }
        to.sql(if self.reader.is_postgres() { ", host(user_ip)" } else { ", user_ip" });
        to.sql(" AS address FROM gunicorn_log");
    }

    /// Sets the bound of slow requests by the rows that were read first: of the baseline, if it has durations.
    fn find_bound(&mut self, next: &[(Side, Micros, Micros)], read: &[Vec<Found>]) {
        let durations = |wanted: &dyn Fn(Side) -> bool| {
            let mut counts = vec![0; histogram::BUCKETS];
            let rows = next.iter().zip(read).filter(|((side, ..), _)| wanted(*side));
            for duration in rows.flat_map(|(_, rows)| rows).filter_map(|row| row.row.duration) {
                counts[usize::from(histogram::bucket(duration))] += 1;
            }
            counts
        };
        let of_baseline = bound_of(&durations(&|side| side == Side::Baseline));
        if let Some(bound) = of_baseline.or_else(|| bound_of(&durations(&|_| true))) {
            self.lacks_bound = false;
            // What was read before had no durations, and is left out.
            self.comparison = Comparison::new(Compare::Slow(bound));
        }
    }

    /// Counts the rows of the next slice of a side.
    fn count(&mut self, side: Side, rows: Vec<Found>) {
        self.comparison.begin_slice(side);
        let read = &mut self.sides[side as usize];
        read.read += 1;
        read.is_cut |= rows.len() as i64 >= MOST_OF_SLICE;
        for Found { row, file } in rows {
            let server = file.and_then(|file| self.servers.get(&file));
            let server = server.map(|it| it.as_str().into());
            self.comparison.add(side, &Observed { server, ..row });
        }
    }
}

/// A row, without its server.
#[derive(Clone, Debug)]
struct Found {
    row: Observed<'static>,
    file: Option<i64>,
}

/// Reads a row; `None` of a slice without rows.
fn found(row: &impl Columns) -> Result<Option<Found>, sqlx::Error> {
    let Some(id) = row.int("id")? else { return Ok(None) };
    let text = |column| row.text(column).map(|text| text.map(Into::into));
    let address: Option<IpAddr> = row.text("address")?.and_then(|text| text.parse().ok());
    let (code, duration, pid) = (row.int("code")?, row.int("duration")?, row.int("pid")?);
    let observed = Observed {
        id,
        code,
        duration,
        pid,
        route: text("route")?,
        url: text("url")?,
        method: text("method")?,
        address,
        user: text("user_id")?,
        agent: text("agent")?,
        host: text("host")?,
        server: None,
    };
    Ok(Some(Found { row: observed, file: row.int("log_file")? }))
}

/// Reads the number of a slice, and a row of it.
fn numbered(row: &impl Columns) -> Result<(usize, Option<Found>), sqlx::Error> {
    let nth = row.int("nth")?.and_then(|nth| usize::try_from(nth).ok()).unwrap_or_default();
    Ok((nth, found(row)?))
}

fn server(row: &impl Columns) -> Result<(i64, String), sqlx::Error> {
    Ok((row.int("id")?.unwrap_or_default(), row.text("host")?.unwrap_or_default()))
}
