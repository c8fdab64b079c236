//! Counts of rows by route, by hour and by day, from which lists of routes are made for any range.
//!
//! A route is what the application logged as one, or else the pattern of the URL. Scanners and mistakes may
//! invent patterns without end, so a UTC day has a bounded number of them: a [`RouteBook`] admits the first
//! ones, and rows of all others are counted as [`OTHER_ROUTES`]. So each row is counted once, and the sum over
//! all routes is the number of rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::file::FileId;
use super::folding::push_url_pattern;
use super::record::Micros;
use super::rollup::{CLASSES, CountedRow, Counts};

/// Stands for rows without a URL.
pub const NO_URL: &str = "";
/// Stands for rows whose route was not admitted.
pub const OTHER_ROUTES: &str = "(other)";

/// Routes of a UTC day, those that [`NO_URL`] and [`OTHER_ROUTES`] stand for not counted.
pub const MOST_ROUTES: usize = 1000;
/// How many of these may be routes that had nothing but client errors when they were admitted: what a scanner
/// asks for must not take the places of all others.
const MOST_FAILING: usize = MOST_ROUTES / 2;
/// Bytes of a route. The rest of a longer one is left out.
const MOST_BYTES: usize = 200;
/// Days whose routes a [`RouteBook`] keeps, unless a batch has more.
const MOST_DAYS: usize = 16;
/// The class of client errors.
const CLIENT_ERRORS: usize = 3;

const HOUR_US: Micros = 3_600_000_000;
const DAY_US: Micros = 24 * HOUR_US;

/// A period whose rows are counted by route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutePeriod {
    /// An hour of UTC.
    Hour,
    /// A day of UTC, for long ranges.
    Day,
}

impl RoutePeriod {
    /// Both periods.
    pub const ALL: [RoutePeriod; 2] = [RoutePeriod::Hour, RoutePeriod::Day];

    /// Returns its length in microseconds.
    pub fn micros(self) -> i64 {
        match self {
            RoutePeriod::Hour => HOUR_US,
            RoutePeriod::Day => DAY_US,
        }
    }

    /// Returns the first moment of the period that has a moment.
    pub fn start(self, at: Micros) -> Micros {
        at - at.rem_euclid(self.micros())
    }
}

/// Rows of one file and one route in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteCounts {
    /// The route, or [`NO_URL`] or [`OTHER_ROUTES`].
    pub route: Arc<str>,
    /// What is counted.
    pub counts: Counts,
    /// Sum of the durations in microseconds; stays at the largest number if it would be larger.
    pub duration: i64,
}

impl RouteCounts {
    fn add(&mut self, more: &RouteCounts) {
        self.counts.add(&more.counts);
        self.duration = self.duration.saturating_add(more.duration);
    }

    fn is_empty(&self) -> bool {
        self.counts.rows == [0; CLASSES]
    }

    /// Takes as much of `wanted` out of these counts as is in them, and leaves the rest in `wanted`.
    fn give(&mut self, wanted: &mut RouteCounts) {
        let give = |from: &mut i64, wanted: &mut i64| {
            let given = (*from).min(*wanted);
            *from -= given;
            *wanted -= given;
        };
        let (from, to) = (&mut self.counts, &mut wanted.counts);
        from.rows.iter_mut().zip(&mut to.rows).for_each(|(from, to)| give(from, to));
        from.durations.iter_mut().zip(&mut to.durations).for_each(|(from, to)| give(from, to));
        give(&mut from.response_bytes, &mut to.response_bytes);
        give(&mut self.duration, &mut wanted.duration);
        let last = from.durations.iter().rposition(|&rows| rows != 0);
        from.durations.truncate(last.map_or(0, |last| last + 1));
    }
}

