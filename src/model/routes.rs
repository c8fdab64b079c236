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
/// How many routes of a day a process admits before it reads what is stored.
const MOST_UNREAD: usize = MOST_ROUTES / 10;
/// Bytes of a route. The rest of a longer one is left out.
const MOST_BYTES: usize = 200;
/// Days whose routes a [`RouteBook`] keeps, unless a batch has more.
const MOST_DAYS: usize = 16;
/// Slots for routes that were counted last.
const RECENT: usize = 256;
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
    /// Places of routes, by [`slot`] of their names; what is not there any more is found to be another one.
    recent: Vec<u32>,
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
        let route = self.recent_route(&name);
        self.name = name;
        let Some(entry) = self.entry(hour, route) else { return };
        entry.rows[class] += 1;
        entry.response_bytes = entry.response_bytes.saturating_add(row.response_bytes.unwrap_or(0));
        entry.duration = entry.duration.saturating_add(row.duration.unwrap_or(0).max(0));
        if let Some(bucket) = bucket {
            entry.buckets.push(bucket);
        }
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

    /// Returns the routes of each UTC day, in days since 1970.
    fn routes_by_day(&self) -> BTreeMap<i32, HashSet<&Arc<str>>> {
        let mut days: BTreeMap<i32, HashSet<&Arc<str>>> = BTreeMap::new();
        for entry in &self.entries {
            let hour = self.hours.get(entry.hour as usize);
            if let Some(((_, start), route)) = hour.zip(self.routes.get(entry.route as usize)) {
                days.entry(day(*start)).or_default().insert(&route.name);
            }
        }
        days
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

    /// Returns the place of a route, nearly always without its hash in the map.
    fn recent_route(&mut self, name: &str) -> u32 {
        if self.recent.is_empty() {
            self.recent.resize(RECENT, 0);
        }
        let slot = slot(name);
        let place = self.recent[slot];
        if self.routes.get(place as usize).is_some_and(|route| *route.name == *name) {
            return place;
        }
        let place = self.place_of_route(name);
        self.recent[slot] = place;
        place
    }

    fn place_of_route(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places_of_routes.get(name) {
            return *place;
        }
        let place = self.routes.len() as u32;
        // A NUL ends a text where that is part of a statement.
        let name: Arc<str> = name.replace('\0', "\u{fffd}").into();
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
    let mut all: Vec<RouteCounts> = hours.collect();
    for counts in &mut all {
        counts.counts.start = period.start(counts.counts.start);
    }
    let key = |it: &RouteCounts| (it.counts.file, it.counts.start);
    all.sort_unstable_by(|one, two| {
        key(one).cmp(&key(two)).then_with(|| one.route.cmp(&two.route))
    });
    all.dedup_by(|next, kept| {
        let is_same = key(next) == key(kept) && next.route == kept.route;
        if is_same {
            kept.add(next);
        }
        is_same
    });
    all
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
}

/// Returns where a name is in [`RouteTally::recent`]. Names that share a slot cost time, and nothing else.
fn slot(name: &str) -> usize {
    let mix =
        |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut words = name.as_bytes().chunks_exact(8);
    let mut hash = name.len() as u64;
    for word in words.by_ref() {
        hash = mix(hash, u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    let rest = words.remainder().iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    (mix(hash, rest) >> 32) as usize % RECENT
}

fn day(at: Micros) -> i32 {
    at.div_euclid(DAY_US) as i32
}

/// The routes of a day.
#[derive(Debug, Default)]
struct AdmittedRoutes {
    names: HashSet<Arc<str>>,
    failing: usize,
    /// Whether those that were stored before are among them.
    is_read: bool,
    /// When a batch last had rows of the day, in batches.
    used: u64,
}

/// The routes of each day that have counts of their own, as far as this process knows.
///
/// Several processes may store rows of a day, and a daemon begins anew. To most of them a few routes are all that there
/// are: up to 100 are admitted without a question, so that no commit waits for one. Then what is
/// stored is read once. So a day may have more routes than the bound, by a few for each process, and each row is still
/// counted once.
#[derive(Debug, Default)]
pub struct RouteBook {
    days: BTreeMap<i32, AdmittedRoutes>,
    batches: u64,
}

impl RouteBook {
    /// Returns those of the days of a batch whose routes are to be read from the store. Forgets days that no batch
    /// had for long.
    pub fn unknown(&mut self, tally: &RouteTally) -> Vec<i32> {
        self.batches += 1;
        let mut unknown = Vec::new();
        for (day, routes) in tally.routes_by_day() {
            let known = self.days.entry(day).or_default();
            known.used = self.batches;
            if !known.is_read {
                let new = routes.into_iter().filter(|route| !known.names.contains(*route)).count();
                unknown.extend((known.names.len() + new > MOST_UNREAD).then_some(day));
            }
        }
        while self.days.len() > MOST_DAYS {
            let oldest = self.days.iter().min_by_key(|(_, known)| known.used);
            match oldest.filter(|(_, known)| known.used < self.batches).map(|(day, _)| *day) {
                Some(day) => self.days.remove(&day),
                None => break,
            };
        }
        unknown
    }

    /// Takes note that the routes of a day were read.
    pub fn knows(&mut self, day: i32) {
        self.days.entry(day).or_default().is_read = true;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: &[(i32, Micros, &str)]) -> RouteTally {
        let mut tally = RouteTally::default();
        for &(file, timestamp, url) in rows {
            let row = CountedRow {
                timestamp,
                url: Some(url),
                response_bytes: Some(7),
                duration: Some(70),
                ..CountedRow::default()
            };
            tally.count(FileId(file), &row, 1, Some(1));
        }
        tally
    }

    /// File, start, route, rows, bytes, sum of durations.
    type Flat<'a> = (i32, Micros, &'a str, i64, i64, i64);

    fn flat(counts: &[RouteCounts]) -> Vec<Flat<'_>> {
        counts
            .iter()
            .map(|RouteCounts { route, counts, duration }| {
                assert_eq!(counts.durations, [0, counts.rows[1]]);
                let (rows, bytes) = (counts.rows[1], counts.response_bytes);
                (counts.file.0, counts.start, &**route, rows, bytes, *duration)
            })
            .collect()
    }

    #[test]
    fn rows_are_counted_by_file_period_and_route() {
        let mut one = tally(&[(1, 5, "/a/1"), (1, HOUR_US, "/b"), (1, 6, "/a/2"), (2, 7, "/b")]);
        one.extend(&tally(&[(2, 8, "/b?x"), (1, -1, ""), (1, 9, "/a/3#x")]));
        assert_eq!(
            flat(&one.by(RoutePeriod::Hour)),
            [
                (1, -HOUR_US, NO_URL, 1, 7, 70),
                (1, 0, "/a/{n}", 3, 21, 210),
                (1, HOUR_US, "/b", 1, 7, 70),
                (2, 0, "/b", 2, 14, 140),
            ]
        );
        assert_eq!(
            flat(&one.by(RoutePeriod::Day)),
            [
                (1, -DAY_US, NO_URL, 1, 7, 70),
                (1, 0, "/a/{n}", 3, 21, 210),
                (1, 0, "/b", 1, 7, 70),
                (2, 0, "/b", 2, 14, 140),
            ]
        );
        one.clear();
        assert!(one.by(RoutePeriod::Day).is_empty());
    }

    #[test]
    fn a_name_has_few_bytes_and_no_nul() {
        for (url, expected) in [
            ("/a\0b".to_owned(), "/a\u{fffd}b".to_owned()),
            (format!("/{}", "é".repeat(200)), format!("/{}", "é".repeat(99))),
            ("/x".repeat(150), "/x".repeat(16) + "/…"),
        ] {
            assert_eq!(&*tally(&[(1, 0, &url)]).by(RoutePeriod::Day)[0].route, expected);
        }
    }

    #[test]
    fn routes_are_read_when_there_are_many_and_days_are_forgotten() {
        let urls: Vec<String> = (0..=MOST_UNREAD).map(|nth| format!("/r{nth}x")).collect();
        let rows: Vec<_> = urls.iter().map(|url| (1, 0, &**url)).collect();
        let mut book = RouteBook::default();
        let few = tally(&rows[..MOST_UNREAD]);
        assert!(book.unknown(&few).is_empty());
        few.admitted(&mut book);
        assert!(book.unknown(&few).is_empty());
        assert_eq!(book.unknown(&tally(&rows)), [0]);
        book.knows(0);
        assert!(book.unknown(&tally(&rows)).is_empty());
        for day in 1..100 {
            assert!(book.unknown(&tally(&[(1, day * DAY_US, "/")])).is_empty());
        }
        assert!(book.days.len() <= MOST_DAYS && !book.days.contains_key(&0));
    }

    #[test]
    fn what_a_route_does_not_have_is_taken_from_the_others() {
        let counts = |rows: &[(i32, Micros, &str)]| tally(rows).by(RoutePeriod::Hour);
        let stored = counts(&[(1, 0, "/a"), (1, 0, "/a"), (1, 0, OTHER_ROUTES), (1, 0, "/b")]);
        let removed = counts(&[(1, 0, "/a"), (1, 0, "/a"), (1, 0, "/a"), (1, HOUR_US, "/a")]);
        let added = counts(&[(1, 0, "/b"), (1, HOUR_US, "/b")]);
        let changes = replaced(stored, removed, added);
        let [(other, None), (a, None), (b, Some(left))] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!((&*other.1, &*a.1, &*b.1), (OTHER_ROUTES, "/a", "/b"));
        assert_eq!(flat(std::slice::from_ref(left)), [(1, 0, "/b", 2, 14, 140)]);
    }
}
