//! Which parts of a range are read in which order, and what the parts that were read say of the others.
//!
//! The range is cut into slices of about as many rows each, by the counts of minutes and hours. They are read in
//! a random order, so that what was read so far is a sample of the range: of a busy slot of the chart one
//! slice each, then the second ones, and so on. What a slice has not shown is taken to have the same share of matching
//! rows, class by class: the counts of each class are known for all of the range, so that a burst of errors
//! is part of an estimate before its rows were read.
//!
//! The error is that of a ratio estimate over clusters (Cochran, Sampling Techniques, 6.4), at 95 %, and never less
//! than chance alone makes of a count so small. It is not known how a value is spread that occurs in one slice only.

use std::collections::BTreeMap;

use super::counts::Point;
use crate::model::{CLASSES, Micros, scatter};

/// Rows of a slice, if the range is not too long for it. Reading them takes a few tens of milliseconds.
const ROWS: i64 = 10_000;
/// Most slices of a range, apart from one for each slot.
const MOST: i64 = 4096;
/// The shortest slice.
const SHORTEST: Micros = 1_000_000;

/// Rows of each class.
type Classes = [f64; CLASSES];

/// A part of the range, which is read at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slice {
    /// Its beginning.
    pub(super) low: Micros,
    /// Its end, which is not part of it.
    pub(super) high: Micros,
    /// Rows of each class that it is taken to have, matching or not.
    pub(super) expected: Classes,
    /// Whether it says anything of other slices.
    is_sample: bool,
}

/// A slot of the chart.
#[derive(Clone, Debug, Default)]
struct Slot {
    expected: Classes,
    read: Classes,
    found: Point,
}

/// The slices of a range, and what was found in those that were read.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    length: Micros,
    slots: BTreeMap<Micros, Slot>,
    /// In the order in which they are read.
    slices: Vec<Slice>,
    /// Matching rows of each slice that was read.
    matching: Vec<[i64; CLASSES]>,
}

/// What the range has, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Estimate {
    /// The slots with rows, by their starts, in order.
    pub(super) points: Vec<(Micros, Point)>,
    /// The sum of all slots.
    pub(super) total: Point,
    /// By how many rows the sum is wrong at most, in 95 of 100 cases; 0 once all was read, and
    /// at least 1 before.
    pub(super) error: i64,
}

impl Sample {
    /// Cuts a range into slices. `counts` has all rows of each slot, by class. Of slots that begin before
    /// `gone_before` rows may have been removed: they are read last, and nothing is concluded from them.
    pub(super) fn new(
        (from, to): (Micros, Micros),
        length: Micros,
        counts: &BTreeMap<Micros, [i64; CLASSES]>,
        gone_before: Option<Micros>,
    ) -> Sample {
        let mut slots: BTreeMap<Micros, Slot> = BTreeMap::new();
        for (start, rows) in counts.range(from..to) {
            if rows.iter().sum::<i64>() > 0 {
                slots.entry(*start).or_default().expected = expected(*start, rows, gone_before);
            }
        }
        let slices = slices((from, to), length, counts, gone_before, ROWS);
        Sample { length, slots, slices, matching: Vec::new() }
    }

    /// Returns the slices that were not read yet, in their order.
    pub(super) fn unread(&self) -> &[Slice] {
        &self.slices[self.matching.len()..]
    }

    /// Takes note of what the next slice has: points by the starts of their slots.
    pub(super) fn found(&mut self, points: &[(Micros, Point)]) {
        let Some(slice) = self.slices.get(self.matching.len()) else { return };
        let mut matching = [0; CLASSES];
        for (start, point) in points {
            self.slots.entry(*start).or_default().found.add(point);
            for (sum, rows) in matching.iter_mut().zip(point.rows) {
                *sum += rows;
            }
        }
        if slice.is_sample {
            let whole = (slice.high - slice.low) >= self.length;
            let first = slice.low - slice.low.rem_euclid(self.length);
            for (_, slot) in self.slots.range_mut(first..slice.high) {
                add(&mut slot.read, if whole { &slot.expected } else { &slice.expected });
            }
        }
        self.matching.push(matching);
    }