/// Rows of one route in one hour of one file.
#[derive(Clone, Debug)]
struct Entry {
    /// Its place in [`RouteTally::hours`].
    hour: u32,
    /// Its place in [`RouteTally::routes`].
    route: u32,
    rows: [i64; CLASSES],
    response_bytes: i64,
    duration: i64,
    /// The bucket of each row with a duration.
    buckets: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Route {
    name: Arc<str>,
    /// The hour and the entry of the row that was counted last, which the next one nearly always has, too.
    last: (u32, u32),
}

/// Counts of the rows of a batch by route.
#[derive(Clone, Debug, Default)]
pub struct RouteTally {
    hours: Vec<(FileId, Micros)>,
    routes: Vec<Route>,
    entries: Vec<Entry>,
    /// The hour of the row that was counted last.
    hour: u32,
    places_of_hours: HashMap<(FileId, Micros), u32>,
    places_of_routes: HashMap<Arc<str>, u32>,
    places_of_entries: HashMap<(u32, u32), u32>,
    /// The route that is looked for; kept for its memory.
    name: String,
}

impl RouteTally {
    /// Counts a row, of which class and bucket are known.
    pub(super) fn count(
        &mut self,
        file: FileId,
        row: &CountedRow<'_>,
        class: usize,
        bucket: Option<u8>,
    ) {
        let hour = self.place_of_hour(file, RoutePeriod::Hour.start(row.timestamp));
        let mut name = std::mem::take(&mut self.name);
        name.clear();
        push_name(&mut name, row);
        let route = self.place_of_route(&name);
        self.name = name;
        let Some(entry) = self.entry(hour, route) else { return };
        entry.rows[class] += 1;
        entry.response_bytes = entry.response_bytes.saturating_add(row.response_bytes.unwrap_or(0));
        entry.duration = entry.duration.saturating_add(row.duration.unwrap_or(0).max(0));
        entry.buckets.extend(bucket);
    }

    /// Adds the counts of another batch.
    pub(super) fn extend(&mut self, others: &RouteTally) {
        for other in &others.entries {
            let Some((file, start)) = others.hours.get(other.hour as usize).copied() else {
                continue;
            };
            let Some(route) = others.routes.get(other.route as usize) else { continue };
            let (hour, route) = (self.place_of_hour(file, start), self.place_of_route(&route.name));
            let Some(entry) = self.entry(hour, route) else { continue };
            entry.rows.iter_mut().zip(other.rows).for_each(|(rows, more)| *rows += more);
            entry.response_bytes = entry.response_bytes.saturating_add(other.response_bytes);
            entry.duration = entry.duration.saturating_add(other.duration);
            entry.buckets.extend_from_slice(&other.buckets);
        }
    }

    pub(super) fn clear(&mut self) {
        self.hours.clear();
        self.routes.clear();
        self.entries.clear();
        self.hour = 0;
        self.places_of_hours.clear();
        self.places_of_routes.clear();
        self.places_of_entries.clear();
    }

    /// Returns the UTC days of its rows, in days since 1970.
    pub fn days(&self) -> BTreeSet<i32> {
        self.hours.iter().map(|(_, start)| day(*start)).collect()
    }

    /// Returns the counts by hour and by day, each in the order of file, period and route, as far as `book` admits
    /// routes.
    pub fn admitted(&self, book: &mut RouteBook) -> [Vec<RouteCounts>; 2] {
        let other: Arc<str> = OTHER_ROUTES.into();
        let counts: Vec<RouteCounts> = self
            .each()
            .map(|mut counts| {
                if !book.admits(&counts) {
                    counts.route = Arc::clone(&other);
                }
                counts
            })
            .collect();
        RoutePeriod::ALL.map(|period| by(period, counts.iter().cloned()))
    }

    /// Returns the counts of a period by route, without regard to what is admitted.
    pub fn by(&self, period: RoutePeriod) -> Vec<RouteCounts> {
        by(period, self.each())
    }

