//! The order of values: the one that explains most of a change is first.
//!
//! # The score
//!
//! Where bad requests are compared, a value's score is the logarithm by which its requests are more likely if it has a rate
//! of bad ones of its own than if it has the rate of before: `n × KL(p ‖ r)`, with n requests of the selection, the rate p
//! among them and the rate r before. This is greatest for exactly the requests that have become bad. A network with one
//! slow address has more requests and a lower rate, and KL is convex, so that the mixture has a lower score than its bad
//! part; an address of a slow network has the same rate and fewer requests. So what contains the cause, and
//! what is a part of it, come after it without any knowledge of networks, routes or workers.
//!
//! r is the rate of all requests of the baseline, or the value's own if that was higher: a value that was bad before is
//! nothing new. A lower one is not used: it would reward values that nothing is known of but that they are rare.
//!
//! A value is listed only if its rate differs from that of the other rows of the selection as well: if all rows have become
//! bad alike, that says nothing of any value.
//!
//! Where numbers are compared, the score is the logarithm of the likelihood ratio of the value's two shares against one
//! common share (a G-test, halved), for the same reason.
//!
//! # The error of a share
//!
//! Rows that were read are clusters: slices of time. The error is that of a ratio estimate over clusters (Cochran, Sampling
//! Techniques, 6.4), at 95 %, and never less than chance alone makes of so few rows.

use super::{Compare, Comparison, Dimension, Side, Sums, Tally, Whole};

/// Rows of a value, on both sides together, from which on it is listed.
const FEWEST: i64 = 5;
/// Bad rows of a value in the selection from which on it is listed.
const FEWEST_BAD: i64 = 3;
/// The least score, to which the logarithm of the number of values is added: of many values, some differ by chance.
const LEAST_SCORE: f64 = 5.0;
/// Rows of the usual rate that are added to a value's own in the baseline: a few rows do not make a rate.
const USUAL_ROWS: f64 = 20.0;
/// The lowest rate that is expected. A rate of zero would make any single bad row a wonder.
const LOWEST_RATE: f64 = 0.0005;

/// A value that distinguishes both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What it is a value of.
    pub dimension: Dimension,
    /// The value.
    pub value: String,
    /// In the selection.
    pub here: Part,
    /// In the baseline.
    pub there: Part,
    /// Which part of the additional bad rows it has, from 0 to 1; `None` where numbers are compared.
    pub explains: Option<f64>,
    /// How sure the difference is: a logarithm, natural.
    pub score: f64,
    /// A row with this value, of the selection if it has one: a bad one, where these are compared.
    pub example: i64,
    /// Values with the same rows of the selection; where bad rows are compared, with the same bad ones.
    pub same: Vec<(Dimension, String)>,
}

/// What one side has of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// Rows that were read.
    pub rows: i64,
    /// Bad ones among them.
    pub bad: i64,
    /// The share of these rows in all of the side; where bad rows are compared, the share of bad ones in these rows.
    pub share: f64,
    /// By how much the share is wrong at most, in 95 of 100 cases; 0 if all rows were read.
    pub error: f64,
}

impl Comparison {
    /// Returns the `limit` values that explain most. `read` is the part of the rows of each side that was read: 1 is all.
    pub fn ranked(&self, limit: usize, read: [f64; 2]) -> Vec<Difference> {
        let [here, there] = &self.totals;
        if here.rows == 0 || there.rows == 0 {
            return Vec::new();
        }
        let usual = ((there.bad as f64 + 0.5) / (there.rows as f64 + 1.0)).max(LOWEST_RATE);
        let mut tested = 0;
        // The score with its sign, and the value.
        let mut found: Vec<(f64, Dimension, &str, &Tally)> = Vec::new();
        for (dimension, _) in Dimension::ALL {
            for (value, tally) in &self.values[dimension as usize] {
                let [one, other] = &tally.sides;
                let is_all = one.rows == here.rows && other.rows == there.rows;
                let (enough, score) = match self.compare {
                    Compare::Requests => (
                        tally.number() >= FEWEST,
                        likelihood_ratio(one.rows, here.rows, other.rows, there.rows),
                    ),
                    _ => (one.bad >= FEWEST_BAD, excess(one, other, usual)),
                };
                if enough && !is_all {
                    tested += 1;
                    found.push((score, dimension, value, tally));
                }
            }
        }
        let least = LEAST_SCORE + f64::from(tested.max(1)).ln();
        found.retain(|(score, _, _, tally)| match self.compare {
            Compare::Requests => score.abs() >= least,
            _ => *score >= least && stands_out(&tally.sides[0], here) >= least,
        });
        found.sort_by(|one, two| {
            let by_value = || (one.1, one.2).cmp(&(two.1, two.2));
            two.0.abs().total_cmp(&one.0.abs()).then_with(by_value)
        });
        let mut differences: Vec<(u64, Difference)> = Vec::new();
        for (score, dimension, value, tally) in found {
            let key = self.compared(tally.sides[0].rows, tally.sides[0].bad);
            let same = differences.iter_mut().find(|(print, first)| {
                let first = self.compared(first.here.rows, first.here.bad);
                *print == tally.print && first == key && key > 0
            });
            if let Some((_, first)) = same {
                first.same.push((dimension, value.to_owned()));
            } else if differences.len() < limit {
                let explains = self.explains(&tally.sides, usual);
                differences.push((
                    tally.print,
                    Difference {
                        dimension,
                        value: value.to_owned(),
                        here: self.part(&tally.sides[0], Side::Selection, read[0]),
                        there: self.part(&tally.sides[1], Side::Baseline, read[1]),
                        explains,
                        score,
                        example: tally.example.1,
                        same: Vec::new(),
                    },
                ));
            }
        }
        differences.into_iter().map(|(_, it)| it).collect()
    }