    /// Returns which part of the rows was read, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        let sum = |slices: &[Slice]| slices.iter().flat_map(|it| it.expected).sum::<f64>();
        match (self.unread(), sum(&self.slices)) {
            ([], _) => 1.0,
            (_, 0.0) => self.matching.len() as f64 / self.slices.len() as f64,
            (_, all) => (sum(&self.slices[..self.matching.len()]) / all).min(0.999),
        }
    }

    /// Returns what the range has. `known` has the matching rows of each slot, if they are known from elsewhere.
    pub(super) fn estimate(&self, known: Option<&BTreeMap<Micros, [i64; CLASSES]>>) -> Estimate {
        let ratios = self.ratios();
        let found: i64 = self.slots.values().map(|it| it.found.number()).sum();
        let bytes = self.slots.values().fold(0_i64, |sum, it| sum.saturating_add(it.found.bytes));
        let mean = if found > 0 { bytes as f64 / found as f64 } else { 0.0 };
        let mut total = Point::default();
        let mut points = Vec::new();
        for (start, slot) in &self.slots {
            let mut point = slot.found.clone();
            match known {
                Some(known) => point.rows = known.get(start).copied().unwrap_or_default(),
                None if self.unread().is_empty() => {}
                None => {
                    for (class, ratio) in ratios.iter().enumerate() {
                        let left = slot.expected[class] - slot.read[class];
                        let ratio = match slot.read[class] {
                            read if read < 1.0 => *ratio,
                            read => slot.found.rows[class] as f64 / read,
                        };
                        point.rows[class] += (ratio.min(1.0) * left).round().max(0.0) as i64;
                    }
                }
            }
            if !self.unread().is_empty() {
                let had = slot.found.number();
                let mean = if had > 0 { slot.found.bytes as f64 / had as f64 } else { mean };
                let more = mean * (point.number() - had).max(0) as f64;
                point.bytes = point.bytes.saturating_add(more as i64);
            }
            if point.number() > 0 {
                total.add(&point);
                points.push((*start, point));
            }
        }
        let error = if known.is_some() { 0 } else { self.error(&ratios, total.number()) };
        Estimate { points, total, error }
    }

    /// Returns which part of the rows of each class matches, by the slices that were read.
    fn ratios(&self) -> Classes {
        let (mut matching, mut expected) = (Classes::default(), Classes::default());
        for (slice, rows) in self.read() {
            add(&mut matching, &rows.map(|rows| rows as f64));
            add(&mut expected, &slice.expected);
        }
        for (matching, expected) in matching.iter_mut().zip(expected) {
            *matching = if expected > 0.0 { *matching / expected } else { 0.0 };
        }
        matching
    }

    /// Returns the slices that were read and say something of others.
    fn read(&self) -> impl Iterator<Item = (&Slice, &[i64; CLASSES])> {
        self.slices.iter().zip(&self.matching).filter(|(slice, _)| slice.is_sample)
    }

    fn error(&self, ratios: &Classes, rows: i64) -> i64 {
        let all = self.slices.iter().filter(|it| it.is_sample).count() as f64;
        let read = self.read().count() as f64;
        let of_all: f64 = self.slices.iter().flat_map(|it| it.expected).sum();
        if self.unread().is_empty() {
            return 0;
        }
        if read >= all {
            return 1; // what a sweep has left was not read yet, and may be anything
        }
        let (mut squares, mut matching, mut seen) = (0.0, 0.0, 0.0);
        for (slice, found) in self.read() {
            let parts = found.iter().zip(&slice.expected).zip(ratios);
            let residual: f64 =
                parts.map(|((&n, expected), ratio)| n as f64 - ratio * expected).sum();
            squares += residual * residual;
            matching += found.iter().sum::<i64>() as f64;
            seen += slice.expected.iter().sum::<f64>();
        }
        let left = 1.0 - read / all;
        let by_chance = 2.0 * (left * (matching + 2.0)).sqrt() * of_all / seen.max(1.0);
        let by_slices = if read < 2.0 {
            rows as f64 // one slice does not tell how different they are
        } else {
            let deviation = (left * all * all / read * squares / (read - 1.0)).sqrt();
            // About the quantile of Student's distribution, whose tails are long for few slices.
            (2.0 + 7.0 / (read - 1.0).powf(1.5)) * deviation
        };
        by_slices.max(by_chance).ceil().min(of_all).max(1.0) as i64
    }
}