    fn each(&self) -> impl Iterator<Item = RouteCounts> {
        self.entries.iter().filter_map(|entry| {
            let (file, start) = *self.hours.get(entry.hour as usize)?;
            let route = Arc::clone(&self.routes.get(entry.route as usize)?.name);
            let Entry { rows, response_bytes, duration, .. } = *entry;
            let highest = entry.buckets.iter().max();
            let mut durations = vec![0; highest.map_or(0, |highest| usize::from(*highest) + 1)];
            entry.buckets.iter().for_each(|&bucket| durations[usize::from(bucket)] += 1);
            let counts = Counts { file, start, rows, response_bytes, durations };
            Some(RouteCounts { route, counts, duration })
        })
    }

    fn place_of_hour(&mut self, file: FileId, start: Micros) -> u32 {
        if self.hours.get(self.hour as usize) != Some(&(file, start)) {
            let next = self.hours.len() as u32;
            self.hour = *self.places_of_hours.entry((file, start)).or_insert(next);
            if self.hour == next {
                self.hours.push((file, start));
            }
        }
        self.hour
    }

    fn place_of_route(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places_of_routes.get(name) {
            return *place;
        }
        let place = self.routes.len() as u32;
        let name: Arc<str> = name.into();
        self.routes.push(Route { name: Arc::clone(&name), last: (u32::MAX, 0) });
        self.places_of_routes.insert(name, place);
        place
    }

    /// Returns the entry of an hour and a route; both have a place.
    fn entry(&mut self, hour: u32, route: u32) -> Option<&mut Entry> {
        let last = &mut self.routes.get_mut(route as usize)?.last;
        if last.0 != hour {
            let next = self.entries.len() as u32;
            *last = (hour, *self.places_of_entries.entry((hour, route)).or_insert(next));
            if last.1 == next {
                let rows = [0; CLASSES];
                let buckets = Vec::new();
                self.entries.push(Entry {
                    hour,
                    route,
                    rows,
                    response_bytes: 0,
                    duration: 0,
                    buckets,
                });
            }
        }
        self.entries.get_mut(last.1 as usize)
    }
}

/// Sums counts of hours into those of a period, in the order of file, period and route.
fn by(period: RoutePeriod, hours: impl Iterator<Item = RouteCounts>) -> Vec<RouteCounts> {
    let mut sums: BTreeMap<(FileId, Micros, Arc<str>), RouteCounts> = BTreeMap::new();
    for mut counts in hours {
        counts.counts.start = period.start(counts.counts.start);
        let key = (counts.counts.file, counts.counts.start, Arc::clone(&counts.route));
        match sums.get_mut(&key) {
            Some(sum) => sum.add(&counts),
            None => drop(sums.insert(key, counts)),
        }
    }
    sums.into_values().collect()
}

/// Appends the name by which a row is counted.
fn push_name(name: &mut String, row: &CountedRow<'_>) {
    match (row.route, row.url) {
        (Some(route), _) if !route.is_empty() => name.push_str(route),
        (_, Some(url)) => push_url_pattern(name, url),
        _ => name.push_str(NO_URL),
    }
    let mut end = MOST_BYTES.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    if memchr::memchr(0, name.as_bytes()).is_some() {
        *name = name.replace('\0', "\u{fffd}"); // which ends a text where it is part of a statement
    }
}

fn day(at: Micros) -> i32 {
    at.div_euclid(DAY_US) as i32
}

/// The routes of a day.
#[derive(Debug, Default)]
struct AdmittedRoutes {
    names: HashSet<Arc<str>>,
    failing: usize,
    /// When a batch last had rows of the day, in batches.
    used: u64,
}

/// The routes of each day that have counts of their own, as far as this process knows.
///
/// Several processes may store rows of a day at the same time. Each reads the routes that are stored when it
/// meets the day first, and admits its own up to the bound: then a day may have more of them, and each row
/// is still counted once.
#[derive(Debug, Default)]
pub struct RouteBook {
    days: BTreeMap<i32, AdmittedRoutes>,
    batches: u64,
}

impl RouteBook {
    /// Returns those of the days of a batch whose routes are to be read from the store. Forgets days that no batch
    /// had for long.
    pub fn unknown(&mut self, days: &BTreeSet<i32>) -> Vec<i32> {
        self.batches += 1;
        for day in days {
            if let Some(known) = self.days.get_mut(day) {
                known.used = self.batches;
            }
        }
        while self.days.len() > MOST_DAYS {
            let oldest = self.days.iter().min_by_key(|(_, known)| known.used);
            match oldest.filter(|(_, known)| known.used < self.batches).map(|(day, _)| *day) {
                Some(day) => self.days.remove(&day),
                None => break,
            };
        }
        days.iter().filter(|day| !self.days.contains_key(day)).copied().collect()
    }