    /// Returns that of both numbers which is compared.
    fn compared(&self, rows: i64, bad: i64) -> i64 {
        match self.compare {
            Compare::Requests => rows,
            Compare::Codes(_) | Compare::Slow(_) => bad,
        }
    }

    /// Returns what a side has of all values. Its share is that of its bad rows.
    pub fn total(&self, side: Side, read: f64) -> Part {
        let total = &self.totals[side as usize];
        match self.compare {
            Compare::Requests => Part { rows: total.rows, bad: 0, share: 1.0, error: 0.0 },
            _ => self.part(total, side, read),
        }
    }

    /// Returns which part of the additional bad rows these are.
    fn explains(&self, [one, other]: &[Sums; 2], usual: f64) -> Option<f64> {
        if self.compare == Compare::Requests {
            return None;
        }
        let [here, there] = &self.totals;
        let more = |one: &Sums, rate: f64| one.bad as f64 - one.rows as f64 * rate;
        let all = more(here, there.bad as f64 / there.rows as f64);
        (all > 0.0).then(|| (more(one, expected(other, usual)) / all).clamp(0.0, 1.0))
    }

    fn part(&self, sums: &Sums, side: Side, read: f64) -> Part {
        let total = &self.totals[side as usize];
        let slices = &self.slices[side as usize];
        let mut sums = sums.clone();
        let mut of_slices = total.clone();
        let (part, of) = match self.compare {
            Compare::Requests => {
                sums.end_slice(&Whole::Slices(slices));
                of_slices.end_slice(&Whole::Slices(slices));
                (sums.rows, total.rows)
            }
            _ => {
                sums.end_slice(&Whole::OwnRows);
                of_slices = sums.clone();
                (sums.bad, sums.rows)
            }
        };
        let (part, of) = (part as f64, of as f64);
        let share = if of > 0.0 { part / of } else { 0.0 };
        let left = (1.0 - read).clamp(0.0, 1.0);
        let error = if left == 0.0 {
            0.0
        } else {
            let squares = sums.squares - 2.0 * share * sums.products
                + share * share * of_slices.squares_of_whole;
            error(share, of, squares.max(0.0), slices.len() as f64, left)
        };
        Part { rows: sums.rows, bad: sums.bad, share, error }
    }
}

/// Returns the error of a share of `of` rows, of which the part `left` of all was not read. `squares` is the sum of the
/// squared deviations of `slices` slices.
fn error(share: f64, of: f64, squares: f64, slices: f64, left: f64) -> f64 {
    if slices < 2.0 || of == 0.0 {
        return 1.0; // one slice does not tell how different they are
    }
    // One row more of each kind: a share of none or of all is not sure either.
    let chance = (share * of + 1.0) / (of + 2.0);
    let by_chance = 2.0 * (left * chance * (1.0 - chance) / of).sqrt();
    let deviation = (left * slices / (slices - 1.0) * squares).sqrt() / of;
    // About the quantile of Student's distribution, whose tails are long for few slices.
    let by_slices = (2.0 + 7.0 / (slices - 1.0).powf(1.5)) * deviation;
    by_chance.max(by_slices).min(1.0)
}

/// Returns the rate of bad rows that a value is expected to have, by those of the baseline.
fn expected(other: &Sums, usual: f64) -> f64 {
    let own = (other.bad as f64 + USUAL_ROWS * usual) / (other.rows as f64 + USUAL_ROWS);
    own.max(usual)
}

