//! Counts of rows by minute and by hour, which charts read instead of the rows. Those by route are in `routes`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::file::FileId;
use super::histogram;
use super::record::Micros;
use super::routes::RouteTally;

/// Classes of a status (RFC 9110, 15): 1xx to 5xx, and one for all others.
pub const CLASSES: usize = 6;

/// Stands for a row without a duration; no bucket has this number.
const UNTIMED: u8 = u8::MAX;

/// A period whose rows are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A minute of the clock.
    Minute,
    /// An hour of UTC.
    Hour,
}

impl Period {
    /// Both periods.
    pub const ALL: [Period; 2] = [Period::Minute, Period::Hour];

    /// Returns its length in microseconds.
    pub fn micros(self) -> i64 {
        match self {
            Period::Minute => 60_000_000,
            Period::Hour => 3_600_000_000,
        }
    }
}

/// Rows of one file in one minute or hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The file.
    pub file: FileId,
    /// The first moment of the period.
    pub start: Micros,
    /// Rows by class: 1xx, 2xx, 3xx, 4xx, 5xx, any other code or none.
    pub rows: [i64; CLASSES],
    /// Sum of their response bytes; stays at the largest number if it would be larger.
    pub response_bytes: i64,
    /// Rows with a duration, by [`histogram::bucket`]; up to the last bucket that is not empty.
    pub durations: Vec<i64>,
}

impl Counts {
    /// Adds counts of the same file and period.
    pub(super) fn add(&mut self, more: &Counts) {
        for (rows, more) in self.rows.iter_mut().zip(more.rows) {
            *rows += more;
        }
        self.response_bytes = self.response_bytes.saturating_add(more.response_bytes);
        histogram::add(&mut self.durations, &more.durations);
        let last = self.durations.iter().rposition(|&rows| rows != 0);
        self.durations.truncate(last.map_or(0, |last| last + 1));
    }

    fn is_zero(&self) -> bool {
        self.rows == [0; CLASSES] && self.response_bytes == 0 && self.durations.is_empty()
    }

    /// Returns these counts after a change, `None` if no row is left. A period that is not stored has
    /// been swept, unless nothing was taken from it.
    pub fn changed(stored: Option<Counts>, change: &Counts) -> Option<Counts> {
        let is_taken = |rows: &i64| *rows < 0;
        let counts = match stored {
            Some(mut stored) => {
                stored.add(change);
                stored
            }
            None if change.rows.iter().chain(&change.durations).any(is_taken) => return None,
            None => change.clone(),
        };
        counts.rows.iter().any(|&rows| rows > 0).then_some(counts)
    }
}

/// Consecutive rows of one file and minute.
#[derive(Clone, Copy, Debug)]
struct Run {
    file: FileId,
    start: Micros,
    rows: [i64; CLASSES],
    response_bytes: i64,
    /// Where their buckets begin in [`Rollup::buckets`].
    buckets: usize,
}

/// What is counted of a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountedRow<'a> {
    /// Its time.
    pub timestamp: Micros,
    /// Its status.
    pub code: Option<i32>,
    /// Bytes of its response.
    pub response_bytes: Option<i64>,
    /// Its duration, in microseconds.
    pub duration: Option<i64>,
    /// Its route, as the application logged it.
    pub route: Option<&'a str>,
    /// Its URL, whose pattern stands for a route that was not logged.
    pub url: Option<&'a str>,
}

/// Counts of the rows of a batch.
#[derive(Clone, Debug, Default)]
pub struct Rollup {
    /// The same by route. In a box, since futures hold batches.
    pub routes: Box<RouteTally>,
    runs: Vec<Run>,
    /// One for each row. A byte is cheaper than a histogram: each line may be of another minute.
    buckets: Vec<u8>,
}

impl Rollup {
    /// Counts a row. The next one is nearly always of the same file and minute.
    pub fn count(&mut self, file: FileId, row: &CountedRow<'_>) {
        let CountedRow { timestamp, code, response_bytes, duration, .. } = *row;
        let start = timestamp - timestamp.rem_euclid(Period::Minute.micros());
        if self.runs.last().is_none_or(|last| last.file != file || last.start != start) {
            let buckets = self.buckets.len();
            self.runs.push(Run { file, start, rows: [0; CLASSES], response_bytes: 0, buckets });
        }
        let bucket = duration.map(histogram::bucket);
        self.buckets.push(bucket.unwrap_or(UNTIMED));
        let class = class(code);
        self.routes.count(file, row, class, bucket);
        let Some(run) = self.runs.last_mut() else { return };
        run.rows[class] += 1;
        run.response_bytes = run.response_bytes.saturating_add(response_bytes.unwrap_or(0));
    }

    /// Adds the counts of another batch.
    pub fn extend(&mut self, others: &Rollup) {
        let before = self.buckets.len();
        self.buckets.extend_from_slice(&others.buckets);
        let moved = |run: &Run| Run { buckets: run.buckets + before, ..*run };
        self.runs.extend(others.runs.iter().map(moved));
        self.routes.extend(&others.routes);
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.buckets.clear();
        self.routes.clear();
    }

    /// Returns each file and period once, in order. They are made one at a time: there may be as many as
    /// rows.
    pub fn by(&self, period: Period) -> impl Iterator<Item = Counts> {
        let key = move |run: &Run| (run.file, run.start - run.start.rem_euclid(period.micros()));
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by_key(|&nth| key(&self.runs[nth]));
        let mut order = order.into_iter().peekable();
        std::iter::from_fn(move || {
            let run = &self.runs[order.next()?];
            let (file, start) = key(run);
            let mut counts = Counts {
                file,
                start,
                rows: run.rows,
                response_bytes: run.response_bytes,
                durations: self.durations(run),
            };
            while let Some(nth) = order.next_if(|&nth| key(&self.runs[nth]) == (file, start)) {
                let run = &self.runs[nth];
                for (rows, more) in counts.rows.iter_mut().zip(run.rows) {
                    *rows += more;
                }
                counts.response_bytes = counts.response_bytes.saturating_add(run.response_bytes);
                histogram::add(&mut counts.durations, &self.durations(run));
            }
            Some(counts)
        })
    }