/// Cuts a range into slices of `rows` rows, or of more if there would be too many slices, and returns them in the order in
/// which they are read. See [`Sample::new`].
pub(super) fn slices(
    (from, to): (Micros, Micros),
    length: Micros,
    counts: &BTreeMap<Micros, [i64; CLASSES]>,
    gone_before: Option<Micros>,
    rows: i64,
) -> Vec<Slice> {
    let all: i64 = counts.values().flatten().sum();
    let most = rows.max(all / MOST + 1);
    // Each with the key by which it is ordered.
    let mut slices: Vec<((bool, i64, u64), Slice)> = Vec::new();
    let mut open: Option<(i64, Slice)> = None;
    let close = |slices: &mut Vec<_>, open: &mut Option<(i64, Slice)>| {
        if let Some((_, slice)) = open.take() {
            slices.push(((!slice.is_sample, 0, scatter(slice.low)), slice));
        }
    };
    let mut start = from;
    while start < to {
        let rows = counts.get(&start).copied().unwrap_or_default();
        let number: i64 = rows.iter().sum();
        let is_sample = is_sample(start, gone_before);
        let expected = expected(start, &rows, gone_before);
        let parts = ((number + most - 1) / most).clamp(1, (length / SHORTEST).max(1));
        let fits = |(had, slice): &(i64, Slice)| {
            had + number <= most && slice.is_sample == is_sample && parts == 1
        };
        if !open.as_ref().is_some_and(fits) {
            close(&mut slices, &mut open);
        }
        match &mut open {
            Some((had, slice)) => {
                *had += number;
                slice.high = start + length;
                add(&mut slice.expected, &expected);
            }
            None if parts == 1 => {
                let slice = Slice { low: start, high: start + length, expected, is_sample };
                open = Some((number, slice));
            }
            None => {
                let mut own: Vec<Slice> = (0..parts)
                    .map(|nth| Slice {
                        low: start + length * nth / parts,
                        high: start + length * (nth + 1) / parts,
                        expected: expected.map(|rows| rows / parts as f64),
                        is_sample,
                    })
                    .collect();
                own.sort_by_key(|slice| scatter(slice.low));
                slices.extend(own.into_iter().zip(0..).map(|(slice, round)| {
                    // Another key than that which has chosen the first of each slot.
                    ((!slice.is_sample, round, scatter(slice.high)), slice)
                }));
            }
        }
        start += length;
    }
    close(&mut slices, &mut open);
    slices.sort_by_key(|(key, _)| *key);
    slices.into_iter().map(|(_, slice)| slice).collect()
}

/// Returns whether rows of a slot say anything of others: none of them may have been removed.
fn is_sample(start: Micros, gone_before: Option<Micros>) -> bool {
    gone_before.is_none_or(|gone| start >= gone)
}

/// Returns how many rows a slot is taken to have.
fn expected(start: Micros, rows: &[i64; CLASSES], gone_before: Option<Micros>) -> Classes {
    match is_sample(start, gone_before) {
        true => rows.map(|rows| rows as f64),
        false => Classes::default(),
    }
}