/// Returns the score of bad rows, negative if there are fewer than expected.
fn excess(one: &Sums, other: &Sums, usual: f64) -> f64 {
    let rate = expected(other, usual).min(1.0 - LOWEST_RATE);
    let (rows, bad) = (one.rows as f64, one.bad as f64);
    let score = term(bad, rows * rate) + term(rows - bad, rows * (1.0 - rate));
    if bad > rows * rate { score } else { -score }
}

/// Returns the score of a value's rate of bad rows beside that of the other rows of the selection. Where all rows have become
/// bad alike, no value is the cause; one that all rows have has no others beside it.
fn stands_out(one: &Sums, here: &Sums) -> f64 {
    match here.rows - one.rows {
        0 => f64::INFINITY,
        others => likelihood_ratio(one.bad, one.rows, here.bad - one.bad, others),
    }
}

/// Returns the score of two shares, negative if that of the selection is the lower one.
fn likelihood_ratio(part: i64, of: i64, part_before: i64, of_before: i64) -> f64 {
    let [part, of, before, of_before] = [part, of, part_before, of_before].map(|it| it as f64);
    let common = (part + before) / (of + of_before);
    let terms = |part: f64, of: f64| term(part, of * common) + term(of - part, of * (1.0 - common));
    let score = (terms(part, of) + terms(before, of_before)).max(0.0);
    if part * of_before >= before * of { score } else { -score }
}