    /// Returns how the counts of a period change when the rows of `self` take the place of those of
    /// `removed`: counts may be negative. What stays as it is has no entry.
    pub fn changes(&self, removed: &Rollup, period: Period) -> Vec<Counts> {
        let mut changes: BTreeMap<(FileId, Micros), Counts> =
            self.by(period).map(|added| ((added.file, added.start), added)).collect();
        for removed in removed.by(period) {
            let mut negative = removed;
            negative.rows.iter_mut().for_each(|rows| *rows = -*rows);
            negative.response_bytes = -negative.response_bytes;
            negative.durations.iter_mut().for_each(|rows| *rows = -*rows);
            match changes.entry((negative.file, negative.start)) {
                Entry::Vacant(entry) => drop(entry.insert(negative)),
                Entry::Occupied(mut entry) => entry.get_mut().add(&negative),
            }
        }
        changes.into_values().filter(|change| !change.is_zero()).collect()
    }

    fn durations(&self, run: &Run) -> Vec<i64> {
        let rows = run.rows.iter().sum::<i64>() as usize;
        let buckets = &self.buckets[run.buckets..run.buckets + rows];
        let highest = buckets.iter().filter(|&&bucket| bucket != UNTIMED).max();
        let mut counts = vec![0; highest.map_or(0, |&highest| usize::from(highest) + 1)];
        for &bucket in buckets.iter().filter(|&&bucket| bucket != UNTIMED) {
            counts[usize::from(bucket)] += 1;
        }
        counts
    }
}

fn class(code: Option<i32>) -> usize {
    match code {
        Some(code @ 100..=599) => (code / 100 - 1) as usize,
        _ => CLASSES - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// File, time, code, bytes, duration.
    type Row = (i32, i64, Option<i32>, Option<i64>, Option<i64>);
    /// File, start, rows, bytes, durations.
    type Flat = (i32, i64, [i64; CLASSES], i64, Vec<i64>);

    fn rollup(rows: &[Row]) -> Rollup {
        let mut rollup = Rollup::default();
        for &(file, timestamp, code, response_bytes, duration) in rows {
            let (route, url) = (None, None);
            let row = CountedRow { timestamp, code, response_bytes, duration, route, url };
            rollup.count(FileId(file), &row);
        }
        rollup
    }

    fn flat(rollup: &Rollup, period: Period) -> Vec<Flat> {
        let flat = |it: Counts| (it.file.0, it.start, it.rows, it.response_bytes, it.durations);
        rollup.by(period).map(flat).collect()
    }

    #[test]
    fn rows_are_counted_by_file_period_and_class() {
        let mut one = rollup(&[
            (1, 0, Some(200), Some(10), Some(1)),
            (1, 59_999_999, Some(299), None, None),
            (2, 1, Some(99), Some(1), Some(64)),
            (1, 60_000_000, Some(500), Some(i64::MAX), Some(1)),
        ]);
        one.extend(&rollup(&[
            (1, 3, None, Some(5), Some(72)),
            (1, 119_999_999, Some(100), Some(i64::MAX), None),
            (1, -1, Some(600), None, None),
        ]));
        assert_eq!(
            flat(&one, Period::Minute),
            [
                (1, -60_000_000, [0, 0, 0, 0, 0, 1], 0, vec![]),
                (1, 0, [0, 2, 0, 0, 0, 1], 15, vec![1, 0, 1]),
                (1, 60_000_000, [1, 0, 0, 0, 1, 0], i64::MAX, vec![1]),
                (2, 0, [0, 0, 0, 0, 0, 1], 1, vec![0, 1]),
            ]
        );
        assert_eq!(
            flat(&one, Period::Hour),
            [
                (1, -3_600_000_000, [0, 0, 0, 0, 0, 1], 0, vec![]),
                (1, 0, [1, 2, 0, 0, 1, 1], i64::MAX, vec![2, 0, 1]),
                (2, 0, [0, 0, 0, 0, 0, 1], 1, vec![0, 1]),
            ]
        );
        one.clear();
        assert_eq!(flat(&one, Period::Minute), []);
    }

    #[test]
    fn what_other_rows_change_is_the_difference() {
        let was = rollup(&[
            (1, 0, Some(200), Some(10), None),
            (1, 1, Some(200), Some(10), Some(72)),
            (1, 60_000_000, Some(500), None, Some(1)),
        ]);
        let now = rollup(&[
            (1, 0, Some(200), Some(10), Some(1)),
            (1, 60_000_000, Some(500), None, Some(1)),
            (1, 120_000_000, Some(404), Some(5), None),
        ]);
        let changes = now.changes(&was, Period::Minute);
        let [first, last] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((first.start, last.start), (0, 120_000_000));
        let stored: Vec<Counts> = was.by(Period::Minute).collect();
        let left: Vec<Counts> = now.by(Period::Minute).collect();
        assert_eq!(Counts::changed(Some(stored[0].clone()), first), Some(left[0].clone()));
        assert_eq!(Counts::changed(None, last), Some(left[2].clone()));
        // Of a period that was swept nothing can be taken; one without rows goes.
        assert_eq!(Counts::changed(None, first), None);
        let taken = Rollup::default().changes(&was, Period::Hour);
        assert_eq!(Counts::changed(was.by(Period::Hour).next(), &taken[0]), None);
    }
}