fn add(sum: &mut Classes, more: &Classes) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Micros = 60_000_000;

    /// Rows of class 1 and 4 in each slot, all and matching.
    type Rows = Vec<([i64; 2], [i64; 2])>;

    fn classes([fine, failed]: [i64; 2]) -> [i64; CLASSES] {
        [0, fine, 0, 0, failed, 0]
    }

    fn sample(rows: &Rows, gone_before: Option<Micros>) -> Sample {
        let slots = rows.iter().zip(0..);
        let counts = slots.filter(|((all, _), _)| all[0] + all[1] > 0);
        let counts = counts.map(|((all, _), nth)| (nth * SLOT, classes(*all))).collect();
        Sample::new((0, rows.len() as i64 * SLOT), SLOT, &counts, gone_before)
    }

    /// Reads the next slice, of rows that are spread evenly within their slots.
    fn read(sample: &mut Sample, rows: &Rows) {
        let slice = sample.unread()[0].clone();
        let points: Vec<(Micros, Point)> = rows
            .iter()
            .zip(0..)
            .filter_map(|((_, matching), nth)| {
                let start = nth * SLOT;
                let until =
                    |time: Micros| matching.map(|rows| rows * (time - start).clamp(0, SLOT) / SLOT);
                let (before, after) = (until(slice.low), until(slice.high));
                let rows = [after[0] - before[0], after[1] - before[1]];
                let bytes = 10 * (rows[0] + rows[1]);
                (bytes > 0).then(|| {
                    (start, Point { rows: classes(rows), bytes, durations: vec![bytes / 10] })
                })
            })
            .collect();
        sample.found(&points);
    }

    fn matching(rows: &Rows) -> i64 {
        rows.iter().map(|(_, it)| it[0] + it[1]).sum()
    }

    #[test]
    fn slices_cover_the_range_once() {
        let rows: Rows = vec![
            ([0, 0], [0, 0]),
            ([5_000, 0], [0, 0]),
            ([4_000, 900], [0, 0]),
            ([200, 0], [0, 0]),
            ([95_000, 4], [0, 0]),
            ([1, 0], [0, 0]),
        ];
        let sample = sample(&rows, None);
        let mut slices = sample.unread().to_vec();
        assert!(slices.len() > 10, "{slices:?}");
        slices.sort_by_key(|it| it.low);
        assert_eq!((slices[0].low, slices[0].high), (0, 3 * SLOT));
        assert!(slices.windows(2).all(|it| it[0].high == it[1].low), "{slices:?}");
        assert_eq!(slices.last().unwrap().high, 6 * SLOT);
        let expected: f64 = slices.iter().flat_map(|it| it.expected).sum();
        assert!((expected - 105_105.0).abs() < 0.01);
        assert!(slices.iter().all(|it| it.expected.iter().sum::<f64>() <= ROWS as f64));
    }

    #[test]
    fn all_slices_together_are_exact() {
        let rows: Rows = (0..50).map(|nth| ([nth * 700, nth], [nth * nth % 90, nth / 2])).collect();
        let mut sample = sample(&rows, None);
        let mut shares = vec![sample.share()];
        while !sample.unread().is_empty() {
            read(&mut sample, &rows);
            shares.push(sample.share());
        }
        assert!(shares.is_sorted() && shares[0] == 0.0 && shares.last() == Some(&1.0));
        let estimate = sample.estimate(None);
        assert_eq!((estimate.total.number(), estimate.error), (matching(&rows), 0));
        assert_eq!(estimate.total.bytes, 10 * matching(&rows));
        for (start, point) in &estimate.points {
            assert_eq!(point.rows, classes(rows[(start / SLOT) as usize].1));
        }
    }

    #[test]
    fn the_error_holds_what_was_not_read_yet() {
        let mut dice = fastrand::Rng::with_seed(5);
        let (mut tried, mut within, mut relative) = (0, 0, 0.0);
        for nth in 0..300 {
            // A day by minutes: even, growing, or with a peak; one class fails for a while.
            let (base, share) = (dice.i64(2_000..90_000), dice.f64() * 0.3 + 0.001);
            let rows: Rows = (0..240)
                .map(|slot: i64| {
                    let shape = match nth % 3 {
                        0 => 1.0,
                        1 => 0.2 + slot as f64 / 150.0,
                        _ => {
                            if (100..140).contains(&slot) {
                                3.0
                            } else {
                                0.7
                            }
                        }
                    };
                    let fine = (base as f64 * shape) as i64;
                    let failed = if (60..70).contains(&slot) { fine / 5 } else { fine / 500 };
                    let mut noisy = |n: i64| (n as f64 * share * (0.6 + 0.8 * dice.f64())) as i64;
                    ([fine, failed], [noisy(fine), noisy(failed)])
                })
                .collect();
            let mut sample = sample(&rows, None);
            let stop = dice.usize(2..sample.unread().len() / 2);
            for _ in 0..stop {
                read(&mut sample, &rows);
            }
            let estimate = sample.estimate(None);
            let off = (estimate.total.number() - matching(&rows)).abs();
            tried += 1;
            within += usize::from(off <= estimate.error);
            relative += estimate.error as f64 / matching(&rows).max(1) as f64;
            let bytes = (estimate.total.bytes - 10 * estimate.total.number()).abs();
            assert!(bytes <= 10 * 300, "bytes follow the rows: {bytes}");
        }
        assert!(within * 100 >= tried * 95, "{within} of {tried}");
        // An error that says nothing would always be right.
        assert!(relative / (tried as f64) < 0.2, "{relative} of {tried}");
    }

    #[test]
    fn nothing_found_so_far_is_not_nothing() {
        let rows: Rows = vec![([40_000, 0], [0, 0]); 100];
        let mut sample = sample(&rows, None);
        assert_eq!(sample.estimate(None).error, 4_000_000);
        for _ in 0..40 {
            read(&mut sample, &rows);
        }
        let estimate = sample.estimate(None);
        // Of a tenth that was read: about thirty at most (three times the inverse of the part).
        assert_eq!(estimate.total.number(), 0);
        assert!((20..60).contains(&estimate.error), "{}", estimate.error);
    }

    #[test]
    fn what_was_removed_says_nothing_of_the_rest() {
        // The counts of the first half are still there, its rows are not.
        let rows: Rows =
            (0..100).map(|slot| ([30_000, 0], [if slot < 50 { 0 } else { 3_000 }, 0])).collect();
        let mut sample = sample(&rows, Some(50 * SLOT));
        while sample.unread().len() > 200 {
            read(&mut sample, &rows);
        }
        assert!(sample.unread().iter().any(|it| it.low < 50 * SLOT));
        let estimate = sample.estimate(None);
        assert!((estimate.total.number() - 150_000).abs() <= estimate.error.max(150));
        while !sample.unread().is_empty() {
            read(&mut sample, &rows);
        }
        assert_eq!(sample.estimate(None).total.number(), 150_000);
    }

    #[test]
    fn a_sum_of_bytes_stays_at_the_largest_number() {
        let rows: Rows = vec![([40_000, 0], [100, 0]); 10];
        let mut sample = sample(&rows, None);
        while sample.unread().len() > 5 {
            let start = sample.unread()[0].low / SLOT * SLOT;
            let point = Point { rows: classes([9, 0]), bytes: i64::MAX, durations: Vec::new() };
            sample.found(&[(start, point)]);
        }
        assert_eq!(sample.estimate(None).total.bytes, i64::MAX);
    }

    #[test]
    fn known_rows_are_exact_from_the_beginning() {
        let rows: Rows = vec![([40_000, 100], [0, 100]); 10];
        let mut sample = sample(&rows, None);
        let known: BTreeMap<Micros, [i64; CLASSES]> =
            (0..10).map(|nth| (nth * SLOT, classes([0, 100]))).collect();
        assert_eq!(sample.estimate(Some(&known)).total.number(), 1000);
        for _ in 0..20 {
            read(&mut sample, &rows);
        }
        let estimate = sample.estimate(Some(&known));
        assert_eq!((estimate.total.number(), estimate.error), (1000, 0));
        assert!((estimate.total.bytes - 10_000).abs() < 100, "{}", estimate.total.bytes);
    }
}