/// Returns `found × ln(found / expected)`.
fn term(found: f64, expected: f64) -> f64 {
    if found <= 0.0 { 0.0 } else { found * (found / expected).ln() }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::model::Codes;
    use crate::model::changes::Observed;

    const FAILED: Compare = Compare::Codes(Codes { first: 500, last: 599 });

    /// Address, URL, worker, whether it fails.
    type Request = (&'static str, &'static str, i64, bool);

    fn compared(compare: Compare, sides: [&[(i64, Request)]; 2]) -> Comparison {
        let mut comparison = Comparison::new(compare);
        let mut id = 0;
        for (side, requests) in Side::BOTH.into_iter().zip(sides) {
            comparison.begin_slice(side);
            for &(times, (address, url, pid, fails)) in requests {
                for _ in 0..times {
                    id += 1;
                    comparison.add(
                        side,
                        &Observed {
                            id,
                            code: Some(if fails { 500 } else { 200 }),
                            pid: Some(pid),
                            url: Some(Cow::Borrowed(url)),
                            method: Some(Cow::Borrowed("GET")),
                            address: Some(address.parse().unwrap()),
                            ..Observed::default()
                        },
                    );
                }
            }
        }
        comparison
    }

    fn names(comparison: &Comparison) -> Vec<(Dimension, String)> {
        comparison.ranked(9, [1.0; 2]).into_iter().map(|it| (it.dimension, it.value)).collect()
    }

    #[test]
    fn the_cause_comes_before_what_contains_it_and_what_is_part_of_it() {
        let usual = [
            (100, ("10.0.0.1", "/a/1", 1, false)),
            (100, ("10.0.0.2", "/a/2", 2, false)),
            (100, ("10.0.1.1", "/b", 1, false)),
            (3, ("10.0.1.1", "/b", 2, true)),
        ];
        // One address of two in its network, on all URLs and workers.
        let address = [
            (20, ("10.0.0.1", "/a/1", 1, true)),
            (20, ("10.0.0.1", "/b", 2, true)),
            (40, ("10.0.0.2", "/a/1", 1, false)),
            (40, ("10.0.1.1", "/b", 2, false)),
        ];
        let found = compared(FAILED, [&address, &usual]);
        assert_eq!(names(&found)[0], (Dimension::Address, "10.0.0.1".into()));
        let first = &found.ranked(1, [1.0; 2])[0];
        assert_eq!((first.here.rows, first.here.bad, first.there.bad), (40, 40, 0));
        assert_eq!((first.here.share, first.here.error), (1.0, 0.0));
        assert!(first.explains.unwrap() > 0.95, "{first:?}");
        // All of the network.
        let network = [
            (20, ("10.0.0.1", "/a/1", 1, true)),
            (20, ("10.0.0.2", "/b", 2, true)),
            (40, ("10.0.1.1", "/a/1", 1, false)),
            (40, ("10.0.1.1", "/b", 2, false)),
        ];
        assert_eq!(
            names(&compared(FAILED, [&network, &usual]))[0],
            (Dimension::Network, "10.0.0.0/24".into())
        );
        // Both URLs of a route.
        let route = [
            (20, ("10.0.0.1", "/a/1", 1, true)),
            (20, ("10.0.1.1", "/a/2", 2, true)),
            (40, ("10.0.0.1", "/b", 1, false)),
            (40, ("10.0.1.1", "/b", 2, false)),
        ];
        assert_eq!(
            names(&compared(FAILED, [&route, &usual]))[0],
            (Dimension::Route, "/a/{n}".into())
        );
    }

    #[test]
    fn values_with_the_same_rows_are_one_difference() {
        let usual = [(200, ("10.0.0.1", "/a", 1, false)), (200, ("10.0.1.1", "/b/1", 1, false))];
        let now = [(60, ("10.0.0.1", "/a", 1, true)), (60, ("10.0.1.1", "/b/1", 1, false))];
        let found = compared(FAILED, [&now, &usual]).ranked(9, [1.0; 2]);
        // The method, the status and the worker are those of all requests.
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].dimension, found[0].value.as_str()), (Dimension::Route, "/a"));
        assert_eq!(found[0].same.len(), 3, "{found:?}");
    }

    #[test]
    fn what_was_bad_before_and_what_chance_explains_is_not_listed() {
        let usual = [(200, ("10.0.0.1", "/a", 1, true)), (800, ("10.0.1.1", "/b", 2, false))];
        let now = [(20, ("10.0.0.1", "/a", 1, true)), (80, ("10.0.1.1", "/b", 2, false))];
        assert!(names(&compared(FAILED, [&now, &usual])).is_empty());
        assert!(names(&compared(Compare::Requests, [&now, &usual])).is_empty());
        // All have become bad alike.
        let all = [(20, ("10.0.0.1", "/a", 1, true)), (80, ("10.0.1.1", "/b", 2, true))];
        let fine = [(200, ("10.0.0.1", "/a", 1, false)), (800, ("10.0.1.1", "/b", 2, false))];
        assert!(names(&compared(FAILED, [&all, &fine])).is_empty());
        assert!(names(&compared(FAILED, [&now, &[]])).is_empty());
        assert!(names(&compared(FAILED, [&[], &usual])).is_empty());
    }

    #[test]
    fn numbers_of_requests_have_a_direction() {
        let usual = [(100, ("10.0.0.1", "/a", 1, false)), (900, ("10.0.1.1", "/b", 2, false))];
        let now = [(90, ("10.0.0.1", "/a", 1, false)), (60, ("10.0.1.1", "/b", 2, false))];
        let found = compared(Compare::Requests, [&now, &usual]).ranked(9, [1.0; 2]);
        let signs: Vec<bool> = found.iter().map(|it| it.score > 0.0).collect();
        assert_eq!(signs, [true, false], "{found:?}");
        assert!((found[0].here.share - 0.6).abs() < 1e-9 && found[0].explains.is_none());
        assert_eq!(found[0].there.share, 0.1);
    }

    #[test]
    fn a_share_of_a_part_of_the_rows_has_an_error_that_holds() {
        // Slices that differ from each other: in half of them a value has a fifth of the rows, in the others three fifths.
        let mut dice = fastrand::Rng::with_seed(5);
        let mut right = 0;
        for _ in 0..200 {
            let mut comparison = Comparison::new(Compare::Requests);
            let mut id = 0;
            for side in Side::BOTH {
                for _ in 0..30 {
                    comparison.begin_slice(side);
                    let among = if dice.bool() { 0.2 } else { 0.6 };
                    for _ in 0..100 {
                        id += 1;
                        let method = if dice.f64() < among { "PUT" } else { "GET" };
                        let method = Some(Cow::Borrowed(method));
                        comparison.add(side, &Observed { id, method, ..Observed::default() });
                    }
                }
            }
            let tally = &comparison.values[Dimension::Method as usize]["PUT"];
            let part = comparison.part(&tally.sides[0], Side::Selection, 0.01);
            assert!(part.error < 0.15, "{part:?}");
            right += i32::from((part.share - 0.4).abs() <= part.error);
        }
        assert!(right >= 180, "{right} of 200");
    }

    #[test]
    fn memory_is_bounded_and_the_frequent_stay() {
        let mut comparison = Comparison::new(Compare::Requests);
        comparison.begin_slice(Side::Selection);
        for id in 0..30_000_i64 {
            let user = if id % 100 == 0 { "jo".to_owned() } else { format!("user{id}") };
            let user = Some(Cow::Owned(user));
            comparison.add(Side::Selection, &Observed { id, user, ..Observed::default() });
        }
        let users = &comparison.values[Dimension::User as usize];
        assert!(users.len() <= super::super::MOST_VALUES);
        assert_eq!(users["jo"].sides[0].rows, 300);
        assert_eq!(comparison.forgetful().collect::<Vec<_>>(), [Dimension::User]);
    }
}