    /// Takes note that the routes of a day were read.
    pub fn knows(&mut self, day: i32) {
        self.days.entry(day).or_default().used = self.batches;
    }

    /// Adds a stored route of a day. `failing` says that all of its rows are client errors.
    pub fn add(&mut self, day: i32, route: &str, failing: bool) {
        let known = self.days.entry(day).or_default();
        let is_place = route != NO_URL && route != OTHER_ROUTES;
        if is_place && known.names.insert(route.into()) {
            known.failing += usize::from(failing);
        }
    }

    /// Returns whether these rows are counted by their route, and admits the route if there is room.
    fn admits(&mut self, counts: &RouteCounts) -> bool {
        let RouteCounts { route, counts, .. } = counts;
        if **route == *NO_URL || **route == *OTHER_ROUTES {
            return true;
        }
        let known = self.days.entry(day(counts.start)).or_default();
        if known.names.contains(route) {
            return true;
        }
        let failing = counts.rows.iter().sum::<i64>() == counts.rows[CLIENT_ERRORS];
        let has_room =
            known.names.len() < MOST_ROUTES && !(failing && known.failing >= MOST_FAILING);
        if has_room {
            known.names.insert(Arc::clone(route));
            known.failing += usize::from(failing);
        }
        has_room
    }
}

/// A route in a period of a file whose stored counts are to be these; `None` if none are left.
pub type Replacement = ((Micros, Arc<str>), Option<RouteCounts>);

/// Returns what changes when rows take the place of others, all of one file, in periods of one length.
///
/// `stored` are all counts of the periods in which any of these rows are. Rows that were not admitted were
/// counted as [`OTHER_ROUTES`], so what a route does not have is taken from those. A period of which nothing
/// is stored has been swept, or was stored before routes were counted: then it stays without counts. `added`
/// are admitted already.
pub fn replaced(
    stored: Vec<RouteCounts>,
    removed: Vec<RouteCounts>,
    added: Vec<RouteCounts>,
) -> Vec<Replacement> {
    let key = |counts: &RouteCounts| (counts.counts.start, Arc::clone(&counts.route));
    let has_counts: BTreeSet<Micros> = stored.iter().map(|it| it.counts.start).collect();
    let is_swept: BTreeSet<Micros> = removed
        .iter()
        .map(|it| it.counts.start)
        .filter(|start| !has_counts.contains(start))
        .collect();
    let mut now: BTreeMap<(Micros, Arc<str>), RouteCounts> =
        stored.iter().map(|counts| (key(counts), counts.clone())).collect();
    let before: BTreeMap<_, _> = stored.into_iter().map(|counts| (key(&counts), counts)).collect();
    let other: Arc<str> = OTHER_ROUTES.into();
    for mut wanted in removed {
        for route in [Arc::clone(&wanted.route), Arc::clone(&other)] {
            if let Some(counts) = now.get_mut(&(wanted.counts.start, route)) {
                counts.give(&mut wanted);
            }
        }
    }
    for more in added.into_iter().filter(|more| !is_swept.contains(&more.counts.start)) {
        match now.get_mut(&key(&more)) {
            Some(counts) => counts.add(&more),
            None => drop(now.insert(key(&more), more)),
        }
    }
    let has_changed = |(key, counts): &(_, RouteCounts)| before.get(key) != Some(counts);
    let changed = now.into_iter().filter(has_changed);
    changed.map(|(key, counts)| (key, Some(counts).filter(|it| !it.is_empty()))).collect()
}
